//! One training step: losses, gradients per task, coefficients from the balancer, update.
//!
//! Purpose: the balancer sees the T × T Gram matrix of the tasks' gradients on shared parameters and answers with
//! coefficients (a few rules see whole gradients and answer with one); this module gets the one and applies the other. [`Scope::Boundary`] cuts the graph at the model's boundary
//! (for MT-IDS the trunk output z and the shared experts' outputs S), gives every task its own copy, and walks the trunk once (P:
//! MGDA-UB, NeurIPS 2018; RotoGrad, ICLR 2022); [`Scope::Exact`] differentiates the whole network once per task. Invariants:
//! coefficients touch only parameters that two or more tasks reach; all others get the plain gradient of their own task;
//! regularisers bypass the balancer; for the same coefficients both scopes give the same gradient; where nothing is shared the
//! balancer is not asked.

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{BoxError, NnError, Result};
use crate::loss::TaskLosses;
use crate::model::{Mode, Model, Outputs, TaskOutput, gather};
use crate::optimizer::{Gradients, UpdateRule, clip, global_norm};
use crate::parameters::Parameters;
use crate::tasks::TargetBatch;

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
}

/// One whole training step.
///
/// `input` is `[B, C, D, H, W]` in the type of the parameters. Backward passes recurse along the graph: call this on a thread
/// with a large stack (64 MiB).
///
/// # Errors
/// [`NnError::NotFinite`] when a loss or the gradient is NaN or infinite (nothing is updated then), [`NnError::Balance`] when
/// the balancer fails or answers with the wrong number of coefficients or a non-finite one.
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
/// As [`train_step`]; [`NnError::Balance`] also for an update of another length.
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
    let step = optimizer.step_count();
    let mode = Mode::Train { seed: options.seed, step };
    let (mut gradients, mut report) =
        gradients_with(model, parameters, losses, input, targets, options.scope, mode, balancing)?;
    for (task, loss) in model.tasks().tasks().iter().zip(&report.losses) {
        if loss.is_some_and(|loss| !loss.is_finite()) {
            return Err(NnError::NotFinite { what: format!("the loss of task `{}`", task.name), step });
        }
    }
    report.gradient_norm = global_norm(&gradients)?;
    if !report.gradient_norm.is_finite() {
        return Err(NnError::NotFinite { what: "the gradient".into(), step });
    }
    clip(&mut gradients, report.gradient_norm, options.clip_norm)?;
    optimizer.step(parameters, &gradients, options.learning_rate)?;
    Ok(report)
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
    match scope {
        Scope::Boundary => boundary(model, parameters, losses, input, targets, mode, balancing),
        Scope::Exact => exact(model, parameters, losses, input, targets, mode, balancing),
    }
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
    losses.losses(&outputs, targets)?.iter().map(|loss| loss.as_ref().map(scalar).transpose()).collect()
}

/// Gradients by variable, collected in name order.
struct Collector {
    variables: Vec<(String, Var)>,
    gradients: Gradients,
}

impl Collector {
    fn new(parameters: &Parameters) -> Self {
        Self { variables: parameters.variables(), gradients: Gradients::new() }
    }

    /// The variables that two or more tasks reach.
    fn shared(&self, model: &Model) -> Vec<(String, Var)> {
        self.variables.iter().filter(|(name, _)| model.network().is_shared(name)).cloned().collect()
    }

    fn add_one(&mut self, name: &str, gradient: Tensor) -> Result<()> {
        let sum = match self.gradients.get(name) {
            Some(sum) => (sum + gradient)?,
            None => gradient,
        };
        self.gradients.insert(name.to_owned(), sum);
        Ok(())
    }

    /// Adds the gradients of all variables that `wanted` accepts.
    fn add(&mut self, store: &GradStore, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let found: Vec<(String, Tensor)> = self
            .variables
            .iter()
            .filter(|(name, _)| wanted(name))
            .filter_map(|(name, variable)| Some((name.clone(), store.get(variable)?.detach())))
            .collect();
        for (name, gradient) in found {
            self.add_one(&name, gradient)?;
        }
        Ok(())
    }
}

