//! The training loop.
//!
//! One epoch: stream → stage → [`mtids_models::train_step_with`] under the balancer → log line → checkpoint now and then; at its end the
//! validation split chooses the best epoch. Invariants: the position (epoch, batch), weights, moments and balancer state are all that a
//! checkpoint needs; `losses.jsonl` and `epochs.jsonl` hold no times.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crossbeam::channel::Receiver;
use mtids_balance::AnyBalancer;
use mtids_layers::{Optimizer, Schedule, WeightAverage};
use mtids_models::{Mode, StepInputs, StepOptions, TaskLosses, losses_of, train_step_with};
use mtids_report::progress::Progress;
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::lock::FolderLock;
use mtids_shards::{Dataset, RowKind, RowLabels, Split};
use mtids_stream::{Batch, BatchStream};
use serde::Serialize;
use serde_json::Value;

use crate::balanced::BalancedStep;
use crate::config::ValidConfig;
use crate::error::TrainError;
use crate::evaluation::selection_score;
use crate::labels::{codes, targets};
use crate::network::Network;
use crate::predict::predict;
use crate::run_folder::log::{EpochLine, Log, LossLine};
use crate::run_folder::{Best, RunFolder, TrainedOn, TrainingState};
use crate::staging::{Staged, stage};

/// Stack of the training thread: backward passes recurse along the graph.
const STACK: usize = 64 << 20;

/// How a call of [`fit`] ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FitSummary {
    /// Steps done in all.
    pub steps: u64,
    /// Steps done before this call.
    pub resumed_at: u64,
    /// Best epoch on the validation split.
    pub best_epoch: Option<u64>,
    /// Its score.
    pub best_score: Option<f64>,
    /// Trainable numbers of the model.
    pub parameters: usize,
    /// Rows of the training split.
    pub training_rows: usize,
    /// Loss per task of the last step.
    pub last_losses: BTreeMap<String, Option<f64>>,
}

/// How [`fit`] goes about it; nothing here changes a result, except a change of device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FitOptions {
    /// Show progress on standard error.
    pub show_progress: bool,
    /// Resume a run of another device.
    pub allow_device_change: bool,
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
    options: FitOptions,
) -> Result<FitSummary, TrainError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("mtids-train".into())
            .stack_size(STACK)
            .spawn_scoped(scope, || train(dataset, run, config, interrupt, options))
            .map_err(|error| TrainError::Thread(error.to_string()))?;
        thread.join().map_err(|_| TrainError::Thread("the training thread panicked; please report this".into()))?
    })
}

struct Training<'a> {
    config: &'a ValidConfig,
    dataset: Arc<Dataset>,
    folder: RunFolder,
    assembled: Network,
    losses: TaskLosses,
    optimizer: Optimizer,
    balancer: AnyBalancer,
    average: Option<WeightAverage>,
    schedule: Schedule,
    names: Vec<String>,
    loss_log: Log,
    epoch_log: Log,
    timing_log: Log,
    state: TrainingState,
    total_steps: u64,
    saved_at: Option<u64>,
    last: Option<LossLine>,
}

