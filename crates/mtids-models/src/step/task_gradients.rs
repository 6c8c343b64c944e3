//! From the tasks' gradients to what the balancer decided: losses and Gram matrix, and a checked decision.
//!
//! Purpose: balancers are small algebra on the host, so losses and Gram matrix must come over before the step can go on. That read is
//! inherent, and it is one; a rule that combines whole gradients costs a second, of T rows. Invariant: a decision of the wrong length or
//! with a number that is not finite is refused.

use candle_core::{DType, Device, Tensor, WithDType};
use mtids_ranks::Number;

use super::among_ranks::{Places, own_rows, rows_of_all, with_sums};
use super::gram;
use super::reading::{Gathered, Reads, Side, whole};
use super::types::{Balancing, Combined, Parts, StepGradients, StepReport, WholeGradients};
use crate::error::{ModelError, Result};
use crate::model::Model;

/// What the balancer decided.
pub(super) struct Balanced {
    losses: Vec<Option<f64>>,
    gram: Vec<f64>,
    coefficients: Vec<f64>,
    /// The combined gradient itself, where coefficients do not say it.
    update: Option<Parts>,
}

impl Balanced {
    /// The report so far; what is read late is still missing.
    pub(super) fn report(&self) -> StepReport {
        StepReport {
            losses: self.losses.clone(),
            pooled_loss: None,
            regulariser: 0.0,
            gram: self.gram.clone(),
            coefficients: self.coefficients.clone(),
            gradient_norm: 0.0,
            gates: Vec::new(),
            reads: 0,
        }
    }

    /// The coefficients, where they say the combined gradient.
    pub(super) fn weights(&self) -> Option<&[f64]> {
        self.update.is_none().then_some(&self.coefficients)
    }

    /// The terms whose sum is the shared gradient.
    pub(super) fn shares<'s>(&'s self, by_task: &'s [Option<Parts>]) -> Vec<(&'s Parts, f64)> {
        match &self.update {
            Some(update) => vec![(update, 1.0)],
            None => {
                let pairs = by_task.iter().zip(&self.coefficients);
                pairs.filter_map(|(parts, coefficient)| Some((parts.as_ref()?, *coefficient))).collect()
            }
        }
    }
}

/// Losses and Gram matrix, then the balancer's checked decision; all of them those of the batch of all ranks.
pub(super) fn balance(
    model: &Model,
    task_losses: &[Option<Tensor>],
    by_task: &[Option<Parts>],
    places: Places<'_>,
    balancing: Balancing<'_, '_>,
    side: Side,
    reads: &mut Reads,
) -> Result<Balanced> {
    let count = model.tasks().len();
    let Places { shapes, of_rows, ranks, .. } = places;
    let mut gathered = Gathered::default();
    let at: Result<Vec<_>> =
        task_losses.iter().map(|loss| loss.as_ref().map(|loss| gathered.add(loss)).transpose()).collect();
    let at = at?;
    let on_device = match side {
        Side::Host => None,
        Side::Device => gram::on_device(by_task, places)?.map(|gram| gathered.add(&gram)).transpose()?,
    };
    let values = gathered.read(reads)?.over(ranks)?;
    let sums = with_sums(by_task, places)?;
    let compared: &[Option<Parts>] = sums.as_deref().unwrap_or(by_task);
    let losses: Vec<Option<f64>> = at.iter().map(|range| values.first(range.as_ref()?)).collect();
    let gram = match side {
        Side::Host if ranks.is_alone() => gram::on_host(count, by_task, 0..shapes.len())?,
        Side::Host => {
            let mut gram = gram::on_host(count, by_task, 0..of_rows)?;
            ranks.sum(&mut gram)?;
            let above = gram::on_host(count, compared, of_rows..shapes.len())?;
            gram.iter_mut().zip(above).for_each(|(sum, product)| *sum += product);
            gram
        }
        Side::Device => gram::symmetric(count, on_device.as_ref().map_or(&[], |range| values.at(range))),
    };
    let active: Vec<bool> = losses.iter().map(Option::is_some).collect();
    finite(model, &losses, &gram)?;
    let mut balanced = Balanced { losses, gram, coefficients: vec![0.0; count], update: None };
    if !active.contains(&true) {
        return Ok(balanced);
    }
    if !model.network().balances() {
        balanced.coefficients = active.iter().map(|active| f64::from(u8::from(*active))).collect();
        return Ok(balanced);
    }
    let values: Vec<f64> = balanced.losses.iter().map(|loss| loss.unwrap_or(0.0)).collect();
    let gradients = StepGradients { gram: &balanced.gram, losses: &values, active: &active };
    let refuse = |reason: String| ModelError::Balance(reason.into());
    match balancing {
        Balancing::Weigh(weigh) => {
            let coefficients = weigh(&gradients).map_err(ModelError::Balance)?;
            if coefficients.len() != count || coefficients.iter().any(|c| !c.is_finite()) {
                let reason = format!("answered {coefficients:?} for {count} tasks; needs one finite value per task");
                return Err(refuse(reason));
            }
            balanced.coefficients = coefficients;
        }
        Balancing::Combine(combine) => {
            let rows = match shapes.first().map(|shape| shape.dtype()) {
                Some(DType::F64) => WholeGradients::F64(rows(compared, places, side, reads)?),
                _ => WholeGradients::F32(rows(compared, places, side, reads)?),
            };
            let Combined { update, weights } = combine(&gradients, &rows).map_err(ModelError::Balance)?;
            let width = places.width();
            if update.len() != width || update.iter().any(|value| !value.is_finite()) {
                return Err(refuse(format!("answered {} numbers, some perhaps not finite, for {width}", update.len())));
            }
            balanced.coefficients = weights.unwrap_or_default();
            balanced.update = Some(split(own_rows(update, places), shapes)?);
        }
    }
    Ok(balanced)
}

