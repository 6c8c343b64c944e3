//! What can end a training or an evaluation, and with which exit code.
//!
//! Invariant: every variant names the file or key and says what to do.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use mtids_layers::Device;
use mtids_layers::device::{lacks_memory, name_of};
use mtids_ranks::RanksError;
use mtids_runtime::exit::{Exit, ExitStatus};

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The dataset cannot be read.
    #[error(transparent)]
    Dataset(#[from] mtids_shards::ShardError),
    /// The place of the dataset.
    #[error(transparent)]
    Store(mtids_store::StoreError),
    /// The stream of batches ended early.
    #[error(transparent)]
    Stream(#[from] mtids_stream::StreamError),
    /// The network refused its configuration or input.
    #[error(transparent)]
    Network(#[from] mtids_models::ModelError),
    /// The network cannot be written for other programs.
    #[error(transparent)]
    Onnx(#[from] mtids_onnx::OnnxError),
    /// Studies or candidates of a prediction.
    #[error(transparent)]
    Studies(mtids_prep::error::PrepError),
    /// A layer, the optimiser or a saved state was refused.
    #[error(transparent)]
    Layer(#[from] mtids_layers::LayerError),
    /// Processes that train together cannot.
    #[error(transparent)]
    Ranks(#[from] RanksError),
    /// The balancer refused its configuration, input or state.
    #[error(transparent)]
    Balance(#[from] mtids_balance::BalanceError),
    /// Text and settings.
    #[error(transparent)]
    Configuration(#[from] mtids_runtime::config::ConfigError),
    /// An argument of the command line.
    #[error("`{argument}`: {reason}")]
    Argument {
        /// The argument.
        argument: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A setting out of range.
    #[error("configuration key `{key}`: {reason}")]
    Setting {
        /// Dotted path of the key.
        key: Cow<'static, str>,
        /// What is allowed.
        reason: String,
    },
    /// The file system.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the run folder that is not what was written.
    #[error("{path} is damaged: {reason}; train again in a new run folder")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The run folder belongs to another training.
    #[error(
        "{path} contains a run with other settings and cannot be resumed with these:\n{differences}\nuse the old settings, or set --run to another folder; there, `--extend {path}` trains it for more epochs, and `--from {path}` begins with its weights alone"
    )]
    OtherRun {
        /// The run folder.
        path: PathBuf,
        /// One line per difference.
        differences: String,
    },
    /// No run at this place.
    #[error("{path} contains no run (no run.json); {}", start_or_correct(path))]
    NoRun {
        /// The run folder.
        path: PathBuf,
    },
    /// A run without any checkpoint.
    #[error("{path} has no checkpoint yet; run `mtids-train fit` first")]
    NoCheckpoint {
        /// The run folder.
        path: PathBuf,
    },
    /// The dataset is not the one the run was trained on, in a way that matters.
    #[error("{path}: {reason}")]
    Mismatch {
        /// The dataset.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The run was trained on everybody that it would be measured on.
    #[error(
        "{path}: all {patients} patients of its {split} split were seen in training by {run}, so no figure would say how the model does on new \
         patients; evaluate on the test split of the run's own dataset, or on a dataset of other patients"
    )]
    AllSeen {
        /// The dataset.
        path: PathBuf,
        /// Its split.
        split: &'static str,
        /// Patients of the split.
        patients: usize,
        /// The run folder.
        run: PathBuf,
    },
    /// Nothing to learn from.
    #[error(
        "{path} has no labelled row in its training split ({rows} rows take part, none with a region or a metastasis status); add labels to the annotations and build the dataset again, or ask for less in `stream.sampling.filter`"
    )]
    NoLabels {
        /// The dataset.
        path: PathBuf,
        /// Rows of the training split that pass the filter.
        rows: usize,
    },
    /// Every batch would be dropped.
    #[error(
        "an epoch has {rows} rows, fewer than a batch, and `stream.drop_last` drops what fills no batch: no step would be taken; set batch_size to {rows} or less, or stream.drop_last=false"
    )]
    NoSteps {
        /// Rows of an epoch.
        rows: u64,
    },
    /// Another process trains in the run folder, or it cannot be locked.
    #[error(transparent)]
    Lock(#[from] mtids_runtime::lock::LockError),
    /// The run was trained on another device.
    #[error(
        "{path} was trained on device `{before}`, and `{now}` computes other last digits; go on with device={before}, or allow the change with --allow-device-change"
    )]
    OtherDevice {
        /// The run folder.
        path: PathBuf,
        /// Device of the run.
        before: String,
        /// Device of this call.
        now: String,
    },
    /// A file that is no record of a comparison.
    #[error(
        "{path} is no record of this comparison: {reason}; remove it, and what is missing is made again from the datasets"
    )]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A loss or a gradient became infinite or NaN.
    #[error(
        "{path} diverged: {what} is not finite at step {step}, with a learning rate of {learning_rate:.3e}; {}. The same command would end the same way: train in a new run folder with a lower schedule.peak, or look at the input",
        kept(*.saved_at)
    )]
    Diverged {
        /// The run folder.
        path: PathBuf,
        /// Which value, with its task.
        what: String,
        /// The step that was not taken, from 1.
        step: u64,
        /// Its learning rate.
        learning_rate: f64,
        /// Step of the last checkpoint of this call.
        saved_at: Option<u64>,
    },
    /// A row of a comparison with nothing to take.
    #[error("every trial of the row `{row}` diverged; give it trials with a lower schedule.peak")]
    AllDiverged {
        /// The row.
        row: String,
    },
    /// A step for which the device has no memory.
    #[error(
        "{path}: `{device}` has no memory for step {step}, of {rows} rows at once; {}; {}",
        cure(*.fits, *.rows),
        kept(*.saved_at)
    )]
    NoRoom {
        /// The run folder.
        path: PathBuf,
        /// The device.
        device: String,
        /// The step that was not taken, from 1.
        step: u64,
        /// Rows of a batch.
        rows: usize,
        /// The most rows of a batch that a step was possible with; `None` where that was not tried.
        fits: Option<usize>,
        /// Step of the last checkpoint of this run.
        saved_at: Option<u64>,
    },
    /// A batch that is only looked at, for which the device has no memory.
    #[error("`{device}` has no memory for the answers to {rows} rows at once; {advice}")]
    NoRoomToRead {
        /// The device.
        device: String,
        /// Rows of a batch.
        rows: usize,
        /// What to do.
        advice: &'static str,
    },
    /// A DICOMweb server that does not answer or refuses.
    #[error(transparent)]
    DicomWeb(#[from] mtids_dicomweb::DicomWebError),
    /// A DICOMweb server that took some objects of an answer, and not the next one.
    #[error("{source} ({sent} of {of} objects had been sent before; the same command sends the rest)")]
    NotSent {
        /// Why.
        source: mtids_dicomweb::DicomWebError,
        /// Objects that it has.
        sent: u64,
        /// Objects of the answer.
        of: u64,
    },
    /// A server that does not do what was asked: tracking, or DICOMweb.
    #[error("{server}: {reason}")]
    Server {
        /// Its address.
        server: String,
        /// What went wrong, and what to do.
        reason: String,
    },
    /// A signal came.
    #[error("interrupted after step {step}; a checkpoint was written; run the same command again to resume")]
    Interrupted {
        /// Steps done.
        step: u64,
    },
    /// A signal came while studies were read or answered.
    #[error("interrupted; nothing of the answer is whole; run the same command again")]
    InterruptedAnswer,
    /// A signal came between two trainings.
    #[error("interrupted between two trainings; run the same command again to go on")]
    InterruptedBetween,
    /// A thread could not be started or ended in a panic.
    #[error("a thread failed: {0}")]
    Thread(String),
}

