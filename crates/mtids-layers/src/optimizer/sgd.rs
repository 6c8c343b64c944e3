//! Stochastic gradient descent with momentum.
//!
//! Update (Polyak 1964; Sutskever et al., ICML 2013, in the form that PyTorch uses): g ← g + λ p (weights only); b ← μ b + g;
//! p ← p − lr · b, or p ← p − lr · (g + μ b) with Nesterov's look-ahead.

use std::collections::BTreeMap;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Gradients, decays, in_unit_range, not_negative, paired, state};
use crate::error::{Result, config_error};
use crate::parameters::Parameters;

/// Settings of stochastic gradient descent; the learning rate comes from the schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// Momentum μ; 0 for none.
    pub momentum: f64,
    /// Whether the step looks ahead along the momentum.
    pub nesterov: bool,
    /// Decay λ of weight matrices and kernels, added to the gradient; biases, scales, shifts, embeddings and η are never
    /// decayed.
    pub weight_decay: f64,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { momentum: 0.9, nesterov: true, weight_decay: 1e-4 }
    }
}

impl SgdConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`crate::LayerError::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        in_unit_range("optimizer.momentum", self.momentum)?;
        if self.nesterov && self.momentum == 0.0 {
            return Err(config_error("optimizer.nesterov", "needs a momentum"));
        }
        not_negative("optimizer.weight_decay", self.weight_decay)
    }
}

/// The optimiser of one set of parameters.
#[derive(Debug)]
pub struct Sgd {
    config: SgdConfig,
    momenta: BTreeMap<String, [Tensor; 1]>,
    step: u64,
}

const KINDS: [&str; 1] = ["momentum"];

impl Sgd {
    /// A fresh optimiser.
    ///
    /// # Errors
    /// [`crate::LayerError::Config`] for settings out of range.
    pub fn new(config: &SgdConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config: config.clone(), momenta: BTreeMap::new(), step: 0 })
    }

    /// Steps taken.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// One update. Parameters without a gradient are left alone, their momentum too.
    ///
    /// # Errors
    /// [`crate::LayerError::Parameter`] for a gradient of a parameter that does not exist; then nothing is changed.
    pub fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        let pairs = paired(parameters, gradients)?;
        self.step += 1;
        let SgdConfig { momentum, nesterov, weight_decay } = self.config;
        for (name, variable, mut gradient) in pairs {
            let value = variable.as_detached_tensor();
            if weight_decay > 0.0 && decays(name) {
                gradient = (gradient + (&value * weight_decay)?)?;
            }
            let direction = if momentum > 0.0 {
                let buffer = match self.momenta.get(name) {
                    Some([buffer]) => ((buffer * momentum)? + &gradient)?,
                    None => gradient.clone(),
                };
                let direction = if nesterov { (gradient + (&buffer * momentum)?)? } else { buffer.clone() };
                self.momenta.insert(name.clone(), [buffer]);
                direction
            } else {
                gradient
            };
            variable.set(&(value - (direction * learning_rate)?)?)?;
        }
        Ok(())
    }

    /// Momenta and step counter as the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`crate::LayerError::State`] when a tensor cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        state::to_bytes(self.step, KINDS, &self.momenta)
    }

    /// Restores what [`Sgd::to_bytes`] gave, for the same parameters.
    ///
    /// # Errors
    /// [`crate::LayerError::State`] for damaged bytes, [`crate::LayerError::Parameter`] for momenta that fit no parameter; then
    /// nothing is changed.
    pub fn load_bytes(&mut self, bytes: &[u8], parameters: &Parameters) -> Result<()> {
        (self.step, self.momenta) = state::from_bytes(bytes, KINDS, parameters.variables(), parameters.device())?;
        Ok(())
    }
}
