//! Optimisers with a saved state, clipping by global norm, and averaged weights.
//!
//! Purpose: candle's optimisers hide their state, so a run could not be resumed. [`AdamW`] and [`Sgd`] are usable by
//! themselves; [`OptimizerConfig`] chooses between them and [`Optimizer`] is the one chosen. [`WeightAverage`] follows the
//! parameters. Invariants: parameters are visited in the order of their names; saving and loading restores the next step
//! bit for bit; weight decay reaches weight matrices and kernels only, never norms, biases, embeddings or η.

mod adamw;
mod average;
mod sgd;
mod state;

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

pub use adamw::{AdamW, AdamWConfig};
pub use average::WeightAverage;
pub use sgd::{Sgd, SgdConfig};

use crate::device::at_once;
use crate::error::{LayerError, Result, config_error};
use crate::parameters::Parameters;

/// Gradients by parameter name.
pub type Gradients = BTreeMap<String, Tensor>;

/// Which optimiser, by its `method` (`adamw` where it is left out), with its settings beside it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "method", rename_all = "lowercase")]
#[schemars(transform = without_method_it_is_adamw)]
pub enum OptimizerConfig {
    /// Adam with decoupled weight decay.
    AdamW(AdamWConfig),
    /// Stochastic gradient descent with momentum.
    Sgd(SgdConfig),
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::AdamW(AdamWConfig::default())
    }
}

/// The key `method` may be left out for AdamW.
fn without_method_it_is_adamw(schema: &mut schemars::Schema) {
    let Some(Value::Array(variants)) = schema.get_mut("oneOf") else { return };
    if let Some(Value::Array(required)) = variants.first_mut().and_then(|first| first.get_mut("required")) {
        required.retain(|key| key != "method");
    }
}

impl<'de> Deserialize<'de> for OptimizerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut table = Map::<String, Value>::deserialize(deserializer)?;
        let method = table.remove("method").unwrap_or_else(|| "adamw".into());
        let settings = Value::Object(table);
        match method.as_str() {
            Some("adamw") => AdamWConfig::deserialize(settings).map(Self::AdamW).map_err(D::Error::custom),
            Some("sgd") => SgdConfig::deserialize(settings).map(Self::Sgd).map_err(D::Error::custom),
            _ => Err(D::Error::custom(format!("unknown variant `{method}`, expected `adamw` or `sgd`"))),
        }
    }
}

