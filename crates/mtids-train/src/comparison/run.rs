//! Trains the cells that are missing, alone or beside other processes, and puts the results together.
//!
//! Invariants: a cell is worked on by one process at a time, by a lock on its folder; a process that finds a cell locked does others first and comes
//! back; a share is done when its cells are, wherever they were done. Killed at any moment and started again, a comparison ends in the same
//! records and results.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use mtids_report::format::counted;
use mtids_report::terminal::tell;
use mtids_runtime::digest::Digest;
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::lock::{FolderLock, LockError};
use mtids_runtime::task::Task;
use mtids_shards::Split;

use super::cells::{self, Cell};
use super::figures::Recorded;
use super::grid::Grid;
use super::output;
pub use super::places::Places;
use super::record::{Answers, Cost, Course, Record, Records, Validation};
use super::results::Results;
use super::test_sets::TestSets;
use super::tuning::choose;
use crate::config::ValidConfig;
use crate::error::TrainError;
use crate::evaluate::{EvaluateOptions, evaluate};
use crate::fit::{FitOptions, fit};
use crate::run_folder::log::{EpochLine, LossLine, TimingLine, read};
use crate::run_folder::{RunFolder, RunIdentity};

/// How long a process waits before it looks again at cells that others work on.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a comparison goes about it; nothing here changes a result.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompareOptions {
    /// The share of this process; none: everything.
    pub task: Option<Task>,
    /// Train nothing: results of what is on record.
    pub records_only: bool,
    /// Show progress on standard error.
    pub show_progress: bool,
}

/// Trains what is missing and writes the results.
///
/// # Errors
/// [`TrainError`]; after [`TrainError::Interrupted`] the same call goes on. [`TrainError::Diverged`] of a reported training comes when all others are
/// done and the results without it are written; a trial that diverges is on record as such, and no error.
pub fn compare(
    grid: &Grid,
    places: &Places,
    options: CompareOptions,
    interrupt: &Interrupt,
) -> Result<Results, TrainError> {
    check_settings(grid)?;
    let comparison = Comparison::open(grid, places, options)?;
    let diverged = if options.records_only { None } else { comparison.work(interrupt)? };
    let recorded = comparison.recorded()?;
    let results = Results::of(grid, &recorded);
    output::write(&places.out, &results, &recorded, grid)?;
    diverged.map_or(Ok(results), Err)
}

/// Every setting that a cell may have is tried before the first training.
fn check_settings(grid: &Grid) -> Result<(), TrainError> {
    for cell in cells::trials(grid) {
        cell.settings(grid, None)?;
    }
    for cell in cells::reported(grid) {
        for trial in 0..grid.rows[cell.row].trials.len().max(1) {
            cell.settings(grid, Some(trial))?;
        }
    }
    Ok(())
}

struct Comparison<'a> {
    grid: &'a Grid,
    places: &'a Places,
    options: CompareOptions,
    records: Records,
    sets: TestSets,
}

impl<'a> Comparison<'a> {
    fn open(grid: &'a Grid, places: &'a Places, options: CompareOptions) -> Result<Self, TrainError> {
        let records = Records::at(&places.records);
        let sets = TestSets::open(grid, places, &records, options.records_only)?;
        Ok(Self { grid, places, options, records, sets })
    }

    /// The record of a cell, where it is of these settings and this dataset, and has an answer for each node.
    fn record(&self, cell: &Cell, config: &ValidConfig) -> Result<Option<Record>, TrainError> {
        let id = cell.id(self.grid);
        let Some(record) = self.records.cell(&id)? else { return Ok(None) };
        let is_measured = match cell.trial {
            Some(_) => self.sets.may_tune(self.grid, record.dataset_digest),
            None => {
                let nodes = self.sets.nodes.get(&cell.test_set());
                nodes.zip(record.answers.as_ref()).is_some_and(|(nodes, answers)| answers.fit(nodes))
            }
        };
        let is_of_dataset = self.sets.digests.get(&cell.dataset).is_none_or(|&digest| digest == record.dataset_digest);
        if record.settings_digest != settings_digest(config) || !is_of_dataset || !is_measured {
            tracing::warn!("the record of {id} is of other settings or data, or is not whole, and is not used");
            return Ok(None);
        }
        Ok(Some(record))
    }

    /// The trial that a reported cell takes; none where nothing is tuned, or while a trial is missing.
    fn chosen(&self, cell: &Cell) -> Result<Option<usize>, TrainError> {
        if !cells::is_tuned(self.grid) {
            // A single trial is a part of its row.
            return Ok((!self.grid.rows[cell.row].trials.is_empty()).then_some(0));
        }
        let mut records = BTreeMap::new();
        for trial in cells::trials(self.grid).into_iter().filter(|trial| cell.is_chosen_by(trial)) {
            let config = trial.settings(self.grid, None)?;
            records.extend(self.record(&trial, &config)?.map(|record| (trial.id(self.grid), record)));
        }
        Ok(choose(self.grid, cell, &|cell| records.get(&cell.id(self.grid)).cloned()))
    }

