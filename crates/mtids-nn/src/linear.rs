//! Fully connected layer: candle-nn's, with parameters that depend on seed and name.

use candle_core::{Module, Tensor};

use crate::error::Result;
use crate::parameters::{Init, Parameters};
use crate::precision::Precision;

/// `x Wᵀ + b`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
    precision: Precision,
}

impl Linear {
    /// Creates `<name>.weight` `[outputs, inputs]`, normal with variance `gain² / inputs`, and `<name>.bias`, zero.
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(name: &str, inputs: usize, outputs: usize, gain: f64, parameters: &Parameters) -> Result<Self> {
        let deviation = gain / (inputs as f64).sqrt();
        let weight = parameters.get_or_init(&format!("{name}.weight"), &[outputs, inputs], Init::Normal(deviation))?;
        let bias = parameters.get_or_init(&format!("{name}.bias"), &[outputs], Init::Constant(0.0))?;
        Ok(Self { weight, bias, precision: parameters.precision() })
    }

    /// As [`Linear::new`], for gates and heads: in the precision of the parameters, whatever that of the other layers.
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn unrounded(name: &str, inputs: usize, outputs: usize, gain: f64, parameters: &Parameters) -> Result<Self> {
        Ok(Self { precision: Precision::F32, ..Self::new(name, inputs, outputs, gain, parameters)? })
    }

    /// `[B, inputs]` to `[B, outputs]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.precision == Precision::F32 {
            return Ok(candle_nn::Linear::new(self.weight.clone(), Some(self.bias.clone())).forward(x)?);
        }
        let product = |x: &Tensor, weight: &Tensor| Ok(candle_nn::Linear::new(weight.clone(), None).forward(x)?);
        Ok(self.precision.product([x, &self.weight], product)?.broadcast_add(&self.bias)?)
    }
}
