//! SDMGrad: MGDA regularised towards the mean, its weights learned by a few steps of projected descent.
//!
//! w minimises ½‖Gᵀ(w + λ1/T)‖² over the simplex by `iterations` steps of gradient descent with momentum, warm-started from the
//! last step; c = (w + λ/T)/(1 + λ) (Xiao, Ban and Ji, Direction-oriented multi-objective learning, NeurIPS 2023, arXiv
//! 2305.18409). K is divided by the squared mean norm before, as in the authors' code. λ = 0.3, rate 10, momentum 0.5, 20
//! iterations. λ = 0 is MGDA, large λ the mean.
//!
//! The source takes K as G_1 G_2ᵀ from two batches, which is unbiased, and the step's gradient from a third; with the Gram matrix of one
//! batch, as here, it is the authors' deterministic variant. Cost: T backward passes (3T in the source), T·P memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::BalanceError;
use crate::program::simplex::project;
use crate::stateful::{StatefulRule, Step};
use crate::stateless::Weights;

/// Settings of `SDMGrad`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SdmGradConfig {
    /// λ ≥ 0: pull towards the mean gradient.
    pub lambda: f64,
    /// Step size of w.
    pub learning_rate: f64,
    /// Momentum in [0, 1).
    pub momentum: f64,
    /// Steps of w per training step, 1 to 1000.
    pub iterations: u32,
}

impl Default for SdmGradConfig {
    fn default() -> Self {
        SdmGradConfig { lambda: 0.3, learning_rate: 10.0, momentum: 0.5, iterations: 20 }
    }
}

impl SdmGradConfig {
    pub(crate) fn check(&self) -> Result<(), BalanceError> {
        BalanceError::need((0.0..=1e6).contains(&self.lambda), "lambda", "lies in [0, 1e6]")?;
        BalanceError::need(
            self.learning_rate > 0.0 && self.learning_rate <= 1e3,
            "learning_rate",
            "lies in (0, 1000]",
        )?;
        BalanceError::need((0.0..1.0).contains(&self.momentum), "momentum", "is at least 0 and below 1")?;
        BalanceError::need((1..=1000).contains(&self.iterations), "iterations", "lies between 1 and 1000")
    }
}

/// w of every task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    weights: Vec<Option<f64>>,
}

/// The rule.
pub(crate) struct SdmGrad(pub(crate) SdmGradConfig);

impl StatefulRule for SdmGrad {
    type State = State;

    fn method(&self) -> &'static str {
        "sdmgrad"
    }

    fn fresh(&self, tasks: usize) -> State {
        State { weights: vec![Some(1.0 / tasks as f64); tasks] }
    }

    fn fits(&self, state: &State, tasks: usize) -> bool {
        state.weights.len() == tasks && state.weights.iter().all(Option::is_some)
    }

    fn weights(&self, state: &mut State, step: &Step<'_>) -> Result<Weights, BalanceError> {
        let config = &self.0;
        let active = step.active;
        let count = active.len();
        let mean_norm = active.norms().iter().sum::<f64>() / count as f64;
        let relative: Vec<f64> = active.norms().iter().map(|norm| norm / mean_norm).collect();
        let prior = 1.0 / count as f64;
        // The active tasks share what they had together, at least their equal part if that is nothing.
        let own: Vec<f64> = active.members().iter().map(|&task| state.weights[task].unwrap_or(0.0)).collect();
        let sum: f64 = own.iter().sum();
        let (budget, mut w) = if sum > 0.0 {
            (sum, own.iter().map(|w| w / sum).collect())
        } else {
            (count as f64 / state.weights.len() as f64, vec![prior; count])
        };
        let mut velocity = vec![0.0; count];
        for _ in 0..config.iterations {
            let mixed: Vec<f64> = w.iter().map(|w| w + config.lambda * prior).collect();
            for i in 0..count {
                let slope: f64 = (0..count).map(|j| active.cosine(i, j) * relative[i] * relative[j] * mixed[j]).sum();
                velocity[i] = config.momentum * velocity[i] + slope;
            }
            let moved: Vec<f64> =
                w.iter().zip(&velocity).map(|(w, velocity)| w - config.learning_rate * velocity).collect();
            w = project(&moved);
        }
        for (&task, w) in active.members().iter().zip(&w) {
            state.weights[task] = Some(w * budget);
        }
        let total = 1.0 + config.lambda;
        Ok(w.iter().map(|w| (w + config.lambda * prior) / total).collect::<Vec<f64>>().into())
    }
}
