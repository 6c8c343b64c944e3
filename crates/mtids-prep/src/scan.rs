//! A folder becomes headers, annotation objects, and an outcome for every other file.
//!
//! Invariants: every file is in exactly one of these; the result does not depend on the order of the directory; what cannot be read is
//! refused, and the scan goes on.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use mtids_dicom::rejection::may_reject;
use mtids_dicom::{
    DicomError, FileKind, FileOutcome, InstanceHeader, Limits, ObjectIdentity, ReasonCode, Refused, RejectionNote,
    SharedFacts, SkipReason, read_header, read_identity, read_rejection,
};
use mtids_runtime::interrupt::Interrupt;
use rayon::prelude::*;

use crate::error::PrepError;
use crate::walk::{Entry, is_system_file, walk};

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Scan {
    /// All files found, also those that have an outcome already; a folder that cannot be read counts as one.
    pub files: u64,
    /// Headers of images, in path order.
    pub headers: Vec<InstanceHeader>,
    /// What annotation objects say of whom they are, in path order.
    pub objects: Vec<ObjectIdentity>,
    /// Segmentation objects, in path order.
    pub segmentations: Vec<PathBuf>,
    /// RTSTRUCT objects, in path order.
    pub structures: Vec<PathBuf>,
    /// Structured reports, in path order.
    pub reports: Vec<PathBuf>,
    /// Headers of images that a rejection note takes back, in path order. Their files have an outcome.
    pub rejected: Vec<InstanceHeader>,
    /// Files that were refused. Whose they are is known of `unread_images` alone.
    pub unread_files: u64,
    /// CT images among the files without a header that can be used: what they say of whom they are, and the reason; in path order.
    pub unread_images: Vec<(ObjectIdentity, ReasonCode)>,
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
/// [`PrepError::Data`] when the folder itself cannot be read, [`PrepError::Interrupted`] after a signal.
pub fn scan(
    folder: &Path,
    options: &ScanOptions<'_>,
    tick: &(dyn Fn() + Sync),
    interrupt: &Interrupt,
) -> Result<(Scan, Vec<FileOutcome>), PrepError> {
    let found = walk(folder, options.out)?;
    let limits = options.limits;
    let tables: BTreeSet<PathBuf> = options.tables.iter().filter_map(|table| table.canonicalize().ok()).collect();
    // Only a file of the same name can be one of them: to resolve the path of every slice takes long on network file systems.
    let names: BTreeSet<&OsStr> = tables.iter().filter_map(|table| table.file_name()).collect();
    let is_table = |path: &Path| {
        path.file_name().is_some_and(|name| names.contains(name))
            && path.canonicalize().is_ok_and(|path| tables.contains(&path))
    };
    let shared = SharedFacts::default();
    let seen: Vec<Seen> = found
        .into_par_iter()
        .map(|entry| {
            if interrupt.is_raised() {
                return Err(PrepError::Interrupted);
            }
            let seen = match entry {
                Entry::Outcome(outcome) => Seen::Outcome(outcome),
                Entry::File(path) if is_table(&path) => Seen::Outcome(FileOutcome::used(path)),
                Entry::File(path) => Seen::of(path, limits, &shared),
            };
            tick();
            Ok(seen)
        })
        .collect::<Result<_, _>>()?;

    let mut scan = Scan { files: seen.len() as u64, ..Scan::default() };
    let (mut outcomes, mut notes) = (Vec::new(), Vec::new());
    // A vector that grows by doubling would hold the headers of a large folder twice.
    scan.headers.reserve_exact(seen.iter().map(Seen::headers).sum());
    for seen in seen {
        match seen {
            Seen::Image(header) => scan.headers.push(*header),
            Seen::Frames(frames) => scan.headers.extend(frames),
            Seen::Object(list, path, identity) => {
                match list {
                    List::Segmentations => scan.segmentations.push(path),
                    List::Structures => scan.structures.push(path),
                    List::Reports => scan.reports.push(path),
                }
                scan.objects.extend(identity);
            }
            Seen::Note(note, outcome) => {
                notes.push(note);
                outcomes.push(outcome);
            }
            Seen::Unread(outcome, image) => {
                outcomes.push(outcome);
                scan.unread_images.extend(image);
            }
            Seen::Outcome(outcome) => outcomes.push(outcome),
        }
    }
    scan.unread_files = outcomes.iter().filter(|outcome| matches!(outcome, FileOutcome::Refused(_))).count() as u64;
    outcomes.extend(scan.take_back(&notes));
    Ok((scan, outcomes))
}

/// What one file is, with its path once.
enum Seen {
    Image(Box<InstanceHeader>),
    Frames(Vec<InstanceHeader>),
    /// An annotation object; one that cannot be read says nothing here, and is refused by the reader of its class.
    Object(List, PathBuf, Option<ObjectIdentity>),
    /// A note that takes objects back, and what becomes of its own file.
    Note(RejectionNote, FileOutcome),
    /// A file that is no usable object, and whose it is where it is an image of CT all the same.
    Unread(FileOutcome, Option<(ObjectIdentity, ReasonCode)>),
    Outcome(FileOutcome),
}

/// Where an annotation object is listed.
enum List {
    Segmentations,
    Structures,
    Reports,
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
            Ok(FileKind::Report { path }) => Self::object(List::Reports, path, limits),
            Ok(FileKind::Segmentation { path }) => Self::object(List::Segmentations, path, limits),
            Ok(FileKind::Structures { path }) => Self::object(List::Structures, path, limits),
            Ok(FileKind::Other { modality, sop_class_uid }) => {
                let detail = format!("modality {modality}, class {sop_class_uid}");
                let note = if may_reject(&sop_class_uid) { read_rejection(&path, limits) } else { Ok(None) };
                let outcome = FileOutcome::Skipped { path, reason: SkipReason::OtherObject, detail };
                match note {
                    Ok(Some(note)) => Self::Note(note, outcome),
                    Ok(None) => Self::Outcome(outcome),
                    // What it takes back is not known, so it is no file to pass over.
                    Err(error) => Self::Outcome(outcome_of(outcome.path().to_owned(), &error)),
                }
            }
            Err(error) => {
                let identity = match error.reason() {
                    // Nothing in it says whose it is.
                    ReasonCode::NotDicom | ReasonCode::Empty => None,
                    // An image that is skipped was none to draw on.
                    ReasonCode::NotOriginal => None,
                    _ => read_identity(&path, limits).ok().filter(|identity| identity.is_ct),
                };
                Self::Unread(outcome_of(path, &error), identity.map(|identity| (identity, error.reason())))
            }
        }
    }

    fn object(list: List, path: PathBuf, limits: &Limits) -> Self {
        let identity = read_identity(&path, limits).ok();
        Self::Object(list, path, identity)
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
    let skipped = |path, reason| FileOutcome::Skipped { path, reason, detail: error.detail().to_owned() };
    // Content decides what a file is; only a name that claims otherwise makes it a fault.
    match error.reason() {
        ReasonCode::NotOriginal => skipped(path, SkipReason::NotOriginal),
        ReasonCode::NotDicom | ReasonCode::Empty if is_system_file(&path) => {
            FileOutcome::skipped(path, SkipReason::SystemFile)
        }
        ReasonCode::NotDicom if !claims_dicom(&path) => skipped(path, SkipReason::NotDicom),
        _ => FileOutcome::Refused(Refused::file(path, error)),
    }
}

fn claims_dicom(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
    matches!(extension.as_str(), "dcm" | "dicom" | "ima")
}
