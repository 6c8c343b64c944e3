//! Fully connected layer.

use candle_core::Tensor;

use crate::error::Result;
use crate::parameters::{Init, Parameters};

/// `x Wᵀ + b`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Creates `<name>.weight` `[outputs, inputs]`, normal with variance `gain² / inputs`, and `<name>.bias`, zero.
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(name: &str, inputs: usize, outputs: usize, gain: f64, parameters: &Parameters) -> Result<Self> {
        let deviation = gain / (inputs as f64).sqrt();
        Ok(Self {
            weight: parameters.get_or_init(&format!("{name}.weight"), &[outputs, inputs], Init::Normal(deviation))?,
            bias: parameters.get_or_init(&format!("{name}.bias"), &[outputs], Init::Constant(0.0))?,
        })
    }

    /// `[B, inputs]` to `[B, outputs]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)?)
    }
}
