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
    /// A reader thread could not be started.
    #[error("cannot start a reader thread: {0}")]
    Spawn(std::io::Error),
    /// A setting.
    #[error("stream configuration, `{key}`: {reason}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
}
