//! What can go wrong while a cohort is written.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use mtids_runtime::exit::{Exit, ExitStatus};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum PhantomError {
    /// A setting that no cohort can have.
    #[error("phantom configuration, `{key}`: {reason}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A DICOM file.
    #[error(transparent)]
    Dicom(#[from] mtids_dicom::DicomError),
    /// A label map.
    #[error(transparent)]
    Labels(#[from] mtids_annotations::AnnotationError),
    /// Another file.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The folder holds another cohort.
    #[error("{path} contains DICOM files of another configuration; use another folder or remove it")]
    OtherCohort {
        /// The folder.
        path: PathBuf,
    },
    /// A signal.
    #[error("interrupted; run the same command again")]
    Interrupted,
}

impl PhantomError {
    /// An error about a configuration key.
    pub(crate) fn config(key: &'static str, reason: impl Display) -> Self {
        Self::Config { key, reason: reason.to_string() }
    }

    /// Turns the error of a file operation into one that names the file.
    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

impl ExitStatus for PhantomError {
    fn exit(&self) -> Exit {
        match self {
            PhantomError::Config { .. } | PhantomError::OtherCohort { .. } => Exit::Usage,
            PhantomError::Interrupted => Exit::Interrupted,
            _ => Exit::Data,
        }
    }
}
