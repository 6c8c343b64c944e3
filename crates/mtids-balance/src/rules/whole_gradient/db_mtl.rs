//! DB-MTL: losses by their logarithm, gradients by their running average at the length of the longest.
//!
//! ĝ_i ← ∇log(L_i + 1e-8) + (β/k^σ)(ĝ_i − ∇log(L_i + 1e-8)) from ĝ = 0, u = Σ (max_j‖ĝ_j‖ / (‖ĝ_i‖ + 1e-8)) ĝ_i (Lin et al., Dual-balancing
//! for multi-task learning, arXiv 2308.12029; form of LibMTL's repository). ∇log L = g/L. β = 0.9, σ = 0; k counts the task's
//! own steps. Losses above 0.
//!
//! A task that takes no part in a step is left out, its average kept. Cost: T backward passes, T·P memory twice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::combine::{GradientRule, Update, length, mix};
use super::memory::Memory;
use crate::error::BalanceError;
use crate::rows::Element;
use crate::stateful::Step;

const EPSILON: f64 = 1e-8;

/// Settings of DB-MTL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DbMtlConfig {
    /// β in [0, 1): memory of the average.
    pub beta: f64,
    /// σ in [0, 4]: decay of β with the steps.
    pub sigma: f64,
}

impl Default for DbMtlConfig {
    fn default() -> Self {
        DbMtlConfig { beta: 0.9, sigma: 0.0 }
    }
}

impl DbMtlConfig {
    pub(crate) fn check(&self) -> Result<(), BalanceError> {
        BalanceError::need((0.0..1.0).contains(&self.beta), "beta", "is at least 0 and below 1")?;
        BalanceError::need((0.0..=4.0).contains(&self.sigma), "sigma", "lies in [0, 4]")
    }
}

/// Averages and own steps of the tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    averages: Memory,
    steps: Vec<u64>,
}

/// The rule.
pub(crate) struct DbMtl(pub(crate) DbMtlConfig);

impl GradientRule for DbMtl {
    type State = State;

    fn method(&self) -> &'static str {
        "db-mtl"
    }

    fn fresh(&self, tasks: usize) -> State {
        State { averages: Memory::new(tasks), steps: vec![0; tasks] }
    }

    fn fits(&self, state: &State, tasks: usize) -> bool {
        state.averages.0.len() == tasks && state.steps.len() == tasks
    }

    fn update<F: Element>(&self, state: &mut State, step: &Step<'_>, rows: &[&[F]]) -> Result<Update, BalanceError> {
        let losses = step.positive_losses()?;
        let members = step.active.members();
        state.averages.check(members, rows)?;
        for ((&task, row), loss) in members.iter().zip(rows).zip(&losses) {
            state.steps[task] += 1;
            let keep = self.0.beta / (state.steps[task] as f64).powf(self.0.sigma);
            let average = state.averages.of(task, row.len());
            average.iter_mut().zip(*row).for_each(|(average, value)| {
                let value: f64 = (*value).into() / (loss + EPSILON);
                *average = value + keep * (*average - value);
            });
        }
        let averages: Vec<&[f64]> = members.iter().map(|&task| state.averages.0[task].as_slice()).collect();
        let lengths: Vec<f64> = averages.iter().map(|average| length(average)).collect();
        let longest = lengths.iter().copied().fold(0.0, f64::max);
        let weights: Vec<f64> = lengths.iter().map(|length| longest / (length + EPSILON)).collect();
        Ok(Update { values: mix(&averages, &weights), weights: Some(weights), raw: false })
    }
}
