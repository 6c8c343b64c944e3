//! The two scopes: where the graph is cut, which passes run, and which gradient each parameter gets.

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

use super::among_ranks::Places;
use super::reading::{Late, Pass, Reads, Side};
use super::task_gradients::balance;
use super::types::{Balancing, Parts, StepInputs};
use crate::error::Result;
use crate::model::Model;
use crate::types::{Mode, Outputs, TaskOutput, gather};
use mtids_layers::optimizer::Gradients;
use mtids_layers::parameters::Parameters;
use mtids_layers::stacked::Stacks;

/// What a pass works on.
#[derive(Clone, Copy)]
pub(super) struct On<'a> {
    pub(super) inputs: StepInputs<'a>,
    pub(super) mode: Mode,
    pub(super) side: Side,
}

/// Gradients by variable, collected in name order.
pub(super) struct Collector {
    variables: Vec<(String, Var)>,
    stacks: Stacks,
    pub(super) gradients: Gradients,
}

impl Collector {
    pub(super) fn new(parameters: &Parameters) -> Self {
        Self { variables: parameters.variables(), stacks: parameters.stacks().clone(), gradients: Gradients::new() }
    }

    /// The variables that two or more tasks reach.
    pub(super) fn shared(&self, model: &Model) -> Vec<(String, Var)> {
        self.variables.iter().filter(|(name, _)| model.network().is_shared(name)).cloned().collect()
    }

    pub(super) fn add_one(&mut self, name: &str, gradient: Tensor) -> Result<()> {
        let sum = match self.gradients.get(name) {
            Some(sum) => (sum + gradient)?,
            None => gradient,
        };
        self.gradients.insert(name.to_owned(), sum);
        Ok(())
    }

    /// Adds the gradients of all variables that `wanted` accepts.
    pub(super) fn add(&mut self, store: &GradStore, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let mut found = Vec::new();
        for (name, variable) in self.variables.iter().filter(|(name, _)| wanted(name)) {
            found.extend(self.stacks.gradient(store, variable)?.map(|gradient| (name.clone(), gradient)));
        }
        for (name, gradient) in found {
            self.add_one(&name, gradient)?;
        }
        Ok(())
    }

    /// The gradient of each of these variables, where there is one.
    fn of(&self, store: &GradStore, variables: &[(String, Var)]) -> Result<Parts> {
        variables.iter().map(|(_, variable)| Ok(self.stacks.gradient(store, variable)?)).collect()
    }
}

pub(super) fn boundary(on: &On<'_>, balancing: Balancing<'_, '_>) -> Result<Pass> {
    let On { inputs: StepInputs { model, parameters, losses, input, targets }, mode, side } = *on;
    let mut reads = Reads::default();
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
    let above: Vec<(String, Var)> = collector.shared(model);
    let at_cut = |store: &GradStore, own: &[Var]| -> Vec<Option<Tensor>> {
        own.iter().map(|variable| store.get(variable).map(Tensor::detach)).collect()
    };
    let places: Vec<bool> = (0..shared.tensors.len()).map(|place| network.is_shared_place(place)).collect();
    let mut cut: Vec<Option<Tensor>> = vec![None; shared.tensors.len()];
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
        // What only this task reaches gets its plain gradient, and is not compared.
        let alone: Parts = parts.iter_mut().zip(&places).map(|(part, shared)| part.take_if(|_| !shared)).collect();
        add_cut(&mut cut, &alone, 1.0)?;
        // Shared parameters above the cut, which few models have.
        parts.extend(collector.of(&store, &above)?);
        by_task.push(Some(parts));
    }
    let shapes: Vec<&Tensor> =
        shared.tensors.iter().chain(above.iter().map(|(_, variable)| variable.as_tensor())).collect();
    let places = Places { shapes: &shapes, of_rows: shared.tensors.len(), ranks: parameters.ranks(), together: &[] };
    let balanced = balance(model, &task_losses, &by_task, places, balancing, side, &mut reads)?;
    let mut late = Late::of(parameters.ranks());
    for (parts, coefficient) in balanced.shares(&by_task) {
        add_cut(&mut cut, parts, coefficient)?;
        for ((name, _), part) in above.iter().zip(parts.iter().skip(shared.tensors.len())) {
            if let Some(part) = part {
                collector.add_one(name, (part * coefficient)?)?;
            }
        }
    }
    if let Some(regulariser) = losses.regulariser(network.gate_terms(), &outputs)? {
        late.regulariser(&regulariser)?;
        let store = regulariser.backward()?;
        collector.add(&store, |_| true)?;
        for own in &copies {
            add_cut(&mut cut, &at_cut(&store, own), 1.0)?;
        }
    }
    below(&mut collector, &shared.tensors, cut)?;
    finish(on, &outputs, Pass { gradients: collector.gradients, report: balanced.report(), late, reads })
}

