//! What the fuzzer found and was mended: every reader must end in a result, quickly and within its bounds.

use std::path::Path;

use mtids_dicom::annotation::{read_mask, read_report, read_segmentation, read_structures, read_table, read_voc};
use mtids_dicom::{FileKind, Limits, decode_image, read_header};

use crate::files;

#[test]
fn every_regression_ends_in_a_result() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let paths = files(&folder);
    assert!(!paths.is_empty());
    let limits = Limits::default();
    for path in paths {
        match read_header(&path, &limits) {
            Ok(FileKind::Image(header)) => drop(decode_image(&header, &limits)),
            Ok(FileKind::Frames(frames)) => drop(decode_image(&frames[0], &limits)),
            _ => {}
        }
        drop(read_segmentation(&path, &limits));
        drop(read_structures(&path, &limits));
        drop(read_report(&path, &limits));
        drop(read_mask(&path, &limits));
        drop(read_table(&path));
        drop(read_voc(&path));
    }
}

#[test]
fn an_uneven_length_is_refused_where_it_would_be_parsed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let uneven = files(&path).into_iter().find(|path| path.to_string_lossy().contains("uneven-length")).unwrap();
    let error = read_header(&uneven, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("no multiple of its values' size"), "{error}");
}