    /// Does the cells of this process's share; the answer is the error of the first one that diverged.
    fn work(&self, interrupt: &Interrupt) -> Result<Option<TrainError>, TrainError> {
        let is_mine = |n: usize| self.options.task.is_none_or(|task| n % task.count == task.index);
        let mut open: VecDeque<Cell> =
            self.cells().enumerate().filter(|(n, _)| is_mine(*n)).map(|(_, cell)| cell).collect();
        let (mut in_vain, mut diverged) = (0, None);
        while let Some(cell) = open.pop_front() {
            if interrupt.is_raised() {
                return Err(TrainError::InterruptedBetween);
            }
            match self.attempt(&cell, open.len() + 1, interrupt) {
                Ok(true) => {
                    in_vain = 0;
                    continue;
                }
                Ok(false) => open.push_back(cell),
                // It would end so each time; the others are of use without it.
                Err(error @ (TrainError::Diverged { .. } | TrainError::AllDiverged { .. })) => {
                    tracing::warn!("{error}; the comparison goes on without it");
                    diverged.get_or_insert(error);
                    in_vain = 0;
                    continue;
                }
                Err(error) => return Err(error),
            }
            in_vain += 1;
            if in_vain >= open.len() {
                std::thread::sleep(PATIENCE);
                in_vain = 0;
            }
        }
        Ok(diverged)
    }

    fn cells(&self) -> impl Iterator<Item = Cell> {
        cells::trials(self.grid).into_iter().chain(cells::reported(self.grid))
    }

    /// Does a cell, and before it what its row still needs, whosever share that is; false where another process is at it.
    fn attempt(&self, cell: &Cell, left: usize, interrupt: &Interrupt) -> Result<bool, TrainError> {
        if cell.trial.is_some() {
            return self.cell(cell, None, left, interrupt);
        }
        for trial in cells::trials(self.grid).into_iter().filter(|trial| cell.is_chosen_by(trial)) {
            if !self.cell(&trial, None, left, interrupt)? {
                return Ok(false);
            }
        }
        let chosen = self.chosen(cell)?;
        if chosen.is_none() && cells::is_tuned(self.grid) {
            let mut trials = cells::trials(self.grid).into_iter().filter(|trial| cell.is_chosen_by(trial));
            let has_diverged = trials.try_fold(true, |all, trial| -> Result<bool, TrainError> {
                Ok(all && self.records.cell(&trial.id(self.grid))?.is_some_and(|one| one.is_diverged))
            })?;
            if has_diverged {
                return Err(TrainError::AllDiverged { row: self.grid.rows[cell.row].name.clone() });
            }
            let reason = "its validation patients have no status, or only one, so no trial can be chosen";
            let key = if cell.fold.is_some() { "folds" } else { "tuning.dataset" };
            return Err(TrainError::setting(key, reason));
        }
        self.cell(cell, chosen, left, interrupt)
    }