fn train(
    path: &Path,
    run: &Path,
    config: &ValidConfig,
    interrupt: &Interrupt,
    options: FitOptions,
) -> Result<FitSummary, TrainError> {
    let device = mtids_layers::device(&config.device)?;
    let dataset = Arc::new(Dataset::open(path)?);
    let regions = dataset.manifest().description.regions.len();
    let is_taught = |row: &RowLabels| row.split == Split::Train && row.kind == RowKind::Finding;
    let index = dataset.index()?;
    let trained_on = TrainedOn::of(dataset.manifest(), &index);
    let labels: Vec<_> = index.into_iter().filter(is_taught).collect();
    let labelled = labels.iter().map(|row| codes(row, regions)).filter(|codes| *codes != (None, None)).count();
    if labelled == 0 {
        return Err(TrainError::NoLabels { path: path.to_owned(), rows: labels.len() });
    }
    let steps_per_epoch = match config.stream.drop_last {
        true => labels.len() / config.batch_size,
        false => labels.len().div_ceil(config.batch_size),
    } as u64;
    if steps_per_epoch == 0 {
        return Err(TrainError::NoSteps { rows: labels.len() });
    }
    // From here to the end of the training nobody else writes into the folder.
    let lock = FolderLock::exclusive(run, "mtids-train fit")?;
    if let Some(reason) = lock.unsupported() {
        tracing::warn!("{} is not locked ({reason}): start no second training in it", run.display());
    }
    let manifest = dataset.manifest();
    // All settings are tried before the folder is begun.
    let assembled = Network::new(config, &manifest.description, device)?;
    let tasks = assembled.model.tasks().clone();
    let counts = tasks.counts(&targets(labels.iter(), regions))?;
    let losses = TaskLosses::new(&config.loss, &tasks, Some(&counts))?;
    let all_steps = config.epochs.saturating_mul(steps_per_epoch);
    let total_steps = config.max_steps.map_or(all_steps, |most| most.min(all_steps));
    let mut optimizer = Optimizer::new(&config.optimizer)?;
    let mut balancer = config.balancer.build_any(tasks.len())?;
    let average = |decay| WeightAverage::new(decay, &assembled.parameters);
    let mut average = config.average_decay.map(average).transpose()?;
    let mut state =
        TrainingState { step: 0, epoch: 0, next_batch: 0, balancer: Value::Null, best: None, regular: true };
    let schedule = Schedule::new(&config.schedule, total_steps)?;
    let mut folder = RunFolder::create_or_open(run, config, manifest.digest(), &manifest.description, &trained_on)?;
    if let Some(checkpoint) = folder.checkpoints().latest()? {
        assembled.parameters.load_bytes(&checkpoint.weights)?;
        optimizer.load_bytes(&checkpoint.optimizer, &assembled.parameters)?;
        balancer.restore(&checkpoint.state.balancer)?;
        if let Some(average) = &mut average {
            average.load_bytes(checkpoint.averages()?, &assembled.parameters)?;
        }
        state = checkpoint.state;
        // A kill between the two pointers of a checkpoint leaves `best` behind `latest`.
        folder.checkpoints().tidy(&state)?;
    }
    let resumed_at = state.step;
    adopt_settings(&mut folder, config, resumed_at, options)?;
    let log = |name: &str| Log::open_at(&folder.file(name), resumed_at);
    let (loss_log, epoch_log, timing_log) = (log("losses.jsonl")?, log("epochs.jsonl")?, log("timings.jsonl")?);
    let last = crate::run_folder::log::read::<LossLine>(&folder.file("losses.jsonl"))?.pop();
    let mut training = Training {
        schedule,
        names: tasks.tasks().iter().map(|task| task.name.clone()).collect(),
        config,
        dataset,
        folder,
        assembled,
        losses,
        optimizer,
        balancer,
        average,
        loss_log,
        epoch_log,
        timing_log,
        saved_at: (resumed_at > 0).then_some(resumed_at),
        state,
        total_steps,
        last,
    };
    let progress = Progress::new("training", Some(total_steps), options.show_progress && resumed_at < total_steps);
    progress.set_position(resumed_at);
    // An epoch whose validation was interrupted has taken all its steps, and is not over.
    while training.state.step < total_steps || training.state.next_batch > 0 {
        training.epoch(steps_per_epoch, interrupt, &progress)?;
    }
    progress.finish();
    Ok(FitSummary {
        steps: training.state.step,
        resumed_at,
        best_epoch: training.state.best.map(|best| best.epoch),
        best_score: training.state.best.map(|best| best.score),
        parameters: training.assembled.parameters.count(),
        training_rows: labels.len(),
        last_losses: training.last.map(|line| line.losses).unwrap_or_default(),
    })
}

/// A line of `device-changes.jsonl`.
#[derive(Serialize)]
struct DeviceChange<'a> {
    step: u64,
    from: &'a str,
    to: &'a str,
}

/// Lets the settings of this call that are no part of the run's identity replace those on record. Another device is refused, or logged.
fn adopt_settings(
    folder: &mut RunFolder,
    config: &ValidConfig,
    step: u64,
    options: FitOptions,
) -> Result<(), TrainError> {
    let before = folder.config().device.clone();
    if before != config.device {
        if !options.allow_device_change {
            let now = config.device.clone();
            return Err(TrainError::OtherDevice { path: folder.path().to_owned(), before, now });
        }
        tracing::warn!("resuming at step {step} on `{}` what was trained on `{before}`", config.device);
        let mut log = Log::open_at(&folder.file("device-changes.jsonl"), step)?;
        log.append(&DeviceChange { step, from: &before, to: &config.device })?;
        log.sync()?;
    }
    folder.record(config)
}

