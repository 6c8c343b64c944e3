//! What the fuzzer found and was mended: every reader must end in a result, quickly and within its bounds.

use std::path::Path;

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
    }
}

#[test]
fn an_uneven_length_is_refused_where_it_would_be_parsed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let uneven = files(&path).into_iter().find(|path| path.to_string_lossy().contains("uneven-length")).unwrap();
    let error = read_header(&uneven, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("no multiple of its values' size"), "{error}");
}

#[test]
fn nesting_that_only_the_parser_sees_is_refused() {
    // Pixel data of VR SQ inside a sequence: to a walk over fragments its item is one value, to the parser the start of 100 000 sequences.
    let level =
        [0x40, 0, 0x30, 0xA7, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF];
    let deep = level.repeat(100_000);
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    bytes.extend([2, 0, 0x10, 0, b'U', b'I', 20, 0]);
    bytes.extend(b"1.2.840.10008.1.2.1\0");
    bytes.extend([0x28, 0, 0, 0x30, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    bytes.extend([0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
    bytes.extend([0xE0, 0x7F, 0x10, 0, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    bytes.extend([0xFE, 0xFF, 0, 0xE0]);
    bytes.extend((deep.len() as u32).to_le_bytes());
    bytes.extend(&deep);
    for _ in 0..2 {
        bytes.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
        bytes.extend([0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0]);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hidden");
    std::fs::write(&path, bytes).unwrap();
    assert!(read_header(&path, &Limits::default()).is_err());
}
