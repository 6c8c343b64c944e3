//! Fully connected layer: candle-nn's, with parameters that depend on seed and name.

use candle_core::{Module, Tensor};

use crate::error::Result;
use crate::parameters::{Init, Parameters};

/// `x Wᵀ + b`.
#[derive(Clone, Debug)]
pub struct Linear(candle_nn::Linear);

impl Linear {
    /// Creates `<name>.weight` `[outputs, inputs]`, normal with variance `gain² / inputs`, and `<name>.bias`, zero.
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(name: &str, inputs: usize, outputs: usize, gain: f64, parameters: &Parameters) -> Result<Self> {
        let deviation = gain / (inputs as f64).sqrt();
        let weight = parameters.get_or_init(&format!("{name}.weight"), &[outputs, inputs], Init::Normal(deviation))?;
        let bias = parameters.get_or_init(&format!("{name}.bias"), &[outputs], Init::Constant(0.0))?;
        Ok(Self(candle_nn::Linear::new(weight, Some(bias))))
    }

    /// `[B, inputs]` to `[B, outputs]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.0.forward(x)?)
    }
}
