//! Logs of one JSON object per line, each with a `step`.
//!
//! Purpose: what was logged up to a checkpoint stays, what came after is cut off, because it will be computed again.
//! Invariants: a line reaches the file in one write; a cut replaces the file as a whole; a line that is none takes no other line away.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::keep::is_zero;
use crate::error::TrainError;
use crate::gate_weights::GateHistograms;
use crate::pace::Stage;

/// A line of `losses.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LossLine {
    /// Steps done, this one included.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Loss per task; null where the batch had no label for it.
    pub losses: BTreeMap<String, Option<f64>>,
    /// Balancer's coefficient per task.
    pub coefficients: BTreeMap<String, f64>,
    /// Global gradient norm before clipping.
    pub gradient_norm: f64,
    /// Share of conflicting task pairs.
    pub conflicting_share: f64,
    /// Norm of each task's gradient before the balancer, of tasks that have one. Lines of earlier versions have none, as of the cosines.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gradient_norms: BTreeMap<String, f64>,
    /// Cosine between the gradients of two tasks, by their names with a slash between them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cosines: BTreeMap<String, f64>,
    /// Mean weight of the shared branch per task; empty for a model without gates.
    pub shared_branch: BTreeMap<String, f64>,
    /// Learning rate.
    pub learning_rate: f64,
}

/// A line of `epochs.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EpochLine {
    /// Steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: u64,
    /// Validation score (pooled macro-F1), where the epoch was validated and there are labels.
    pub validation_score: Option<f64>,
    /// Accuracy of the region there.
    #[serde(default)]
    pub region_accuracy: Option<f64>,
    /// AUROC of the status there.
    #[serde(default)]
    pub metastasis_auroc: Option<f64>,
    /// Weights of the branches over the validation split, where the epoch was validated and the model has gates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gates: GateHistograms,
    /// Rows of damaged row groups that were left out of the run until now.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped_rows: u64,
}

/// A line of `timings.jsonl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TimingLine {
    /// Steps done.
    pub step: u64,
    /// Seconds of the last one.
    pub seconds: f64,
    /// Seconds that it waited for its batches.
    #[serde(default)]
    pub waited: f64,
    /// The stage that limited the steps of this call so far.
    #[serde(default)]
    pub limit: Option<Stage>,
}

/// A log that is open for appending.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    /// Step of the first line that was there when it was opened, and the number of lines.
    found: Option<(u64, u64)>,
}

/// What a line is cut by.
#[derive(Deserialize)]
struct Place {
    step: u64,
    /// Epochs done, in a line of `epochs.jsonl`.
    #[serde(default)]
    epoch: u64,
}

impl Log {
    /// Opens the log with only the lines up to and including `step`; a torn last line goes too.
    pub(crate) fn open_at(path: &Path, step: u64) -> Result<Self, TrainError> {
        Self::open_to(path, |place| place.step <= step)
    }

    /// Opens the log of epochs with only those that are done: behind a checkpoint whose validation was not done, the line of its epoch comes again.
    pub(crate) fn open_behind(path: &Path, epochs: u64) -> Result<Self, TrainError> {
        Self::open_to(path, |place| place.epoch <= epochs)
    }

    fn open_to(path: &Path, is_kept: impl Fn(&Place) -> bool) -> Result<Self, TrainError> {
        let old = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(TrainError::io(path, error)),
        };
        let mut found: Option<(u64, u64)> = None;
        let mut kept: Vec<u8> = Vec::with_capacity(old.len());
        for line in old.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            let Some(place) = serde_json::from_slice::<Place>(line).ok().filter(&is_kept) else { continue };
            let (first, lines) = found.unwrap_or((place.step, 0));
            found = Some((first, lines + 1));
            kept.extend_from_slice(line);
        }
        if kept.len() != old.len() || old.is_empty() {
            mtids_runtime::atomic::write(path, &kept).map_err(|error| TrainError::io(path, error))?;
        }
        let file = OpenOptions::new().append(true).open(path).map_err(|error| TrainError::io(path, error))?;
        Ok(Self { path: path.to_owned(), file, found })
    }

    /// How many lines of a log with one line for each step were missing up to `step` when it was opened. A log without any line may be that of a further
    /// segment, and misses none.
    pub(crate) fn missing(&self, step: u64) -> u64 {
        self.found.map_or(0, |(first, lines)| (step + 1).saturating_sub(first).saturating_sub(lines))
    }

    /// Appends one line.
    pub(crate) fn append<T: Serialize>(&mut self, entry: &T) -> Result<(), TrainError> {
        let mut line = serde_json::to_vec(entry).map_err(|error| TrainError::io(&self.path, error.into()))?;
        line.push(b'\n');
        mtids_runtime::failpoint::reach().map_err(|error| TrainError::io(&self.path, error))?;
        self.file.write_all(&line).map_err(|error| TrainError::io(&self.path, error))
    }

    /// Makes what was appended durable.
    pub(crate) fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_data().map_err(|error| TrainError::io(&self.path, error))
    }
}

/// Reads a log; a missing file is an empty log. A torn last line is no entry: its step will be computed again, as by [`Log::open_at`].
pub(crate) fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, TrainError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(TrainError::io(path, error)),
    };
    // A torn line may end within a character.
    let text = String::from_utf8_lossy(&bytes);
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| {
            serde_json::from_str(line).map_err(|error| TrainError::broken(path, format!("invalid line: {error}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_log_is_cut_back_to_the_step_and_a_torn_line_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("losses.jsonl");
        let mut log = Log::open_at(&path, 0).unwrap();
        for step in 1..=5 {
            log.append(&json!({"step": step, "loss": 0.5})).unwrap();
        }
        drop(log);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"step\":6,\"lo").unwrap();
        assert_eq!(read::<Value>(&path).unwrap().len(), 5, "readers leave the torn line aside");
        let mut log = Log::open_at(&path, 3).unwrap();
        log.append(&json!({"step": 4})).unwrap();
        let steps: Vec<Value> = read(&path).unwrap();
        assert_eq!(steps.iter().map(|entry| entry["step"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_line_that_is_none_takes_no_other_away_and_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("losses.jsonl");
        let line = |step: u64| format!("{{\"step\":{step}}}\n");
        let missing = |text: String| {
            std::fs::write(&path, text).unwrap();
            Log::open_at(&path, 4).unwrap().missing(4)
        };
        assert_eq!(missing([1, 2, 3, 4, 5].map(line).concat()), 0);
        assert_eq!(missing([1, 2].map(line).concat()), 2, "cut by hand");
        assert_eq!(missing([line(1), "{\"step\":2,\n".into(), line(3), line(4)].concat()), 1);
        assert_eq!(read::<Value>(&path).unwrap().len(), 3, "the lines behind it are kept");
        assert_eq!(missing(String::new()), 0, "of a further segment");
    }

    #[test]
    fn the_line_of_an_epoch_whose_checkpoint_was_lost_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("epochs.jsonl");
        let mut log = Log::open_behind(&path, 0).unwrap();
        for epoch in 1..=2 {
            log.append(&EpochLine { step: 10 * epoch, epoch, ..EpochLine::default() }).unwrap();
        }
        drop(log);
        // The checkpoint of step 20 still says that one epoch is done.
        drop(Log::open_behind(&path, 1).unwrap());
        let epochs: Vec<EpochLine> = read(&path).unwrap();
        assert_eq!(epochs.iter().map(|line| line.epoch).collect::<Vec<_>>(), [1]);
    }
}