/// Adds parts times a factor to the gradients at the cut.
pub(super) fn add_cut(cut: &mut [Option<Tensor>], parts: &[Option<Tensor>], factor: f64) -> Result<()> {
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
}

/// The pass below the cut, one for all tasks: the gradient of Σ z·γ with respect to z is γ.
pub(super) fn below(collector: &mut Collector, tensors: &[Tensor], cut: Vec<Option<Tensor>>) -> Result<()> {
    let terms: Result<Vec<Tensor>> = tensors
        .iter()
        .zip(cut)
        .filter_map(|(output, gradient)| Some((output, gradient?)))
        .map(|(output, gradient)| Ok((output * gradient)?.sum_all()?))
        .collect();
    match sum(terms?.iter())? {
        Some(total) => collector.add(&total.backward()?, |_| true),
        None => Ok(()),
    }
}

pub(super) fn exact(on: &On<'_>, balancing: Balancing<'_, '_>) -> Result<Pass> {
    let On { inputs: StepInputs { model, parameters, losses, input, targets }, mode, side } = *on;
    let mut reads = Reads::default();
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
        by_task.push(Some(collector.of(&store, &shared)?));
    }
    let shapes: Vec<&Tensor> = shared.iter().map(|(_, variable)| variable.as_tensor()).collect();
    let places = Places { shapes: &shapes, of_rows: 0, ranks: parameters.ranks(), together: &[] };
    let balanced = balance(model, &task_losses, &by_task, places, balancing, side, &mut reads)?;
    let mut late = Late::of(parameters.ranks());
    for (parts, coefficient) in balanced.shares(&by_task) {
        for ((name, _), part) in shared.iter().zip(parts) {
            if let Some(part) = part {
                collector.add_one(name, (part * coefficient)?)?;
            }
        }
    }
    if let Some(regulariser) = losses.regulariser(network.gate_terms(), &outputs)? {
        late.regulariser(&regulariser)?;
        collector.add(&regulariser.backward()?, |_| true)?;
    }
    finish(on, &outputs, Pass { gradients: collector.gradients, report: balanced.report(), late, reads })
}

/// The pooled prediction head, which trains η and nothing else, and the gates' decisions.
pub(super) fn finish(on: &On<'_>, outputs: &Outputs, mut pass: Pass) -> Result<Pass> {
    if let Some(pooled) = on.inputs.losses.pooled(on.inputs.model, outputs, on.inputs.targets)? {
        pass.late.pooled(&pooled)?;
        let mut collector = Collector { gradients: pass.gradients, ..Collector::new(on.inputs.parameters) };
        collector.add(&pooled.backward()?, |name| name.starts_with("read_out."))?;
        pass.gradients = collector.gradients;
    }
    pass.late.gates(outputs)?;
    Ok(pass)
}

pub(super) fn sum<'a>(mut terms: impl Iterator<Item = &'a Tensor>) -> Result<Option<Tensor>> {
    let Some(first) = terms.next() else { return Ok(None) };
    let mut total = first.clone();
    for term in terms {
        total = (total + term)?;
    }
    Ok(Some(total))
}
