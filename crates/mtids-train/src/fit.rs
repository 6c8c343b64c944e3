//! Trains, or resumes: what is tried before the first step, and where a run begins.
//!
//! Invariant: all settings are tried before the run folder is begun; from there on nobody else writes into it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use mtids_layers::{Optimizer, Schedule, WeightAverage};
use mtids_models::TaskLosses;
use mtids_models::tasks::LabelMap;
use mtids_ranks::Ranks;
use mtids_report::progress::Progress;
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::lock::FolderLock;
use mtids_shards::{RowKind, RowLabels, Split};
use mtids_stream::{SampleTable, Source, batches_per_epoch};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::among_ranks;
use crate::beginning::{Beginning, Earlier, seen_by_both};
use crate::calibration::calibrate_opened;
use crate::config::ValidConfig;
use crate::error::TrainError;
use crate::folds::in_fold;
use crate::label_counts::LabelCounts;
use crate::labels::{codes, targets, weighed_codes};
use crate::network::Network;
use crate::pace::Pace;
use crate::record::Record;
use crate::resolve::for_dataset;
use crate::run_folder::log::{Log, read};
use crate::run_folder::{RunFolder, TrainedOn, TrainingRange, TrainingState};
use crate::training::{Training, epoch_stream};
use crate::untaught::warn_of_untaught;

/// Stack of the training thread: backward passes recurse along the graph.
const STACK: usize = 64 << 20;

/// How a call of [`fit`] ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FitSummary {
    /// Steps done in all.
    pub steps: u64,
    /// Steps done before this call.
    pub resumed_at: u64,
    /// Best epoch on the validation split, where the schedule lets it be chosen; otherwise the last weights are the result.
    pub best_epoch: Option<u64>,
    /// Its score.
    pub best_score: Option<f64>,
    /// Score of the last look at the validation split.
    pub last_score: Option<f64>,
    /// Trainable numbers of the model.
    pub parameters: usize,
    /// Rows of the training split that pass the filter.
    pub training_rows: usize,
    /// Rows of damaged row groups that were left out, in all calls.
    pub skipped_rows: u64,
    /// Loss per task of the last step.
    pub last_losses: BTreeMap<String, Option<f64>>,
    /// How fast the steps of this call went, and what limited them.
    pub pace: Pace,
    /// Why the run has no calibration, where one was asked for.
    pub not_calibrated: Option<String>,
}

/// How [`fit`] goes about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FitOptions {
    /// Show progress on standard error.
    pub show_progress: bool,
    /// Resume a run of another device.
    pub allow_device_change: bool,
    /// Calibrate the weights on the validation patients at the end.
    pub calibrate: bool,
    /// Take every step on the first batch of its epoch, kept in memory: what a benchmark holds the stream against. It teaches nothing.
    pub hold_batch: bool,
    /// What a new run begins with. One that goes on need not name it again.
    pub beginning: Beginning,
}

/// Trains, or resumes, on a thread with a large stack.
///
/// # Errors
/// [`TrainError`]; after [`TrainError::Interrupted`] the same call resumes.
pub fn fit(
    dataset: &Path,
    run: &Path,
    config: &ValidConfig,
    interrupt: &Interrupt,
    options: &FitOptions,
) -> Result<FitSummary, TrainError> {
    fit_among(&Ranks::alone(), dataset, run, config, interrupt, options)
}

/// Trains, or resumes, as one of several processes that take the same steps; the first alone reads and writes the run folder. All of them call this with
/// the same arguments. What a rank that is not the first answers has no scores.
///
/// # Errors
/// As [`fit`]; [`TrainError::Ranks`]. After an error that is not [of all ranks](TrainError::is_of_all_ranks) the others wait for this one: end them.
pub fn fit_among(
    ranks: &Ranks,
    dataset: &Path,
    run: &Path,
    config: &ValidConfig,
    interrupt: &Interrupt,
    options: &FitOptions,
) -> Result<FitSummary, TrainError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("mtids-train".into())
            .stack_size(STACK)
            .spawn_scoped(scope, || train(ranks, dataset, run, config, interrupt, options))
            .map_err(|error| TrainError::Thread(error.to_string()))?;
        thread.join().map_err(|_| TrainError::Thread("the training thread panicked; please report this".into()))?
    })
}

