//! What became of a file: used, skipped for a stated reason, or refused with a stable code.
//!
//! Purpose: every stage that looks at files returns one [`FileOutcome`] for each of them, and the caller sums them once. Invariant: a
//! skipped file is no fault of the study (a reason in words that never change); a refused one should have been usable.

use std::path::{Path, PathBuf};

use crate::error::{DicomError, ReasonCode};
use crate::skip_reason::SkipReason;

/// A file that should have been usable.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// Series UID, where the header gave one.
    pub series_uid: Option<String>,
    /// PatientID, where the header gave one.
    pub patient_id: Option<String>,
    /// Stable reason.
    pub reason: ReasonCode,
    /// A sentence for the operator.
    pub detail: String,
}

impl Refused {
    /// A file whose series and patient are not known.
    pub fn file(path: PathBuf, error: &DicomError) -> Self {
        Self { path, series_uid: None, patient_id: None, reason: error.reason(), detail: error.detail().to_owned() }
    }
}

/// A file and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum FileOutcome {
    /// It gave something to the result.
    Used {
        /// The file.
        path: PathBuf,
    },
    /// It adds nothing, and that is no fault.
    Skipped {
        /// The file.
        path: PathBuf,
        /// Stable reason.
        reason: SkipReason,
        /// A sentence for the operator; empty where the reason says all.
        detail: String,
    },
    /// It should have been usable.
    Refused(Refused),
}

impl FileOutcome {
    /// The file was used.
    pub fn used(path: PathBuf) -> Self {
        Self::Used { path }
    }

    /// The file was skipped for a reason that says all.
    pub fn skipped(path: PathBuf, reason: SkipReason) -> Self {
        Self::Skipped { path, reason, detail: String::new() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Used { path } | Self::Skipped { path, .. } | Self::Refused(Refused { path, .. }) => path,
        }
    }
}
