//! Integration tests: what is written is read back, and real annotations read in place from `../shared/data` (ignored by default).

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod answers;
mod contradictions;
mod formats;
mod label_maps;
mod load;
mod mask_files;
mod mask_forms;
mod mask_names;
mod observed_regions;
mod outside;
mod real;
mod regions;
mod regressions;
mod report_lengths;
mod report_places;
mod report_rejects;
mod report_segments;
mod report_successors;
mod several_series;
mod sr_content;
mod thick;
mod told;
mod written;

use std::path::{Path, PathBuf};

use mtids_annotations::read_segmentation;
use mtids_dicom::volume::{SeriesGrid, check_geometry};
use mtids_dicom::{DicomError, FileKind, Limits, Series, group, read_header};
use mtids_domain::annotation::Annotation;

/// The folder of real images. Tests that use it are ignored by default, and fail where it is missing.
fn shared(what: &str) -> PathBuf {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(what);
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// Every file under a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
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

/// The CT series of a folder, with its grid.
fn ct(folder: &Path) -> (Series, SeriesGrid) {
    let mut headers = Vec::new();
    for path in files(folder) {
        match read_header(&path, &Limits::default()) {
            Ok(FileKind::Image(header)) => headers.push(*header),
            Ok(FileKind::Frames(frames)) => headers.extend(frames),
            _ => {}
        }
    }
    let series = group(headers).series.into_iter().find(|series| *series.modality == *"CT").unwrap();
    let grid = check_geometry(&series, &Limits::default()).unwrap();
    (series, grid)
}

/// The findings of a segmentation object.
fn segmented(path: &Path) -> Result<Vec<Annotation>, DicomError> {
    let limits = Limits::default();
    read_segmentation(path, &limits).map(|object| object.findings_on(None, &limits).into_findings())
}
