//! DWA: tasks whose loss falls more slowly from epoch to epoch weigh more.
//!
//! c_i = T·softmax(r_i/τ), r_i = L̄_i(last epoch) / L̄_i(the one before), and 1 in the first two epochs (Liu, Johns and Davison,
//! End-to-end multi-task learning with attention, CVPR 2019, arXiv 1803.10704). τ = 2. T counts the active tasks. The
//! average of an epoch is over the steps in which the task was active; a task without two averages has weight 1 and stays
//! out of the softmax. Losses above 0. Cost: one backward pass, no memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::any::EpochBalancer;
use crate::error::BalanceError;
use crate::stateful::{Stateful, StatefulRule, Step};
use crate::stateless::{Weights, softmax};

/// Settings of DWA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DwaConfig {
    /// τ > 0; large values make the weights equal.
    pub temperature: f64,
}

impl Default for DwaConfig {
    fn default() -> Self {
        DwaConfig { temperature: 2.0 }
    }
}

impl DwaConfig {
    pub(crate) fn check(&self) -> Result<(), BalanceError> {
        BalanceError::need(self.temperature >= 1e-3 && self.temperature.is_finite(), "temperature", "is at least 0.001")
    }
}

/// Sums of the running epoch and the averages of the two before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    sums: Vec<Option<f64>>,
    counts: Vec<u64>,
    last: Vec<Option<f64>>,
    before: Vec<Option<f64>>,
}

/// The rule.
pub(crate) struct Dwa(pub(crate) DwaConfig);

impl StatefulRule for Dwa {
    type State = State;

    fn method(&self) -> &'static str {
        "dwa"
    }

    fn fresh(&self, tasks: usize) -> State {
        let none = vec![None; tasks];
        State { sums: none.clone(), counts: vec![0; tasks], last: none.clone(), before: none }
    }

    fn fits(&self, state: &State, tasks: usize) -> bool {
        [&state.sums, &state.last, &state.before].iter().all(|list| list.len() == tasks) && state.counts.len() == tasks
    }

    fn weights(&self, state: &mut State, step: &Step<'_>) -> Result<Weights, BalanceError> {
        let losses = step.positive_losses()?;
        let mut weights = vec![1.0; losses.len()];
        let mut rated = Vec::new();
        for (i, &task) in step.active.members().iter().enumerate() {
            state.sums[task] = Some(state.sums[task].unwrap_or(0.0) + losses[i]);
            state.counts[task] += 1;
            if let (Some(last), Some(before)) = (state.last[task], state.before[task]) {
                rated.push((i, last / before / self.0.temperature));
            }
        }
        let shares = softmax(&rated.iter().map(|&(_, rate)| rate).collect::<Vec<f64>>());
        for (&(i, _), share) in rated.iter().zip(&shares) {
            weights[i] = rated.len() as f64 * share;
        }
        Ok(weights.into())
    }
}

impl EpochBalancer for Stateful<Dwa> {
    fn end_epoch(&mut self) {
        let state = &mut self.state;
        for task in 0..self.tasks {
            if let Some(sum) = state.sums[task].take() {
                state.before[task] = state.last[task];
                state.last[task] = Some(sum / state.counts[task] as f64);
                state.counts[task] = 0;
            }
        }
    }
}
