//! Activations, soft-max and soft-plus with full gradients.
//!
//! Purpose: one place that knows which operations keep the gradient, and keep it exact. `ops::softmax`, `ops::log_softmax` and
//! `ops::sigmoid` do; the fused `ops::softmax_last_dim` has no backward pass and says nothing about it; candle's slope of
//! the Gaussian unit is rounded to six digits, and its slope of the rectifier at 0 is 1. On the CPU an activation here is one
//! pass over memory in each direction; on other devices it is candle's own operation. On a card with the kernels of `mtids-cuda` a soft-max is one launch.

use candle_core::cpu::erf::{erf_f32, erf_f64};
use candle_core::{CpuStorage, CustomOp1, D, DType, Layout, Shape, Tensor};
use candle_nn::ops;
use rayon::prelude::*;

use crate::device::at_once;
use crate::error::Result;
use crate::kernels::Real;
use crate::storage::{entries, with_entries};

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `max(0, x)`; its slope at 0 is 0.
    Relu,
    /// Gaussian error linear unit `x Φ(x)`, exact (error function) form (Hendrycks and Gimpel, arXiv 1606.08415).
    Gelu,
    /// Sigmoid linear unit `x / (1 + exp(-x))` (Elfwing et al., arXiv 1702.03118).
    Silu,
}

impl Activation {
    /// Applies the function to each entry.
    ///
    /// # Errors
    /// When the type has no such kernel.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        if x.device().is_cpu() {
            return Ok(x.contiguous()?.apply_op1(ActivationOp(self))?);
        }
        Ok(match self {
            Self::Relu => x.relu()?,
            Self::Gelu => x.gelu_erf()?,
            Self::Silu => x.silu()?,
        })
    }
}

/// Entries that one thread takes at a time.
const CHUNK: usize = 1 << 14;

struct ActivationOp(Activation);

/// The functions and their slopes, in the precision of the type.
trait Pointwise: Real {
    fn value(self, activation: Activation) -> Self;
    fn slope(self, activation: Activation) -> Self;
}

macro_rules! pointwise {
    ($type:ident, $erf:ident, $half_root:expr, $density:expr) => {
        impl Pointwise for $type {
            #[inline(always)]
            fn value(self, activation: Activation) -> Self {
                match activation {
                    Activation::Relu => self.max(0.0),
                    Activation::Gelu => ($erf(self * $half_root) + 1.0) * 0.5 * self,
                    Activation::Silu => self / (1.0 + (-self).exp()),
                }
            }

            #[inline(always)]
            fn slope(self, activation: Activation) -> Self {
                match activation {
                    Activation::Relu => Self::from(u8::from(self > 0.0)),
                    Activation::Gelu => {
                        ($erf(self * $half_root) + 1.0) * 0.5 + self * $density * (-0.5 * self * self).exp()
                    }
                    Activation::Silu => {
                        let sigmoid = 1.0 / (1.0 + (-self).exp());
                        sigmoid * (1.0 + self * (1.0 - sigmoid))
                    }
                }
            }
        }
    };
}

/// Density of the standard normal distribution at 0, `1 / √(2π)`.
const DENSITY: f64 = 0.398_942_280_401_432_7;

pointwise!(f32, erf_f32, std::f32::consts::FRAC_1_SQRT_2, DENSITY as f32);
pointwise!(f64, erf_f64, std::f64::consts::FRAC_1_SQRT_2, DENSITY);

impl ActivationOp {
    fn forward<T: Pointwise>(&self, x: &[T]) -> Vec<T> {
        let mut result = vec![T::zero(); x.len()];
        result.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(result, x)| {
            for (value, x) in result.iter_mut().zip(x) {
                *value = x.value(self.0);
            }
        });
        result
    }

    fn backward<T: Pointwise>(&self, x: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let result = with_entries::<T, 2, _>([x, gradient], |[x, gradient]| {
            let mut result = vec![T::zero(); x.len()];
            result.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).zip(gradient.par_chunks(CHUNK)).for_each(
                |((result, x), gradient)| {
                    for ((value, x), gradient) in result.iter_mut().zip(x).zip(gradient) {
                        *value = x.slope(self.0) * *gradient;
                    }
                },
            );
            result
        })?;
        Ok(Some(Tensor::from_vec(result, x.shape(), x.device())?))
    }
}

impl CustomOp1 for ActivationOp {
    fn name(&self) -> &'static str {
        "mtids-activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let result = match x {
            CpuStorage::F32(_) => CpuStorage::F32(self.forward(entries::<f32>(x, layout)?)),
            CpuStorage::F64(_) => CpuStorage::F64(self.forward(entries::<f64>(x, layout)?)),
            _ => candle_core::bail!("an activation needs f32 or f64"),
        };
        Ok((result, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _result: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        match x.dtype() {
            DType::F64 => self.backward::<f64>(x, &gradient),
            _ => self.backward::<f32>(x, &gradient),
        }
    }
}

/// [`Activation::Gelu`].
///
/// # Errors
/// When the type has no such kernel.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    Activation::Gelu.forward(x)
}
/// `log Σ exp x` over the last axis; shape `[.., 1]`. Stable: the maximum is taken out, without gradient.
///
/// # Errors
/// When candle refuses the operation.
pub fn log_sum_exp(x: &Tensor) -> Result<Tensor> {
    if at_once(x) {
        return Ok(mtids_cuda::rows::log_sum_exp(x)?);
    }
    let maximum = x.detach().max_keepdim(D::Minus1)?;
    let sum = x.broadcast_sub(&maximum)?.exp()?.sum_keepdim(D::Minus1)?;
    Ok((sum.log()? + maximum)?)
}

/// Logarithm of the soft-max over the last axis.
///
/// # Errors
/// When candle refuses the operation.
pub fn log_softmax(x: &Tensor) -> Result<Tensor> {
    if at_once(x) {
        return Ok(mtids_cuda::rows::log_softmax(x)?);
    }
    Ok(ops::log_softmax(x, D::Minus1)?)
}

/// Soft-max over the last axis.
///
/// # Errors
/// When candle refuses the operation.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    if at_once(x) {
        return Ok(mtids_cuda::rows::softmax(x)?);
    }
    Ok(ops::softmax(x, D::Minus1)?)
}

/// `log(1 + exp x)`, stable for large `|x|`.
///
/// # Errors
/// When candle refuses the operation.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    // At 0 candle's relu and abs both have slope 1, which together give the true slope ½.
    let tail = (x.abs()?.neg()?.exp()? + 1.0)?.log()?;
    Ok((x.relu()? + tail)?)
}

/// `1 / (1 + exp(-x))`.
///
/// # Errors
/// When candle refuses the operation.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    Ok(ops::sigmoid(x)?)
}
