//! Running means of gradient norms, for rules that scale by them.
//!
//! m ← βm + (1−β)n from m = 0, divided by 1 − βᵏ with k the task's own steps. The sources leave the division out; as long as all
//! tasks have been active equally often, it cancels in every ratio of two means.

use serde::{Deserialize, Serialize};

/// One mean per task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AverageNorms {
    means: Vec<Option<f64>>,
    steps: Vec<u64>,
}

impl AverageNorms {
    pub(crate) fn new(tasks: usize) -> Self {
        AverageNorms { means: vec![Some(0.0); tasks], steps: vec![0; tasks] }
    }

    pub(crate) fn fits(&self, tasks: usize) -> bool {
        self.means.len() == tasks && self.steps.len() == tasks && self.means.iter().all(Option::is_some)
    }

    /// Takes a norm > 0 in and returns the mean.
    pub(crate) fn update(&mut self, task: usize, norm: f64, beta: f64) -> f64 {
        let mean = beta * self.means[task].unwrap_or(0.0) + (1.0 - beta) * norm;
        self.means[task] = Some(mean);
        self.steps[task] += 1;
        mean / (1.0 - beta.powf(self.steps[task] as f64))
    }
}
