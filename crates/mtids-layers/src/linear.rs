//! Fully connected layer: candle-nn's, with parameters that depend on seed and name.

use candle_core::{Module, Tensor};

use crate::error::Result;
use crate::parameters::{Init, Parameters};
use crate::precision::Precision;

/// `x Wᵀ + b`, or `x Wᵀ`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    precision: Precision,
}

impl Linear {
    /// Creates `<name>.weight` `[outputs, inputs]`, normal with variance `gain² / inputs`, and `<name>.bias`, zero.
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(name: &str, inputs: usize, outputs: usize, gain: f64, parameters: &Parameters) -> Result<Self> {
        let bias = parameters.get_or_init(&format!("{name}.bias"), &[outputs], Init::Constant(0.0))?;
        Ok(Self { bias: Some(bias), ..Self::without_bias(name, inputs, outputs, gain, parameters)? })
    }

    /// `x Wᵀ`, the weight as in [`Linear::new`].
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn without_bias(name: &str, inputs: usize, outputs: usize, gain: f64, parameters: &Parameters) -> Result<Self> {
        let deviation = gain / (inputs as f64).sqrt();
        let weight = parameters.get_or_init(&format!("{name}.weight"), &[outputs, inputs], Init::Normal(deviation))?;
        Ok(Self { weight, bias: None, precision: parameters.precision() })
    }

    /// As [`Linear::new`], for gates and heads: in the precision of the parameters, whatever that of the other layers.
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn unrounded(name: &str, inputs: usize, outputs: usize, gain: f64, parameters: &Parameters) -> Result<Self> {
        Ok(Self { precision: Precision::F32, ..Self::new(name, inputs, outputs, gain, parameters)? })
    }

    /// The weight `[outputs, inputs]`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The bias `[outputs]`, where there is one.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// Precision of the operands.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// `[B, inputs]` to `[B, outputs]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if !self.precision.rounds() {
            return Ok(candle_nn::Linear::new(self.weight.clone(), self.bias.clone()).forward(x)?);
        }
        let product = |x: &Tensor, weight: &Tensor| Ok(candle_nn::Linear::new(weight.clone(), None).forward(x)?);
        let product = self.precision.product([x, &self.weight], product)?;
        match &self.bias {
            Some(bias) => Ok(product.broadcast_add(bias)?),
            None => Ok(product),
        }
    }
}
