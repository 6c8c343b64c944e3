//! One training step: losses, gradients per task, coefficients from the balancer, update.
//!
//! Purpose: the balancer sees the T × T Gram matrix of the tasks' gradients on shared parameters and answers with
//! coefficients (a few rules see whole gradients and answer with one); this module gets the one and applies the other. [`Scope::Boundary`] cuts the graph at the model's boundary
//! (for MT-IDS the trunk output z and the shared experts' outputs S), gives every task its own copy, and walks the trunk once (P:
//! MGDA-UB, NeurIPS 2018; RotoGrad, ICLR 2022); [`Scope::Exact`] differentiates the whole network once per task. Invariants:
//! coefficients touch only parameters that two or more tasks reach; all others get the plain gradient of their own task;
//! regularisers bypass the balancer; for the same coefficients both scopes give the same gradient; where nothing is shared the
//! balancer is not asked.
//!
//! On a GPU a step waits for the device twice (`reading.rs`): for losses and Gram matrix, and when all its work has been given to the device.
//! Clipping and update act on numbers that the host has not seen, so there the gradient is found to be infinite or NaN after the update.

mod ask;
mod gram;
mod reading;
mod scope;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{BoxError, ModelError, Result};
use crate::loss::TaskLosses;
use crate::model::{Mode, Model};
use crate::tasks::TargetBatch;
use mtids_layers::optimizer::{Gradients, UpdateRule, clip, clip_where_they_are, squared_norms};
use mtids_layers::parameters::Parameters;
use reading::{Gathered, Pass, Reads, Side};
use scope::On;

/// Where the tasks' gradients are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// At the model's boundary, for MT-IDS the trunk's features and the shared experts' outputs: one backward pass of the trunk.
    #[default]
    Boundary,
    /// On the shared parameters themselves: one backward pass per task.
    Exact,
}

/// What the balancer is told.
#[derive(Clone, Copy, Debug)]
pub struct StepGradients<'a> {
    /// Gram matrix of the tasks' gradients, `T * T`, row-major; rows of inactive tasks are 0.
    pub gram: &'a [f64],
    /// Loss of each task; 0 for inactive tasks.
    pub losses: &'a [f64],
    /// Which tasks had a labelled sample.
    pub active: &'a [bool],
}

/// A balancer that weighs: one finite coefficient per task. Some rules have negative ones.
pub type Coefficients<'a> = dyn FnMut(&StepGradients<'_>) -> std::result::Result<Vec<f64>, BoxError> + 'a;

/// A balancer that combines whole gradients: `[T]` rows of `[P]` numbers, empty for inactive tasks, become one.
pub type Combination<'a> = dyn FnMut(&StepGradients<'_>, &[Vec<f32>]) -> std::result::Result<Combined, BoxError> + 'a;

/// What a [`Combination`] answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Combined {
    /// `[P]`: the combined gradient.
    pub update: Vec<f64>,
    /// `[T]`: weights of the tasks, where the rule has such; for the log.
    pub weights: Option<Vec<f64>>,
}

/// Who decides about the shared gradient.
pub enum Balancing<'b, 'a> {
    /// By coefficients; the rows never leave the graph's tensors.
    Weigh(&'b mut Coefficients<'a>),
    /// By whole gradients, which costs T copies of them.
    Combine(&'b mut Combination<'a>),
}

/// Settings of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOptions {
    /// Where gradients are compared.
    pub scope: Scope,
    /// Limit of the global gradient norm.
    pub clip_norm: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Seed of the run, for gate noise.
    pub seed: u64,
}

/// Mean decision of one task's gate over a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateMeans {
    /// Mean weight of the shared branch, α^s.
    pub shared_branch: f64,
    /// Mean weight of the private branch, α^p.
    pub private_branch: f64,
    /// Mean weight of the other tasks' experts, where the task reads them.
    pub other_branch: Option<f64>,
    /// Mean π^s per shared expert.
    pub shared_experts: Vec<f64>,
    /// Mean π^p per private expert.
    pub private_experts: Vec<f64>,
    /// Mean division among the other tasks' experts, in task order.
    pub other_experts: Vec<f64>,
}

/// What happened in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Loss of each task; `None` where no sample was labelled.
    pub losses: Vec<Option<f64>>,
    /// Loss of the pooled read-out.
    pub pooled_loss: Option<f64>,
    /// Weighted sum of the gate regularisers.
    pub regulariser: f64,
    /// Gram matrix handed to the balancer, `T * T`.
    pub gram: Vec<f64>,
    /// Its answer; empty where it gave a combined gradient without weights.
    pub coefficients: Vec<f64>,
    /// Global norm of the combined gradient before clipping.
    pub gradient_norm: f64,
    /// Mean decisions of the gates; empty for a model without gates.
    pub gates: Vec<GateMeans>,
    /// How often the host waited for values of the step: on a GPU, each time for all work given to it.
    pub reads: usize,
}

/// One whole training step.
///
/// `input` is `[B, C, D, H, W]` in the type of the parameters. Backward passes recurse along the graph: call this on a thread
/// with a large stack (64 MiB).
///
/// # Errors
/// [`ModelError::NotFinite`] when a loss or the gradient is NaN or infinite; nothing is updated then, except by such a gradient on a GPU: weights
/// and moments are useless afterwards, and must not be saved. [`ModelError::Balance`] when the balancer fails or answers with the wrong number of
/// coefficients or a non-finite one.
#[expect(clippy::too_many_arguments, reason = "each is a different thing that a step needs")]
pub fn train_step<O: UpdateRule>(
    model: &Model,
    parameters: &Parameters,
    optimizer: &mut O,
    losses: &TaskLosses,
    input: &Tensor,
    targets: &TargetBatch,
    options: &StepOptions,
    balance: &mut Coefficients<'_>,
) -> Result<StepReport> {
    let balancing = Balancing::Weigh(balance);
    train_step_with(model, parameters, optimizer, losses, input, targets, options, balancing)
}