/// What to do about a batch that is too large for its device.
fn cure(fits: Option<usize>, rows: usize) -> String {
    match fits {
        None => "train in a new run folder with a smaller batch_size".to_owned(),
        Some(0) => "not a single row fits: train a smaller network, or on a device with more memory".to_owned(),
        Some(fits) => format!(
            "{fits} fit: train in a new run folder with batch_size={fits}, and with accumulate_batches={} for about as many rows in an update",
            rows.div_ceil(fits)
        ),
    }
}

/// What is left of a training that ended early.
fn kept(saved_at: Option<u64>) -> String {
    match saved_at {
        Some(step) => format!("the checkpoint of step {step} is kept"),
        None => "there is no checkpoint yet".to_owned(),
    }
}

/// What to do about a folder without run.
fn start_or_correct(path: &Path) -> String {
    if path.join(mtids_shards::MANIFEST).exists() {
        return "it is a dataset: name the run that was trained on it".to_owned();
    }
    let fold = crate::fold_folder::fold_folder(path, 0);
    if fold.is_dir() {
        return format!("it holds a cross-validation: name one of its folds, such as {}", fold.display());
    }
    format!("start one with `mtids-train fit --run {} --dataset …`", path.display())
}

impl TrainError {
    /// An argument that cannot be used.
    pub fn argument(argument: impl Into<String>, reason: impl Into<String>) -> Self {
        TrainError::Argument { argument: argument.into(), reason: reason.into() }
    }

