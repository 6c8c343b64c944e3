//! What the ranks of a training agree on: that they are the same training, where it begins, and when it stops.
//!
//! Purpose: every rank holds the whole network and takes every step; the first alone reads and writes the run folder. Invariants: what one rank cannot know
//! of another is asked in the same places on all; ranks whose weights differ are found at the next checkpoint, and nothing is saved.

use std::path::Path;

use mtids_balance::AnyBalancer;
use mtids_layers::{Optimizer, WeightAverage};
use mtids_ranks::Ranks;
use mtids_runtime::digest::Digest;
use mtids_runtime::interrupt::Interrupt;
use serde_json::json;

use crate::config::ValidConfig;
use crate::error::TrainError;
use crate::network::Network;
use crate::run_folder::TrainingState;
use crate::run_folder::log::EpochLine;

/// Refuses ranks that would not train the same, and a device on which several cannot train.
///
/// # Errors
/// [`TrainError::Ranks`] naming a rank that differs; [`TrainError::Setting`].
pub(crate) fn check(ranks: &Ranks, config: &ValidConfig, dataset: Digest) -> Result<(), TrainError> {
    if ranks.is_alone() {
        return Ok(());
    }
    if config.device != "cpu" {
        let reason = format!(
            "several processes train together on the CPU only; start one, or set device=cpu, not {}",
            config.device
        );
        return Err(TrainError::setting("device", reason));
    }
    // Also those that belong to no run's identity: checkpoints are taken together.
    let training = json!({ "settings": &**config, "dataset": dataset, "program": env!("CARGO_PKG_VERSION") });
    let digest = Digest::of_json(&training).map_err(untold)?;
    Ok(ranks.same("its program, settings or dataset", digest.to_string().as_bytes())?)
}

/// Hands what the first rank begins with to the others.
///
/// # Errors
/// [`TrainError::Ranks`]; a state that does not fit, which is an error of this program.
pub(crate) fn begin_alike(
    ranks: &Ranks,
    network: &Network,
    optimizer: &mut Optimizer,
    balancer: &mut AnyBalancer,
    average: &mut Option<WeightAverage>,
    state: &mut TrainingState,
) -> Result<(), TrainError> {
    if ranks.is_alone() {
        return Ok(());
    }
    state.balancer = balancer.state();
    let text = ranks.broadcast(serde_json::to_vec(state).map_err(untold)?)?;
    let weights = ranks.broadcast(network.parameters.to_bytes()?)?;
    let moments = ranks.broadcast(optimizer.to_bytes()?)?;
    let averages = average.as_ref().map(WeightAverage::to_bytes).transpose()?;
    let averages = averages.map(|bytes| ranks.broadcast(bytes)).transpose()?;
    if ranks.is_first() {
        return Ok(());
    }
    *state = serde_json::from_slice(&text).map_err(untold)?;
    network.parameters.load_bytes(&weights)?;
    optimizer.load_bytes(&moments, &network.parameters)?;
    balancer.restore(&state.balancer)?;
    if let (Some(average), Some(bytes)) = (average, averages) {
        average.load_bytes(&bytes, &network.parameters)?;
    }
    Ok(())
}

/// What all ranks say at a batch.
pub(crate) struct Heard {
    /// Rows that are missing from the batch, on all ranks.
    pub(crate) skipped: u64,
    /// Whether a rank was sent a signal before it.
    pub(crate) interrupted: bool,
}

impl Heard {
    /// Asks all ranks.
    ///
    /// # Errors
    /// [`TrainError::Ranks`].
    pub(crate) fn at_batch(ranks: &Ranks, skipped: usize, interrupt: &Interrupt) -> Result<Self, TrainError> {
        let mut said = [skipped as f64, f64::from(u8::from(interrupt.is_raised()))];
        ranks.sum(&mut said)?;
        let [skipped, interrupted] = said;
        Ok(Self { skipped: skipped as u64, interrupted: interrupted > 0.0 })
    }
}

/// Whether a rank was sent a signal; the same answer on all.
///
/// # Errors
/// [`TrainError::Ranks`].
pub(crate) fn is_interrupted(ranks: &Ranks, interrupt: &Interrupt) -> Result<bool, TrainError> {
    Ok(ranks.sum_of(f64::from(u8::from(interrupt.is_raised())))? > 0.0)
}

/// The line that the first rank has, on all; `None` where it has none.
///
/// # Errors
/// [`TrainError::Ranks`].
pub(crate) fn broadcast_line(ranks: &Ranks, line: Option<EpochLine>) -> Result<Option<EpochLine>, TrainError> {
    if ranks.is_alone() {
        return Ok(line);
    }
    serde_json::from_slice(&ranks.broadcast(serde_json::to_vec(&line).map_err(untold)?)?).map_err(untold)
}

/// Something that could not be told to other ranks.
fn untold(error: serde_json::Error) -> TrainError {
    TrainError::io(Path::new("between ranks"), error.into())
}
