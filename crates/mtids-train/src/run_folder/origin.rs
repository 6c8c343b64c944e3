//! The record of the run that a run began from, in `run.json`.
//!
//! Invariant: digests only; the folder of the earlier run may be gone.

use mtids_runtime::digest::Digest;
use serde::{Deserialize, Serialize};

/// How a run belongs to the one that it began from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OriginKind {
    /// It began with its weights.
    Weights,
    /// It is a further segment of its training.
    Segment,
}

/// The run that a run began from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// How.
    pub kind: OriginKind,
    /// Digest of the weights that were taken over.
    pub weights: Digest,
    /// Dataset of the earlier run.
    pub dataset_digest: Digest,
    /// Configuration of the earlier run.
    pub config_digest: Digest,
    /// Step of the weights in the earlier run.
    pub step: u64,
    /// Epochs that the earlier run, and those before it, had done.
    pub epochs: u64,
}
