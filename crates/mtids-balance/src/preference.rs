//! One weight per task, set by the user: its check, and its share over the active tasks.

use crate::error::BalanceError;
use crate::gram::ActiveTasks;

/// One finite weight ≥ 0 per task, not all zero.
pub(crate) fn check_weights(key: &'static str, weights: &[f64], tasks: usize) -> Result<(), BalanceError> {
    if weights.len() != tasks {
        return Err(invalid(key, format!("has {} values, one for each of {tasks} tasks is needed", weights.len())));
    }
    if weights.iter().any(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        return Err(invalid(key, "every weight is finite and ≥ 0".into()));
    }
    if weights.iter().all(|&weight| weight == 0.0) {
        return Err(invalid(key, "at least one weight is positive".into()));
    }
    Ok(())
}

fn invalid(key: &'static str, reason: String) -> BalanceError {
    BalanceError::Configuration { key, reason }
}

/// A preference over the active tasks, summing to 1; equal when absent or when no preferred task is active.
pub(crate) fn preference(weights: Option<&[f64]>, active: &ActiveTasks) -> Vec<f64> {
    let equal = vec![1.0 / active.len() as f64; active.len()];
    let Some(weights) = weights else { return equal };
    let chosen: Vec<f64> = active.members().iter().map(|&task| weights[task]).collect();
    let sum: f64 = chosen.iter().sum();
    if sum > 0.0 { chosen.iter().map(|weight| weight / sum).collect() } else { equal }
}
