//! The mean of the rows of a batch, of those of all ranks.
//!
//! Purpose: what is no sum over samples (a regulariser of mean decisions) is taken of the mean over the whole batch, by every rank alike. The gradient of
//! a row is then that of its own part in the mean, so each rank has the whole gradient of its own rows. Invariant: one process alone has candle's mean.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor, WithDType};
use mtids_ranks::{Number, Part, Ranks};

use crate::error::Result;
use crate::storage::entries;

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