fn boundary(
    model: &Model,
    parameters: &Parameters,
    losses: &TaskLosses,
    input: &Tensor,
    targets: &TargetBatch,
    mode: Mode,
    balancing: Balancing<'_, '_>,
) -> Result<(Gradients, StepReport)> {
    let network = model.network();
    let shared = network.boundary(input, mode)?;
    let mut copies: Vec<Vec<Var>> = Vec::new();
    let mut outputs: Vec<TaskOutput> = Vec::new();
    for task in 0..model.tasks().len() {
        // `copy` because a variable made from shared storage would alias the other tasks' copies.
        let own: Result<Vec<Var>> =
            shared.tensors.iter().map(|tensor| Ok(Var::from_tensor(&tensor.detach().copy()?)?)).collect();
        let own = own?;
        let views: Vec<Tensor> = own.iter().map(|variable| variable.as_tensor().clone()).collect();
        outputs.push(network.task(task, &views, mode)?);
        copies.push(own);
    }
    let outputs = gather(shared.gates, outputs);
    let task_losses = losses.losses(&outputs, targets)?;
    let mut collector = Collector::new(parameters);
    let late: Vec<(String, Var)> = collector.shared(model);
    let at_cut = |store: &GradStore, own: &[Var]| -> Vec<Option<Tensor>> {
        own.iter().map(|variable| store.get(variable).map(Tensor::detach)).collect()
    };
    // Above the cut the graphs of the tasks are disjoint, so T passes cost what one of the sum would.
    let mut by_task: Vec<Option<Parts>> = Vec::new();
    for (loss, own) in task_losses.iter().zip(&copies) {
        let Some(loss) = loss else {
            by_task.push(None);
            continue;
        };
        let store = loss.backward()?;
        collector.add(&store, |name| !network.is_shared(name))?;
        let mut parts = at_cut(&store, own);
        // Shared parameters above the cut, which few models have.
        parts.extend(late.iter().map(|(_, variable)| store.get(variable).map(Tensor::detach)));
        by_task.push(Some(parts));
    }
    let shapes: Vec<&Tensor> =
        shared.tensors.iter().chain(late.iter().map(|(_, variable)| variable.as_tensor())).collect();
    let asked = ask(model, &task_losses, &by_task, &shapes, balancing)?;
    let mut report = asked.report();
    let mut cut: Vec<Option<Tensor>> = vec![None; shared.tensors.len()];
    let add_cut = |cut: &mut [Option<Tensor>], parts: &[Option<Tensor>], factor: f64| -> Result<()> {
        for (total, part) in cut.iter_mut().zip(parts) {
            if let Some(part) = part {
                let part = (part * factor)?;
                *total = Some(match total.take() {
                    Some(total) => (total + part)?,
                    None => part,
                });
            }
        }
        Ok(())
    };
    for (parts, coefficient) in asked.shares(&by_task) {
        add_cut(&mut cut, parts, coefficient)?;
        for ((name, _), part) in late.iter().zip(parts.iter().skip(shared.tensors.len())) {
            if let Some(part) = part {
                collector.add_one(name, (part * coefficient)?)?;
            }
        }
    }
    if let Some(regulariser) = losses.regulariser(network.gate_terms(), &outputs)? {
        report.regulariser = scalar(&regulariser)?;
        let store = regulariser.backward()?;
        collector.add(&store, |_| true)?;
        for own in &copies {
            add_cut(&mut cut, &at_cut(&store, own), 1.0)?;
        }
    }
    // The gradient of Σ z·γ with respect to z is γ: one pass below the cut for all tasks.
    let terms: Result<Vec<Tensor>> = shared
        .tensors
        .iter()
        .zip(cut)
        .filter_map(|(output, gradient)| Some((output, gradient?)))
        .map(|(output, gradient)| Ok((output * gradient)?.sum_all()?))
        .collect();
    if let Some(total) = sum(terms?.iter())? {
        collector.add(&total.backward()?, |_| true)?;
    }
    finish(model, losses, &outputs, targets, collector, report)
}

