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
use mtids_layers::{DType, Device, Optimizer, Parameters, Schedule, WeightAverage};
use mtids_models::{Mode, Model, StepInputs, StepOptions, TargetBatch, TaskLosses, losses_of, train_step_with};
use mtids_report::progress::Progress;
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{Dataset, RowKind, RowLabels, Split, Views};
use mtids_stream::{Batch, BatchStream};
use serde::Serialize;
use serde_json::Value;

use crate::balanced::BalancedStep;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::evaluation::selection_score;
use crate::input::{codes, input_channels, predict};
use crate::run_folder::log::{EpochLine, Log, LossLine};
use crate::run_folder::{Best, RunFolder, TrainingState};
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

/// A model with everything that belongs to it.
pub(crate) struct Assembled {
    pub(crate) model: Model,
    pub(crate) parameters: Parameters,
    pub(crate) device: Device,
}

/// Builds the network of a configuration for a dataset.
pub(crate) fn assemble(config: &TrainConfig, dataset: &Dataset, frozen: bool) -> Result<Assembled, TrainError> {
    let device = mtids_layers::device(&config.device)?;
    let description = &dataset.manifest().description;
    let [d, h, w] = config.crop.output(description.patch_size);
    if description.patch_views == Views::Orthogonal && d != 3 {
        let reason =
            "this dataset holds three views of each place, and none can be cropped away: the first side is 3".into();
        return Err(TrainError::Setting { key: "crop.size", reason });
    }
    let mut parameters = Parameters::new(config.seed, DType::F32, &device).with_precision(config.precision);
    let input = [input_channels(description, config).count(), d, h, w];
    let mut model = Model::new(&config.model, description.regions.len(), input, &parameters)?;
    if frozen {
        parameters = parameters.frozen();
        model = Model::new(&config.model, description.regions.len(), input, &parameters)?;
    }
    Ok(Assembled { model, parameters, device })
}

/// Trains, or resumes, on a thread with a large stack.
///
/// # Errors
/// [`TrainError`]; after [`TrainError::Interrupted`] the same call resumes.
pub fn fit(
    dataset: &Path,
    run: &Path,
    config: &TrainConfig,
    interrupt: &Interrupt,
    show_progress: bool,
) -> Result<FitSummary, TrainError> {
    config.validate()?;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("mtids-train".into())
            .stack_size(STACK)
            .spawn_scoped(scope, || train(dataset, run, config, interrupt, show_progress))
            .map_err(|error| TrainError::Thread(error.to_string()))?;
        thread.join().map_err(|_| TrainError::Thread("the training thread ended in a panic".into()))?
    })
}

