//! Experts: two-layer perceptrons with GELU and a final layer norm.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::activation::gelu;
use crate::error::Result;
use crate::linear::Linear;
use crate::norm::LayerNorm;
use crate::parameters::Parameters;

/// Shared and private experts of a rival.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExpertsConfig {
    /// Experts shared by all tasks.
    pub shared: usize,
    /// Experts of each task.
    pub private: usize,
    /// Hidden units of an expert.
    pub hidden: usize,
    /// Outputs of an expert.
    pub width: usize,
}

impl Default for ExpertsConfig {
    fn default() -> Self {
        Self { shared: 3, private: 2, hidden: 64, width: 64 }
    }
}

/// Shared experts of a rival that has no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SharedExpertsConfig {
    /// Number of experts.
    pub count: usize,
    /// Hidden units of an expert.
    pub hidden: usize,
    /// Outputs of an expert.
    pub width: usize,
}

impl Default for SharedExpertsConfig {
    fn default() -> Self {
        Self { count: 4, hidden: 64, width: 64 }
    }
}

/// One expert, `[B, d]` to `[B, d_e]`.
#[derive(Clone, Debug)]
pub struct Expert {
    first: Linear,
    second: Linear,
    norm: LayerNorm,
}

impl Expert {
    /// Builds an expert with `inputs` → `hidden` → `outputs` units; parameters are named `<name>.*`.
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(name: &str, inputs: usize, hidden: usize, outputs: usize, parameters: &Parameters) -> Result<Self> {
        Ok(Self {
            first: Linear::new(&format!("{name}.first"), inputs, hidden, std::f64::consts::SQRT_2, parameters)?,
            second: Linear::new(&format!("{name}.second"), hidden, outputs, 1.0, parameters)?,
            norm: LayerNorm::new(&format!("{name}.norm"), outputs, parameters)?,
        })
    }

    /// Applies the expert.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, z: &Tensor) -> Result<Tensor> {
        self.norm.forward(&self.second.forward(&gelu(&self.first.forward(z)?)?)?)
    }
}

/// Several experts on the same input.
#[derive(Clone, Debug)]
pub struct ExpertGroup {
    experts: Vec<Expert>,
}

impl ExpertGroup {
    /// `count` experts named `<name>.0`, `<name>.1`, ...
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(
        name: &str,
        count: usize,
        [inputs, hidden, outputs]: [usize; 3],
        parameters: &Parameters,
    ) -> Result<Self> {
        let experts: Result<Vec<Expert>> = (0..count)
            .map(|index| Expert::new(&format!("{name}.{index}"), inputs, hidden, outputs, parameters))
            .collect();
        Ok(Self { experts: experts? })
    }

    /// Number of experts.
    pub fn len(&self) -> usize {
        self.experts.len()
    }

    /// True for a group without experts.
    pub fn is_empty(&self) -> bool {
        self.experts.is_empty()
    }

    /// `[B, d]` to `[B, E, d_e]`.
    ///
    /// # Errors
    /// When the shape does not fit or the group is empty.
    pub fn forward(&self, z: &Tensor) -> Result<Tensor> {
        let outputs: Result<Vec<Tensor>> = self.experts.iter().map(|expert| expert.forward(z)).collect();
        Ok(Tensor::stack(&outputs?, 1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn the_slope_of_gelu_has_all_its_digits() {
        let points = [-3.0, -1.0, -0.2, 0.0, 0.7, 1.0, 2.5f64];
        let x = Var::new(&points, &Device::Cpu).unwrap();
        let store = gelu(&x).unwrap().sum_all().unwrap().backward().unwrap();
        let slopes: Vec<f64> = store.get(&x).unwrap().to_vec1().unwrap();
        let phi = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let halves: Vec<f64> = Tensor::new(&points, &Device::Cpu).unwrap().gelu_erf().unwrap().to_vec1().unwrap();
        for ((x, slope), value) in points.into_iter().zip(slopes).zip(halves) {
            // Φ(x) = gelu(x) / x, and ½ at 0.
            let distribution = if x == 0.0 { 0.5 } else { value / x };
            assert!((slope - (distribution + x * phi(x))).abs() < 1e-14, "{x}: {slope}");
        }
    }
}