    /// Whether all ranks of a training end with this error at the same step, not one of them by itself.
    pub fn is_of_all_ranks(&self) -> bool {
        matches!(self, TrainError::Interrupted { .. } | TrainError::Diverged { .. })
    }

    /// The error of a batch of `rows` rows that is only looked at: where the memory of `device` is full it says that, with `advice`.
    pub(crate) fn without_room_to_read(self, device: &Device, rows: usize, advice: &'static str) -> Self {
        match lacks_memory(&self) {
            true => TrainError::NoRoomToRead { device: name_of(device), rows, advice },
            false => self,
        }
    }

    pub(crate) fn setting(key: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        TrainError::Setting { key: key.into(), reason: reason.into() }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        TrainError::Io { path: path.to_owned(), source }
    }

    pub(crate) fn record(path: &Path, reason: impl Into<String>) -> Self {
        TrainError::Record { path: path.to_owned(), reason: reason.into() }
    }

    pub(crate) fn broken(path: &Path, reason: impl Into<String>) -> Self {
        TrainError::Broken { path: path.to_owned(), reason: reason.into() }
    }
}

impl From<mtids_runtime::task::TaskError> for TrainError {
    fn from(error: mtids_runtime::task::TaskError) -> Self {
        TrainError::Argument { argument: error.key, reason: error.reason }
    }
}

impl From<mtids_store::StoreError> for TrainError {
    fn from(error: mtids_store::StoreError) -> Self {
        match error {
            mtids_store::StoreError::Shards(error) => Self::Dataset(error),
            place => Self::Store(place),
        }
    }
}

impl ExitStatus for TrainError {
    fn exit(&self) -> Exit {
        match self {
            TrainError::Configuration(_)
            | TrainError::Setting { .. }
            | TrainError::Argument { .. }
            | TrainError::OtherRun { .. }
            | TrainError::NoRun { .. }
            | TrainError::NoCheckpoint { .. }
            | TrainError::NoSteps { .. }
            | TrainError::NoRoom { .. }
            | TrainError::NoRoomToRead { .. }
            | TrainError::OtherDevice { .. }
            | TrainError::Ranks(RanksError::NotBuilt { .. } | RanksError::Apart { .. } | RanksError::Differs { .. })
            | TrainError::Lock(mtids_runtime::lock::LockError::Held { .. })
            | TrainError::Balance(mtids_balance::BalanceError::Configuration { .. }) => Exit::Usage,
            TrainError::Studies(error) => error.exit(),
            TrainError::Store(error) => error.exit(),
            TrainError::DicomWeb(error) | TrainError::NotSent { source: error, .. } => error.exit(),
            TrainError::Stream(error) if error.is_usage() => Exit::Usage,
            TrainError::Network(error) if error.is_configuration() => Exit::Usage,
            TrainError::Layer(error) if error.is_configuration() => Exit::Usage,
            TrainError::Interrupted { .. } | TrainError::InterruptedAnswer | TrainError::InterruptedBetween => {
                Exit::Interrupted
            }
            _ => Exit::Data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_memory_is_said_with_what_to_do_and_other_errors_pass() {
        let full = TrainError::Thread("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")".into());
        let said = full.without_room_to_read(&Device::Cpu, 64, "set a smaller --batch-size").to_string();
        assert_eq!(said, "`cpu` has no memory for the answers to 64 rows at once; set a smaller --batch-size");
        let other = TrainError::Thread("ended".into());
        assert!(matches!(other.without_room_to_read(&Device::Cpu, 64, ""), TrainError::Thread(_)));
    }
}
