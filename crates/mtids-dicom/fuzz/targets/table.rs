//! Tables (CSV, TSV) and PASCAL VOC.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use mtids_annotations::{read_table, read_voc};

fuzz_target!(|bytes: &[u8]| {
    file::with_file(bytes, ".csv", |path| {
        let _ = read_table(path);
        let _ = read_voc(path);
    });
});
