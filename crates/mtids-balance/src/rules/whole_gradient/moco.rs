//! MoCo: MGDA-like weights on gradients tracked over the steps.
//!
//! y_i ← y_i − (β/k^σ)(y_i − g_i) from y = 0; λ ← softmax(λ − (γ/k^τ)(YYᵀ + ρI)λ) from λ = 1/T; u = Yᵀλ (Fernando et al., Mitigating
//! gradient bias in multi-objective learning, ICLR 2023; form of LibMTL's repository, which first brings g_i to the length L_i, as
//! `loss_length` does here). β = 0.5, σ = 0.5, γ = 0.1, τ = 0.5, ρ = 0; k counts steps. The paper projects λ on the simplex;
//! softmax is the authors' code.
//!
//! A task that takes no part in a step is left out, its average kept; λ is then over the others alone and scaled back to what they
//! had together. Cost: T backward passes, T·P memory twice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::combine::{GradientRule, Update, mix};
use super::memory::Memory;
use crate::error::BalanceError;
use crate::rows::{Element, gram_of};
use crate::stateful::Step;
use crate::stateless::softmax;

/// Settings of `MoCo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MoCoConfig {
    /// β in (0, 1]: weight of the newest gradient.
    pub beta: f64,
    /// σ in [0, 4]: decay of β with the steps.
    pub beta_sigma: f64,
    /// γ ≥ 0: step size of λ.
    pub gamma: f64,
    /// τ in [0, 4]: decay of γ with the steps.
    pub gamma_sigma: f64,
    /// ρ ≥ 0: pull of λ towards equal weights.
    pub rho: f64,
    /// Whether g_i is first brought to the length L_i; needs losses then.
    pub loss_length: bool,
}

impl Default for MoCoConfig {
    fn default() -> Self {
        MoCoConfig { beta: 0.5, beta_sigma: 0.5, gamma: 0.1, gamma_sigma: 0.5, rho: 0.0, loss_length: true }
    }
}

impl MoCoConfig {
    pub(crate) fn check(&self) -> Result<(), BalanceError> {
        BalanceError::need(self.beta > 0.0 && self.beta <= 1.0, "beta", "lies in (0, 1]")?;
        BalanceError::need((0.0..=4.0).contains(&self.beta_sigma), "beta_sigma", "lies in [0, 4]")?;
        BalanceError::need((0.0..=1e3).contains(&self.gamma), "gamma", "lies in [0, 1000]")?;
        BalanceError::need((0.0..=4.0).contains(&self.gamma_sigma), "gamma_sigma", "lies in [0, 4]")?;
        BalanceError::need((0.0..=1e3).contains(&self.rho), "rho", "lies in [0, 1000]")
    }
}

/// What it remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    step: u64,
    lambda: Vec<Option<f64>>,
    averages: Memory,
}

/// The rule.
pub(crate) struct MoCo(pub(crate) MoCoConfig);

impl GradientRule for MoCo {
    type State = State;

    fn method(&self) -> &'static str {
        "moco"
    }

    fn fresh(&self, tasks: usize) -> State {
        State { step: 0, lambda: vec![Some(1.0 / tasks as f64); tasks], averages: Memory::new(tasks) }
    }

    fn fits(&self, state: &State, tasks: usize) -> bool {
        state.lambda.len() == tasks && state.lambda.iter().all(Option::is_some) && state.averages.0.len() == tasks
    }

    fn update<F: Element>(&self, state: &mut State, step: &Step<'_>, rows: &[&[F]]) -> Result<Update, BalanceError> {
        let config = &self.0;
        let members = step.active.members();
        let lengths = if config.loss_length {
            let losses = step.positive_losses()?;
            losses.iter().zip(step.active.norms()).map(|(loss, norm)| loss / (norm + 1e-8)).collect()
        } else {
            vec![1.0; members.len()]
        };
        state.averages.check(members, rows)?;
        state.step += 1;
        let decay = |sigma: f64| (state.step as f64).powf(sigma);
        let (beta, gamma) = (config.beta / decay(config.beta_sigma), config.gamma / decay(config.gamma_sigma));
        for ((&task, row), factor) in members.iter().zip(rows).zip(&lengths) {
            let average = state.averages.of(task, row.len());
            average.iter_mut().zip(*row).for_each(|(y, value)| *y -= beta * (*y - factor * (*value).into()));
        }
        let averages: Vec<&[f64]> = members.iter().map(|&task| state.averages.0[task].as_slice()).collect();
        let count = members.len();
        let gram = gram_of(&averages, &vec![true; count])?;
        let old: Vec<f64> = members.iter().map(|&task| state.lambda[task].unwrap_or(0.0)).collect();
        let budget: f64 = old.iter().sum();
        let lambda: Vec<f64> = old.iter().map(|value| value / budget).collect();
        let moved: Vec<f64> = (0..count)
            .map(|i| {
                let pull: f64 = (0..count).map(|j| gram[i * count + j] * lambda[j]).sum();
                lambda[i] - gamma * (pull + config.rho * lambda[i])
            })
            .collect();
        let lambda = softmax(&moved);
        for (&task, value) in members.iter().zip(&lambda) {
            // Softmax may underflow to 0; a task must be able to come back.
            state.lambda[task] = Some((value * budget).max(f64::MIN_POSITIVE));
        }
        Ok(Update { values: mix(&averages, &lambda), weights: Some(lambda), raw: false })
    }
}
