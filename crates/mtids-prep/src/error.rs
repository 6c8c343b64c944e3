//! What can end a build, and the exit code it deserves.

use std::path::PathBuf;

use mtids_runtime::exit::{Exit, ExitStatus};
use mtids_runtime::lock::LockError;

/// Errors of preprocessing.
#[derive(Debug, thiserror::Error)]
pub enum PrepError {
    /// The input folder.
    #[error("cannot read the data folder {path}: {source}; set --data to a folder with DICOM files")]
    Data {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No usable study.
    #[error("nothing usable in {path}: {detail}")]
    Nothing {
        /// The folder.
        path: PathBuf,
        /// What was found instead, and what to do.
        detail: String,
    },
    /// Shares of a build are missing.
    #[error(
        "{path}: {missing} of {partitions} partitions are missing; run the missing tasks (`build` with --task-index), then `commit` again"
    )]
    Unfinished {
        /// The dataset.
        path: PathBuf,
        /// Partitions without an intact record.
        missing: usize,
        /// All partitions.
        partitions: usize,
    },
    /// A setting.
    #[error("configuration, `{key}`: {reason}")]
    Config {
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// Identifiers that contradict each other: one person under two ids, or one id for several people.
    #[error(transparent)]
    Identity(#[from] crate::identity::IdentityError),
    /// Annotations, or a rule for their classes.
    #[error(transparent)]
    Annotations(#[from] mtids_annotations::AnnotationError),
    /// A DICOM file or series.
    #[error(transparent)]
    Dicom(#[from] mtids_dicom::DicomError),
    /// A DICOMweb server.
    #[error(transparent)]
    DicomWeb(#[from] mtids_dicomweb::DicomWebError),
    /// The dataset on disk.
    #[error(transparent)]
    Shards(#[from] mtids_shards::ShardError),
    /// The place of the dataset.
    #[error(transparent)]
    Store(mtids_store::StoreError),
    /// The secret.
    #[error(transparent)]
    Pseudonym(#[from] mtids_domain::pseudonym::PseudonymError),
    /// Another process writes into the dataset.
    #[error(transparent)]
    Lock(LockError),
    /// A worker thread.
    #[error("cannot process partitions: {0}")]
    Worker(String),
    /// Another output file.
    #[error("cannot write {path}: {source}; set --out to a writable folder")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file beside the dataset.
    #[error("cannot write {path}: {source}; name a file in a writable folder")]
    WriteFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A value without JSON form.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A signal.
    #[error("interrupted; run the same command again to resume; finished shards are kept")]
    Interrupted,
}

impl From<LockError> for PrepError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Io { folder, source } => Self::Write { path: folder, source },
            held @ LockError::Held { .. } => Self::Lock(held),
        }
    }
}

impl From<mtids_store::StoreError> for PrepError {
    fn from(error: mtids_store::StoreError) -> Self {
        match error {
            mtids_store::StoreError::Shards(error) => Self::Shards(error),
            place => Self::Store(place),
        }
    }
}

impl From<mtids_runtime::task::TaskError> for PrepError {
    fn from(error: mtids_runtime::task::TaskError) -> Self {
        PrepError::Config { key: error.key, reason: error.reason }
    }
}

impl ExitStatus for PrepError {
    fn exit(&self) -> Exit {
        match self {
            // A folder in use is wrong use: no data are at fault, nothing was started, and the same call works later.
            PrepError::Config { .. } | PrepError::Pseudonym(_) | PrepError::Lock(_) => Exit::Usage,
            PrepError::Annotations(mtids_annotations::AnnotationError::Rule { .. }) => Exit::Usage,
            // The work is done; only what people read beside it waits for the next call.
            PrepError::Shards(mtids_shards::ShardError::StaleCopies { .. }) => Exit::Findings,
            // As a folder in use: the same call works later.
            PrepError::Shards(mtids_shards::ShardError::Raced { .. }) => Exit::Usage,
            PrepError::Store(error) => error.exit(),
            PrepError::DicomWeb(error) => error.exit(),
            PrepError::Interrupted => Exit::Interrupted,
            _ => Exit::Data,
        }
    }
}
