//! The stage between stream and step: the next batch becomes tensors on their device while the current step computes.
//!
//! Purpose: cropping, augmentation, windows and the copy to the device happen on a thread of their own, at most two batches ahead (one in a
//! bounded channel, one in the thread's hands). Invariants: batches and errors arrive in the order of the stream, so a training takes the same
//! steps as without the stage; a position counts steps, so what was staged and not used leaves no trace; however the consumer ends, the
//! thread and the stream behind it have ended when [`stage`] returns; a panic of the thread is an error and never looks like the end of an epoch.
//!
//! What overlaps on a GPU (read in the sources of candle 0.11.1 and cudarc 0.19.10; nothing here was timed on a GPU). A candle device gives
//! its work to CUDA's per-thread default stream, so copies of this thread and kernels of the training thread go to different streams, which
//! do not wait for each other; candle records no events between them, since it takes itself to be on one stream. So what is staged waits for its own
//! thread's stream before it is handed over. That wait costs the training thread nothing, and makes the tensor safe to use there: its
//! memory is freed by the training thread, on the stream that used it. candle copies from pageable memory, which the driver moves through its own
//! pinned buffers: the transfer overlaps with kernels, the moving keeps this thread busy. Memory pinned by us would spare that, but cudarc hands it out
//! uninitialised by an `unsafe` call. What does not overlap: constants of the losses (targets as masks and weights), the noise
//! of sparse gates, and the shapes of strided operands that candle sends with its kernels, all of a few kilobytes, on the training thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam::channel::{Receiver, bounded};
use mtids_layers::{DType, Device, Tensor};
use mtids_models::{ModelError, TargetBatch, ViewInput};
use mtids_shards::RowLabels;
use mtids_stream::Batch;

use crate::error::TrainError;
use crate::labels::targets;
use crate::measure_targets::MeasureTargets;
use crate::transform::input::InputTransform;

/// Batches that wait in the channel.
const WAITING: usize = 1;

/// Batches that are on the device at most before a step has asked for them: one more is in the thread's hands.
pub(crate) const AHEAD: usize = WAITING + 1;

/// A batch as a training step takes it. A clone shares the inputs.
#[derive(Clone, Debug)]
pub(crate) struct TrainingBatch {
    /// What the network is taught.
    pub(crate) targets: TargetBatch,
    /// `[B, C, D, H, W]` per view on the device, where they have arrived.
    pub(crate) inputs: Vec<Tensor>,
    /// Its rows. One of several ranks may have none; inputs and targets have a row then that counts for nothing.
    pub(crate) rows: usize,
    /// Rows that are missing, because their row groups are damaged.
    pub(crate) skipped: usize,
}

impl TrainingBatch {
    /// Makes the inputs and targets of a batch of an epoch, and waits until the inputs lie on the device.
    pub(crate) fn new(
        batch: &Batch,
        transform: &InputTransform,
        measures: &MeasureTargets,
        regions: usize,
        epoch: u64,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let (rows, skipped) = (batch.labels.len(), batch.skipped);
        if rows == 0 {
            let empty = |view: ViewInput| Tensor::zeros([&[1], &view.shape[..]].concat(), DType::F32, device);
            let inputs: Result<Vec<Tensor>, _> = transform.inputs().into_iter().map(empty).collect();
            let targets = TargetBatch::unknown(1, measures.len());
            return Ok(Self { targets, inputs: inputs.map_err(ModelError::from)?, rows, skipped });
        }
        let inputs = transform.training(batch, epoch, device)?;
        let enlargement = |row: usize| transform.enlargement(epoch, &batch.labels[row].sample_key, batch.copies[row]);
        let targets = targets(&batch.labels, regions, measures, enlargement);
        device.synchronize().map_err(ModelError::from)?;
        Ok(Self { targets, inputs, rows, skipped })
    }

    /// The first rows, of a batch that has as many.
    pub(crate) fn first(&self, rows: usize) -> Result<Self, TrainError> {
        let inputs: Result<Vec<Tensor>, _> = self.inputs.iter().map(|input| input.narrow(0, 0, rows)).collect();
        let inputs = inputs.map_err(ModelError::from)?;
        Ok(Self { targets: self.targets.first(rows), inputs, rows, skipped: self.skipped })
    }

    /// Its inputs once more, in memory of their own.
    pub(crate) fn copy_of_inputs(&self) -> Result<Vec<Tensor>, TrainError> {
        let copies: Result<Vec<Tensor>, _> = self.inputs.iter().map(Tensor::copy).collect();
        Ok(copies.map_err(ModelError::from)?)
    }
}

/// A batch as an evaluation takes it.
#[derive(Debug)]
pub(crate) struct EvaluationBatch {
    /// Labels of each row.
    pub(crate) labels: Vec<RowLabels>,
    /// Inputs under each symmetry that is averaged over, the identity first: `[B, C, D, H, W]` per view.
    pub(crate) symmetries: Vec<Vec<Tensor>>,
}