/// Refuses a loss or a gradient that is NaN or infinite, by the name of its task: a balancer could only say that something is.
fn finite(model: &Model, losses: &[Option<f64>], gram: &[f64]) -> Result<()> {
    let tasks = model.tasks().tasks();
    let fail = |part: &str, name: &str| Err(ModelError::NotFinite { what: format!("the {part} of task `{name}`") });
    for (task, loss) in tasks.iter().zip(losses) {
        if loss.is_some_and(|loss| !loss.is_finite()) {
            return fail("loss", &task.name);
        }
    }
    let squared_norms = gram.iter().step_by(tasks.len() + 1);
    for (task, squared_norm) in tasks.iter().zip(squared_norms) {
        if !squared_norm.is_finite() {
            return fail("gradient", &task.name);
        }
    }
    Ok(())
}

/// Whole gradients of the batch of all ranks, one row for each task; an empty row for a task without labelled sample.
fn rows<T: WithDType + Number>(
    by_task: &[Option<Parts>],
    places: Places<'_>,
    side: Side,
    reads: &mut Reads,
) -> Result<Vec<Vec<T>>> {
    match side {
        Side::Host => rows_of_all(rows_on_host(by_task, places.shapes)?, places),
        Side::Device => rows_on_device(by_task, places.shapes, reads),
    }
}

/// Those of the samples here.
fn rows_on_host<T: WithDType + Number>(by_task: &[Option<Parts>], shapes: &[&Tensor]) -> Result<Vec<Vec<T>>> {
    let row = |parts: &Parts| -> Result<Vec<T>> {
        let mut row = Vec::new();
        for (part, shape) in parts.iter().zip(shapes) {
            match part {
                Some(part) => row.extend(part.to_dtype(T::DTYPE)?.flatten_all()?.to_vec1::<T>()?),
                None => row.resize(row.len() + shape.elem_count(), T::narrow(0.0)),
            }
        }
        Ok(row)
    };
    by_task.iter().map(|parts| parts.as_ref().map_or_else(|| Ok(Vec::new()), row)).collect()
}

/// The same in one read; places that a task does not reach are filled in here, not on the device.
fn rows_on_device<T: WithDType + Number>(
    by_task: &[Option<Parts>],
    shapes: &[&Tensor],
    reads: &mut Reads,
) -> Result<Vec<Vec<T>>> {
    let found = by_task.iter().flatten().flatten().flatten();
    let found: Result<Vec<Tensor>> = found.map(|part| Ok(part.to_dtype(T::DTYPE)?.flatten_all()?)).collect();
    let numbers: Vec<T> = whole(&found?, reads)?;
    let mut rest = numbers.as_slice();
    let mut row = |parts: &Parts| {
        let mut row = Vec::new();
        for (part, shape) in parts.iter().zip(shapes) {
            let length = shape.elem_count();
            match part {
                Some(_) => {
                    let (own, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                    row.extend_from_slice(own);
                    rest = behind;
                }
                None => row.resize(row.len() + length, T::narrow(0.0)),
            }
        }
        row
    };
    Ok(by_task.iter().map(|parts| parts.as_ref().map_or_else(Vec::new, &mut row)).collect())
}

/// A combined row back in the shapes of its places, which lie on one device; one copy to it.
fn split(update: Vec<f64>, shapes: &[&Tensor]) -> Result<Parts> {
    let Some(first) = shapes.first() else { return Ok(Vec::new()) };
    let width = update.len();
    let row = Tensor::from_vec(update, width, &Device::Cpu)?.to_dtype(first.dtype())?.to_device(first.device())?;
    let mut from = 0;
    let mut parts = Vec::with_capacity(shapes.len());
    for shape in shapes {
        let length = shape.elem_count();
        parts.push(Some(row.narrow(0, from, length)?.reshape(shape.shape())?));
        from += length;
    }
    Ok(parts)
}
