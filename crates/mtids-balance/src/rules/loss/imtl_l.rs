//! IMTL-L: losses are brought to one scale.
//!
//! L = Σ e^{s_i} L_i − s_i with learned s, so c_i = e^{s_i}, and e^{s_i} L_i = 1 where s stands still (Liu et al., Towards
//! impartial multi-task learning, ICLR 2021). Twice UW with s negated. The sources let the network's optimiser learn
//! s; here it has an Adam of its own. Cost: one backward pass, no memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::adam::Learned;
use crate::error::BalanceError;
use crate::stateful::{StatefulRule, Step};
use crate::stateless::Weights;

/// Settings of IMTL-L.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImtlLConfig {
    /// Learning rate of s, ≥ 0. Default 1e-4, `LibMTL`'s for the whole model.
    pub learning_rate: f64,
}

impl Default for ImtlLConfig {
    fn default() -> Self {
        ImtlLConfig { learning_rate: 1e-4 }
    }
}

impl ImtlLConfig {
    pub(crate) fn check(&self) -> Result<(), BalanceError> {
        BalanceError::need(self.learning_rate >= 0.0 && self.learning_rate <= 1.0, "learning_rate", "lies in [0, 1]")
    }
}

/// The rule; s starts at 0 as in the sources.
pub(crate) struct ImtlL(pub(crate) ImtlLConfig);

impl StatefulRule for ImtlL {
    type State = Learned;

    fn method(&self) -> &'static str {
        "imtl-l"
    }

    fn fresh(&self, tasks: usize) -> Learned {
        Learned::new(tasks, 0.0)
    }

    fn fits(&self, state: &Learned, tasks: usize) -> bool {
        state.fits(tasks)
    }

    fn weights(&self, state: &mut Learned, step: &Step<'_>) -> Result<Weights, BalanceError> {
        let losses = step.losses()?;
        let weights: Vec<f64> = step.active.members().iter().map(|&task| state.get(task).exp()).collect();
        for ((&task, loss), weight) in step.active.members().iter().zip(&losses).zip(&weights) {
            state.descend(task, weight * loss - 1.0, self.0.learning_rate, 0.0);
        }
        Ok(weights.into())
    }
}