struct Training<'a> {
    config: &'a TrainConfig,
    dataset: Arc<Dataset>,
    folder: RunFolder,
    assembled: Assembled,
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
    config: &TrainConfig,
    interrupt: &Interrupt,
    show_progress: bool,
) -> Result<FitSummary, TrainError> {
    let dataset = Arc::new(Dataset::open(path)?);
    let regions = dataset.manifest().description.regions.len();
    let is_taught = |row: &RowLabels| row.split == Split::Train && row.kind == RowKind::Finding;
    let labels: Vec<_> = dataset.index()?.into_iter().filter(is_taught).collect();
    let labelled = labels.iter().map(|row| codes(row, regions)).filter(|codes| *codes != (None, None)).count();
    if labelled == 0 {
        return Err(TrainError::NoLabels { path: path.to_owned(), rows: labels.len() });
    }
    let manifest = dataset.manifest();
    let folder = RunFolder::create_or_open(run, config, manifest.digest(), &manifest.description)?;
    let assembled = assemble(config, &dataset, false)?;
    let tasks = assembled.model.tasks().clone();
    let counts = tasks.counts(&targets(labels.iter(), regions))?;
    let losses = TaskLosses::new(&config.loss, &tasks, Some(&counts))?;
    let steps_per_epoch = match config.stream.drop_last {
        true => labels.len() / config.batch_size,
        false => labels.len().div_ceil(config.batch_size),
    } as u64;
    let all_steps = config.epochs * steps_per_epoch;
    let total_steps = config.max_steps.map_or(all_steps, |most| most.min(all_steps));
    let mut optimizer = Optimizer::new(&config.optimizer)?;
    let mut balancer = config.balancer.build_any(tasks.len())?;
    let average = |decay| WeightAverage::new(decay, &assembled.parameters);
    let mut average = config.average_decay.map(average).transpose()?;
    let mut state = TrainingState {
        step: 0,
        epoch: 0,
        next_batch: 0,
        optimizer: Value::Null,
        balancer: Value::Null,
        epoch_sums: Value::Null,
        best: None,
        regular: true,
    };
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
    let log = |name: &str| Log::open_at(&folder.file(name), resumed_at);
    let (loss_log, epoch_log, timing_log) = (log("losses.jsonl")?, log("epochs.jsonl")?, log("timings.jsonl")?);
    let last = crate::run_folder::log::read::<LossLine>(&folder.file("losses.jsonl"))?.pop();
    let mut training = Training {
        schedule: Schedule::new(&config.schedule, total_steps)?,
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
    let progress = Progress::new("training", Some(total_steps), show_progress && resumed_at < total_steps);
    progress.set_position(resumed_at);
    while training.state.step < total_steps {
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

fn targets<'a>(rows: impl Iterator<Item = &'a RowLabels>, regions: usize) -> TargetBatch {
    let mut targets = TargetBatch::default();
    for row in rows {
        let (region, metastasis) = codes(row, regions);
        targets.region.push(region.map(|code| code as u32));
        targets.metastasis.push(metastasis.map(|code| code as u32));
        targets.weights.push(row.weight);
        targets.evidence.push(row.evidence);
    }
    targets
}

impl Training<'_> {
    fn epoch(&mut self, steps_per_epoch: u64, interrupt: &Interrupt, progress: &Progress) -> Result<(), TrainError> {
        let epoch = self.state.epoch;
        let stream = BatchStream::start(
            Arc::clone(&self.dataset),
            Split::Train,
            &self.config.stream,
            self.config.batch_size,
            self.config.seed,
            epoch,
            true,
            self.state.next_batch,
        )?;
        let (config, dataset, device) = (self.config, Arc::clone(&self.dataset), self.assembled.device.clone());
        let prepare =
            move |batch: Batch| Staged::new(batch, &dataset.manifest().description, config, Some(epoch), &device);
        stage(stream, prepare, |batches| self.steps(batches, steps_per_epoch, interrupt, progress))?;
        self.state.epoch = epoch + 1;
        self.state.next_batch = 0;
        if let AnyBalancer::Epoch(rule) = &mut self.balancer {
            rule.end_epoch();
        }
        self.validate(progress)?;
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

    fn validate(&mut self, progress: &Progress) -> Result<(), TrainError> {
        let regions = self.dataset.manifest().description.regions.len();
        let has_rows = self.dataset.shards(Split::Validation).next().is_some();
        let score = if has_rows {
            // Averages are judged in place of the weights that they follow.
            self.swap_average()?;
            let predictions =
                predict(&self.assembled.model, &self.dataset, Split::Validation, self.config, &self.assembled.device);
            self.swap_average()?;
            selection_score(regions, &predictions?)
        } else {
            None
        };
        if let Some(score) = score {
            if self.state.best.is_none_or(|best| score > best.score) {
                self.state.best = Some(Best { step: self.state.step, epoch: self.state.epoch, score });
            }
            progress.set_message(format!("validation macro-F1 {score:.3}"));
        }
        self.epoch_log.append(&EpochLine { step: self.state.step, epoch: self.state.epoch, validation_score: score })
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
        self.state.optimizer = Value::from(self.optimizer.step_count());
        let weights = self.assembled.parameters.to_bytes()?;
        let moments = self.optimizer.to_bytes()?;
        let average = self.average.as_ref().map(WeightAverage::to_bytes).transpose()?;
        self.folder.checkpoints().save(&weights, &moments, average.as_deref(), &self.state)?;
        self.saved_at = Some(self.state.step);
        Ok(())
    }
}
