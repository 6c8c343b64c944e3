//! A run of conv blocks as one operation of candle with its own gradient.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor};
use mtids_runtime::memory::keep_freed;

use super::layout::{deinterleave, interleave};
use super::network::{Kept, Output, Part, backward, forward};
use crate::error::Result;
use crate::kernels::Real;
use crate::statistics::Moments;
use crate::storage::{entries, with_entries};

/// Runs `parts` on `x` `[B, C, (D,) H, W]`; `parameters` are the tensors that the parts count through, in order. Also returns the statistics of
/// the batch for every norm that takes them, in the order of the plans.
pub(crate) fn run(parts: Vec<Part>, parameters: &[Tensor], x: &Tensor) -> Result<(Tensor, Vec<Moments>)> {
    keep_freed();
    let flat: candle_core::Result<Vec<Tensor>> = parameters.iter().map(Tensor::flatten_all).collect();
    let flat = Tensor::cat(&flat?, 0)?;
    let keep = x.track_op() || flat.track_op();
    let moments = Arc::new(Mutex::new(Vec::new()));
    let op = RunOp { parts, keep, kept: Mutex::new(None), moments: Arc::clone(&moments) };
    let y = x.contiguous()?.apply_op2(&flat, op)?;
    let moments = std::mem::take(&mut *moments.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((y, moments))
}

/// Runs within the pool, so that the layers do not wake it one by one; on this thread where another rank may be waited for, since a pool whose
/// threads wait does nothing for the others.
fn within<R: Send>(parts: &[Part], work: impl FnOnce() -> R + Send) -> R {
    if parts.iter().any(Part::waits) { work() } else { rayon::scope(|_| work()) }
}

/// What a run keeps, in either precision.
enum AnyKept {
    Single(Kept<f32>),
    Double(Kept<f64>),
}

/// The run; what its forward pass kept lives as long as the graph.
struct RunOp {
    parts: Vec<Part>,
    keep: bool,
    kept: Mutex<Option<AnyKept>>,
    /// Where the forward pass leaves the statistics of the batch.
    moments: Arc<Mutex<Vec<Moments>>>,
}

impl RunOp {
    fn typed<T: Real>(
        &self,
        [x, parameters, gradient]: [&Tensor; 3],
        kept: &Kept<T>,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (batch, device) = (x.dim(0)?, x.device());
        with_entries::<T, 2, _>([parameters, gradient], |[parameters_entries, gradient]| {
            let mut by_parameters = vec![T::zero(); parameters_entries.len()];
            let wanted = x.track_op();
            let input = within(&self.parts, || -> Result<Option<Vec<T>>> {
                let gradient = interleave(gradient, batch);
                let input =
                    backward(&self.parts, batch, kept, parameters_entries, gradient, &mut by_parameters, wanted)?;
                Ok(input.map(|input| deinterleave(&input, batch)))
            });
            let input = input.map_err(candle_core::Error::wrap)?;
            let input = input.map(|input| Tensor::from_vec(input, x.shape(), device)).transpose()?;
            Ok((input, Some(Tensor::from_vec(by_parameters, parameters.shape(), device)?)))
        })?
    }
}

impl CustomOp2 for RunOp {
    fn name(&self) -> &'static str {
        "mtids-conv-blocks"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let Some(last) = self.parts.last() else { candle_core::bail!("a run without parts") };
        let batch = x_layout.dims()[0];
        let rank = x_layout.dims().len();
        let mut dims = vec![batch, last.last().geometry.outputs];
        dims.extend(&last.last().geometry.out[5 - rank..]);
        macro_rules! typed {
            ($type:ident, $variant:ident, $kept:ident) => {{
                let parameters = entries::<$type>(parameters, parameters_layout)?;
                let x = entries(x, x_layout)?;
                let ran = within(&self.parts, || -> Result<_> {
                    let (output, moments) = forward(&self.parts, batch, interleave(x, batch), parameters, self.keep)?;
                    Ok(match output {
                        Output::Kept(kept) => (deinterleave(kept.result(), batch), Some(kept), moments),
                        Output::Map(map) => (deinterleave(&map, batch), None, moments),
                    })
                });
                let (result, kept, moments) = ran.map_err(candle_core::Error::wrap)?;
                *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept.map(AnyKept::$kept);
                *self.moments.lock().unwrap_or_else(PoisonError::into_inner) = moments;
                CpuStorage::$variant(result)
            }};
        }
        let result = match x.dtype() {
            DType::F32 => typed!(f32, F32, Single),
            DType::F64 => typed!(f64, F64, Double),
            other => candle_core::bail!("conv blocks need f32 or f64, not {other:?}"),
        };
        Ok((result, dims.into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let tensors = [x, parameters, &gradient];
        match &*self.kept.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(AnyKept::Single(kept)) => self.typed(tensors, kept),
            Some(AnyKept::Double(kept)) => self.typed(tensors, kept),
            None => candle_core::bail!("the forward pass kept nothing for this gradient"),
        }
    }
}