fn train(
    ranks: &Ranks,
    path: &Path,
    run: &Path,
    config: &ValidConfig,
    interrupt: &Interrupt,
    options: &FitOptions,
) -> Result<FitSummary, TrainError> {
    let device = mtids_layers::device(&config.device)?;
    let dataset = in_fold(mtids_store::open_dataset(path)?, config.cross_validation)?;
    let regions = dataset.manifest().description.regions.len();
    let sampling = &config.stream.sampling;
    let is_taught =
        |row: &RowLabels| row.split == Split::Train && row.kind == RowKind::Finding && sampling.filter.keeps(row);
    let index = dataset.index()?;
    let mut trained_on = TrainedOn::of(dataset.manifest(), &index);
    let labels: Vec<_> = index.into_iter().filter(is_taught).collect();
    let taught = LabelCounts::of(regions, labels.iter().map(|row| weighed_codes(row, regions, &config.loss)));
    trained_on.taught = Some(taught.clone());
    let source = Source { dataset: Arc::clone(&dataset), split: Split::Train, weight: None };
    let table = Arc::new(SampleTable::open(vec![source], sampling)?);
    let labelled = labels.iter().map(|row| codes(row, regions)).filter(|codes| *codes != (None, None)).count();
    if labelled == 0 {
        return Err(TrainError::NoLabels { path: path.to_owned(), rows: labels.len() });
    }
    let batches = batches_per_epoch(table.epoch_rows(), config.batch_size as u64, config.stream.drop_last);
    if batches == 0 {
        return Err(TrainError::NoSteps { rows: table.epoch_rows() });
    }
    epoch_stream(&table, config, 0, ranks).check()?;
    let steps_per_epoch = batches.div_ceil(config.accumulate_batches as u64);
    // From here to the end of the training nobody else writes into the folder.
    let lock = ranks.is_first().then(|| FolderLock::exclusive(run, "mtids-train fit")).transpose()?;
    if let Some(reason) = lock.as_ref().and_then(FolderLock::unsupported) {
        tracing::warn!("{} is not locked ({reason}): start no second training in it", run.display());
    }
    let manifest = dataset.manifest();
    // All settings are tried before the folder is begun.
    let (config, measures) = for_dataset(config, &manifest.description, &labels)?;
    let config = &config;
    among_ranks::check(ranks, config, manifest.digest())?;
    let earlier = match ranks.is_first() {
        true => Earlier::read(&options.beginning, config, manifest.digest())?,
        false => None,
    };
    let trained_on = seen_by_both(trained_on, earlier.as_ref());
    let network = Network::among(ranks, config, &manifest.description, &measures, device)?;
    let tasks = network.model.tasks().clone();
    if !tasks.tasks().iter().any(LabelMap::is_total) {
        let reason = "none of them tells the region or the status of every node, so there is nothing to choose weights by; add `joint`, `region` or \
                      `metastasis`";
        return Err(TrainError::setting("model.tasks", reason));
    }
    if ranks.is_first() && earlier.is_none() {
        warn_of_untaught(&taught, &tasks, &manifest.description);
    }
    let counts = tasks.counts(&targets(&labels, regions, &measures, |_| 1.0))?;
    let losses = TaskLosses::new(&config.loss, &tasks, Some(&counts))?.over(ranks);
    let all_steps = config.epochs.saturating_mul(steps_per_epoch);
    let total_steps = config.max_steps.map_or(all_steps, |most| most.min(all_steps));
    let mut optimizer = Optimizer::new(&config.optimizer)?;
    let mut balancer = config.balancer.build_any(tasks.len())?;
    let average = |decay| WeightAverage::new(decay, &network.parameters);
    let mut average = config.average_decay.map(average).transpose()?;
    let mut state = TrainingState {
        step: 0,
        epoch: 0,
        next_batch: 0,
        stream: None,
        skipped_rows: 0,
        balancer: Value::Null,
        best: None,
        regular: true,
    };
    let schedule = Schedule::new(&config.schedule, total_steps)?;
    let mut record = None;
    if ranks.is_first() {
        let origin = earlier.as_ref().map(|earlier| &earlier.origin);
        let description = &manifest.description;
        let mut folder =
            RunFolder::create_or_open(run, config, manifest.digest(), description, &trained_on, &measures, origin)?;
        TrainingRange::of(&labels).write(run)?;
        if let Some(checkpoint) = folder.checkpoints().resumable()? {
            network.parameters.load_bytes(&checkpoint.weights)?;
            optimizer.load_bytes(&checkpoint.optimizer, &network.parameters)?;
            balancer.restore(&checkpoint.state.balancer)?;
            if let Some(average) = &mut average {
                average.load_bytes(checkpoint.averages()?, &network.parameters)?;
            }
            state = checkpoint.state;
            // A kill between the two pointers of a checkpoint leaves `best` behind `latest`.
            folder.checkpoints().tidy(&state)?;
        } else if let Some(earlier) = &earlier {
            earlier.warn_of_known_validation(&trained_on);
            earlier.apply(&network, &mut optimizer, &mut balancer, &mut average, &mut state)?;
        } else if folder.identity().origin.is_some() {
            return Err(TrainError::argument(
                "--from",
                format!("{} began from another run and has no checkpoint yet; name that run again", run.display()),
            ));
        }
        adopt_settings(&mut folder, config, state.step, options)?;
        record = Some(Record::open_at(folder, &state)?);
    }
    among_ranks::begin_alike(ranks, &network, &mut optimizer, &mut balancer, &mut average, &mut state)?;
    let resumed_at = state.step;
    let last = record.as_ref().map(Record::last_losses).transpose()?.flatten();
    let mut training = Training {
        schedule,
        names: tasks.tasks().iter().map(|task| task.name.clone()).collect(),
        config,
        dataset,
        table,
        ranks: ranks.clone(),
        path: run,
        record,
        network,
        measures,
        losses,
        optimizer,
        balancer,
        average,
        saved_at: (resumed_at > 0).then_some(resumed_at),
        state,
        total_steps,
        validation_interval: config.validation_interval(total_steps.div_ceil(steps_per_epoch)),
        last,
        positions: None,
        pace: Pace::default(),
        hold_batch: options.hold_batch,
        damaged: BTreeSet::new(),
    };
    let progress = Progress::new(
        "training",
        Some(total_steps),
        ranks.is_first() && options.show_progress && resumed_at < total_steps,
    );
    progress.set_position(resumed_at);
    // An epoch whose validation was interrupted has taken all its steps, and is not over.
    while training.state.step < total_steps || training.state.next_batch > 0 {
        training.epoch(batches, interrupt, &progress)?;
    }
    progress.finish();
    let not_calibrated = match &training.record {
        Some(record) if options.calibrate => {
            calibrate_opened(&record.folder, &training.dataset, path, None, interrupt)?.err()
        }
        _ => None,
    };
    let epochs = training.record.as_ref().map(Record::epochs).transpose()?.unwrap_or_default();
    Ok(FitSummary {
        steps: training.state.step,
        resumed_at,
        best_epoch: training.state.best.map(|best| best.epoch),
        best_score: training.state.best.map(|best| best.score),
        last_score: epochs.iter().rev().find_map(|line| line.validation_score),
        parameters: training.network.parameters.count(),
        training_rows: labels.len(),
        skipped_rows: training.state.skipped_rows,
        last_losses: training.last.map(|line| line.losses).unwrap_or_default(),
        pace: training.pace,
        not_calibrated,
    })
}

/// A line of `device-changes.jsonl`.
#[derive(PartialEq, Serialize, Deserialize)]
struct DeviceChange {
    step: u64,
    from: String,
    to: String,
}

/// Lets the settings of this call that are no part of the run's identity replace those on record. Another device is refused, or logged.
fn adopt_settings(
    folder: &mut RunFolder,
    config: &ValidConfig,
    step: u64,
    options: &FitOptions,
) -> Result<(), TrainError> {
    let before = folder.config().device.clone();
    if before != config.device {
        if !options.allow_device_change {
            let now = config.device.clone();
            return Err(TrainError::OtherDevice { path: folder.path().to_owned(), before, now });
        }
        tracing::warn!("resuming at step {step} on `{}` what was trained on `{before}`", config.device);
        let path = folder.file("device-changes.jsonl");
        let mut log = Log::open_at(&path, step)?;
        let change = DeviceChange { step, from: before, to: config.device.clone() };
        // A call that was killed between this line and the record below has written it already.
        if read::<DeviceChange>(&path)?.last() != Some(&change) {
            log.append(&change)?;
            log.sync()?;
        }
    }
    folder.record(config)
}
