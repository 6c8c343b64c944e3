//! A training that is under way: epochs, steps, looks at the validation split, checkpoints.
//!
//! One epoch: stream → stage → [`mtids_models::Accumulation`] under the balancer → log line → checkpoint now and then; at the end of some
//! the validation split. Invariants: the position (epoch, batch), weights, running statistics, moments and balancer state are all that a
//! checkpoint needs; `losses.jsonl` and `epochs.jsonl` hold no times. Several ranks take the same steps (`among_ranks.rs`); the first keeps the record.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crossbeam::channel::Receiver;
use mtids_balance::AnyBalancer;
use mtids_layers::{Optimizer, Schedule, WeightAverage};
use mtids_models::{Accumulation, Mode, ModelError, StepInputs, StepOptions, TaskLosses, losses_of};
use mtids_ranks::Ranks;
use mtids_report::progress::Progress;
use mtids_runtime::digest::Digest;
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{Dataset, Split};
use mtids_stream::{Batch, BatchStream, BatchStreamBuilder, Positions, SampleTable};

use crate::among_ranks::{Heard, broadcast_line, is_interrupted};
use crate::balanced::BalancedStep;
use crate::config::ValidConfig;
use crate::error::TrainError;
use crate::evaluation::validation_figures;
use crate::gate_weights::gate_histograms;
use crate::measure_targets::MeasureTargets;
use crate::network::Network;
use crate::pace::{Pace, PaceMeter};
use crate::predict::predict;
use crate::record::Record;
use crate::run_folder::log::{EpochLine, LossLine, TimingLine};
use crate::run_folder::{Best, TrainingState};
use crate::staging::{TrainingBatch, stage};

/// Everything that a training needs and changes.
pub(crate) struct Training<'a> {
    pub(crate) config: &'a ValidConfig,
    pub(crate) dataset: Arc<Dataset>,
    /// What epochs are drawn from.
    pub(crate) table: Arc<SampleTable>,
    /// The processes that train together.
    pub(crate) ranks: Ranks,
    /// The run folder.
    pub(crate) path: &'a Path,
    pub(crate) record: Option<Record>,
    pub(crate) network: Network,
    pub(crate) measures: MeasureTargets,
    pub(crate) losses: TaskLosses,
    pub(crate) optimizer: Optimizer,
    pub(crate) balancer: AnyBalancer,
    pub(crate) average: Option<WeightAverage>,
    pub(crate) schedule: Schedule,
    pub(crate) names: Vec<String>,
    pub(crate) state: TrainingState,
    pub(crate) total_steps: u64,
    /// Epochs between looks at the validation split.
    pub(crate) validation_interval: u64,
    pub(crate) saved_at: Option<u64>,
    pub(crate) last: Option<LossLine>,
    /// Positions of the stream of the epoch that is under way.
    pub(crate) positions: Option<Positions>,
    pub(crate) pace: Pace,
    /// See [`FitOptions::hold_batch`](crate::fit::FitOptions::hold_batch).
    pub(crate) hold_batch: bool,
    /// Damaged row groups that were named, each by its shard and its number there.
    pub(crate) damaged: BTreeSet<(String, usize)>,
}

/// The stream of a rank's part of an epoch of a training.
pub(crate) fn epoch_stream(
    table: &Arc<SampleTable>,
    config: &ValidConfig,
    epoch: u64,
    ranks: &Ranks,
) -> BatchStreamBuilder {
    BatchStream::over(Arc::clone(table))
        .config(&config.stream)
        .batch_size(config.batch_size)
        .shuffle(config.seed, epoch)
        .rank(ranks.rank(), ranks.size())
}

/// Where a step was taken, for the words that end a training which diverged.
#[derive(Clone, Copy)]
struct Reached {
    step: u64,
    learning_rate: f64,
    saved_at: Option<u64>,
}

impl Reached {
    fn explain(self, error: TrainError, run: &Path) -> TrainError {
        let TrainError::Network(ModelError::NotFinite { what }) = error else { return error };
        let Self { step, learning_rate, saved_at } = self;
        TrainError::Diverged { path: run.to_owned(), what, step, learning_rate, saved_at }
    }
}

