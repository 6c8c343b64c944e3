//! What can go wrong while streaming.

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A shard cannot be read or is damaged.
    #[error(transparent)]
    Shard(#[from] mtids_shards::ShardError),
    /// A reader thread panicked.
    #[error("a reader thread failed; run again with RUST_BACKTRACE=1 and report it")]
    ReaderPanicked,
    /// Every reader thread ended before the row group came.
    #[error("the reader threads ended before row group {row_group} of {shard} was read; run again and report it")]
    ReadersEnded {
        /// The shard, relative to the dataset.
        shard: String,
        /// The row group in it.
        row_group: usize,
    },
    /// A row group with fewer rows than the manifest lists.
    #[error(
        "row group {row_group} of {shard} has {found} rows, the manifest lists {listed}; check the dataset with `mtids-prep verify`"
    )]
    MissingRows {
        /// The shard, relative to the dataset.
        shard: String,
        /// The row group in it.
        row_group: usize,
        /// Rows of the manifest.
        listed: usize,
        /// Rows read.
        found: usize,
    },
    /// A reader thread could not be started.
    #[error("cannot start a reader thread: {0}; take fewer with `stream.readers`")]
    Spawn(std::io::Error),
    /// A setting out of range.
    #[error("configuration key `stream.{key}`: {reason}")]
    Config {
        /// The key, within the settings of the stream.
        key: &'static str,
        /// What is allowed.
        reason: &'static str,
    },
}
