//! What the first rank of a training writes, and no other: the run folder and its logs.

use crate::error::TrainError;
use crate::run_folder::log::{EpochLine, Log, LossLine, read};
use crate::run_folder::{RunFolder, TrainingState};

const LOSSES: &str = "losses.jsonl";
const EPOCHS: &str = "epochs.jsonl";
const TIMINGS: &str = "timings.jsonl";

/// A run folder with its logs open.
pub(crate) struct Record {
    pub(crate) folder: RunFolder,
    pub(crate) loss_log: Log,
    pub(crate) epoch_log: Log,
    pub(crate) timing_log: Log,
}

impl Record {
    /// Opens the logs of a folder, cut back to where a training stands.
    ///
    /// # Errors
    /// [`TrainError::Io`] or [`TrainError::Broken`].
    pub(crate) fn open_at(folder: RunFolder, state: &TrainingState) -> Result<Self, TrainError> {
        let log = |name: &str| Log::open_at(&folder.file(name), state.step);
        let epoch_log = Log::open_behind(&folder.file(EPOCHS), state.epoch)?;
        let (loss_log, timing_log) = (log(LOSSES)?, log(TIMINGS)?);
        if let missing @ 1.. = loss_log.missing(state.step) {
            tracing::warn!(
                "{missing} of {} lines of {} are missing or damaged: the training goes on, and its curves have a gap there",
                state.step,
                folder.file(LOSSES).display()
            );
        }
        Ok(Self { folder, loss_log, epoch_log, timing_log })
    }

    /// The line of the last step.
    ///
    /// # Errors
    /// [`TrainError::Io`] or [`TrainError::Broken`].
    pub(crate) fn last_losses(&self) -> Result<Option<LossLine>, TrainError> {
        Ok(read::<LossLine>(&self.folder.file(LOSSES))?.pop())
    }

    /// The lines of all epochs.
    ///
    /// # Errors
    /// [`TrainError::Io`] or [`TrainError::Broken`].
    pub(crate) fn epochs(&self) -> Result<Vec<EpochLine>, TrainError> {
        read(&self.folder.file(EPOCHS))
    }
}
