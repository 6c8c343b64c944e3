//! A position in a training's data, as it is saved.
//!
//! Invariant: a state and the same table and order settings give the same rows from there on, with any readers, budget and ranks.

use mtids_runtime::digest::Digest;
use serde::{Deserialize, Serialize};

/// Where a stream stands between two batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamState {
    /// Seed of the order.
    pub seed: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Rows of the epoch that were delivered, to all ranks together.
    pub position: u64,
    /// Digest of datasets, sampling and the settings of the order.
    pub digest: Digest,
}
