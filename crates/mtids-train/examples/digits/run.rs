//! One training and its figures on the test split.
//!
//! The step is the trainer's: [`train_step`] with the coefficients of a balancer, AdamW, one-cycle schedule. Nothing is chosen by the test
//! split: there is no early stopping, the last weights are measured. Invariant: the figures are a function of row, seed and number of
//! epochs, whatever else runs on the machine.

use anyhow::{Context, Result};
use mtids_balance::BalanceInput;
use mtids_layers::{AdamW, AdamWConfig, DType, Device, Parameters, Schedule, ScheduleConfig, Tensor};
use mtids_metrics::{Confusion, auroc};
use mtids_models::decoding::probabilities;
use mtids_models::experts::ExpertForm;
use mtids_models::{Model, NormKind, PredictionHead, Problem, Scope, StepInputs, StepOptions, TaskLosses, train_step};
use mtids_runtime::random::rng_for;
use mtids_train::prediction::{largest, metastasis_probability};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::canvas::{Canvases, Digit, REGIONS, SIDE};
use crate::rows::Key;

/// Canvases of the training and the test split.
pub(crate) const CANVASES: [usize; 2] = [3000, 1500];
/// Samples of a step.
pub(crate) const BATCH: usize = 64;
const CLIP: f64 = 5.0;
/// Canvases that are evaluated at once.
const EVALUATED: usize = 250;

/// What all rows have in common.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
pub(crate) struct Settings {
    /// Norm of the backbone: batch or group.
    #[arg(long, default_value = "batch", value_parser = crate::named::<NormKind>)]
    pub(crate) norm: NormKind,
    /// Form of the experts: residual or normalised.
    #[arg(long, default_value = "residual", value_parser = crate::named::<ExpertForm>)]
    pub(crate) experts: ExpertForm,
    /// Hidden units of an expert.
    #[arg(long, default_value_t = 64)]
    pub(crate) expert_hidden: usize,
    /// Largest learning rate.
    #[arg(long, default_value_t = 6e-3)]
    pub(crate) peak: f64,
    /// Passes over the training split.
    #[arg(long, default_value_t = 12)]
    pub(crate) epochs: u64,
}

/// What a run gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) row: Key,
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    /// On the test split.
    pub(crate) test: Measured,
    /// Mean over the steps of the share of task pairs in conflict.
    pub(crate) conflicting_share: f64,
    /// Mean over the steps of the cosines joint–region, joint–metastasis, region–metastasis; empty for one task.
    pub(crate) cosines: Vec<f64>,
    /// Losses of the last step, in their units.
    pub(crate) last_losses: Vec<f64>,
}

/// Figures of the pooled read-out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Share of the test canvases whose region and state are both right.
    pub(crate) accuracy: f64,
    /// Macro-F1 over the ten joint classes.
    pub(crate) macro_f1: f64,
    /// AUROC of the metastasis score.
    pub(crate) auroc: f64,
    /// Mean weight of the shared branch per task over the test canvases; empty without gates.
    pub(crate) shared_branch: Vec<f64>,
}

