//! One training step: losses, gradients per task, coefficients from the balancer, update.
//!
//! Purpose: the balancer sees the T × T Gram matrix of the tasks' gradients on shared parameters and answers with
//! coefficients (a few rules see whole gradients and answer with one); this module gets the one and applies the other.
//! [`Scope::Boundary`] cuts the graph at the model's boundary (for MT-IDS the backbone's features z and the shared experts'
//! outputs S), gives every task its own copy, and walks the backbone once (P: MGDA-UB, NeurIPS 2018; RotoGrad, ICLR 2022); [`Scope::Exact`] differentiates the whole network once per task. Invariants:
//! coefficients touch only parameters that two or more tasks reach; all others get the plain gradient of their own task;
//! regularisers bypass the balancer; for the same coefficients both scopes give the same gradient; where nothing is shared the
//! balancer is not asked. Running statistics of batch norm change with the parameters or not at all.
//!
//! On a card the tasks of some networks are computed together (`together.rs`), with the same gradients.
//!
//! With several ranks (`Parameters::with_ranks`) each passes through its own rows. Losses are sums over ranks. Gradients of shared parameters are added
//! up before their products; gradients at the boundary belong to rows, so the ranks' Gram matrices are added (`among_ranks.rs`). The balancer answers the
//! same on every rank; each applies the answer to its own gradients, and the sum of what came out makes the update.
//!
//! On a GPU a step waits for the device twice (`reading.rs`): for losses and Gram matrix, and when all its work has been given to the device.
//! Clipping and update act on numbers that the host has not seen, so there the gradient is found to be infinite or NaN after the update.

mod accumulation;
mod among_ranks;
mod gram;
mod reading;
mod scope;
mod task_gradients;
mod together;
mod types;

pub use accumulation::Accumulation;
pub use types::{
    Balancing, Coefficients, Combination, Combined, GateMeans, Scope, StepGradients, StepInputs, StepOptions,
    StepReport, WholeGradients,
};

use mtids_layers::optimizer::{Gradients, UpdateRule};

use crate::error::Result;
use crate::types::Mode;
use among_ranks::{check_announced, sum_gradients};
use reading::{Gathered, Pass, Reads, Side};
use scope::On;

/// One whole training step.
///
/// Backward passes recurse along the graph: call this on a thread with a large stack (64 MiB).
///
/// # Errors
/// [`crate::ModelError::NotFinite`] when a loss or the gradient is NaN or infinite; nothing is updated then, except by such a gradient on a GPU: weights
/// and moments are useless afterwards, and must not be saved. [`crate::ModelError::Balance`] when the balancer fails or answers with the wrong number of
/// coefficients or a non-finite one.
pub fn train_step<O: UpdateRule>(
    inputs: &StepInputs<'_>,
    optimizer: &mut O,
    options: &StepOptions,
    balance: &mut Coefficients<'_>,
) -> Result<StepReport> {
    let balancing = Balancing::Weigh(balance);
    train_step_with(inputs, optimizer, options, balancing)
}

/// As [`train_step`], with a balancer of either kind.
///
/// # Errors
/// As [`train_step`]; [`crate::ModelError::Balance`] also for an update of another length.
pub fn train_step_with<O: UpdateRule>(
    inputs: &StepInputs<'_>,
    optimizer: &mut O,
    options: &StepOptions,
    balancing: Balancing<'_, '_>,
) -> Result<StepReport> {
    let mut accumulation = Accumulation::default();
    accumulation.add(inputs, options, optimizer.step_count(), balancing)?;
    accumulation.update(inputs.parameters, optimizer, options)
}

fn pass(on: &On<'_>, scope: Scope, balancing: Balancing<'_, '_>) -> Result<Pass> {
    check_announced(&on.inputs)?;
    // Several ranks have rows of their own, and train on the CPU, where nothing waits for launches.
    let together = on.inputs.model.network().together().filter(|_| on.inputs.parameters.ranks().is_alone());
    match (scope, together) {
        (Scope::Boundary, Some(together)) => together::boundary(on, &together, balancing),
        (Scope::Boundary, None) => scope::boundary(on, balancing),
        (Scope::Exact, _) => scope::exact(on, balancing),
    }
}

/// Combined gradients of one batch, and the report without the gradient norm (0). Batch statistics that the pass records are dropped.
///
/// # Errors
/// As [`train_step`], except that the gradient of all tasks may be infinite or NaN.
pub fn gradients(
    inputs: &StepInputs<'_>,
    scope: Scope,
    mode: Mode,
    balance: &mut Coefficients<'_>,
) -> Result<(Gradients, StepReport)> {
    gradients_with(inputs, scope, mode, Balancing::Weigh(balance))
}

/// As [`gradients`], with a balancer of either kind.
///
/// # Errors
/// As [`gradients`].
pub fn gradients_with(
    inputs: &StepInputs<'_>,
    scope: Scope,
    mode: Mode,
    balancing: Balancing<'_, '_>,
) -> Result<(Gradients, StepReport)> {
    let on = On { inputs: *inputs, mode, side: Side::of(inputs.parameters.device()) };
    let passed = pass(&on, scope, balancing);
    inputs.parameters.discard_statistics();
    let Pass { mut gradients, mut report, late, mut reads } = passed?;
    sum_gradients(&mut gradients, inputs.parameters.ranks())?;
    late.read(&mut report, &mut reads)?;
    report.reads = reads.0;
    Ok((gradients, report))
}

/// Loss of each task on a batch with the current parameters; `None` where no sample is labelled. `mode` says which noise is drawn: that of the step
/// itself, to compare with its losses. Batch statistics that the pass records are dropped.
///
/// # Errors
/// When an input has another shape than the model was built for.
pub fn losses_of(inputs: &StepInputs<'_>, mode: Mode) -> Result<Vec<Option<f64>>> {
    let StepInputs { model, parameters, losses, input, targets } = *inputs;
    check_announced(inputs)?;
    let outputs = model.forward(input, mode);
    parameters.discard_statistics();
    let outputs = outputs?;
    let mut gathered = Gathered::default();
    let mut at = Vec::new();
    for loss in losses.losses(&outputs, targets)? {
        at.push(loss.map(|loss| gathered.add(&loss)).transpose()?);
    }
    let values = gathered.read(&mut Reads::default())?.over(parameters.ranks())?;
    Ok(at.iter().map(|range| values.first(range.as_ref()?)).collect())
}

#[cfg(test)]
mod tests;
