//! What can stop an audit.

use std::path::PathBuf;

use mtids_runtime::exit::{Exit, ExitStatus};
use mtids_shards::ShardError;
use mtids_store::StoreError;

/// Errors of this crate; each names the file or the key.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A setting that makes no sense.
    #[error("configuration key `{key}`: {reason}")]
    Setting {
        /// Dotted path of the key.
        key: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The dataset cannot be opened.
    #[error(transparent)]
    Dataset(#[from] ShardError),
    /// The place of the dataset.
    #[error(transparent)]
    Store(StoreError),
    /// A file where a dataset should be.
    #[error("{path} is a file, and a dataset is a folder: give the folder that has manifest.json in it")]
    File {
        /// The file.
        path: PathBuf,
    },
    /// The index cannot be read.
    #[error("{path}: {detail}; restore the file or build the dataset again")]
    Index {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// A table of predictions cannot be used.
    #[error("{path}: {detail}")]
    Predictions {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// A table of predictions that was given before.
    #[error("{path}: --predictions has a table with the same bytes before it; give each table once")]
    Repeated {
        /// The file.
        path: PathBuf,
    },
    /// The result cannot be written.
    #[error("cannot write {path}: {source}; set --out to a writable folder")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl From<StoreError> for AuditError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Shards(error) => Self::Dataset(error),
            place => Self::Store(place),
        }
    }
}

impl ExitStatus for AuditError {
    fn exit(&self) -> Exit {
        match self {
            Self::Setting { .. } | Self::Repeated { .. } => Exit::Usage,
            Self::Store(error) => error.exit(),
            _ => Exit::Data,
        }
    }
}
