//! ExcessMTL: tasks that are farther from their optimum weigh more.
//!
//! The excess risk is estimated as Ê_i = Σ_p g_ip²/√(S_ip + 1e-7), S the sum of g_ip² over all steps so far, divided by its first
//! value; w_i ← w_i exp(η Ê_i), renormalised (He et al., Robust multi-task learning with excess risks, ICML 2024, arXiv
//! 2402.02009). η = 1. As in the authors' code the first step uses Ê undivided and sets the divisor.
//!
//! Weights start equal and sum to 1; an inactive task keeps its weight, and the active ones share the rest. Cost: T + 1
//! backward passes in the source (T here, the update being a weighted sum), T·P memory twice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::combine::{GradientRule, Update, mix};
use super::memory::Memory;
use crate::error::BalanceError;
use crate::rows::Element;
use crate::stateful::Step;

const EPSILON: f64 = 1e-7;

/// Settings of `ExcessMTL`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExcessMtlConfig {
    /// η > 0: step size of the weights.
    pub step_size: f64,
}

impl Default for ExcessMtlConfig {
    fn default() -> Self {
        ExcessMtlConfig { step_size: 1.0 }
    }
}

impl ExcessMtlConfig {
    pub(crate) fn check(&self) -> Result<(), BalanceError> {
        BalanceError::need(self.step_size > 0.0 && self.step_size <= 1e3, "step_size", "lies in (0, 1000]")
    }
}

/// What it remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// log w, up to a constant.
    log_weights: Vec<Option<f64>>,
    /// First Ê.
    first: Vec<Option<f64>>,
    squares: Memory,
}

/// The rule.
pub(crate) struct ExcessMtl(pub(crate) ExcessMtlConfig);

impl GradientRule for ExcessMtl {
    type State = State;

    fn method(&self) -> &'static str {
        "excess-mtl"
    }

    fn fresh(&self, tasks: usize) -> State {
        State { log_weights: vec![Some(0.0); tasks], first: vec![None; tasks], squares: Memory::new(tasks) }
    }

    fn fits(&self, state: &State, tasks: usize) -> bool {
        state.log_weights.len() == tasks
            && state.log_weights.iter().all(Option::is_some)
            && state.first.len() == tasks
            && state.squares.0.len() == tasks
    }

    fn update<F: Element>(&self, state: &mut State, step: &Step<'_>, rows: &[&[F]]) -> Result<Update, BalanceError> {
        let members = step.active.members();
        state.squares.check(members, rows)?;
        let logs =
            |state: &State| -> Vec<f64> { members.iter().map(|&t| state.log_weights[t].unwrap_or(0.0)).collect() };
        let budget = log_sum(&logs(state));
        for (&task, row) in members.iter().zip(rows) {
            let squares = state.squares.of(task, row.len());
            let excess: f64 = row
                .iter()
                .zip(squares)
                .map(|(value, sum)| {
                    let value: f64 = (*value).into();
                    *sum += value * value;
                    value * value / (*sum + EPSILON).sqrt()
                })
                .sum();
            let relative = match state.first[task] {
                Some(first) => excess / (first + EPSILON),
                None => {
                    state.first[task] = Some(excess);
                    excess
                }
            };
            state.log_weights[task] = state.log_weights[task].map(|log| log + self.0.step_size * relative);
        }
        let excess = log_sum(&logs(state)) - budget;
        for &task in members {
            state.log_weights[task] = state.log_weights[task].map(|log| log - excess);
        }
        let all: Vec<f64> = state.log_weights.iter().map(|log| log.unwrap_or(0.0)).collect();
        let total = log_sum(&all);
        let weights: Vec<f64> = logs(state).iter().map(|log| (log - total).exp()).collect();
        Ok(Update { values: mix(rows, &weights), weights: Some(weights), raw: true })
    }
}

/// log Σ exp.
fn log_sum(logs: &[f64]) -> f64 {
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + logs.iter().map(|log| (log - top).exp()).sum::<f64>().ln()
}
