//! The boundary scope for tasks that are computed together.
//!
//! Purpose: on a card a step waits for launches, and what lies above the cut is the same for each task but for its weights. So every tensor of the boundary
//! is copied once for all tasks, `[T, ..]`, and one forward and one backward pass serve them all: their graphs meet only in products of one matrix per task,
//! so the slice of a task in the gradient of the copy is that task's gradient. Invariant: every parameter gets the gradient that it gets where tasks are
//! computed one by one, up to the order of sums; so a parameter of a task without a labelled sample gets none, except from the regularisers.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};

use super::among_ranks::Places;
use super::reading::{Late, Pass, Reads};
use super::scope::{Collector, On, add_cut, below, finish, sum};
use super::task_gradients::balance;
use super::types::{Balancing, Parts, StepInputs};
use crate::error::Result;
use crate::model::network::Together;
use crate::types::Outputs;

pub(super) fn boundary(on: &On<'_>, together: &Together, balancing: Balancing<'_, '_>) -> Result<Pass> {
    let On { inputs: StepInputs { model, parameters, losses, input, targets }, mode, side } = *on;
    let (network, names, count) = (model.network(), model.tasks().tasks(), model.tasks().len());
    let mut reads = Reads::default();
    let shared = network.boundary(input, mode)?;
    let copy = |tensor: &Tensor| -> Result<Var> {
        let of_all = tensor.detach().unsqueeze(0)?.broadcast_as([&[count], tensor.dims()].concat())?;
        Ok(Var::from_tensor(&of_all.contiguous()?)?)
    };
    let copies: Result<Vec<Var>> = shared.tensors.iter().map(copy).collect();
    let copies = copies?;
    let views: Vec<Tensor> = copies.iter().map(|copy| copy.as_tensor().clone()).collect();
    let outputs = Outputs { lower_gates: shared.gates, ..network.tasks(&views, mode)? };
    let task_losses = losses.losses(&outputs, targets)?;
    let active: Vec<bool> = task_losses.iter().map(Option::is_some).collect();
    let regulariser = losses.regulariser(network.gate_terms(), &outputs)?;

    let mut collector = Collector::new(parameters);
    let above = collector.shared(model);
    // Regularisers of gates train gates alone where gates pass nothing on. Where every task is active, all gates have a gradient anyway. Any other is no
    // part of the gradients that are balanced (method.md, 3.4).
    let in_one = !together.by_gates && !losses.regularises_heads() && !active.contains(&false);
    let at_once = regulariser.iter().filter(|_| in_one);
    let of_copies = |store: &GradStore| -> Result<Vec<Option<Tensor>>> {
        let of_copy = |(place, copy): (usize, &Var)| {
            let trains: Vec<bool> = together.trains.iter().map(|places| places.get(place) == Some(&true)).collect();
            store.get(copy).map(|gradient| of_trained(&gradient.detach(), &trains)).transpose()
        };
        copies.iter().enumerate().map(of_copy).collect()
    };
    let mut by_place: Vec<Option<Tensor>> = vec![None; copies.len()];
    if let Some(total) = sum(task_losses.iter().flatten().chain(at_once))? {
        let store = total.backward()?;
        let silent: Vec<String> = names
            .iter()
            .zip(&active)
            .filter(|(_, active)| !**active)
            .map(|(task, _)| format!(".{}.", task.name))
            .collect();
        collector.add(&store, |name| !network.is_shared(name) && !silent.iter().any(|task| name.contains(task)))?;
        by_place = of_copies(&store)?;
    }
    let mut cut: Vec<Option<Tensor>> = vec![None; copies.len()];
    for (place, (total, gradient)) in cut.iter_mut().zip(&mut by_place).enumerate() {
        // What only one task reaches gets its plain gradient, and is not compared.
        if let Some(gradient) = gradient.take_if(|_| !network.is_shared_place(place)) {
            *total = Some(gradient.sum(0)?);
        }
    }
    let parts = |task: usize| -> Result<Option<Parts>> {
        if active.get(task) != Some(&true) {
            return Ok(None);
        }
        let trains = together.trains.get(task).into_iter().flatten();
        let at = by_place.iter().zip(trains).map(|(gradient, trains)| match gradient {
            Some(gradient) if *trains => Ok(Some(gradient.get(task)?)),
            _ => Ok(None),
        });
        // No shared parameter lies above the cut of such a network.
        at.chain(above.iter().map(|_| Ok(None))).collect::<Result<Parts>>().map(Some)
    };
    let by_task: Result<Vec<Option<Parts>>> = (0..count).map(parts).collect();
    let by_task = by_task?;
    let shapes: Vec<&Tensor> =
        shared.tensors.iter().chain(above.iter().map(|(_, variable)| variable.as_tensor())).collect();
    let of_rows = shared.tensors.len();
    let places = Places { shapes: &shapes, of_rows, ranks: parameters.ranks(), together: &by_place };
    let balanced = balance(model, &task_losses, &by_task, places, balancing, side, &mut reads)?;

    match balanced.weights() {
        Some(weights) => {
            for (total, gradient) in cut.iter_mut().zip(&by_place) {
                let combined = gradient.as_ref().map(|gradient| combine(weights, gradient)).transpose()?;
                add_cut(std::slice::from_mut(total), &[combined], 1.0)?;
            }
        }
        None => {
            for (parts, coefficient) in balanced.shares(&by_task) {
                add_cut(&mut cut, parts, coefficient)?;
            }
        }
    }
    let mut late = Late::of(parameters.ranks());
    if let Some(regulariser) = regulariser {
        late.regulariser(&regulariser)?;
        if !in_one {
            let store = regulariser.backward()?;
            collector.add(&store, |_| true)?;
            let of_tasks = of_copies(&store)?;
            let through: Result<Vec<Option<Tensor>>> = of_tasks
                .iter()
                .map(|gradient| gradient.as_ref().map(|gradient| Ok(gradient.sum(0)?)).transpose())
                .collect();
            add_cut(&mut cut, &through?, 1.0)?;
        }
    }
    below(&mut collector, &shared.tensors, cut)?;
    finish(on, &outputs, Pass { gradients: collector.gradients, report: balanced.report(), late, reads })
}

/// A gradient `[T, ..]` with zeros for the tasks that do not train this place.
fn of_trained(gradient: &Tensor, trains: &[bool]) -> Result<Tensor> {
    if !trains.contains(&false) {
        return Ok(gradient.clone());
    }
    let mask: Vec<f64> = trains.iter().map(|trains| f64::from(u8::from(*trains))).collect();
    let mut shape = vec![1; gradient.rank()];
    shape[0] = trains.len();
    let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?.to_dtype(gradient.dtype())?.to_device(gradient.device())?;
    Ok(gradient.broadcast_mul(&mask)?)
}

/// `Σ_t c_t g_t` of a gradient `[T, ..]`.
fn combine(weights: &[f64], gradient: &Tensor) -> Result<Tensor> {
    let row = Tensor::from_slice(weights, (1, weights.len()), &Device::Cpu)?;
    let row = row.to_dtype(gradient.dtype())?.to_device(gradient.device())?;
    Ok(row.matmul(&gradient.flatten_from(1)?)?.reshape(&gradient.dims()[1..])?)
}