    /// Does one cell; false where another process is at it.
    fn cell(&self, cell: &Cell, chosen: Option<usize>, left: usize, interrupt: &Interrupt) -> Result<bool, TrainError> {
        let config = cell.settings(self.grid, chosen)?;
        if self.record(cell, &config)?.is_some() {
            return Ok(true);
        }
        let id = cell.id(self.grid);
        let folder = self.places.out.join("cells").join(&id);
        let lock = match FolderLock::exclusive(&folder, "mtids-train compare") {
            Ok(lock) => lock,
            Err(LockError::Held { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if let Some(reason) = lock.unsupported() {
            let out = self.places.out.display();
            tracing::warn!("{out} is not guarded against a second process ({reason}): run one process at a time there");
        }
        // Another process may have finished it between the two looks.
        if self.record(cell, &config)?.is_some() {
            return Ok(true);
        }
        if self.options.show_progress {
            tell(&format!("{id}, {}", self.left(left)));
        }
        self.train(cell, &config, &folder, interrupt)?;
        Ok(true)
    }

    fn train(&self, cell: &Cell, config: &ValidConfig, folder: &Path, interrupt: &Interrupt) -> Result<(), TrainError> {
        let dataset = &self.places.datasets[&cell.dataset];
        let dataset_digest = self.sets.at_hand.get(&cell.dataset).map_or_else(String::new, Digest::to_string);
        let run = Digest::of_parts([settings_digest(config).to_string(), dataset_digest]);
        let run = folder.join(format!("run-{}", run.short()));
        forget_peak_memory();
        let options = FitOptions { show_progress: self.options.show_progress, ..FitOptions::default() };
        let ended = match fit(dataset, &run, config, interrupt, &options) {
            Ok(summary) => Some(summary),
            // It would end so each time: the trial has lost.
            Err(TrainError::Diverged { .. }) if cell.trial.is_some() => None,
            Err(error) => return Err(error),
        };
        let mut record = unmeasured(&run, config)?;
        record.dataset_digest = self.sets.digests.get(&cell.dataset).copied().unwrap_or(record.dataset_digest);
        record.is_diverged = ended.is_none();
        if let Some(summary) = ended {
            record.parameters = summary.parameters;
            record.validation = judged(&run, summary.best_epoch)?;
        }
        if cell.trial.is_none() {
            let evaluated = evaluate(&run, dataset, Split::Test, &EvaluateOptions::default())?;
            let set = cell.test_set();
            record.answers = Some(Answers::of(&evaluated, &self.sets.nodes[&set], &self.sets.keys[&set], dataset)?);
        }
        let timings: Vec<TimingLine> = read(&RunFolder::open(&run)?.file("timings.jsonl"))?;
        let cost =
            Cost { seconds: timings.iter().map(|line| line.seconds).sum::<f64>().round(), peak_mib: peak_memory_mib() };
        self.records.put_cell(&cell.id(self.grid), &record, &cost)
    }

    /// All trials were trained on one dataset; where it is not at hand, records alone tell.
    fn check_tuning(&self, recorded: &Recorded) -> Result<(), TrainError> {
        if self.grid.folds.is_some() {
            return Ok(());
        }
        let trials = cells::trials(self.grid).into_iter().map(|cell| cell.id(self.grid));
        let mut found = trials.filter_map(|id| recorded.cells.get(&id).map(|record| (id, record.dataset_digest)));
        let Some((_, first)) = found.next() else { return Ok(()) };
        match found.find(|(_, digest)| *digest != first) {
            Some((id, _)) => {
                let path = self.places.records.join(format!("{id}.json"));
                Err(TrainError::record(&path, "it is of another dataset than the trials before it"))
            }
            None => Ok(()),
        }
    }

    /// How many cells are left and how long they take, by those that are done.
    fn left(&self, cells: usize) -> String {
        let seconds: Vec<f64> = self
            .cells()
            .filter_map(|cell| self.records.cost(&cell.id(self.grid)).ok().flatten())
            .map(|cost| cost.seconds)
            .collect();
        if seconds.is_empty() {
            return counted(cells as u64, "training left", "trainings left");
        }
        let minutes = seconds.iter().sum::<f64>() / seconds.len() as f64 * cells as f64 / 60.0;
        let left = counted(cells as u64, "training left", "trainings left");
        format!("{left}, about {} h {:02} min", (minutes / 60.0) as u64, (minutes % 60.0) as u64)
    }

    /// Everything on record that is of these settings and data.
    fn recorded(&self) -> Result<Recorded, TrainError> {
        let mut recorded = Recorded::default();
        for cell in self.cells() {
            let chosen = if cell.trial.is_some() { None } else { self.chosen(&cell)? };
            if chosen.is_none() && cell.trial.is_none() && cells::is_tuned(self.grid) {
                // What the row takes is open, so none of its records can be told to be right.
                continue;
            }
            let id = cell.id(self.grid);
            if let Some(record) = self.record(&cell, &cell.settings(self.grid, chosen)?)? {
                recorded.cells.insert(id.clone(), record);
                match self.records.cost(&id) {
                    Ok(cost) => recorded.costs.extend(cost.map(|cost| (id, cost))),
                    // No result rests on it.
                    Err(error) => tracing::warn!("{error}"),
                }
            }
        }
        self.check_tuning(&recorded)?;
        recorded.nodes.clone_from(&self.sets.nodes);
        Ok(recorded)
    }
}

/// The record of a run without what it is worth.
fn unmeasured(run: &Path, config: &ValidConfig) -> Result<Record, TrainError> {
    let folder = RunFolder::open(run)?;
    let losses: Vec<LossLine> = read(&folder.file("losses.jsonl"))?;
    let identity = folder.identity();
    let digests = [settings_digest(config), identity.config_digest, identity.dataset_digest];
    Ok(Record::new(digests, losses.last().map_or(0, |line| line.step), Course::of(&losses)))
}

/// Validation figures of the weights that a run ends with: those of its best epoch where it takes that, else those of the last look.
fn judged(run: &Path, best_epoch: Option<u64>) -> Result<Validation, TrainError> {
    let epochs: Vec<EpochLine> = read(&RunFolder::open(run)?.file("epochs.jsonl"))?;
    let is_of_weights = |line: &&EpochLine| best_epoch.is_none_or(|best| line.epoch == best);
    let line = epochs.iter().rev().filter(|line| line.validation_score.is_some()).find(is_of_weights);
    Ok(line.map_or_else(Validation::default, |line| Validation {
        status_auroc: line.metastasis_auroc,
        joint_macro_f1: line.validation_score,
        region_accuracy: line.region_accuracy,
    }))
}

fn settings_digest(config: &ValidConfig) -> Digest {
    // The dataset has its own place in the record.
    RunIdentity::new(config, Digest::of_bytes(b""), None).config_digest
}

/// Lets the system count the largest memory anew, where it can.
fn forget_peak_memory() {
    // Only Linux has this file; elsewhere nothing is known of the memory.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
