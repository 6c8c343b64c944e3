//! The walk over a file's skeleton, and the header behind it; with preamble and `DICM`, and without.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use mtids_dicom::{prescan, read_header};

fuzz_target!(|bytes: &[u8]| {
    // Behind the word stands what a raw file begins with.
    let raw = bytes.get(132..).filter(|_| bytes.get(128..132) == Some(b"DICM"));
    for bytes in std::iter::once(bytes).chain(raw) {
        file::with_file(bytes, "", |path| {
            let checked = prescan::check(path, &file::limits());
            let header = read_header(path, &file::limits());
            // What the scan refuses is never parsed.
            assert!(checked.is_ok() || header.is_err());
        });
    }
});
