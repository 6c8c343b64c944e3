//! Integration tests: round trips through written files, and real images read in place from `../shared/data`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests may fail as tests do, and say what they skip"
)]

mod defects;
mod encodings;
mod formats;
mod mask_files;
mod mirror;
mod pet;
mod pitfalls;
mod real;
mod regressions;
mod round_trip;
mod validators;
mod written;

use std::path::PathBuf;

use mtids_dicom::{FileKind, GroupingOutcome, InstanceHeader, Limits, group, read_header};

/// The folder of real images, or `None` with a notice.
fn shared(what: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(what);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {what} needs ../shared/data");
    None
}

/// Every file under a folder, sorted.
fn files(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Headers of all images under a folder, and the reasons of what was refused.
fn headers(folder: &std::path::Path) -> (Vec<InstanceHeader>, Vec<String>) {
    let mut headers = Vec::new();
    let mut refused = Vec::new();
    for path in files(folder) {
        match read_header(&path, &Limits::default()) {
            Ok(FileKind::Image(header)) => headers.push(*header),
            Ok(FileKind::Frames(frames)) => headers.extend(frames),
            Ok(_) => {}
            Err(error) => refused.push(error.reason().as_str().to_owned()),
        }
    }
    (headers, refused)
}

/// The findings of a segmentation object.
fn segmented(path: &std::path::Path) -> Result<Vec<mtids_domain::annotation::Annotation>, mtids_dicom::DicomError> {
    mtids_dicom::annotation::read_segmentation(path, &Limits::default()).map(|object| object.into_findings())
}

fn grouped(folder: &std::path::Path) -> GroupingOutcome {
    group(headers(folder).0)
}
