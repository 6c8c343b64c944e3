//! NIfTI (plain and gzip) and NRRD masks, told apart by content.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use mtids_annotations::read_mask;

fuzz_target!(|bytes: &[u8]| {
    file::with_file(bytes, "", |path| {
        if let Ok(mask) = read_mask(path, &file::limits()) {
            let _ = mask.findings(&Default::default(), &file::limits());
        }
    });
});