impl OptimizerConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`LayerError::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::AdamW(config) => config.validate(),
            Self::Sgd(config) => config.validate(),
        }
    }
}

/// What a training step asks of an optimiser.
pub trait UpdateRule {
    /// Steps taken.
    fn step_count(&self) -> u64;

    /// One update. Parameters without a gradient are left alone, their state too.
    ///
    /// # Errors
    /// [`LayerError::Parameter`] for a gradient of a parameter that does not exist.
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()>;
}

macro_rules! update_rule {
    ($($optimizer:ty),*) => {$(
        impl UpdateRule for $optimizer {
            fn step_count(&self) -> u64 {
                self.step_count()
            }

            fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
                self.step(parameters, gradients, learning_rate)
            }
        }
    )*};
}

update_rule!(AdamW, Sgd, Optimizer);

/// The optimiser that a configuration names.
#[derive(Debug)]
pub enum Optimizer {
    /// See [`AdamW`].
    AdamW(AdamW),
    /// See [`Sgd`].
    Sgd(Sgd),
}

impl Optimizer {
    /// A fresh optimiser.
    ///
    /// # Errors
    /// [`LayerError::Config`] for settings out of range.
    pub fn new(config: &OptimizerConfig) -> Result<Self> {
        Ok(match config {
            OptimizerConfig::AdamW(config) => Self::AdamW(AdamW::new(config)?),
            OptimizerConfig::Sgd(config) => Self::Sgd(Sgd::new(config)?),
        })
    }

    /// Steps taken.
    pub fn step_count(&self) -> u64 {
        match self {
            Self::AdamW(optimizer) => optimizer.step_count(),
            Self::Sgd(optimizer) => optimizer.step_count(),
        }
    }

    /// One update. Parameters without a gradient are left alone, their state too.
    ///
    /// # Errors
    /// [`LayerError::Parameter`] for a gradient of a parameter that does not exist.
    pub fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        match self {
            Self::AdamW(optimizer) => optimizer.step(parameters, gradients, learning_rate),
            Self::Sgd(optimizer) => optimizer.step(parameters, gradients, learning_rate),
        }
    }

    /// The state as the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`LayerError::State`] when a tensor cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        match self {
            Self::AdamW(optimizer) => optimizer.to_bytes(),
            Self::Sgd(optimizer) => optimizer.to_bytes(),
        }
    }

    /// Restores what [`Optimizer::to_bytes`] gave, for the same parameters and method.
    ///
    /// # Errors
    /// [`LayerError::State`] for damaged bytes, [`LayerError::Parameter`] for a state that fits no parameter, as that of another
    /// method; then nothing is changed.
    pub fn load_bytes(&mut self, bytes: &[u8], parameters: &Parameters) -> Result<()> {
        match self {
            Self::AdamW(optimizer) => optimizer.load_bytes(bytes, parameters),
            Self::Sgd(optimizer) => optimizer.load_bytes(bytes, parameters),
        }
    }
}

/// Whether weight decay reaches the parameter of this name: weight matrices and kernels decay, everything else does not.
pub fn decays(name: &str) -> bool {
    name.ends_with(".weight")
}

/// The variable of each gradient.
fn paired<'a>(
    parameters: &Parameters,
    gradients: &'a Gradients,
) -> Result<Vec<(&'a String, candle_core::Var, Tensor)>> {
    let mut variables: BTreeMap<String, _> = parameters.variables().into_iter().collect();
    let pair = |(name, gradient): (&'a String, &Tensor)| match variables.remove(name) {
        Some(variable) => Ok((name, variable, gradient.detach().contiguous()?)),
        None => {
            let reason = "has a gradient but does not exist".into();
            Err(LayerError::Parameter { name: name.clone(), reason })
        }
    };
    gradients.iter().map(pair).collect()
}

fn in_unit_range(key: &str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) { Ok(()) } else { Err(config_error(key, "must lie in [0, 1)")) }
}

fn not_negative(key: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 { Ok(()) } else { Err(config_error(key, "must be 0 or positive")) }
}

/// Squared norm of each gradient, a scalar in double precision where the gradient lies; on a card one for all.
///
/// # Errors
/// When candle refuses an operation.
pub fn squared_norms(gradients: &Gradients) -> Result<Vec<Tensor>> {
    if !gradients.is_empty() && gradients.values().all(at_once) {
        let all: Vec<Tensor> = gradients.values().map(Tensor::detach).collect();
        return Ok(vec![mtids_cuda::update::squared_norm(&all)?.reshape(())?]);
    }
    gradients.values().map(|gradient| Ok(gradient.sqr()?.sum_all()?.to_dtype(DType::F64)?)).collect()
}

/// Euclidean norm over all gradients, read by the host.
///
/// # Errors
/// When candle refuses an operation.
pub fn global_norm(gradients: &Gradients) -> Result<f64> {
    let squares = squared_norms(gradients)?;
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

/// As [`clip`], from [`squared_norms`] and without any read: all gradients are multiplied by `min(1, limit / norm)`, a scalar on their device.
/// Gradients within the limit are multiplied by 1 and stay what they are.
///
/// # Errors
/// When candle refuses an operation.
pub fn clip_where_they_are(gradients: &mut Gradients, squares: &[Tensor], limit: f64) -> Result<()> {
    if squares.is_empty() {
        return Ok(());
    }
    if let [square] = squares
        && gradients.values().all(at_once)
    {
        let all: Vec<Tensor> = gradients.values().map(Tensor::detach).collect();
        let clipped = mtids_cuda::update::clip(&all, square, limit)?;
        gradients.values_mut().zip(clipped).for_each(|(gradient, clipped)| *gradient = clipped);
        return Ok(());
    }
    let norm = Tensor::stack(squares, 0)?.sum_all()?.sqrt()?;
    let factor = norm.recip()?.affine(limit, 0.0)?.minimum(&norm.ones_like()?)?;
    for gradient in gradients.values_mut() {
        *gradient = gradient.broadcast_mul(&factor.to_dtype(gradient.dtype())?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
