//! A folder becomes headers, annotation objects, and an outcome for every other file.
//!
//! Invariants: every file is in exactly one of these; the result does not depend on the order of the directory; links are not followed. What a
//! build writes is no input: the folder of the dataset and every other dataset below the scanned folder are left out, so that the
//! same command gives the same bytes wherever the dataset lies.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use mtids_dicom::read_header;
use mtids_dicom::{
    DicomError, FileKind, FileOutcome, InstanceHeader, Limits, ReasonCode, Refused, SharedFacts, SkipReason,
};
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::storage::Folder;
use mtids_shards::is_published;
use rayon::prelude::*;
use walkdir::WalkDir;

use crate::error::PrepError;
use crate::record::{PARTITIONS, WORK};

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Scan {
    /// All files found, also those that have an outcome already.
    pub files: u64,
    /// Headers of images, in path order.
    pub headers: Vec<InstanceHeader>,
    /// Segmentation objects, in path order.
    pub segmentations: Vec<PathBuf>,
    /// RTSTRUCT objects, in path order.
    pub structures: Vec<PathBuf>,
    /// Structured reports, in path order.
    pub reports: Vec<PathBuf>,
}

/// What a scan needs to know besides its folder.
#[derive(Clone, Copy, Debug)]
pub struct ScanOptions<'a> {
    /// Annotation tables and mask files of the build; those in the folder are counted as such.
    pub tables: &'a [PathBuf],
    /// Folder of the dataset that is being built, if there is one.
    pub out: Option<&'a Path>,
    /// Bounds of reading.
    pub limits: &'a Limits,
}

/// Scans `folder`, and says what became of the files that are neither image nor annotation object; `tick` is called once per file.
///
/// # Errors
/// [`PrepError::Data`] when the folder cannot be read, [`PrepError::Interrupted`] after a signal.
pub fn scan(
    folder: &Path,
    options: &ScanOptions<'_>,
    tick: &(dyn Fn() + Sync),
    interrupt: &Interrupt,
) -> Result<(Scan, Vec<FileOutcome>), PrepError> {
    let data_error = |source| PrepError::Data { path: folder.to_owned(), source };
    std::fs::read_dir(folder).map_err(data_error)?;
    let limits = options.limits;
    let out = options.out.and_then(|out| out.canonicalize().ok());
    let is_output = |path: &Path| {
        let is_out = out.is_some() && path.canonicalize().ok() == out;
        if is_out || is_dataset(path) {
            tracing::warn!(folder = %path.display(), "a dataset inside the data folder is not input; skipped");
            return true;
        }
        false
    };
    let mut paths = Vec::new();
    let walk = WalkDir::new(folder).sort_by_file_name().into_iter();
    for entry in
        walk.filter_entry(|entry| entry.depth() == 0 || !entry.file_type().is_dir() || !is_output(entry.path()))
    {
        let entry = entry.map_err(|error| data_error(error.into()))?;
        if !entry.file_type().is_dir() {
            paths.push(entry.into_path());
        }
    }
    let tables: BTreeSet<PathBuf> = options.tables.iter().filter_map(|table| table.canonicalize().ok()).collect();
    // Only a file of the same name can be one of them: to resolve the path of every slice takes long on network file systems.
    let names: BTreeSet<&OsStr> = tables.iter().filter_map(|table| table.file_name()).collect();
    let is_table = |path: &Path| {
        path.file_name().is_some_and(|name| names.contains(name))
            && path.canonicalize().is_ok_and(|path| tables.contains(&path))
    };
    let shared = SharedFacts::default();
    let seen: Vec<Seen> = paths
        .into_par_iter()
        .map(|path| {
            if interrupt.is_raised() {
                return Err(PrepError::Interrupted);
            }
            let seen = if path.is_symlink() {
                Seen::Outcome(FileOutcome::skipped(path, SkipReason::SymbolicLink))
            } else if is_table(&path) {
                Seen::Outcome(FileOutcome::used(path))
            } else {
                Seen::of(path, limits, &shared)
            };
            tick();
            Ok(seen)
        })
        .collect::<Result<_, _>>()?;

    let mut scan = Scan { files: seen.len() as u64, ..Scan::default() };
    let mut outcomes = Vec::new();
    // A vector that grows by doubling would hold the headers of a large folder twice.
    scan.headers.reserve_exact(seen.iter().map(Seen::headers).sum());
    for seen in seen {
        match seen {
            Seen::Image(header) => scan.headers.push(*header),
            Seen::Frames(frames) => scan.headers.extend(frames),
            Seen::Report(path) => scan.reports.push(path),
            Seen::Segmentation(path) => scan.segmentations.push(path),
            Seen::Structures(path) => scan.structures.push(path),
            Seen::Outcome(outcome) => outcomes.push(outcome),
        }
    }
    Ok((scan, outcomes))
}

/// What one file is, with its path once.
enum Seen {
    Image(Box<InstanceHeader>),
    Frames(Vec<InstanceHeader>),
    Report(PathBuf),
    Segmentation(PathBuf),
    Structures(PathBuf),
    Outcome(FileOutcome),
}

impl Seen {
    fn of(path: PathBuf, limits: &Limits, shared: &SharedFacts) -> Self {
        match read_header(&path, limits) {
            Ok(FileKind::Image(mut header)) => {
                shared.share(&mut header);
                Self::Image(header)
            }
            Ok(FileKind::Frames(mut frames)) => {
                frames.iter_mut().for_each(|frame| shared.share(frame));
                Self::Frames(frames)
            }
            Ok(FileKind::Report { path }) => Self::Report(path),
            Ok(FileKind::Segmentation { path }) => Self::Segmentation(path),
            Ok(FileKind::Structures { path }) => Self::Structures(path),
            Ok(FileKind::Other { modality, sop_class_uid }) => {
                let detail = format!("modality {modality}, class {sop_class_uid}");
                Self::Outcome(FileOutcome::Skipped { path, reason: SkipReason::OtherObject, detail })
            }
            Err(error) => Self::Outcome(outcome_of(path, &error)),
        }
    }

    fn headers(&self) -> usize {
        match self {
            Self::Image(_) => 1,
            Self::Frames(frames) => frames.len(),
            _ => 0,
        }
    }
}

/// A file that is no usable object: skipped where that is no fault of the study, else refused.
fn outcome_of(path: PathBuf, error: &DicomError) -> FileOutcome {
    let reason = error.reason();
    // Content decides what a file is; only a name that claims otherwise makes it a fault.
    let reason = match reason {
        ReasonCode::NotOriginal => SkipReason::NotOriginal,
        ReasonCode::NotDicom if !claims_dicom(&path) => SkipReason::NotDicom,
        _ => return FileOutcome::Refused(Refused::file(path, error)),
    };
    FileOutcome::Skipped { path, reason, detail: error.detail().to_owned() }
}

/// Whether a build has written here: a dataset that is published, or one that is not yet.
fn is_dataset(folder: &Path) -> bool {
    folder.join(WORK).join(PARTITIONS).is_dir() || is_published(&Folder::new(folder))
}

fn claims_dicom(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
    matches!(extension.as_str(), "dcm" | "dicom" | "ima")
}
