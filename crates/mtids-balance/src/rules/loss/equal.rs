//! Weightings that do not look at the gradients: sum, mean, and fixed weights.
//!
//! The sum and the mean differ only by the factor T in the effective learning rate under plain gradient descent; a
//! comparison must tune both alike.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::BalanceError;
use crate::gram::ActiveTasks;
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

/// One finite weight ≥ 0 per task, not all zero.
pub(crate) fn check_weights(key: &'static str, weights: &[f64], tasks: usize) -> Result<(), BalanceError> {
    let fail = |reason: String| Err(BalanceError::Configuration { key, reason });
    if weights.len() != tasks {
        return fail(format!("has {} values, one for each of {tasks} tasks is needed", weights.len()));
    }
    if weights.iter().any(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        return fail("every weight is finite and ≥ 0".into());
    }
    if weights.iter().all(|&weight| weight == 0.0) {
        return fail("at least one weight is positive".into());
    }
    Ok(())
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
