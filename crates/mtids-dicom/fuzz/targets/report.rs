//! Structured reports.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use mtids_annotations::read_report;

fuzz_target!(|bytes: &[u8]| {
    file::with_file(bytes, "", |path| {
        if let Ok(report) = read_report(path, &file::limits()) {
            assert!(report.findings(&[]).is_empty());
        }
    });
});
