//! Weightings that do not look at the gradients: sum, mean, and fixed weights.
//!
//! The sum and the mean differ only by the factor T in the effective learning rate under plain gradient descent; a
//! comparison must tune the learning rate of each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::BalanceError;
use crate::gram::ActiveTasks;
use crate::preference::check_weights;
use crate::stateless::Weights;

/// Weights chosen by hand. They multiply the raw gradients and are not renormalised when a task is inactive.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FixedConfig {
    /// One weight ≥ 0 per task, in task order.
    pub weights: Vec<f64>,
}

impl FixedConfig {
    pub(crate) fn check(&self, tasks: usize) -> Result<(), BalanceError> {
        check_weights("weights", &self.weights, tasks)
    }
}

/// u = Σ g_i.
pub(crate) fn sum(active: &ActiveTasks) -> Weights {
    vec![1.0; active.len()].into()
}

/// u = mean of the active g_i.
pub(crate) fn mean(active: &ActiveTasks) -> Weights {
    vec![1.0 / active.len() as f64; active.len()].into()
}

/// u = Σ w_i g_i.
pub(crate) fn fixed(weights: &[f64], active: &ActiveTasks) -> Weights {
    active.members().iter().map(|&task| weights[task]).collect::<Vec<f64>>().into()
}