impl Training<'_> {
    /// The rest of an epoch: its steps, the validation where it is due, and a checkpoint.
    pub(crate) fn epoch(
        &mut self,
        batches_per_epoch: u64,
        interrupt: &Interrupt,
        progress: &Progress,
    ) -> Result<(), TrainError> {
        let epoch = self.state.epoch;
        if self.state.step < self.total_steps && self.state.next_batch < batches_per_epoch {
            let mut stream = self.stream(epoch)?.start()?;
            self.positions = Some(stream.positions());
            let mut meter = PaceMeter::new(self.pace, stream.gauges());
            let preparing = meter.clone();
            let (transform, device) = (self.network.transform.clone(), self.network.device.clone());
            let (measures, regions) = (self.measures.clone(), self.regions());
            let prepare = move |batch: Batch| {
                preparing.prepare(|| TrainingBatch::new(&batch, &transform, &measures, regions, epoch, &device))
            };
            let (hold_batch, left) = (self.hold_batch, batches_per_epoch - self.state.next_batch);
            let steps = |batches| self.steps(batches, batches_per_epoch, &mut meter, interrupt, progress);
            let first = if hold_batch { stream.next() } else { None };
            let ended = match first {
                None => stage(stream, prepare, steps),
                Some(first) => {
                    let held = prepare(first?)?;
                    drop(stream);
                    let held = std::iter::repeat_n(held, usize::try_from(left).unwrap_or(usize::MAX));
                    stage(held.map(Ok::<_, TrainError>), Ok, steps)
                }
            };
            self.pace = meter.pace();
            ended?;
        }
        let is_saved = self.saved_at == Some(self.state.step);
        // The checkpoint stands at the end of the epoch's steps, so that only the validation is done again.
        match self.validate(interrupt, progress) {
            Ok(true) => {}
            Ok(false) => {
                if !is_saved {
                    self.save(false)?;
                }
                return Err(TrainError::Interrupted { step: self.state.step });
            }
            Err(error) => {
                // Several ranks save together, and one that fails does so alone. Averages may not have been put back.
                let can_save = !is_saved && self.ranks.is_alone() && self.average.is_none();
                if can_save && let Err(second) = self.save(false) {
                    tracing::warn!("the steps of this epoch are not saved: {second}");
                }
                return Err(error);
            }
        }
        self.state.epoch = epoch + 1;
        self.state.next_batch = 0;
        self.positions = None;
        if let AnyBalancer::Epoch(rule) = &mut self.balancer {
            rule.end_epoch();
        }
        self.save(true)?;
        if is_interrupted(&self.ranks, interrupt)? && self.state.step < self.total_steps {
            return Err(TrainError::Interrupted { step: self.state.step });
        }
        Ok(())
    }

    /// The stream of the rest of an epoch.
    fn stream(&self, epoch: u64) -> Result<BatchStreamBuilder, TrainError> {
        let builder = epoch_stream(&self.table, self.config, epoch, &self.ranks).start_batch(self.state.next_batch);
        let Some(saved) = self.state.stream.filter(|_| self.state.next_batch > 0) else {
            if self.state.next_batch > 0 {
                tracing::warn!(
                    "the checkpoint is of an older program, whose rows came in another order: the rest of epoch {epoch} repeats some rows and \
                     misses others"
                );
            }
            return Ok(builder);
        };
        Ok(builder.resume(&saved))
    }

    /// The rest of an epoch's steps.
    fn steps(
        &mut self,
        batches: Receiver<Result<TrainingBatch, TrainError>>,
        batches_per_epoch: u64,
        meter: &mut PaceMeter,
        interrupt: &Interrupt,
        progress: &Progress,
    ) -> Result<(), TrainError> {
        let mut parts = Vec::new();
        let mut asked = Instant::now();
        let mut waited = 0.0;
        while let Ok(batch) = batches.recv() {
            let batch = batch.map_err(|error| self.without_room(error, &[]))?;
            let heard = Heard::at_batch(&self.ranks, batch.skipped, interrupt)?;
            if heard.skipped > 0 {
                self.state.skipped_rows += heard.skipped;
                meter.warn_of_damage(&mut self.damaged);
            }
            parts.push(batch);
            waited += asked.elapsed().as_secs_f64();
            asked = Instant::now();
            self.state.next_batch += 1;
            let end_of_epoch = self.state.next_batch >= batches_per_epoch;
            if parts.len() < self.config.accumulate_batches && !end_of_epoch {
                continue;
            }
            let started = Instant::now();
            if let Err(error) = self.step(&parts) {
                // The batches ahead are dropped first: how many there are when memory ends is chance.
                drop(batches);
                return Err(self.without_room(error, &parts));
            }
            parts.clear();
            let seconds = started.elapsed().as_secs_f64();
            meter.step(seconds, waited);
            let limit = meter.pace().limit();
            if let Some(record) = &mut self.record {
                record.timing_log.append(&TimingLine { step: self.state.step, seconds, waited, limit })?;
            }
            waited = 0.0;
            progress.inc(1);
            if end_of_epoch {
                // Behind the last batch the stream says whether it has delivered every row.
                batches.recv().map_or(Ok(()), |more| more.map(drop))?;
                break;
            }
            if self.state.step >= self.total_steps {
                break;
            }
            if self.state.step.is_multiple_of(self.config.checkpoint_every_steps) {
                self.save(true)?;
            }
            // What came during the step of one of several ranks is heard of at the next.
            if heard.interrupted || (self.ranks.is_alone() && interrupt.is_raised()) {
                if self.saved_at != Some(self.state.step) {
                    self.save(false)?;
                }
                return Err(TrainError::Interrupted { step: self.state.step });
            }
            // What a checkpoint took is no waiting for batches.
            asked = Instant::now();
        }
        Ok(())
    }

    /// One update from the batches that make it.
    fn step(&mut self, batches: &[TrainingBatch]) -> Result<(), TrainError> {
        let learning_rate = self.schedule.learning_rate(self.state.step);
        let options = StepOptions {
            scope: self.config.scope,
            clip_norm: self.config.clip_norm,
            learning_rate,
            seed: self.config.seed,
        };
        let parts: Vec<StepInputs<'_>> = batches
            .iter()
            .map(|batch| StepInputs {
                model: &self.network.model,
                parameters: &self.network.parameters,
                losses: &self.losses,
                input: &batch.inputs,
                targets: &batch.targets,
            })
            .collect();
        let reached = Reached { step: self.state.step + 1, learning_rate, saved_at: self.saved_at };
        let diverged = |error| reached.explain(error, self.path);
        let mut draw = self.optimizer.step_count() * self.config.accumulate_batches as u64;
        let mut accumulation = Accumulation::default();
        let mut step = BalancedStep::new(&mut self.balancer);
        for (inputs, batch) in parts.iter().zip(batches) {
            self.ranks.take_rows(batch.rows)?;
            step.take(|balancing| accumulation.add(inputs, &options, draw, balancing)).map_err(diverged)?;
            draw += 1;
        }
        let report = accumulation
            .update(&self.network.parameters, &mut self.optimizer, &options)
            .map_err(|error| diverged(error.into()))?;
        let gradients = step.figures(&self.names);
        if let Some(inputs) = parts.last() {
            // With the noise of the step, so that only its update tells the losses apart.
            let mode = Mode::Train { seed: self.config.seed, step: draw - 1 };
            step.after_step(|| losses_of(inputs, mode))?;
        }
        if let Some(average) = &mut self.average {
            average.update(&self.network.parameters)?;
        }
        self.state.step += 1;
        let names = || self.names.iter().cloned();
        let line = LossLine {
            step: self.state.step,
            epoch: self.state.epoch,
            losses: names().zip(report.losses).collect(),
            coefficients: names().zip(report.coefficients).collect(),
            gradient_norm: report.gradient_norm,
            conflicting_share: gradients.conflicting_share,
            gradient_norms: gradients.norms,
            cosines: gradients.cosines,
            shared_branch: names().zip(report.gates.iter().map(|gate| gate.shared_branch)).collect(),
            learning_rate,
        };
        if let Some(record) = &mut self.record {
            record.loss_log.append(&line)?;
        }
        self.last = Some(line);
        Ok(())
    }

    fn regions(&self) -> usize {
        self.dataset.manifest().description.regions.len()
    }

    /// Judges the weights at the end of an epoch, where that is due; false when it was interrupted.
    fn validate(&mut self, interrupt: &Interrupt, progress: &Progress) -> Result<bool, TrainError> {
        // By the first rank for all: another would find the same.
        let judged = if self.ranks.is_first() { self.judge(interrupt)? } else { None };
        let Some(line) = broadcast_line(&self.ranks, judged)? else { return Ok(false) };
        if let Some(score) = line.validation_score {
            if self.config.selects_best() && self.state.best.is_none_or(|best| score > best.score) {
                self.state.best = Some(Best { step: self.state.step, epoch: line.epoch, score });
            }
            progress.set_message(format!("validation macro-F1 {score:.3}"));
        }
        if let Some(record) = &mut self.record {
            record.epoch_log.append(&line)?;
        }
        Ok(true)
    }

    /// The line of an epoch; `None` when it was interrupted.
    fn judge(&mut self, interrupt: &Interrupt) -> Result<Option<EpochLine>, TrainError> {
        // Counted as done.
        let epoch = self.state.epoch + 1;
        let is_due = epoch.is_multiple_of(self.validation_interval) || self.state.step >= self.total_steps;
        let TrainingState { step, skipped_rows, .. } = self.state;
        let mut line = EpochLine { step, epoch, skipped_rows, ..EpochLine::default() };
        if is_due && self.dataset.shards(Split::Validation).next().is_some() {
            // Averages are judged in place of the weights that they follow.
            self.swap_average()?;
            let predictions = predict(&self.network, &self.dataset, Split::Validation, self.config, interrupt);
            self.swap_average()?;
            let Some(predictions) = predictions? else { return Ok(None) };
            (line.validation_score, line.region_accuracy, line.metastasis_auroc) =
                validation_figures(self.regions(), &predictions);
            // Of the validation pass, which has read the gates of every sample already. A step reads only their means, so that what it copies
            // from the device stays small; the samples of the steps would be another and noisy draw in each epoch besides.
            line.gates = gate_histograms(&self.names, &predictions);
        }
        Ok(Some(line))
    }

    fn swap_average(&mut self) -> Result<(), TrainError> {
        match &mut self.average {
            Some(average) => Ok(average.swap(&self.network.parameters)?),
            None => Ok(()),
        }
    }

    fn save(&mut self, regular: bool) -> Result<(), TrainError> {
        self.state.regular = regular;
        self.state.stream = match &self.positions {
            Some(positions) => Some(positions.at(self.state.next_batch)),
            // An epoch of which only the validation is left stands where it stood.
            None => self.state.stream.filter(|_| self.state.next_batch > 0),
        };
        self.state.balancer = self.balancer.state();
        let weights = self.network.parameters.to_bytes()?;
        if !self.ranks.is_alone() {
            let what = format!("its weights at step {}", self.state.step);
            self.ranks.same(&what, Digest::of_bytes(&weights).to_string().as_bytes())?;
        }
        if let Some(record) = &mut self.record {
            // The logs must not fall behind the checkpoint, which cuts them to its step.
            record.loss_log.sync()?;
            record.epoch_log.sync()?;
            let moments = self.optimizer.to_bytes()?;
            let average = self.average.as_ref().map(WeightAverage::to_bytes).transpose()?;
            record.folder.checkpoints().save(&weights, &moments, average.as_deref(), &self.state)?;
        }
        self.saved_at = Some(self.state.step);
        Ok(())
    }
}
