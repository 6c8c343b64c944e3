//! What of a step runs over several ranks, and what of a rank belongs to its own rows.
//!
//! Purpose: a place where tasks are compared is either a tensor of the boundary, whose rows lie on one rank each, or a shared parameter, whose gradient every
//! rank has a share of. Products of the first are added; of the second the gradients themselves are, before. A rule on whole gradients is given those of all
//! rows in the order of the batch on every rank. Invariants: one rank alone passes through here unchanged; every rank hands the rule the same bits.

use candle_core::Tensor;
use mtids_layers::optimizer::Gradients;
use mtids_layers::{LayerError, sums_of_tensors};
use mtids_ranks::{Number, Ranks, RanksError};

use super::types::{Parts, StepInputs};
use crate::error::Result;

/// Where tasks are compared.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    /// Tensors of the shapes of the places here.
    pub(super) shapes: &'a [&'a Tensor],
    /// So many of them, the first, have a row for each sample; the others are parameters.
    pub(super) of_rows: usize,
    /// Who has which rows.
    pub(super) ranks: &'a Ranks,
    /// The gradients of all tasks in one, `[T, ..]`, at the first places, where tasks are computed together; absent where none is compared.
    pub(super) together: &'a [Option<Tensor>],
}

impl Places<'_> {
    /// Numbers of a row of whole gradients, over all ranks.
    pub(super) fn width(self) -> usize {
        let total = self.ranks.part().map(|part| part.total());
        let numbers = |(place, shape): (usize, &&Tensor)| match total {
            Some(total) if place < self.of_rows => total * per_sample(shape),
            _ => shape.elem_count(),
        };
        self.shapes.iter().enumerate().map(numbers).sum()
    }
}

/// Numbers of a sample at a place of the boundary.
fn per_sample(shape: &Tensor) -> usize {
    shape.dims().iter().skip(1).product()
}

/// Refuses a batch whose rows were not announced to the other ranks, and a device on which nothing is summed.
pub(super) fn check_announced(inputs: &StepInputs<'_>) -> Result<()> {
    let Some(part) = inputs.parameters.ranks().part() else { return Ok(()) };
    if !inputs.parameters.device().is_cpu() {
        let reason = "several processes train together on the CPU only".to_owned();
        return Err(LayerError::Device { name: "cuda".to_owned(), reason }.into());
    }
    // A rank without rows has one that counts for nothing.
    let (found, expected) = (inputs.targets.len(), part.rows().max(1));
    if found != expected {
        return Err(RanksError::NotAnnounced { found, expected }.into());
    }
    Ok(())
}

/// The tasks' gradients with those of parameters added up; `None` where nothing is to be added.
pub(super) fn with_sums(by_task: &[Option<Parts>], places: Places<'_>) -> Result<Option<Vec<Option<Parts>>>> {
    let Places { of_rows, ranks, .. } = places;
    if ranks.is_alone() {
        return Ok(None);
    }
    let found: Vec<Tensor> =
        by_task.iter().flatten().flat_map(|parts| parts.iter().skip(of_rows).flatten()).cloned().collect();
    let mut sums = sums_of_tensors(&found, ranks)?.into_iter();
    let mut replaced = |parts: &Parts| -> Parts {
        let sum = |(place, part): (usize, &Option<Tensor>)| match part {
            Some(_) if place >= of_rows => sums.next(),
            part => part.clone(),
        };
        parts.iter().enumerate().map(sum).collect()
    };
    Ok(Some(by_task.iter().map(|parts| parts.as_ref().map(&mut replaced)).collect()))
}

/// Rows of whole gradients with the samples of all ranks, place by place, in the order of the batch.
pub(super) fn rows_of_all<T: Number>(rows: Vec<Vec<T>>, places: Places<'_>) -> Result<Vec<Vec<T>>> {
    let Places { shapes, of_rows, ranks, .. } = places;
    let Some(part) = ranks.part().filter(|_| of_rows > 0) else { return Ok(rows) };
    let of_all = |row: Vec<T>| -> Result<Vec<T>> {
        let mut rest = row.as_slice();
        let mut all = Vec::with_capacity(places.width());
        for shape in shapes.iter().take(of_rows) {
            let (here, behind) = rest.split_at_checked(shape.elem_count()).unwrap_or((rest, &[]));
            let width = per_sample(shape);
            let counts: Vec<usize> = part.of_ranks().iter().map(|rows| rows * width).collect();
            let own = here.get(..part.rows() * width).unwrap_or_default();
            all.extend(ranks.gather(own, &counts)?);
            rest = behind;
        }
        all.extend_from_slice(rest);
        Ok(all)
    };
    // An inactive task is inactive everywhere.
    rows.into_iter().map(|row| if row.is_empty() { Ok(row) } else { of_all(row) }).collect()
}

/// What of a combined gradient this rank applies: its own rows, and parameters on the first rank alone, since the ranks' gradients are added up.
pub(super) fn own_rows(update: Vec<f64>, places: Places<'_>) -> Vec<f64> {
    let Places { shapes, of_rows, ranks, .. } = places;
    let Some(part) = ranks.part() else { return update };
    let mut rest = update.as_slice();
    let mut own = Vec::new();
    for shape in shapes.iter().take(of_rows) {
        let width = per_sample(shape);
        let (all, behind) = rest.split_at_checked(part.total() * width).unwrap_or((rest, &[]));
        let rows = part.range();
        let end = own.len() + shape.elem_count();
        own.extend_from_slice(all.get(rows.start * width..rows.end * width).unwrap_or_default());
        // The row of a rank that has none.
        own.resize(end, 0.0);
        rest = behind;
    }
    let above = if ranks.is_first() { 1.0 } else { 0.0 };
    own.extend(rest.iter().map(|value| value * above));
    own
}

/// Adds up the ranks' gradients, which are of the same parameters on all.
pub(super) fn sum_gradients(gradients: &mut Gradients, ranks: &Ranks) -> Result<()> {
    if ranks.is_alone() {
        return Ok(());
    }
    let own: Vec<Tensor> = gradients.values().cloned().collect();
    let sums = sums_of_tensors(&own, ranks)?;
    gradients.values_mut().zip(sums).for_each(|(gradient, sum)| *gradient = sum);
    Ok(())
}
