//! Integration tests: round trips through written files, and real images read in place from `../shared/data` (ignored by default).

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod defects;
mod deidentify;
mod encodings;
mod mirror;
mod pet;
mod pitfalls;
mod real;
mod regressions;
mod repair;
mod round_trip;
mod silent;
mod validators;
mod written;

use std::path::PathBuf;

use mtids_dicom::{FileKind, GroupingOutcome, InstanceHeader, Limits, group, read_header};

/// The folder of real images. Tests that use it are ignored by default, and fail where it is missing.
fn shared(what: &str) -> PathBuf {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(what);
    assert!(path.exists(), "{} is missing", path.display());
    path
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

fn grouped(folder: &std::path::Path) -> GroupingOutcome {
    group(headers(folder).0)
}