fn exact(
    model: &Model,
    parameters: &Parameters,
    losses: &TaskLosses,
    input: &Tensor,
    targets: &TargetBatch,
    mode: Mode,
    balancing: Balancing<'_, '_>,
) -> Result<(Gradients, StepReport)> {
    let network = model.network();
    let outputs = model.forward(input, mode)?;
    let task_losses = losses.losses(&outputs, targets)?;
    let mut collector = Collector::new(parameters);
    let shared = collector.shared(model);
    let mut by_task: Vec<Option<Parts>> = Vec::new();
    for loss in &task_losses {
        let Some(loss) = loss else {
            by_task.push(None);
            continue;
        };
        let store = loss.backward()?;
        collector.add(&store, |name| !network.is_shared(name))?;
        by_task.push(Some(shared.iter().map(|(_, variable)| store.get(variable).map(Tensor::detach)).collect()));
    }
    let shapes: Vec<&Tensor> = shared.iter().map(|(_, variable)| variable.as_tensor()).collect();
    let asked = ask(model, &task_losses, &by_task, &shapes, balancing)?;
    let mut report = asked.report();
    for (parts, coefficient) in asked.shares(&by_task) {
        for ((name, _), part) in shared.iter().zip(parts) {
            if let Some(part) = part {
                collector.add_one(name, (part * coefficient)?)?;
            }
        }
    }
    if let Some(regulariser) = losses.regulariser(network.gate_terms(), &outputs)? {
        report.regulariser = scalar(&regulariser)?;
        collector.add(&regulariser.backward()?, |_| true)?;
    }
    finish(model, losses, &outputs, targets, collector, report)
}

/// Gradients of one task at the places where tasks are compared; `None` where the task does not reach.
type Parts = Vec<Option<Tensor>>;

/// What the balancer decided.
struct Asked {
    losses: Vec<Option<f64>>,
    gram: Vec<f64>,
    coefficients: Vec<f64>,
    /// The combined gradient itself, where coefficients do not say it.
    update: Option<Parts>,
}

impl Asked {
    fn report(&self) -> StepReport {
        StepReport {
            losses: self.losses.clone(),
            pooled_loss: None,
            regulariser: 0.0,
            gram: self.gram.clone(),
            coefficients: self.coefficients.clone(),
            gradient_norm: 0.0,
            gates: Vec::new(),
        }
    }

    /// The terms whose sum is the shared gradient.
    fn shares<'s>(&'s self, by_task: &'s [Option<Parts>]) -> Vec<(&'s Parts, f64)> {
        match &self.update {
            Some(update) => vec![(update, 1.0)],
            None => {
                let pairs = by_task.iter().zip(&self.coefficients);
                pairs.filter_map(|(parts, coefficient)| Some((parts.as_ref()?, *coefficient))).collect()
            }
        }
    }
}

/// Gram matrix, then the balancer's checked answer. `shapes` are tensors of the shapes of the parts.
fn ask(
    model: &Model,
    task_losses: &[Option<Tensor>],
    by_task: &[Option<Parts>],
    shapes: &[&Tensor],
    balancing: Balancing<'_, '_>,
) -> Result<Asked> {
    let count = model.tasks().len();
    let losses: Result<Vec<Option<f64>>> =
        task_losses.iter().map(|loss| loss.as_ref().map(scalar).transpose()).collect();
    let losses = losses?;
    let active: Vec<bool> = losses.iter().map(Option::is_some).collect();
    let gram = gram(count, by_task, shapes.len())?;
    let mut asked = Asked { losses, gram, coefficients: vec![0.0; count], update: None };
    if !active.contains(&true) {
        return Ok(asked);
    }
    if !model.network().balances() {
        asked.coefficients = active.iter().map(|active| f64::from(u8::from(*active))).collect();
        return Ok(asked);
    }
    let values: Vec<f64> = asked.losses.iter().map(|loss| loss.unwrap_or(0.0)).collect();
    let told = StepGradients { gram: &asked.gram, losses: &values, active: &active };
    let refuse = |reason: String| NnError::Balance(reason.into());
    match balancing {
        Balancing::Weigh(weigh) => {
            let coefficients = weigh(&told).map_err(NnError::Balance)?;
            if coefficients.len() != count || coefficients.iter().any(|c| !c.is_finite()) {
                let reason = format!("answered {coefficients:?} for {count} tasks; needs one finite value per task");
                return Err(refuse(reason));
            }
            asked.coefficients = coefficients;
        }
        Balancing::Combine(combine) => {
            let rows = rows(by_task, shapes)?;
            let Combined { update, weights } = combine(&told, &rows).map_err(NnError::Balance)?;
            let width: usize = shapes.iter().map(|shape| shape.elem_count()).sum();
            if update.len() != width || update.iter().any(|value| !value.is_finite()) {
                return Err(refuse(format!("answered {} numbers, some perhaps not finite, for {width}", update.len())));
            }
            asked.coefficients = weights.unwrap_or_default();
            asked.update = Some(split(&update, shapes)?);
        }
    }
    Ok(asked)
}

