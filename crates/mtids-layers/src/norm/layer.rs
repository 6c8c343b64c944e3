//! Layer normalisation, composed of candle's operations: its fused one returns no gradient.
//!
//! Source: Ba et al. 2016.

use candle_core::{D, Tensor};

use super::EPSILON;
use crate::error::Result;
use crate::parameters::{Init, Parameters};

/// Mean 0, variance 1 over the last axis.
pub(super) fn standardise(x: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    Ok(centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)?)
}

/// Layer normalisation over the last axis.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    /// Creates `<name>.scale` (ones) and `<name>.shift` (zeros), `[size]`.
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(name: &str, size: usize, parameters: &Parameters) -> Result<Self> {
        Ok(Self {
            weight: parameters.get_or_init(&format!("{name}.scale"), &[size], Init::Constant(1.0))?,
            bias: parameters.get_or_init(&format!("{name}.shift"), &[size], Init::Constant(0.0))?,
        })
    }

    /// Weight and bias.
    pub fn parameters(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    /// Applies the layer to `[.., size]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Self::with(x, [&self.weight, &self.bias])
    }

    /// The same with other weights and biases, which are spread over `x` if their shape asks for it.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn with(x: &Tensor, [weight, bias]: [&Tensor; 2]) -> Result<Tensor> {
        Ok(standardise(x)?.broadcast_mul(weight)?.broadcast_add(bias)?)
    }
}
