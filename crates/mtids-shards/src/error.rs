//! What can go wrong with a dataset on disk.

use std::path::{Path, PathBuf};

/// What is wrong with a row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DamageKind {
    /// The shard has another size than the manifest says, or ends too early.
    Size,
    /// The bytes of the row group have another digest.
    Digest,
    /// The end of the shard, where its columns are listed, has another digest or cannot be parsed.
    Footer,
    /// Verified bytes that cannot be decoded: they were written so.
    Decode,
    /// The storage failed while it read the bytes.
    Read,
    /// The shard is not there any more.
    Gone,
    /// Other rows than the manifest says.
    Rows,
}

/// Errors of this crate; each names the file and, where there is one, the row group.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The storage; its errors name the place themselves.
    #[error("{source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder without manifest.
    #[error("{path} {}", why_no_dataset(path))]
    NoManifest {
        /// The folder.
        path: PathBuf,
    },
    /// A manifest that cannot be used.
    #[error("{path}: {detail}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// Two writers at once; the other one was quicker.
    #[error(
        "{path}: another writer has published here meanwhile; its dataset was left as it is. Look at it, and publish again if yours is wanted"
    )]
    Raced {
        /// The dataset.
        path: PathBuf,
    },
    /// The dataset is published, and what people read beside it is still that of the one before.
    #[error(
        "{path}: published; the copies for people (such as README.md) are stale: {source}. Run the same command again to renew them"
    )]
    StaleCopies {
        /// The dataset.
        path: PathBuf,
        /// Why they could not be renewed.
        source: Box<ShardError>,
    },
    /// Bytes that are not those that were written.
    #[error("{shard}, row group {row_group}: {detail}; the file is damaged: restore it or build the dataset again")]
    Damaged {
        /// The shard, relative to the dataset.
        shard: String,
        /// The row group.
        row_group: usize,
        /// What kind of damage.
        kind: DamageKind,
        /// What differs.
        detail: String,
    },
    /// A file of the manifest, such as the index, whose bytes are not those that were published.
    #[error("{path}: {detail}; the file is damaged or was edited; run the same `mtids-prep build` again to write it")]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// What differs.
        detail: String,
    },
    /// Rows that do not fit the schema.
    #[error("{path}: {detail}")]
    Rows {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Arrow or Parquet.
    #[error("{path}: {detail}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
}

/// Why a place holds no dataset, and what to do.
fn why_no_dataset(path: &Path) -> &'static str {
    // Of a place on a server nothing more is known.
    let is_address = path.to_string_lossy().contains("://");
    match is_address || path.exists() {
        true => {
            "is not a dataset (no manifest.json); build one with `mtids-prep build`, or run the interrupted build again"
        }
        false => "does not exist; correct the path, or build a dataset there with `mtids-prep build`",
    }
}

impl ShardError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn parquet<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> Self + '_ {
        move |error| Self::Parquet { path: path.to_owned(), detail: error.to_string() }
    }
}