/// Trains a row and measures it.
pub(crate) fn run(row: Key, settings: Settings, digits: &[Digit], seed: u64) -> Result<Figures> {
    let Settings { peak, epochs, .. } = settings;
    let [training, test] = Canvases::splits(digits, seed, CANVASES)?;
    let parameters = Parameters::new(seed, DType::F32, &Device::Cpu);
    let problem = Problem::of_one_view(REGIONS, [1, 1, SIDE, SIDE]);
    let model = Model::new(&row.model(&settings), &problem, &parameters)?;
    let tasks = model.tasks();
    let counts = tasks.counts(&training.labels)?;
    let losses = TaskLosses::new(&row.loss(), tasks, Some(&counts))?.in_units(&row.units(tasks.len()))?;
    let mut balancer = row.balancer().build(tasks.len())?;
    let mut optimizer = AdamW::new(&AdamWConfig::default())?;
    let steps = epochs * training.len().div_ceil(BATCH) as u64;
    let schedule = Schedule::new(&ScheduleConfig { peak, ..ScheduleConfig::default() }, steps)?;
    let mut conflicts = 0.0;
    let mut cosines = vec![0.0; tasks.len() * tasks.len()];
    let mut last_losses = Vec::new();
    for epoch in 0..epochs {
        let mut order: Vec<usize> = (0..training.len()).collect();
        order.shuffle(&mut rng_for(seed, "digits/order", &[epoch]));
        for indices in order.chunks(BATCH) {
            let (input, targets) = batch(&training, indices)?;
            let options = StepOptions {
                scope: Scope::Boundary,
                clip_norm: CLIP,
                learning_rate: schedule.learning_rate(optimizer.step_count()),
                seed,
            };
            let report = train_step(
                &StepInputs {
                    model: &model,
                    parameters: &parameters,
                    losses: &losses,
                    input: &input,
                    targets: &targets,
                },
                &mut optimizer,
                &options,
                &mut |gradients| {
                    let balance = balancer.coefficients(&BalanceInput {
                        gram: gradients.gram,
                        losses: Some(gradients.losses),
                        active: gradients.active,
                    })?;
                    conflicts += balance.telemetry.conflicting_share / steps as f64;
                    for (mean, cosine) in cosines.iter_mut().zip(&balance.telemetry.cosines) {
                        *mean += cosine / steps as f64;
                    }
                    Ok(balance.coefficients)
                },
            )?;
            last_losses = report.losses.into_iter().flatten().collect();
        }
    }
    let test = measure(&model, &test)?;
    let pairs = if tasks.len() == 3 { vec![cosines[1], cosines[2], cosines[5]] } else { Vec::new() };
    Ok(Figures { row, seed, settings, test, conflicting_share: conflicts, cosines: pairs, last_losses })
}

fn batch(canvases: &Canvases, indices: &[usize]) -> Result<([Tensor; 1], mtids_models::TargetBatch)> {
    let (pixels, labels) = canvases.batch(indices);
    Ok(([Tensor::from_vec(pixels, (indices.len(), 1, 1, SIDE, SIDE), &Device::Cpu)?], labels))
}

fn measure(model: &Model, test: &Canvases) -> Result<Measured> {
    let mut called = Vec::new();
    let mut scores = Vec::new();
    let mut shared_branch: Vec<f64> = Vec::new();
    let all: Vec<usize> = (0..test.len()).collect();
    for indices in all.chunks(EVALUATED) {
        let (input, labels) = batch(test, indices)?;
        let outputs = model.evaluate(&input)?;
        let rows: Vec<Vec<f32>> =
            probabilities(model.tasks(), &outputs, model.eta(), PredictionHead::Pooled)?.to_vec2()?;
        for (row, (region, state)) in rows.into_iter().zip(labels.region.iter().zip(&labels.metastasis)) {
            let row: Vec<f64> = row.into_iter().map(f64::from).collect();
            let (region, state) = (region.context("a canvas has a region")?, state.context("a canvas has a state")?);
            called.push(((2 * region + state) as usize, largest(&row)));
            scores.push((metastasis_probability(&row), state == 1));
        }
        shared_branch.resize(outputs.gates.len(), 0.0);
        for (mean, gate) in shared_branch.iter_mut().zip(&outputs.gates) {
            let branch: Vec<Vec<f32>> = gate.branch.to_vec2()?;
            let sum: f64 = branch.iter().filter_map(|weights| weights.first()).map(|&weight| f64::from(weight)).sum();
            *mean += sum / test.len() as f64;
        }
    }
    let confusion = Confusion::from_pairs(2 * REGIONS, called);
    Ok(Measured {
        accuracy: confusion.accuracy().context("no test canvas")?,
        macro_f1: confusion.macro_f1().context("no test canvas")?,
        auroc: auroc(&scores).context("test canvases of one state only")?,
        shared_branch,
    })
}
