//! A batch for which the device has no memory: what ends then, and which batch would fit.
//!
//! Purpose: on a GPU the memory that a step takes is known when it was taken. So the sizes of a batch are tried until it is known which one fits, and
//! the error names it. Invariants: the training ends with that error and nothing of it is saved afterwards, so the steps that were tried leave no
//! trace in the run; other errors, and errors of several processes that train together, are passed on as they are or without a size.

use mtids_layers::device::{lacks_memory, name_of};
use mtids_models::{Accumulation, Mode, StepInputs, StepOptions, losses_of};

use crate::balanced::BalancedStep;
use crate::error::TrainError;
use crate::staging::{AHEAD, TrainingBatch};
use crate::training::Training;

/// The most rows, fewer than `rows`, for which `fits` says yes, where every smaller batch fits too; 0 where not even one row does.
fn largest_part<E>(rows: usize, mut fits: impl FnMut(usize) -> Result<bool, E>) -> Result<usize, E> {
    let (mut least, mut most) = (0, rows);
    while most - least > 1 {
        let middle = least + (most - least) / 2;
        if fits(middle)? { least = middle } else { most = middle }
    }
    Ok(least)
}

impl Training<'_> {
    /// What an error of a step says, or of the batches that were made for it. `step` is the batches of the step, as far as they are there.
    pub(crate) fn without_room(&mut self, error: TrainError, step: &[TrainingBatch]) -> TrainError {
        if !lacks_memory(&error) {
            return error;
        }
        let rows = step.iter().map(|batch| batch.rows).max().unwrap_or(self.config.batch_size);
        let largest = step.iter().max_by_key(|batch| batch.rows);
        let fits = largest.filter(|_| self.ranks.is_alone()).and_then(|batch| self.largest_step(batch));
        TrainError::NoRoom {
            path: self.path.to_owned(),
            device: name_of(&self.network.device),
            step: self.state.step + 1,
            rows,
            fits,
            saved_at: self.saved_at,
        }
    }

    /// The most rows of a batch with which an update of as many rows is possible; `None` where trying ended in another error.
    fn largest_step(&mut self, batch: &TrainingBatch) -> Option<usize> {
        largest_part(batch.rows, |rows| match self.try_step(batch, rows) {
            Ok(()) => Ok(true),
            Err(error) if lacks_memory(&error) => Ok(false),
            Err(error) => Err(error),
        })
        .inspect_err(|error| tracing::debug!("while smaller batches were tried: {error}"))
        .ok()
    }

    /// Two updates, each from two parts of `rows` rows, as a training that accumulates takes them: the second finds the moments that the first has made.
    /// They change weights and moments. Beside them lies what such a training holds: the batches of an update, which are `batch` and up to one batch
    /// of `rows` more, and those that are made ahead.
    fn try_step(&mut self, batch: &TrainingBatch, rows: usize) -> Result<(), TrainError> {
        let part = batch.first(rows)?;
        let _held = (0..AHEAD + 1).map(|_| part.copy_of_inputs()).collect::<Result<Vec<_>, _>>()?;
        // The training's own may wait for losses after the step that failed.
        let mut balancer = self.config.balancer.build_any(self.names.len())?;
        let network = &self.network;
        let inputs = StepInputs {
            model: &network.model,
            parameters: &network.parameters,
            losses: &self.losses,
            input: &part.inputs,
            targets: &part.targets,
        };
        let options = StepOptions {
            scope: self.config.scope,
            clip_norm: self.config.clip_norm,
            learning_rate: 0.0,
            seed: self.config.seed,
        };
        for _ in 0..2 {
            let mut accumulation = Accumulation::default();
            let mut step = BalancedStep::new(&mut balancer);
            for draw in 0..2 {
                step.take(|balancing| accumulation.add(&inputs, &options, draw, balancing))?;
            }
            accumulation.update(&network.parameters, &mut self.optimizer, &options)?;
            step.after_step(|| losses_of(&inputs, Mode::Train { seed: options.seed, step: 1 }))?;
        }
        // What was given to the device may fail there later.
        Ok(network.device.synchronize().map_err(mtids_models::ModelError::from)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_part_is_found_with_few_steps() {
        for rows in 1..70 {
            for room in 0..rows {
                let mut tried = 0;
                let found = largest_part::<()>(rows, |part| {
                    tried += 1;
                    assert!((1..rows).contains(&part));
                    Ok(part <= room)
                });
                assert_eq!(found, Ok(room), "of {rows}");
                assert!(tried <= 7, "{tried} steps for {rows} rows");
            }
        }
        assert_eq!(largest_part(8, |_| Err("another error")), Err("another error"));
    }

    #[test]
    fn the_message_names_batch_and_checkpoint() {
        let error = |fits, saved_at| TrainError::NoRoom {
            path: "out/run".into(),
            device: "cuda:0".into(),
            step: 7,
            rows: 256,
            fits,
            saved_at,
        };
        assert_eq!(
            error(Some(100), Some(5)).to_string(),
            "out/run: `cuda:0` has no memory for step 7, of 256 rows at once; 100 fit: train in a new run folder with batch_size=100, and with \
             accumulate_batches=3 for about as many rows in an update; the checkpoint of step 5 is kept"
        );
        assert!(error(Some(0), None).to_string().contains("not a single row fits"));
        assert!(error(None, None).to_string().contains("a smaller batch_size; there is no checkpoint yet"));
    }
}
