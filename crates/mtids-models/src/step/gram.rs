//! Inner products of the tasks' gradients.
//!
//! Purpose: the T × T Gram matrix over all places at which tasks are compared. Invariants: products are summed in double precision on either
//! side; the host reads contiguous gradients where they lie, a device widens one place after the other; the matrix is exactly symmetric. The host's sums have the
//! same bits for any number of threads; on a device their order is that of its library's matrix product.

use std::ops::Range;

use candle_core::{DType, Tensor};
use mtids_balance::{Rows, gram_matrix};

use super::among_ranks::Places;
use super::types::Parts;
use crate::error::{ModelError, Result};
use mtids_layers::storage::with_rows;

/// From tensors in the host's memory, which are read where they are.
pub(super) fn on_host(count: usize, by_task: &[Option<Parts>], places: Range<usize>) -> Result<Vec<f64>> {
    let mut gram = vec![0.0; count * count];
    for place in places {
        if by_task.iter().all(|parts| part(parts, place).is_none()) {
            continue;
        }
        let double = by_task.iter().filter_map(|parts| part(parts, place)).any(|part| part.dtype() == DType::F64);
        let dtype = if double { DType::F64 } else { DType::F32 };
        let row = |parts: &Option<Parts>| -> Result<Option<Tensor>> {
            let Some(part) = part(parts, place) else { return Ok(None) };
            Ok(Some(part.detach().to_dtype(dtype)?.contiguous()?))
        };
        let rows: Result<Vec<Option<Tensor>>> = by_task.iter().map(row).collect();
        let rows = rows?;
        let reached: Vec<bool> = rows.iter().map(Option::is_some).collect();
        let products = if double {
            with_rows(&rows, |rows| gram_matrix(Rows::F64(rows), &reached))?
        } else {
            with_rows(&rows, |rows| gram_matrix(Rows::F32(rows), &reached))?
        };
        let products = products.map_err(|error| ModelError::Balance(Box::new(error)))?;
        gram.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
    }
    Ok(gram)
}

/// From tensors on a device, as `[T, T]` there; `None` where no task reaches any place.
pub(super) fn on_device(by_task: &[Option<Parts>], places: Places<'_>) -> Result<Option<Tensor>> {
    let mut total: Option<Tensor> = None;
    for (place, shape) in places.shapes.iter().enumerate() {
        if by_task.iter().all(|parts| part(parts, place).is_none()) {
            continue;
        }
        let row = |parts: &Option<Parts>| -> Result<Tensor> {
            Ok(match part(parts, place) {
                Some(part) => part.detach().flatten_all()?.to_dtype(DType::F64)?,
                None => Tensor::zeros(shape.elem_count(), DType::F64, shape.device())?,
            })
        };
        let rows = match places.together.get(place) {
            Some(Some(together)) => together.flatten_from(1)?.to_dtype(DType::F64)?,
            _ => {
                let rows: Result<Vec<Tensor>> = by_task.iter().map(row).collect();
                Tensor::stack(&rows?, 0)?
            }
        };
        let products = rows.matmul(&rows.t()?)?;
        total = Some(match total {
            Some(total) => (total + products)?,
            None => products,
        });
    }
    Ok(total)
}

/// The lower triangle, mirrored: a matrix product may add (i, j) and (j, i) in different orders.
pub(super) fn symmetric(count: usize, values: &[f64]) -> Vec<f64> {
    let entry = |at: usize| {
        let (i, j) = (at / count, at % count);
        values.get(i.max(j) * count + i.min(j)).copied().unwrap_or(0.0)
    };
    (0..count * count).map(entry).collect()
}

fn part(parts: &Option<Parts>, place: usize) -> Option<&Tensor> {
    parts.as_ref()?.get(place)?.as_ref()
}