/// As [`train_step`], with a balancer of either kind.
///
/// # Errors
/// As [`train_step`]; [`ModelError::Balance`] also for an update of another length.
#[expect(clippy::too_many_arguments, reason = "each is a different thing that a step needs")]
pub fn train_step_with<O: UpdateRule>(
    model: &Model,
    parameters: &Parameters,
    optimizer: &mut O,
    losses: &TaskLosses,
    input: &Tensor,
    targets: &TargetBatch,
    options: &StepOptions,
    balancing: Balancing<'_, '_>,
) -> Result<StepReport> {
    let mode = Mode::Train { seed: options.seed, step: optimizer.step_count() };
    let on = On { model, parameters, losses, input, targets, mode, side: Side::of(input.device()) };
    take(&on, optimizer, options, balancing)
}

/// Gradients, clipping and update on either side.
fn take<O: UpdateRule>(
    on: &On<'_>,
    optimizer: &mut O,
    options: &StepOptions,
    balancing: Balancing<'_, '_>,
) -> Result<StepReport> {
    let step = optimizer.step_count();
    let Pass { mut gradients, mut report, mut late, mut reads } = pass(on, options.scope, balancing)?;
    for (task, loss) in on.model.tasks().tasks().iter().zip(&report.losses) {
        if loss.is_some_and(|loss| !loss.is_finite()) {
            return Err(ModelError::NotFinite { what: format!("the loss of task `{}`", task.name), step });
        }
    }
    let squares = squared_norms(&gradients)?;
    late.squares(&squares)?;
    if on.side == Side::Host {
        late.read(&mut report, &mut reads)?;
        finite(&report, step)?;
        clip(&mut gradients, report.gradient_norm, options.clip_norm)?;
        optimizer.step(on.parameters, &gradients, options.learning_rate)?;
    } else {
        clip_where_they_are(&mut gradients, &squares, options.clip_norm)?;
        optimizer.step(on.parameters, &gradients, options.learning_rate)?;
        late.read(&mut report, &mut reads)?;
        finite(&report, step)?;
    }
    report.reads = reads.0;
    Ok(report)
}

fn finite(report: &StepReport, step: u64) -> Result<()> {
    if report.gradient_norm.is_finite() {
        return Ok(());
    }
    Err(ModelError::NotFinite { what: "the gradient".into(), step })
}

fn pass(on: &On<'_>, scope: Scope, balancing: Balancing<'_, '_>) -> Result<Pass> {
    match scope {
        Scope::Boundary => scope::boundary(on, balancing),
        Scope::Exact => scope::exact(on, balancing),
    }
}

/// Combined gradients of one batch, and the report without the gradient norm (0).
///
/// # Errors
/// As [`train_step`], except for non-finite values.
#[expect(clippy::too_many_arguments, reason = "each is a different thing that a step needs")]
pub fn gradients(
    model: &Model,
    parameters: &Parameters,
    losses: &TaskLosses,
    input: &Tensor,
    targets: &TargetBatch,
    scope: Scope,
    mode: Mode,
    balance: &mut Coefficients<'_>,
) -> Result<(Gradients, StepReport)> {
    gradients_with(model, parameters, losses, input, targets, scope, mode, Balancing::Weigh(balance))
}

/// As [`gradients`], with a balancer of either kind.
///
/// # Errors
/// As [`train_step_with`], except for non-finite values.
#[expect(clippy::too_many_arguments, reason = "each is a different thing that a step needs")]
pub fn gradients_with(
    model: &Model,
    parameters: &Parameters,
    losses: &TaskLosses,
    input: &Tensor,
    targets: &TargetBatch,
    scope: Scope,
    mode: Mode,
    balancing: Balancing<'_, '_>,
) -> Result<(Gradients, StepReport)> {
    let on = On { model, parameters, losses, input, targets, mode, side: Side::of(input.device()) };
    let Pass { gradients, mut report, late, mut reads } = pass(&on, scope, balancing)?;
    late.read(&mut report, &mut reads)?;
    report.reads = reads.0;
    Ok((gradients, report))
}

/// Loss of each task on a batch with the current parameters; `None` where no sample is labelled. `mode` says which noise is drawn: that of the step
/// itself, to compare with its losses.
///
/// # Errors
/// When the input has another shape than the model was built for.
pub fn losses_of(
    model: &Model,
    losses: &TaskLosses,
    input: &Tensor,
    targets: &TargetBatch,
    mode: Mode,
) -> Result<Vec<Option<f64>>> {
    let outputs = model.forward(input, mode)?;
    let mut gathered = Gathered::default();
    let mut at = Vec::new();
    for loss in losses.losses(&outputs, targets)? {
        at.push(loss.map(|loss| gathered.add(&loss)).transpose()?);
    }
    let values = gathered.read(&mut Reads::default())?;
    Ok(at.iter().map(|range| values.first(range.as_ref()?)).collect())
}

#[cfg(test)]
mod tests;
