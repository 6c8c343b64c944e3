//! AdamW with decoupled weight decay, clipping by global norm and a saved state.
//!
//! Purpose: candle's AdamW hides its moments, so a run could not be resumed. Update (Loshchilov and Hutter, ICLR 2019), step t
//! from 1: m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²; p ← p − lr·λ·p (weights only) − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε).
//! Invariants: parameters are visited in the order of their names; saving and loading restores the next step bit for bit.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{NnError, Result, config_error};
use crate::parameters::{Parameters, deserialize, serialize};

/// Gradients by parameter name.
pub type Gradients = BTreeMap<String, Tensor>;

/// Settings of AdamW; the learning rate comes from the schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled decay of weight matrices and kernels; biases, scales, shifts, embeddings and η are never decayed.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 1e-2 }
    }
}

impl AdamWConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`NnError::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        for (key, value) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&value) {
                return Err(config_error(&format!("optimizer.{key}"), "must lie in [0, 1)"));
            }
        }
        if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            return Err(config_error("optimizer.epsilon", "must be positive"));
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return Err(config_error("optimizer.weight_decay", "must be 0 or positive"));
        }
        Ok(())
    }
}

/// The optimiser of one set of parameters.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    moments: BTreeMap<String, (Tensor, Tensor)>,
    step: u64,
}

impl AdamW {
    /// A fresh optimiser.
    ///
    /// # Errors
    /// [`NnError::Config`] for settings out of range.
    pub fn new(config: &AdamWConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config: config.clone(), moments: BTreeMap::new(), step: 0 })
    }

    /// Steps taken.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// One update. Parameters without a gradient are left alone, their moments too.
    ///
    /// # Errors
    /// [`NnError::Parameter`] for a gradient of a parameter that does not exist.
    pub fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        let variables: BTreeMap<String, _> = parameters.variables().into_iter().collect();
        self.step += 1;
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let exponent = self.step as f64;
        let (correction1, correction2) = (1.0 - beta1.powf(exponent), 1.0 - beta2.powf(exponent));
        for (name, gradient) in gradients {
            let Some(variable) = variables.get(name) else {
                return Err(NnError::Parameter {
                    name: name.clone(),
                    reason: "has a gradient but does not exist".into(),
                });
            };
            let gradient = gradient.detach();
            let (m, v) = match self.moments.get(name) {
                Some((m, v)) => (
                    ((m * beta1)? + (&gradient * (1.0 - beta1))?)?,
                    ((v * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?,
                ),
                None => ((&gradient * (1.0 - beta1))?, (gradient.sqr()? * (1.0 - beta2))?),
            };
            let root = ((&v / correction2)?.sqrt()? + epsilon)?;
            let update = ((&m * (learning_rate / correction1))? / root)?;
            let value = variable.as_detached_tensor();
            let kept = if decays(name) { (value * (1.0 - learning_rate * weight_decay))? } else { value };
            variable.set(&(kept - update)?)?;
            self.moments.insert(name.clone(), (m, v));
        }
        Ok(())
    }

    /// Moments and step counter as the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`NnError::State`] when a tensor cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors = vec![("step".to_owned(), Tensor::new(&[self.step as i64], &Device::Cpu)?)];
        for (name, (m, v)) in &self.moments {
            tensors.push((format!("first.{name}"), m.clone()));
            tensors.push((format!("second.{name}"), v.clone()));
        }
        serialize(&tensors)
    }

    /// Restores what [`AdamW::to_bytes`] gave, for the same parameters.
    ///
    /// # Errors
    /// [`NnError::State`] for damaged bytes, [`NnError::Parameter`] for moments that fit no parameter; then nothing is changed.
    pub fn load_bytes(&mut self, bytes: &[u8], parameters: &Parameters) -> Result<()> {
        let mut saved = deserialize(bytes, parameters.device())?;
        let step = saved.remove("step").ok_or_else(|| NnError::State("the step counter is missing".into()))?;
        let step = step.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
        let [step] = step[..] else { return Err(NnError::State("the step counter is not one number".into())) };
        let step = u64::try_from(step).map_err(|_| NnError::State("the step counter is negative".into()))?;
        let mut moments = BTreeMap::new();
        for (name, variable) in parameters.variables() {
            match (saved.remove(&format!("first.{name}")), saved.remove(&format!("second.{name}"))) {
                (None, None) => {}
                (Some(m), Some(v)) if m.dims() == variable.dims() && v.dims() == variable.dims() => {
                    moments.insert(name, (m, v));
                }
                _ => {
                    return Err(NnError::Parameter { name, reason: "has saved moments of another shape".into() });
                }
            }
        }
        if let Some(name) = saved.into_keys().min() {
            return Err(NnError::Parameter { name, reason: "has saved moments but is not in this model".into() });
        }
        (self.moments, self.step) = (moments, step);
        Ok(())
    }
}

/// Weight matrices and kernels decay; everything else does not.
fn decays(name: &str) -> bool {
    name.ends_with(".weight")
}

/// Euclidean norm over all gradients.
///
/// # Errors
/// When candle refuses an operation.
pub fn global_norm(gradients: &Gradients) -> Result<f64> {
    let squares: candle_core::Result<Vec<Tensor>> =
        gradients.values().map(|gradient| gradient.sqr()?.sum_all()?.to_dtype(DType::F64)).collect();
    let squares = squares?;
    if squares.is_empty() {
        return Ok(0.0);
    }
    Ok(Tensor::stack(&squares, 0)?.to_vec1::<f64>()?.iter().sum::<f64>().sqrt())
}

/// Scales all gradients by `limit / norm` where `norm` exceeds `limit`.
///
/// # Errors
/// When candle refuses an operation.
pub fn clip(gradients: &mut Gradients, norm: f64, limit: f64) -> Result<()> {
    if norm > limit {
        for gradient in gradients.values_mut() {
            *gradient = (&*gradient * (limit / norm))?;
        }
    }
    Ok(())
}
