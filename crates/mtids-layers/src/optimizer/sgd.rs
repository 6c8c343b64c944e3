//! Stochastic gradient descent with momentum.
//!
//! Update (Polyak 1964; Sutskever et al., ICML 2013, in the form that PyTorch uses): g ← g + λ p (weights only); b ← μ b + g;
//! p ← p − lr · b, or p ← p − lr · (g + μ b) with Nesterov's look-ahead.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use mtids_cuda::update::{Held, Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::state::{self, Counts};
use super::{Gradients, decays, in_unit_range, not_negative, paired};
use crate::device::at_once;
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
        if pairs.iter().all(|(_, variable, gradient)| at_once(variable) && at_once(gradient)) {
            return self.step_at_once(pairs, learning_rate);
        }
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

    /// The update of the step that was counted, by one launch.
    fn step_at_once(&mut self, pairs: Vec<(&String, Var, Tensor)>, learning_rate: f64) -> Result<()> {
        let SgdConfig { momentum, nesterov, weight_decay } = self.config;
        let mut held = Vec::with_capacity(pairs.len());
        for (name, variable, source) in pairs {
            let states = match self.momenta.get(name) {
                Some([momentum]) => vec![momentum.clone()],
                None if momentum > 0.0 => {
                    let momentum = source.zeros_like()?;
                    self.momenta.insert(name.clone(), [momentum.clone()]);
                    vec![momentum]
                }
                None => Vec::new(),
            };
            let factor = if decays(name) { weight_decay } else { 0.0 };
            held.push(Held { source, values: variable.into_inner(), states, factor });
        }
        Ok(mtids_cuda::update::update(Rule::Sgd { momentum, nesterov, rate: learning_rate }, &held)?)
    }

    /// Momenta and step counter as the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`crate::LayerError::State`] when a tensor cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        state::to_bytes(&Counts::of_the_run(self.step), KINDS, &self.momenta)
    }

    /// Restores what [`Sgd::to_bytes`] gave, for the same parameters.
    ///
    /// # Errors
    /// [`crate::LayerError::State`] for damaged bytes, [`crate::LayerError::Parameter`] for momenta that fit no parameter; then
    /// nothing is changed.
    pub fn load_bytes(&mut self, bytes: &[u8], parameters: &Parameters) -> Result<()> {
        let (counts, momenta) = state::from_bytes(bytes, KINDS, parameters.variables(), parameters.device())?;
        (self.step, self.momenta) = (counts.step, momenta);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Init;
    use candle_core::{DType, Device};

    #[test]
    fn one_launch_for_all_is_the_same_function() {
        for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
            let config = SgdConfig { momentum, nesterov, weight_decay: 0.1 };
            let run = |at_once: bool| {
                let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
                for name in ["a.weight", "b.bias"] {
                    parameters.get_or_init(name, &[300], Init::Normal(1.0)).unwrap();
                }
                let mut optimizer = Sgd::new(&config).unwrap();
                for step in 0..3 {
                    let numbers = Tensor::arange(0.0, 300.0, &Device::Cpu).unwrap();
                    let gradient = |seed: f64| (&numbers * (seed + f64::from(step))).unwrap().sin().unwrap();
                    let named = [("a.weight", 0.3), ("b.bias", 0.7)];
                    let gradients = named.map(|(name, seed)| (name.to_owned(), gradient(seed))).into();
                    if at_once {
                        optimizer.step += 1;
                        optimizer.step_at_once(paired(&parameters, &gradients).unwrap(), 0.05).unwrap();
                    } else {
                        optimizer.step(&parameters, &gradients, 0.05).unwrap();
                    }
                }
                let values = parameters.variables().into_iter().map(|(_, variable)| variable.into_inner());
                values.chain(optimizer.momenta.into_values().flatten()).collect::<Vec<_>>()
            };
            let (one, other) = (run(false), run(true));
            assert_eq!(one.len(), other.len());
            for (a, b) in one.iter().zip(&other) {
                let difference = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
                assert!(difference < 1e-13, "{difference}");
            }
        }
    }
}
