//! A folder becomes an account of its files: images, segmentations, structures, and everything else with a reason.
//!
//! Invariants: every file is counted once; the result does not depend on the order of the directory; links are not followed. What a
//! build writes is no input: the folder of the dataset and every other dataset below the scanned folder are left out, so that the
//! same command gives the same bytes wherever the dataset lies.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use mtids_dicom::read_header;
use mtids_dicom::{DicomError, FileKind, InstanceHeader, Limits, ReasonCode, Refused, SharedFacts};
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::storage::Folder;
use mtids_shards::is_published;
use rayon::prelude::*;
use walkdir::WalkDir;

use crate::error::PrepError;
use crate::rows::WORK;

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Scan {
    /// All files found.
    pub files: u64,
    /// Headers of images, in path order.
    pub headers: Vec<InstanceHeader>,
    /// Segmentation objects, in path order.
    pub segmentations: Vec<PathBuf>,
    /// RTSTRUCT objects, in path order.
    pub structures: Vec<PathBuf>,
    /// Structured reports, in path order.
    pub reports: Vec<PathBuf>,
    /// Annotation tables and mask files of the build that lie in the folder.
    pub tables: u64,
    /// Files that are none of our business, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// The skipped files themselves, for an inventory: file, reason, and what more there is to say.
    pub skipped_files: Vec<(PathBuf, String, String)>,
    /// Files that should have been usable.
    pub refused: Vec<Refused>,
}

impl Scan {
    /// Counts a file as skipped.
    pub fn skip(&mut self, path: PathBuf, reason: &str) {
        self.skip_because(path, reason, String::new());
    }

    /// Counts a file as skipped, with a sentence for the operator.
    pub fn skip_because(&mut self, path: PathBuf, reason: &str, detail: String) {
        *self.skipped.entry(reason.to_owned()).or_default() += 1;
        self.skipped_files.push((path, reason.to_owned(), detail));
    }
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

/// Scans `folder`; `tick` is called once per file.
///
/// # Errors
/// [`PrepError::Data`] when the folder cannot be read, [`PrepError::Config`] when it is the folder of the dataset,
/// [`PrepError::Interrupted`] after a signal.
pub fn scan(
    folder: &Path,
    options: &ScanOptions<'_>,
    tick: &(dyn Fn() + Sync),
    interrupt: &Interrupt,
) -> Result<Scan, PrepError> {
    let data_error = |source| PrepError::Data { path: folder.to_owned(), source };
    std::fs::read_dir(folder).map_err(data_error)?;
    let limits = options.limits;
    let out = options.out.and_then(|out| out.canonicalize().ok());
    if out.is_some() && folder.canonicalize().ok() == out {
        return Err(PrepError::Config {
            key: "--out".into(),
            reason: format!("{} is the folder of the studies; name another one", folder.display()),
        });
    }
    let is_output = |path: &Path| {
        let is_out = out.is_some() && path.canonicalize().ok() == out;
        if is_out || is_dataset(path) {
            tracing::warn!(folder = %path.display(), "a dataset below the studies is no input: left out");
            return true;
        }
        false
    };
    let mut paths = Vec::new();
    let walk = WalkDir::new(folder).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !entry.file_type().is_dir() || !is_output(entry.path()))
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
                Seen::Link(path)
            } else if is_table(&path) {
                Seen::Table
            } else {
                Seen::of(path, limits, &shared)
            };
            tick();
            Ok(seen)
        })
        .collect::<Result<_, _>>()?;

    let mut scan = Scan { files: seen.len() as u64, ..Scan::default() };
    // A vector that grows by doubling would hold the headers of a large folder twice.
    scan.headers.reserve_exact(seen.iter().map(Seen::headers).sum());
    for seen in seen {
        match seen {
            Seen::Link(path) => scan.skip(path, "symbolic-link"),
            Seen::Table => scan.tables += 1,
            Seen::Image(header) => scan.headers.push(*header),
            Seen::Frames(frames) => scan.headers.extend(frames),
            Seen::Report(path) => scan.reports.push(path),
            Seen::Segmentation(path) => scan.segmentations.push(path),
            Seen::Structures(path) => scan.structures.push(path),
            Seen::Other { path, detail } => scan.skip_because(path, "other-object", detail),
            Seen::Error(path, error) => match error.reason() {
                reason @ ReasonCode::NotOriginal => {
                    scan.skip_because(path, reason.as_str(), error.detail().to_owned());
                }
                // Content decides what a file is; only a name that claims otherwise makes it a fault.
                reason @ ReasonCode::NotDicom if !claims_dicom(&path) => {
                    scan.skip_because(path, reason.as_str(), error.detail().to_owned());
                }
                reason => scan.refused.push(Refused {
                    path,
                    series_uid: None,
                    patient_id: None,
                    reason,
                    detail: error.detail().to_owned(),
                }),
            },
        }
    }
    Ok(scan)
}

/// What one file is, with its path once.
enum Seen {
    Link(PathBuf),
    Table,
    Image(Box<InstanceHeader>),
    Frames(Vec<InstanceHeader>),
    Report(PathBuf),
    Segmentation(PathBuf),
    Structures(PathBuf),
    Other { path: PathBuf, detail: String },
    Error(PathBuf, DicomError),
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
                Self::Other { path, detail: format!("modality {modality}, class {sop_class_uid}") }
            }
            Err(error) => Self::Error(path, error),
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

/// Whether a build has written here: a dataset that is published, or one that is not yet.
fn is_dataset(folder: &Path) -> bool {
    folder.join(WORK).join("partitions").is_dir() || is_published(&Folder::new(folder))
}

fn claims_dicom(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
    matches!(extension.as_str(), "dcm" | "dicom" | "ima")
}
