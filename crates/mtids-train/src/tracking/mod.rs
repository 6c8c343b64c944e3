//! A run in the tools that people watch trainings with.
//!
//! Purpose: [`tensorboard`] writes what a run has logged as an event file. The logs of the run folder (`losses.jsonl` and its neighbours) are what
//! a training writes; everything here is made from them, afterwards or while it runs, and changes nothing of the run. Invariants: a torn last
//! line is left for the next time; times count from the first step, because a run folder knows no time of day. Units: seconds, steps.

mod event;

use std::path::{Path, PathBuf};

use mtids_runtime::atomic;

use crate::error::TrainError;
use crate::run_folder::RunFolder;
use crate::run_folder::log::{EpochLine, LossLine, TimingLine, read};
use event::EventFile;

/// Name of the event file; TensorBoard looks for the word in the middle.
const FILE: &str = "events.out.tfevents.0.mtids";

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// The event file.
    pub path: PathBuf,
    /// Steps in it.
    pub steps: u64,
}

/// Writes the logs of a run as an event file into `folder`, which is made where it is missing. The file is replaced as a whole.
///
/// # Errors
/// [`TrainError`] for a missing run, damaged logs, or a folder that cannot be written.
pub fn tensorboard(run: &Path, folder: &Path) -> Result<Tracked, TrainError> {
    let opened = RunFolder::open(run)?;
    let losses: Vec<LossLine> = read(&opened.file("losses.jsonl"))?;
    let epochs: Vec<EpochLine> = read(&opened.file("epochs.jsonl"))?;
    let timings: Vec<TimingLine> = read(&opened.file("timings.jsonl"))?;
    let bytes = events(&losses, &epochs, &timings, opened.config().batch_size * opened.config().accumulate_batches);
    std::fs::create_dir_all(folder).map_err(|error| TrainError::io(folder, error))?;
    let path = folder.join(FILE);
    atomic::write(&path, bytes.as_bytes()).map_err(|error| TrainError::io(&path, error))?;
    Ok(Tracked { path, steps: losses.last().map_or(0, |line| line.step) })
}

/// The event file of logs.
fn events(losses: &[LossLine], epochs: &[EpochLine], timings: &[TimingLine], batch_size: usize) -> EventFile {
    let mut file = EventFile::new();
    let (mut epochs, mut timings) = (epochs.iter().peekable(), timings.iter().peekable());
    let mut seconds = 0.0;
    for line in losses {
        let mut values = scalars(line);
        // A log that was cut back may lack the time of a step.
        while let Some(timing) = timings.next_if(|timing| timing.step <= line.step) {
            seconds += timing.seconds;
            if timing.step == line.step && timing.seconds > 0.0 {
                values.push(("speed/seconds_per_step".to_owned(), timing.seconds));
                values.push(("speed/samples_per_second".to_owned(), batch_size as f64 / timing.seconds));
            }
        }
        file.scalars(line.step, seconds, &values);
        while let Some(epoch) = epochs.next_if(|epoch| epoch.step <= line.step) {
            let known = [
                ("validation/macro_f1", epoch.validation_score),
                ("validation/region_accuracy", epoch.region_accuracy),
                ("validation/metastasis_auroc", epoch.metastasis_auroc),
            ];
            let values: Vec<(String, f64)> =
                known.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), value?))).collect();
            if !values.is_empty() {
                file.scalars(epoch.step, seconds, &values);
            }
        }
    }
    file
}

/// The values of a step, by tag.
fn scalars(line: &LossLine) -> Vec<(String, f64)> {
    let mut values = Vec::new();
    values.extend(line.losses.iter().filter_map(|(task, loss)| Some((format!("loss/{task}"), (*loss)?))));
    values.extend(line.coefficients.iter().map(|(task, value)| (format!("balancer/coefficient/{task}"), *value)));
    values.push(("balancer/conflicting_share".to_owned(), line.conflicting_share));
    values.extend(line.shared_branch.iter().map(|(task, share)| (format!("gate/shared_branch/{task}"), *share)));
    values.push(("optimizer/gradient_norm".to_owned(), line.gradient_norm));
    values.push(("optimizer/learning_rate".to_owned(), line.learning_rate));
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn line(step: u64) -> LossLine {
        LossLine {
            step,
            epoch: 0,
            losses: BTreeMap::from([("joint".to_owned(), Some(0.5)), ("region".to_owned(), None)]),
            coefficients: BTreeMap::from([("joint".to_owned(), 1.0)]),
            gradient_norm: 2.0,
            conflicting_share: 0.0,
            shared_branch: BTreeMap::new(),
            learning_rate: 1e-3,
        }
    }

    #[test]
    fn a_loss_that_is_not_known_has_no_value() {
        let tags: Vec<String> = scalars(&line(1)).into_iter().map(|(tag, _)| tag).collect();
        assert_eq!(
            tags,
            [
                "loss/joint",
                "balancer/coefficient/joint",
                "balancer/conflicting_share",
                "optimizer/gradient_norm",
                "optimizer/learning_rate"
            ]
        );
    }

    #[test]
    fn more_logs_only_add_to_the_file() {
        let losses: Vec<LossLine> = (1..=6).map(line).collect();
        let timings: Vec<TimingLine> = (1..=6).map(|step| TimingLine { step, seconds: 0.5 }).collect();
        let epoch = EpochLine { step: 3, epoch: 1, validation_score: Some(0.7), ..EpochLine::default() };
        let part = events(&losses[..4], &[epoch.clone()], &timings[..4], 8);
        let whole = events(&losses, &[epoch], &timings, 8);
        assert!(whole.as_bytes().starts_with(part.as_bytes()));
        assert!(whole.as_bytes().len() > part.as_bytes().len());
    }
}
