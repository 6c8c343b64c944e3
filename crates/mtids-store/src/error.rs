//! Why there is no dataset under a name. Invariant: no variant holds a URL that was refused, or a credential.

use mtids_runtime::exit::{Exit, ExitStatus};
use mtids_shards::ShardError;

/// Errors of finding a dataset by its name.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A URL that cannot be used. Its text is not repeated: it may hold a password.
    #[error("the place of the dataset: {0}")]
    Place(String),
    /// A setting of the environment.
    #[error("{name}: {reason}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The client of a server could not be made.
    #[error("{place}: {reason}")]
    Client {
        /// The dataset.
        place: String,
        /// Why.
        reason: String,
    },
    /// What lies there.
    #[error(transparent)]
    Shards(#[from] ShardError),
}

impl ExitStatus for StoreError {
    fn exit(&self) -> Exit {
        match self {
            Self::Place(_) | Self::Setting { .. } | Self::Client { .. } => Exit::Usage,
            Self::Shards(_) => Exit::Data,
        }
    }
}
