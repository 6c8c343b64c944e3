//! Tensors of several ranks: the mean of the rows of their batch, and sums.
//!
//! Purpose of the mean: what is no sum over samples (a regulariser of mean decisions) is taken of the mean over the whole batch, by every rank alike. The gradient of
//! a row is then that of its own part in the mean, so each rank has the whole gradient of its own rows. Invariant: one process alone has candle's mean, and its own tensors.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor, WithDType};
use mtids_ranks::{Number, Part, Ranks};

use crate::error::Result;
use crate::storage::entries;

/// The sums of tensors over the ranks, in their order; all on the CPU and of one type, and of the same shapes on every rank.
///
/// # Errors
/// When candle refuses an operation; those between ranks.
pub fn sums_of_tensors(tensors: &[Tensor], ranks: &Ranks) -> Result<Vec<Tensor>> {
    fn typed<T: WithDType + Number>(tensors: &[Tensor], ranks: &Ranks) -> Result<Vec<Tensor>> {
        let mut values = Vec::<T>::new();
        for tensor in tensors {
            values.extend(tensor.flatten_all()?.to_vec1::<T>()?);
        }
        ranks.sum(&mut values)?;
        let mut rest = values.as_slice();
        let mut sums = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            let (own, behind) = rest.split_at_checked(tensor.elem_count()).unwrap_or((rest, &[]));
            sums.push(Tensor::from_slice(own, tensor.shape(), tensor.device())?);
            rest = behind;
        }
        Ok(sums)
    }
    match tensors.first() {
        Some(first) if !ranks.is_alone() && first.dtype() == DType::F64 => typed::<f64>(tensors, ranks),
        Some(_) if !ranks.is_alone() => typed::<f32>(tensors, ranks),
        _ => Ok(tensors.to_vec()),
    }
}

/// The mean of `[B, ..]` along the batch.
///
/// # Errors
/// When candle refuses the operation; those between ranks.
pub fn mean_of_rows(x: &Tensor, ranks: &Ranks) -> Result<Tensor> {
    match ranks.part() {
        None => Ok(x.mean(0)?),
        Some(part) => Ok(x.contiguous()?.apply_op1(RowMean { ranks: ranks.clone(), part })?),
    }
}

/// The mean over the rows of all ranks, by a sum between them.
struct RowMean {
    ranks: Ranks,
    part: Part,
}

impl RowMean {
    fn of<T: WithDType + Number>(&self, x: &[T], width: usize) -> candle_core::Result<Vec<T>> {
        let mut sums = vec![0.0; width];
        for row in x.chunks_exact(width.max(1)).take(self.part.rows()) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value.widen());
        }
        self.ranks.sum(&mut sums).map_err(candle_core::Error::wrap)?;
        let total = self.part.total().max(1) as f64;
        Ok(sums.into_iter().map(|sum| T::narrow(sum / total)).collect())
    }
}

impl CustomOp1 for RowMean {
    fn name(&self) -> &'static str {
        "mtids-mean-of-rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let shape: Shape = layout.dims().get(1..).unwrap_or_default().into();
        let width = shape.elem_count();
        let mean = match x {
            CpuStorage::F32(_) => CpuStorage::F32(self.of::<f32>(entries(x, layout)?, width)?),
            CpuStorage::F64(_) => CpuStorage::F64(self.of::<f64>(entries(x, layout)?, width)?),
            _ => candle_core::bail!("a mean over ranks needs f32 or f64"),
        };
        Ok((mean, shape))
    }

    fn bwd(&self, x: &Tensor, _result: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        if self.part.rows() == 0 {
            return Ok(Some(x.zeros_like()?));
        }
        let share = (gradient.to_dtype(DType::F64)? * (1.0 / self.part.total() as f64))?.to_dtype(x.dtype())?;
        Ok(Some(share.unsqueeze(0)?.broadcast_as(x.shape())?.contiguous()?))
    }
}