impl EvaluationBatch {
    /// Makes the inputs of a batch, and waits until they lie on the device.
    pub(crate) fn new(batch: Batch, transform: &InputTransform, device: &Device) -> Result<Self, TrainError> {
        let symmetries = transform.evaluation(&batch, device)?;
        device.synchronize().map_err(ModelError::from)?;
        Ok(Self { labels: batch.labels, symmetries })
    }
}

/// Runs `consume` on what `prepare` makes of the stream's batches on another thread. `consume` may stop at any batch.
///
/// # Errors
/// Those of the stream and of `prepare` are items; otherwise those of `consume`, and [`TrainError::Thread`].
pub(crate) fn stage<S, B, E, T, R>(
    mut stream: S,
    prepare: impl Fn(B) -> Result<T, TrainError> + Send,
    consume: impl FnOnce(Receiver<Result<T, TrainError>>) -> Result<R, TrainError>,
) -> Result<R, TrainError>
where
    S: Iterator<Item = Result<B, E>> + Send,
    TrainError: From<E>,
    T: Send,
{
    let (sender, receiver) = bounded(WAITING);
    std::thread::scope(|scope| {
        let work = move || {
            loop {
                let next = || stream.next().map(|batch| prepare(batch?));
                let panicked =
                    || TrainError::Thread("the batch preparation thread panicked; please report this".into());
                let Some(staged) = catch_unwind(AssertUnwindSafe(next)).unwrap_or_else(|_| Some(Err(panicked())))
                else {
                    return;
                };
                let failed = staged.is_err();
                // Without a receiver nobody wants more.
                if sender.send(staged).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("mtids-stage".into())
            .spawn_scoped(scope, work)
            .map_err(|error| TrainError::Thread(error.to_string()))?;
        // The receiver is gone when this returns, so a thread that waits to send goes on and ends.
        let result = consume(receiver);
        thread
            .join()
            .map_err(|_| TrainError::Thread("the batch preparation thread panicked; please report this".into()))?;
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbers(u32, std::sync::mpsc::Sender<&'static str>);

    impl Iterator for Numbers {
        type Item = Result<u32, TrainError>;

        fn next(&mut self) -> Option<Self::Item> {
            self.0 += 1;
            (self.0 <= 6).then_some(Ok(self.0))
        }
    }

    impl Drop for Numbers {
        fn drop(&mut self) {
            let _ = self.1.send("the stream is closed");
        }
    }

    fn refuse(reason: &str) -> TrainError {
        TrainError::Thread(reason.into())
    }

    #[test]
    fn batches_come_in_order_and_the_next_two_are_made_meanwhile() {
        let (closed, _ends) = std::sync::mpsc::channel();
        let (made, making) = bounded(6);
        let prepare = |n: u32| {
            made.send(n).unwrap();
            Ok(n * 10)
        };
        let seen = stage(Numbers(0, closed), prepare, |batches| {
            let mut seen = Vec::new();
            for staged in batches {
                seen.push(staged?);
                if seen.len() == 1 {
                    // This step waits until the stage has come two batches further by itself.
                    assert_eq!(making.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
                }
            }
            Ok(seen)
        });
        assert_eq!(seen.unwrap(), [10, 20, 30, 40, 50, 60]);
    }

    #[test]
    fn a_consumer_that_stops_or_fails_ends_the_stream() {
        for fails in [false, true] {
            let (closed, ends) = std::sync::mpsc::channel();
            let result = stage(Numbers(0, closed), Ok, |batches: Receiver<Result<u32, TrainError>>| {
                let first = batches.recv().map_err(|_| refuse("no batch"))??;
                if fails { Err(refuse("enough")) } else { Ok(first) }
            });
            assert_eq!(result.is_err(), fails);
            assert_eq!(ends.try_recv(), Ok("the stream is closed"), "before the stage returns");
        }
    }

    #[test]
    fn errors_and_panics_come_in_order_and_are_no_end_of_the_stream() {
        for panics in [false, true] {
            let (closed, _ends) = std::sync::mpsc::channel();
            let prepare = move |n: u32| match n {
                4 if panics => panic!("a batch that cannot be"),
                4 => Err(refuse("damaged")),
                n => Ok(n),
            };
            let mut seen = Vec::new();
            let result = stage(Numbers(0, closed), prepare, |batches| {
                for staged in batches {
                    seen.push(staged?);
                }
                Ok(())
            });
            assert_eq!(seen, [1, 2, 3]);
            let reason = result.unwrap_err().to_string();
            assert!(reason.contains(if panics { "panic" } else { "damaged" }), "{reason}");
        }
    }
}