/// Inner products of the tasks' gradients. One place is converted to double precision after the other, so that no more than its gradients
/// are held twice.
fn gram(count: usize, by_task: &[Option<Parts>], places: usize) -> Result<Vec<f64>> {
    let mut gram = vec![0.0; count * count];
    for place in 0..places {
        let rows: Result<Vec<Option<Vec<f64>>>> = by_task
            .iter()
            .map(|parts| parts.as_ref().and_then(|parts| parts.get(place)?.as_ref()).map(to_f64).transpose())
            .collect();
        let rows = rows?;
        for (i, a) in rows.iter().enumerate() {
            for (j, b) in rows.iter().enumerate().take(i + 1) {
                let (Some(a), Some(b)) = (a, b) else { continue };
                let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                gram[i * count + j] += dot;
                if i != j {
                    gram[j * count + i] += dot;
                }
            }
        }
    }
    Ok(gram)
}

/// Whole gradients, one row for each task; an empty row for a task without labelled sample.
fn rows(by_task: &[Option<Parts>], shapes: &[&Tensor]) -> Result<Vec<Vec<f32>>> {
    let row = |parts: &Parts| -> Result<Vec<f32>> {
        let mut row = Vec::new();
        for (part, shape) in parts.iter().zip(shapes) {
            match part {
                Some(part) => row.extend(part.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?),
                None => row.resize(row.len() + shape.elem_count(), 0.0),
            }
        }
        Ok(row)
    };
    by_task.iter().map(|parts| parts.as_ref().map_or_else(|| Ok(Vec::new()), row)).collect()
}

/// A combined row back in the shapes of its places.
fn split(update: &[f64], shapes: &[&Tensor]) -> Result<Parts> {
    let mut rest = update;
    let mut parts = Vec::with_capacity(shapes.len());
    for shape in shapes {
        // The sum of all lengths was compared with that of the update.
        let (part, behind) = rest.split_at(shape.elem_count());
        rest = behind;
        let part = Tensor::from_slice(part, shape.shape(), &candle_core::Device::Cpu)?;
        parts.push(Some(part.to_dtype(shape.dtype())?.to_device(shape.device())?));
    }
    Ok(parts)
}

fn finish(
    model: &Model,
    losses: &TaskLosses,
    outputs: &Outputs,
    targets: &TargetBatch,
    mut collector: Collector,
    mut report: StepReport,
) -> Result<(Gradients, StepReport)> {
    if let Some(pooled) = losses.pooled(model, outputs, targets)? {
        report.pooled_loss = Some(scalar(&pooled)?);
        collector.add(&pooled.backward()?, |name| name.starts_with("read_out."))?;
    }
    report.gates = gate_means(outputs)?;
    Ok((collector.gradients, report))
}

/// Mean decision of each gate over the batch.
///
/// # Errors
/// When candle refuses an operation.
pub fn gate_means(outputs: &Outputs) -> Result<Vec<GateMeans>> {
    let mean = |tensor: Option<&Tensor>| -> Result<Vec<f64>> {
        tensor.map_or_else(|| Ok(Vec::new()), |tensor| to_f64(&tensor.detach().mean(0)?))
    };
    outputs
        .gates
        .iter()
        .map(|gate| {
            let branch = mean(Some(&gate.branch))?;
            Ok(GateMeans {
                shared_branch: branch.first().copied().unwrap_or(0.0),
                private_branch: branch.get(1).copied().unwrap_or(0.0),
                other_branch: branch.get(2).copied(),
                shared_experts: mean(gate.shared.as_ref())?,
                private_experts: mean(gate.private.as_ref())?,
                other_experts: mean(gate.others.as_ref())?,
            })
        })
        .collect()
}

fn sum<'a>(mut terms: impl Iterator<Item = &'a Tensor>) -> Result<Option<Tensor>> {
    let Some(first) = terms.next() else { return Ok(None) };
    let mut total = first.clone();
    for term in terms {
        total = (total + term)?;
    }
    Ok(Some(total))
}

fn scalar(value: &Tensor) -> Result<f64> {
    Ok(value.detach().to_dtype(DType::F64)?.to_scalar::<f64>()?)
}

fn to_f64(value: &Tensor) -> Result<Vec<f64>> {
    Ok(value.detach().flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?)
}
