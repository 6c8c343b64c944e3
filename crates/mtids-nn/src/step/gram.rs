//! Inner products of the tasks' gradients.
//!
//! Purpose: the T × T Gram matrix over all places at which tasks are compared. Invariants: products are summed in double precision on either
//! side; one place is widened after the other, so that no more than its gradients are held twice; the matrix is exactly symmetric. The host
//! adds products in the order of the entries, whatever the number of threads; on a device the order is that of its library's matrix product.

use candle_core::{DType, Tensor};

use super::ask::Parts;
use crate::error::Result;

/// From tensors in the host's memory.
pub(super) fn on_host(count: usize, by_task: &[Option<Parts>], places: usize) -> Result<Vec<f64>> {
    let mut gram = vec![0.0; count * count];
    for place in 0..places {
        let rows: Result<Vec<Option<Vec<f64>>>> =
            by_task.iter().map(|parts| part(parts, place).map(entries).transpose()).collect();
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

/// From tensors on a device, as `[T, T]` there; `None` where no task reaches any place. `shapes` are tensors of the shapes of the places.
pub(super) fn on_device(by_task: &[Option<Parts>], shapes: &[&Tensor]) -> Result<Option<Tensor>> {
    let mut total: Option<Tensor> = None;
    for (place, shape) in shapes.iter().enumerate() {
        if by_task.iter().all(|parts| part(parts, place).is_none()) {
            continue;
        }
        let row = |parts: &Option<Parts>| -> Result<Tensor> {
            Ok(match part(parts, place) {
                Some(part) => part.detach().flatten_all()?.to_dtype(DType::F64)?,
                None => Tensor::zeros(shape.elem_count(), DType::F64, shape.device())?,
            })
        };
        let rows: Result<Vec<Tensor>> = by_task.iter().map(row).collect();
        let rows = Tensor::stack(&rows?, 0)?;
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

fn entries(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.detach().flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
}