impl Training<'_> {
    fn epoch(&mut self, steps_per_epoch: u64, interrupt: &Interrupt, progress: &Progress) -> Result<(), TrainError> {
        let epoch = self.state.epoch;
        if self.state.step < self.total_steps && self.state.next_batch < steps_per_epoch {
            let stream = BatchStream::builder(Arc::clone(&self.dataset), Split::Train)
                .config(&self.config.stream)
                .batch_size(self.config.batch_size)
                .shuffle(self.config.seed, epoch)
                .start_batch(self.state.next_batch)
                .start()?;
            let (transform, device) = (self.assembled.transform.clone(), self.assembled.device.clone());
            let prepare = move |batch: Batch| Staged::new(batch, &transform, Some(epoch), &device);
            stage(stream, prepare, |batches| self.steps(batches, steps_per_epoch, interrupt, progress))?;
        }
        if !self.validate(interrupt, progress)? {
            // The checkpoint stands at the end of the epoch's steps, so that only the validation is done again.
            if self.saved_at != Some(self.state.step) {
                self.save(false)?;
            }
            return Err(TrainError::Interrupted { step: self.state.step });
        }
        self.state.epoch = epoch + 1;
        self.state.next_batch = 0;
        if let AnyBalancer::Epoch(rule) = &mut self.balancer {
            rule.end_epoch();
        }
        self.save(true)?;
        if interrupt.is_raised() && self.state.step < self.total_steps {
            return Err(TrainError::Interrupted { step: self.state.step });
        }
        Ok(())
    }

    /// The rest of an epoch's steps.
    fn steps(
        &mut self,
        batches: Receiver<Result<Staged, TrainError>>,
        steps_per_epoch: u64,
        interrupt: &Interrupt,
        progress: &Progress,
    ) -> Result<(), TrainError> {
        for batch in batches {
            let started = Instant::now();
            self.step(&batch?)?;
            let seconds = started.elapsed().as_secs_f64();
            self.timing_log.append(&serde_json::json!({ "step": self.state.step, "seconds": seconds }))?;
            progress.inc(1);
            self.state.next_batch += 1;
            let end_of_epoch = self.state.next_batch >= steps_per_epoch;
            if self.state.step >= self.total_steps || end_of_epoch {
                break;
            }
            if self.state.step.is_multiple_of(self.config.checkpoint_every_steps) {
                self.save(true)?;
            }
            if interrupt.is_raised() {
                if self.saved_at != Some(self.state.step) {
                    self.save(false)?;
                }
                return Err(TrainError::Interrupted { step: self.state.step });
            }
        }
        Ok(())
    }

    fn step(&mut self, batch: &Staged) -> Result<(), TrainError> {
        let targets = targets(batch.labels.iter(), self.dataset.manifest().description.regions.len());
        let learning_rate = self.schedule.learning_rate(self.state.step);
        let options = StepOptions {
            scope: self.config.scope,
            clip_norm: self.config.clip_norm,
            learning_rate,
            seed: self.config.seed,
        };
        let mut step = BalancedStep::new(&mut self.balancer);
        let report = step.take(|balancing| {
            train_step_with(
                &StepInputs {
                    model: &self.assembled.model,
                    parameters: &self.assembled.parameters,
                    losses: &self.losses,
                    input: &batch.input,
                    targets: &targets,
                },
                &mut self.optimizer,
                &options,
                balancing,
            )
        })?;
        let conflicting_share = step.conflicting_share();
        // With the noise of the step, so that only its update tells the losses apart.
        let mode = Mode::Train { seed: self.config.seed, step: self.state.step };
        step.after_step(|| losses_of(&self.assembled.model, &self.losses, &batch.input, &targets, mode))?;
        if let Some(average) = &mut self.average {
            average.update(&self.assembled.parameters)?;
        }
        self.state.step += 1;
        let names = || self.names.iter().cloned();
        let line = LossLine {
            step: self.state.step,
            epoch: self.state.epoch,
            losses: names().zip(report.losses).collect(),
            coefficients: names().zip(report.coefficients).collect(),
            gradient_norm: report.gradient_norm,
            conflicting_share,
            shared_branch: names().zip(report.gates.iter().map(|gate| gate.shared_branch)).collect(),
            learning_rate,
        };
        self.loss_log.append(&line)?;
        self.last = Some(line);
        Ok(())
    }

    /// Judges the weights at the end of an epoch; false when it was interrupted.
    fn validate(&mut self, interrupt: &Interrupt, progress: &Progress) -> Result<bool, TrainError> {
        // Counted as done.
        let epoch = self.state.epoch + 1;
        let regions = self.dataset.manifest().description.regions.len();
        let has_rows = self.dataset.shards(Split::Validation).next().is_some();
        let score = if has_rows {
            // Averages are judged in place of the weights that they follow.
            self.swap_average()?;
            let predictions = predict(&self.assembled, &self.dataset, Split::Validation, self.config, interrupt);
            self.swap_average()?;
            let Some(predictions) = predictions? else { return Ok(false) };
            selection_score(regions, &predictions)
        } else {
            None
        };
        if let Some(score) = score {
            if self.state.best.is_none_or(|best| score > best.score) {
                self.state.best = Some(Best { step: self.state.step, epoch, score });
            }
            progress.set_message(format!("validation macro-F1 {score:.3}"));
        }
        self.epoch_log.append(&EpochLine { step: self.state.step, epoch, validation_score: score })?;
        Ok(true)
    }

    fn swap_average(&mut self) -> Result<(), TrainError> {
        match &mut self.average {
            Some(average) => Ok(average.swap(&self.assembled.parameters)?),
            None => Ok(()),
        }
    }

    fn save(&mut self, regular: bool) -> Result<(), TrainError> {
        // The logs must not fall behind the checkpoint, which cuts them to its step.
        self.loss_log.sync()?;
        self.epoch_log.sync()?;
        self.state.regular = regular;
        self.state.balancer = self.balancer.state();
        let weights = self.assembled.parameters.to_bytes()?;
        let moments = self.optimizer.to_bytes()?;
        let average = self.average.as_ref().map(WeightAverage::to_bytes).transpose()?;
        self.folder.checkpoints().save(&weights, &moments, average.as_deref(), &self.state)?;
        self.saved_at = Some(self.state.step);
        Ok(())
    }
}
