//! DICOM SEG.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use mtids_annotations::read_segmentation;

fuzz_target!(|bytes: &[u8]| {
    file::with_file(bytes, "", |path| {
        let _ = read_segmentation(path, &file::limits());
    });
});
