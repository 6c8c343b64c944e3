//! What the fuzzer found and was mended: every reader must end in a result, quickly and within its bounds.

use std::path::Path;

use mtids_annotations::{read_mask, read_report, read_segmentation, read_structures, read_table, read_voc};
use mtids_dicom::Limits;

use crate::files;

#[test]
fn every_regression_ends_in_a_result() {
    let paths = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../mtids-dicom/tests/regressions"));
    assert!(!paths.is_empty());
    let limits = Limits::default();
    for path in paths {
        drop(read_segmentation(&path, &limits));
        drop(read_structures(&path, &limits));
        drop(read_report(&path, &limits));
        drop(read_mask(&path, &limits));
        drop(read_table(&path));
        drop(read_voc(&path));
    }
}
