//! Activations, soft-max and soft-plus with full gradients.
//!
//! Purpose: one place that knows which of candle-nn's operations keep the gradient. `ops::softmax`, `ops::log_softmax` and `ops::sigmoid` do;
//! the fused `ops::softmax_last_dim` has no backward pass and says nothing about it.

use candle_core::{D, Tensor};
use candle_nn::ops;

use crate::error::Result;

/// Gaussian error linear unit, `x Φ(x)`, exact (error function) form.
///
/// # Errors
/// When the type has no such kernel.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    Ok(x.gelu_erf()?)
}

/// `log Σ exp x` over the last axis; shape `[.., 1]`. Stable: the maximum is taken out, without gradient.
///
/// # Errors
/// When candle refuses the operation.
pub fn log_sum_exp(x: &Tensor) -> Result<Tensor> {
    let maximum = x.detach().max_keepdim(D::Minus1)?;
    let sum = x.broadcast_sub(&maximum)?.exp()?.sum_keepdim(D::Minus1)?;
    Ok((sum.log()? + maximum)?)
}

/// Logarithm of the soft-max over the last axis.
///
/// # Errors
/// When candle refuses the operation.
pub fn log_softmax(x: &Tensor) -> Result<Tensor> {
    Ok(ops::log_softmax(x, D::Minus1)?)
}

/// Soft-max over the last axis.
///
/// # Errors
/// When candle refuses the operation.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
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
