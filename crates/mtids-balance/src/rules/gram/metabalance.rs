//! MetaBalance: auxiliary gradients are brought towards the main task's length.
//!
//! c_i = r·m_0/m_i + (1 − r) with m the running means of the norms and 0 the main task, whose own c is 1; u is the sum (He et al.,
//! MetaBalance, WWW 2022, arXiv 2203.06801). r = 0.7, memory β = 0.9, the main task is the first. While the main task is inactive
//! and has never been active, all weights are 1.
//!
//! The source balances each parameter tensor by itself: run one balancer per tensor on that tensor's Gram matrix for that.
//! Cost: T backward passes, memory T²; directions are not changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::BalanceError;
use crate::rules::gram::average_norms::AverageNorms;
use crate::stateful::{StatefulRule, Step};
use crate::stateless::Weights;

/// Settings of MetaBalance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetaBalanceConfig {
    /// Number of the main task.
    pub main: usize,
    /// r in [0, 1]: 0 leaves the norms alone, 1 makes the averages equal.
    pub relax: f64,
    /// β in [0, 1): memory of the averages.
    pub beta: f64,
}

impl Default for MetaBalanceConfig {
    fn default() -> Self {
        MetaBalanceConfig { main: 0, relax: 0.7, beta: 0.9 }
    }
}

impl MetaBalanceConfig {
    pub(crate) fn check(&self, tasks: usize) -> Result<(), BalanceError> {
        BalanceError::need(self.main < tasks, "main", "is the number of a task, counted from 0")?;
        BalanceError::need((0.0..=1.0).contains(&self.relax), "relax", "lies in [0, 1]")?;
        BalanceError::need((0.0..1.0).contains(&self.beta), "beta", "is at least 0 and below 1")
    }
}

/// Averages, and the main task's newest one for steps without it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    averages: AverageNorms,
    main: Vec<Option<f64>>,
}

/// The rule.
pub(crate) struct MetaBalance(pub(crate) MetaBalanceConfig);

impl StatefulRule for MetaBalance {
    type State = State;

    fn method(&self) -> &'static str {
        "metabalance"
    }

    fn fresh(&self, tasks: usize) -> State {
        State { averages: AverageNorms::new(tasks), main: vec![None] }
    }

    fn fits(&self, state: &State, tasks: usize) -> bool {
        state.averages.fits(tasks) && state.main.len() == 1
    }

    fn weights(&self, state: &mut State, step: &Step<'_>) -> Result<Weights, BalanceError> {
        let config = &self.0;
        let pairs = step.active.members().iter().zip(step.active.norms());
        let means: Vec<(usize, f64)> =
            pairs.map(|(&task, &norm)| (task, state.averages.update(task, norm, config.beta))).collect();
        if let Some(&(_, mean)) = means.iter().find(|&&(task, _)| task == config.main) {
            state.main[0] = Some(mean);
        }
        let Some(main) = state.main[0] else { return Ok(vec![1.0; means.len()].into()) };
        let weight = |&(task, mean): &(usize, f64)| {
            if task == config.main { 1.0 } else { config.relax * (main / mean) + (1.0 - config.relax) }
        };
        Ok(means.iter().map(weight).collect::<Vec<f64>>().into())
    }
}
