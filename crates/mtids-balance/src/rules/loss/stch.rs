//! STCH: a smooth maximum of the losses.
//!
//! L = μ log Σ exp(λ_i (L_i − z_i)/μ), so c_i = λ_i softmax(λ(L − z)/μ)_i (Lin et al., Smooth Tchebycheff scalarization, ICML 2024, arXiv 2402.19078).
//! Smaller μ looks more at the worst task. λ = 1/T and z = 0 unless given, as in `TorchJD`.
//!
//! With `warm_up_steps` > 0 it is the authors' multi-task form: for that many steps L = Σ log L_i, while the mean of each loss becomes
//! its nadir N_i; afterwards L = T μ log Σ exp(log(L_i/N_i)/μ), so c_i = T softmax(log(L/N)/μ)_i / L_i. The authors count two
//! epochs, of which the second is averaged; here all warm-up steps are. Losses then are above 0, and λ, z are not used.
//!
//! Cost: one backward pass, no memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::BalanceError;
use crate::preference::check_weights;
use crate::stateful::{StatefulRule, Step};
use crate::stateless::{Weights, softmax};

/// Settings of STCH.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StchConfig {
    /// μ > 0. Default 1.
    pub mu: f64,
    /// λ: one weight ≥ 0 per task. Absent: 1/T.
    pub weights: Option<Vec<f64>>,
    /// z: one reference loss per task, below what it can reach. Absent: 0.
    pub reference: Option<Vec<f64>>,
    /// Steps of warm-up of the authors' multi-task form; 0 is the plain scalarisation.
    pub warm_up_steps: u64,
}

impl Default for StchConfig {
    fn default() -> Self {
        StchConfig { mu: 1.0, weights: None, reference: None, warm_up_steps: 0 }
    }
}

impl StchConfig {
    pub(crate) fn check(&self, tasks: usize) -> Result<(), BalanceError> {
        BalanceError::need(self.mu >= 1e-6 && self.mu.is_finite(), "mu", "is at least 1e-6")?;
        if let Some(weights) = &self.weights {
            check_weights("weights", weights, tasks)?;
        }
        let fits = |list: &Vec<f64>| list.len() == tasks && list.iter().all(|value| value.is_finite());
        BalanceError::need(self.reference.as_ref().is_none_or(fits), "reference", "has one finite value per task")
    }
}

/// Means of the losses during the warm-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    nadirs: Vec<Option<f64>>,
    counts: Vec<u64>,
}

/// The rule.
pub(crate) struct Stch(pub(crate) StchConfig);

impl StatefulRule for Stch {
    type State = State;

    fn method(&self) -> &'static str {
        "stch"
    }

    fn fresh(&self, tasks: usize) -> State {
        State { nadirs: vec![None; tasks], counts: vec![0; tasks] }
    }

    fn fits(&self, state: &State, tasks: usize) -> bool {
        state.nadirs.len() == tasks && state.counts.len() == tasks
    }

    fn weights(&self, state: &mut State, step: &Step<'_>) -> Result<Weights, BalanceError> {
        let config = &self.0;
        let members = step.active.members();
        let count = members.len() as f64;
        if config.warm_up_steps == 0 {
            let losses = step.losses()?;
            let weight = |task: usize| config.weights.as_ref().map_or(1.0 / count, |weights| weights[task]);
            let reference = |task: usize| config.reference.as_ref().map_or(0.0, |reference| reference[task]);
            let terms: Vec<f64> = members
                .iter()
                .zip(&losses)
                .map(|(&task, loss)| weight(task) * (loss - reference(task)) / config.mu)
                .collect();
            let shares = softmax(&terms);
            return Ok(members
                .iter()
                .zip(&shares)
                .map(|(&task, share)| weight(task) * share)
                .collect::<Vec<f64>>()
                .into());
        }
        let losses = step.positive_losses()?;
        let warm = members.iter().any(|&task| state.counts[task] < config.warm_up_steps);
        if warm {
            for (&task, loss) in members.iter().zip(&losses) {
                if state.counts[task] < config.warm_up_steps {
                    state.counts[task] += 1;
                    let mean = state.nadirs[task].unwrap_or(0.0);
                    state.nadirs[task] = Some(mean + (loss - mean) / state.counts[task] as f64);
                }
            }
            return Ok(losses.iter().map(|loss| 1.0 / loss).collect::<Vec<f64>>().into());
        }
        let terms: Vec<f64> = members
            .iter()
            .zip(&losses)
            .map(|(&task, loss)| (loss / state.nadirs[task].unwrap_or(1.0)).ln() / config.mu)
            .collect();
        let shares = softmax(&terms);
        Ok(shares.iter().zip(&losses).map(|(share, loss)| count * share / loss).collect::<Vec<f64>>().into())
    }
}
