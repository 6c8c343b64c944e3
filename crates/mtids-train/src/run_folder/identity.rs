//! What a run is: `run.json`.
//!
//! Invariant: the digest of the settings leaves out those that change no result. Programs before 2026-11-28 left the stream's budget in, which
//! then bounded the pool of row groups; such a digest is known too.

use std::path::Path;

use mtids_runtime::atomic;
use mtids_runtime::digest::Digest;
use mtids_runtime::product::Product;
use mtids_runtime::provenance::Program;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::origin::Origin;
use crate::config::TrainConfig;
use crate::error::TrainError;

pub(super) const RUN: &str = Product::Run.file();

/// Identity of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunIdentity {
    /// Digest of the dataset's manifest.
    pub dataset_digest: Digest,
    /// Digest of the resolved configuration without the settings that change no result ([`crate::config`] lists them).
    pub config_digest: Digest,
    /// The program that trains.
    pub program: Program,
    /// Seed.
    pub seed: u64,
    /// The run that it began from, where it did not begin with initial weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl RunIdentity {
    /// Identity of a training of this program.
    pub fn new(config: &TrainConfig, dataset_digest: Digest, origin: Option<Origin>) -> Self {
        let config_digest = Digest::of_json(&config.identity()).unwrap_or_else(|_| Digest::of_bytes(b""));
        let program = Program::new("mtids-train", env!("CARGO_PKG_VERSION"));
        Self { dataset_digest, config_digest, program, seed: config.seed, origin }
    }

    /// Whether its digest is of this configuration, as this program or one before it makes digests.
    pub(super) fn is_of(&self, config: &TrainConfig) -> bool {
        let mut identity = config.identity();
        let is_digest = |identity: &Value| Digest::of_json(identity).is_ok_and(|digest| digest == self.config_digest);
        if is_digest(&identity) {
            return true;
        }
        let Some(budget) = identity.pointer_mut("/stream/byte_budget_mib") else { return false };
        *budget = config.stream.byte_budget_mib.into();
        is_digest(&identity)
    }

    /// Writes it into the folder of its run.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub(super) fn write(&self, run: &Path) -> Result<(), TrainError> {
        let file = run.join(RUN);
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| TrainError::io(&file, error.into()))?;
        text.push(b'\n');
        atomic::write(&file, &text).map_err(|error| TrainError::io(&file, error))
    }
}
