//! What can go wrong while streaming.
//!
//! Invariant: every error names the file or the setting, and what to do. What lies in the data comes in the place of the first batch that needs it.

use std::borrow::Cow;
use std::io::ErrorKind;

use mtids_shards::{DamageKind, ShardError};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A shard cannot be read or is damaged; [`ShardError::Damaged`] says of which kind the damage is.
    #[error(transparent)]
    Shard(#[from] ShardError),
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
    /// Damage was skipped until nothing to learn from was left.
    #[error("damage leaves {left} of {rows} rows of batch {batch}; restore the shards that `mtids-prep verify` names")]
    NothingLeft {
        /// The batch.
        batch: u64,
        /// Rows that it should have, on all ranks.
        rows: usize,
        /// Rows that could be read.
        left: usize,
    },
    /// A thread panicked.
    #[error("a thread of the stream panicked while {stage}; run again with RUST_BACKTRACE=1 and report it")]
    WorkerPanicked {
        /// What it was doing.
        stage: &'static str,
    },
    /// Every reader thread ended before the row group came.
    #[error("the reader threads ended before row group {row_group} of {shard} was read; run again and report it")]
    ReadersEnded {
        /// The shard, relative to the dataset.
        shard: String,
        /// The row group in it.
        row_group: usize,
    },
    /// An order that has other rows than manifest and sampling say.
    #[error(
        "the order of the epoch comes to {delivered} rows and {skipped} damaged ones, the manifest and the sampling say {expected}; report it"
    )]
    Incomplete {
        /// Rows of manifest and sampling, from the first batch on, on this rank.
        expected: u64,
        /// Rows that the order has.
        delivered: u64,
        /// Rows left out for damage.
        skipped: u64,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}; take fewer with `stream.readers`")]
    Spawn(std::io::Error),
    /// A setting out of range.
    #[error("configuration key `stream.{key}`: {reason}")]
    Config {
        /// The key, within the settings of the stream.
        key: &'static str,
        /// What is allowed.
        reason: Cow<'static, str>,
    },
    /// A budget that cannot hold what the order needs at once.
    #[error(
        "`stream.byte_budget_mib` = {budget_mib} is too small: `stream.shuffle_row_groups` = {row_groups} row groups and batches of {batch_rows} \
         rows need {needed_mib} MiB; raise the budget, or draw from fewer row groups (another order)"
    )]
    Budget {
        /// The budget.
        budget_mib: u64,
        /// The smallest that will do.
        needed_mib: u64,
        /// Row groups at a time.
        row_groups: usize,
        /// Rows of a batch on this rank.
        batch_rows: usize,
    },
    /// A saved position of another order.
    #[error("the saved position does not fit this stream: {reason}")]
    State {
        /// What differs.
        reason: String,
    },
    /// Datasets that cannot be mixed.
    #[error("{other} cannot be mixed with {first}: its {what} differ; build both with the same configuration")]
    Unlike {
        /// The first dataset.
        first: String,
        /// The one that differs.
        other: String,
        /// What differs.
        what: &'static str,
    },
    /// An index that does not fit the shards.
    #[error("{dataset}: the index does not list every row once ({detail}); run the same `mtids-prep build` again")]
    Index {
        /// The dataset.
        dataset: String,
        /// What is wrong.
        detail: String,
    },
    /// A weight that nothing can be drawn by.
    #[error(
        "{dataset}: the index has a row of weight {weight}, and weights are 0 or above; build the dataset anew, or set stream.sampling.weights=false"
    )]
    Weight {
        /// The dataset.
        dataset: String,
        /// The weight.
        weight: f32,
    },
    /// Nothing to draw.
    #[error("{dataset}: there are no rows to draw in the {split} split: {reason}")]
    NoRows {
        /// The dataset.
        dataset: String,
        /// The split.
        split: &'static str,
        /// Why, and what to do.
        reason: &'static str,
    },
}

impl StreamError {
    /// A setting out of range.
    pub(crate) fn config(key: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Config { key, reason: reason.into() }
    }

    /// Whether it is the data that are damaged or gone, which a policy may let a stream skip. A storage that fails to read is no damage: the
    /// same bytes may come back tomorrow, and whatever is read meanwhile is left out by chance.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Shard(ShardError::Damaged { kind, .. }) => *kind != DamageKind::Read,
            Self::Shard(ShardError::Io { source, .. }) => source.kind() == ErrorKind::NotFound,
            Self::MissingRows { .. } => true,
            _ => false,
        }
    }

    /// Whether the settings are at fault, or their use.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Config { .. } | Self::Budget { .. } | Self::State { .. } | Self::Unlike { .. } | Self::NoRows { .. }
        )
    }
}
