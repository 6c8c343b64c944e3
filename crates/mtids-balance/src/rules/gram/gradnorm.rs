//! GradNorm: weights are learned so that gradient norms follow the rates of learning.
//!
//! G_i = w_i n_i, Ḡ their mean, r_i = (L_i/L_i(0)) / mean; w descends Σ |G_i − Ḡ r_i^α| with Ḡ r_i^α held constant, and Σ w = T (Chen et al.,
//! ICML 2018, arXiv 1711.02257). G_i is linear in w_i, so no second derivative is needed. α = 1.5.
//!
//! `parametrisation`: the paper learns w and renormalises it after each step (kept at 1e-3 or above here, because nothing in
//! the paper keeps it positive); LibMTL learns s with w = T softmax(s). Learned by an Adam of its own; the paper's learning
//! rate for w is 0.025. L(0) is the loss of the task's first active step (LibMTL: the mean of the first epoch). T counts the
//! active tasks. Losses above 0.
//!
//! Cost: T backward passes, in the source only to the last shared layer: pass the Gram matrix of that layer's gradients to
//! have it so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::adam::Learned;
use crate::error::BalanceError;
use crate::stateful::{StatefulRule, Step};
use crate::stateless::{Weights, softmax};

/// Smallest weight before renormalisation.
const SMALLEST: f64 = 1e-3;

/// How the weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Parametrisation {
    /// w itself, renormalised after each step, as in the paper.
    #[default]
    Direct,
    /// w = T softmax(s), as in LibMTL.
    Softmax,
}

/// Settings of GradNorm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GradNormConfig {
    /// α ≥ 0: strength of the pull towards a common rate.
    pub alpha: f64,
    /// Learning rate of the weights.
    pub learning_rate: f64,
    /// How the weights are kept.
    pub parametrisation: Parametrisation,
}

impl Default for GradNormConfig {
    fn default() -> Self {
        GradNormConfig { alpha: 1.5, learning_rate: 0.025, parametrisation: Parametrisation::Direct }
    }
}

impl GradNormConfig {
    pub(crate) fn check(&self) -> Result<(), BalanceError> {
        BalanceError::need((0.0..=8.0).contains(&self.alpha), "alpha", "lies in [0, 8]")?;
        BalanceError::need((0.0..=1.0).contains(&self.learning_rate), "learning_rate", "lies in [0, 1]")
    }
}

/// Weights (or s) and first losses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    learned: Learned,
    first_losses: Vec<Option<f64>>,
}

/// The rule.
pub(crate) struct GradNorm(pub(crate) GradNormConfig);

impl StatefulRule for GradNorm {
    type State = State;

    fn method(&self) -> &'static str {
        "gradnorm"
    }

    fn fresh(&self, tasks: usize) -> State {
        State { learned: Learned::new(tasks, 1.0), first_losses: vec![None; tasks] }
    }

    fn fits(&self, state: &State, tasks: usize) -> bool {
        state.learned.fits(tasks) && state.first_losses.len() == tasks
    }

    fn weights(&self, state: &mut State, step: &Step<'_>) -> Result<Weights, BalanceError> {
        let losses = step.positive_losses()?;
        let members = step.active.members();
        let count = members.len() as f64;
        let learned = &mut state.learned;
        let values: Vec<f64> = members.iter().map(|&task| learned.get(task)).collect();
        let direct = self.0.parametrisation == Parametrisation::Direct;
        let sum: f64 = values.iter().sum();
        let weights: Vec<f64> = if direct {
            values.iter().map(|value| value * (count / sum)).collect()
        } else {
            softmax(&values).iter().map(|share| share * count).collect()
        };
        let relative: Vec<f64> = members
            .iter()
            .zip(&losses)
            .map(|(&task, loss)| loss / *state.first_losses[task].get_or_insert(*loss))
            .collect();
        let mean_relative = relative.iter().sum::<f64>() / count;
        let scaled: Vec<f64> = weights.iter().zip(step.active.norms()).map(|(w, norm)| w * norm).collect();
        let mean = scaled.iter().sum::<f64>() / count;
        let slopes: Vec<f64> = (0..members.len())
            .map(|i| {
                let gap = scaled[i] - mean * (relative[i] / mean_relative).powf(self.0.alpha);
                if gap == 0.0 { 0.0 } else { gap.signum() * step.active.norms()[i] }
            })
            .collect();
        if direct {
            for (i, &task) in members.iter().enumerate() {
                learned.set(task, weights[i]);
                learned.descend(task, slopes[i], self.0.learning_rate, 0.0);
                learned.set(task, learned.get(task).max(SMALLEST));
            }
            // Tasks that take no part keep their share, so those that do keep what they had together.
            if members.len() < state.first_losses.len() {
                let moved: f64 = members.iter().map(|&task| learned.get(task)).sum();
                members.iter().for_each(|&task| learned.set(task, learned.get(task) * (sum / moved)));
            }
        } else {
            // ∂w_i/∂s_j = w_i (δ_ij − w_j/T).
            let pull: f64 = weights.iter().zip(&slopes).map(|(w, slope)| w * slope).sum::<f64>() / count;
            for (i, &task) in members.iter().enumerate() {
                learned.descend(task, weights[i] * (slopes[i] - pull), self.0.learning_rate, 0.0);
            }
        }
        Ok(weights.into())
    }
}
