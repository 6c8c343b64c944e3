//! A run in the tools that people watch trainings with.
//!
//! Purpose: [`tensorboard`] writes what a run has logged as an event file, [`mlflow()`] sends it to a server. The logs of the run folder (`losses.jsonl` and its neighbours) are what
//! a training writes; everything here is made from them, afterwards or while it runs, and changes nothing of the run. Invariants: a torn last
//! line is left for the next time; times count from the first step, because a run folder knows no time of day. Units: seconds, steps.

mod cosine_picture;
mod event;
mod mlflow;
mod points;

use std::path::Path;

use mtids_runtime::atomic;

use crate::error::TrainError;
use crate::run_folder::RunFolder;
use crate::run_folder::log::{EpochLine, LossLine, TimingLine, read};
use event::EventFile;
pub use mlflow::{Mlflow, mlflow};
use points::{Point, points};

/// Name of the event file; TensorBoard looks for the word in the middle.
const FILE: &str = "events.out.tfevents.0.mtids";

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// The event file, or the address of the run on a server.
    pub place: String,
    /// Steps of the run so far.
    pub steps: u64,
}

/// Writes the logs of a run as an event file into `folder`, which is made where it is missing. The file is replaced as a whole.
///
/// # Errors
/// [`TrainError`] for a missing run, damaged logs, or a folder that cannot be written.
pub fn tensorboard(run: &Path, folder: &Path) -> Result<Tracked, TrainError> {
    let opened = RunFolder::open(run)?;
    let points = logged(&opened)?;
    let mut bytes = EventFile::new();
    points.iter().for_each(|point| bytes.add(point));
    std::fs::create_dir_all(folder).map_err(|error| TrainError::io(folder, error))?;
    let path = folder.join(FILE);
    atomic::write(&path, bytes.as_bytes()).map_err(|error| TrainError::io(&path, error))?;
    Ok(Tracked { place: path.display().to_string(), steps: points.last().map_or(0, |point| point.step) })
}

/// What a run has logged.
fn logged(run: &RunFolder) -> Result<Vec<Point>, TrainError> {
    let losses: Vec<LossLine> = read(&run.file("losses.jsonl"))?;
    let epochs: Vec<EpochLine> = read(&run.file("epochs.jsonl"))?;
    let timings: Vec<TimingLine> = read(&run.file("timings.jsonl"))?;
    let samples = run.config().batch_size * run.config().accumulate_batches;
    Ok(points(&losses, &epochs, &timings, samples))
}
