//! UW: homoscedastic uncertainty weights.
//!
//! L = Σ ½e^{−s_i} L_i + ½s_i with learned log variances s (Kendall, Gal and Cipolla, CVPR 2018, arXiv 1705.07115), so
//! c_i = ½e^{−s_i}. The sources let the network's optimiser learn s; here it has an Adam of its own. Cost: one backward
//! pass, no memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::adam::Learned;
use crate::error::BalanceError;
use crate::stateful::{StatefulRule, Step};
use crate::stateless::Weights;

/// Settings of UW.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UwConfig {
    /// Learning rate of s, ≥ 0. Default 1e-4, `LibMTL`'s for the whole model.
    pub learning_rate: f64,
    /// First value of s. Default 0 as in `TorchJD`; `LibMTL` starts at −0.5.
    pub start: f64,
}

impl Default for UwConfig {
    fn default() -> Self {
        UwConfig { learning_rate: 1e-4, start: 0.0 }
    }
}

impl UwConfig {
    pub(crate) fn check(&self) -> Result<(), BalanceError> {
        BalanceError::need(self.learning_rate >= 0.0 && self.learning_rate <= 1.0, "learning_rate", "lies in [0, 1]")?;
        BalanceError::need(self.start.abs() <= 20.0, "start", "lies in [-20, 20]")
    }
}

/// The rule.
pub(crate) struct Uw(pub(crate) UwConfig);

impl StatefulRule for Uw {
    type State = Learned;

    fn method(&self) -> &'static str {
        "uw"
    }

    fn fresh(&self, tasks: usize) -> Learned {
        Learned::new(tasks, self.0.start)
    }

    fn fits(&self, state: &Learned, tasks: usize) -> bool {
        state.fits(tasks)
    }

    fn weights(&self, state: &mut Learned, step: &Step<'_>) -> Result<Weights, BalanceError> {
        let losses = step.losses()?;
        let weights: Vec<f64> = step.active.members().iter().map(|&task| 0.5 * (-state.get(task)).exp()).collect();
        for ((&task, loss), weight) in step.active.members().iter().zip(&losses).zip(&weights) {
            state.descend(task, 0.5 - weight * loss, self.0.learning_rate, 0.0);
        }
        Ok(weights.into())
    }
}
