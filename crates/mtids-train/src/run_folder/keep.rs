//! Where a training stands, and which of its checkpoints are kept for that.

use mtids_stream::StreamState;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which checkpoints are kept, beside the best one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Newest regular ones.
    pub newest: usize,
    /// Those at the end of every so many epochs.
    pub every_epochs: Option<u64>,
}

impl Default for Keep {
    fn default() -> Self {
        Self { newest: 2, every_epochs: None }
    }
}

impl Keep {
    /// Whether a checkpoint is kept for its epoch.
    pub(super) fn keeps(self, state: &TrainingState) -> bool {
        let ends_epoch = state.next_batch == 0 && state.epoch > 0;
        self.every_epochs.is_some_and(|every| ends_epoch && state.epoch.is_multiple_of(every))
    }
}

/// Best validation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Step of its checkpoint.
    pub step: u64,
    /// Epochs done at that step.
    pub epoch: u64,
    /// Its score.
    pub score: f64,
}

/// A count that is not written where it is 0, so that runs without it have the bytes of runs from before it.
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Where a training stands, beside weights and optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingState {
    /// Steps done.
    pub step: u64,
    /// Epoch of the next batch.
    pub epoch: u64,
    /// Its number within the epoch.
    pub next_batch: u64,
    /// Where the stream stands, within an epoch; `None` between epochs, and in a checkpoint of an older program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamState>,
    /// Rows of damaged row groups that were left out of the steps until now.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped_rows: u64,
    /// State of the balancer.
    pub balancer: Value,
    /// Best validation so far.
    pub best: Option<Best>,
    /// False for a checkpoint made because of a signal.
    pub regular: bool,
}
