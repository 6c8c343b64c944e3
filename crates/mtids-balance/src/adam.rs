//! The small Adam that rules with learned weights bring along.
//!
//! Kingma and Ba 2015 (arXiv 1412.6980) with β = (0.9, 0.999) and ε = 1e-8; weight decay is added to the gradient, as in
//! `torch.optim.Adam`, which the sources use. Invariant: each value counts its own steps, so that a task that was inactive is
//! as it was; with all tasks active it is the usual Adam.

use serde::{Deserialize, Serialize};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// One learned value per task with its moments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Learned {
    /// The values.
    values: Vec<Option<f64>>,
    first: Vec<Option<f64>>,
    second: Vec<Option<f64>>,
    steps: Vec<u64>,
}

impl Learned {
    pub(crate) fn new(tasks: usize, start: f64) -> Self {
        Learned {
            values: vec![Some(start); tasks],
            first: vec![Some(0.0); tasks],
            second: vec![Some(0.0); tasks],
            steps: vec![0; tasks],
        }
    }

    pub(crate) fn fits(&self, tasks: usize) -> bool {
        [&self.values, &self.first, &self.second]
            .iter()
            .all(|list| list.len() == tasks && list.iter().all(Option::is_some))
            && self.steps.len() == tasks
    }

    /// The value of a task.
    pub(crate) fn get(&self, task: usize) -> f64 {
        self.values[task].unwrap_or(0.0)
    }

    /// Overwrites the value of a task; its moments stay.
    pub(crate) fn set(&mut self, task: usize, value: f64) {
        self.values[task] = Some(value);
    }

    /// One step of gradient descent on the value of one task.
    pub(crate) fn descend(&mut self, task: usize, gradient: f64, rate: f64, decay: f64) {
        let value = self.get(task);
        let gradient = gradient + decay * value;
        let first = BETA_1 * self.first[task].unwrap_or(0.0) + (1.0 - BETA_1) * gradient;
        let second = BETA_2 * self.second[task].unwrap_or(0.0) + (1.0 - BETA_2) * gradient * gradient;
        self.steps[task] += 1;
        let power = |beta: f64| beta.powf(self.steps[task] as f64);
        let corrected = (second / (1.0 - power(BETA_2))).sqrt() + EPSILON;
        self.first[task] = Some(first);
        self.second[task] = Some(second);
        self.values[task] = Some(value - rate * first / (1.0 - power(BETA_1)) / corrected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_has_the_length_of_the_rate() {
        let mut learned = Learned::new(2, 1.0);
        learned.descend(0, 123.0, 0.1, 0.0);
        assert!((learned.get(0) - 0.9).abs() < 1e-9);
        assert_eq!(learned.get(1), 1.0);
        // Only the decay pulls: towards zero.
        learned.descend(1, 0.0, 0.1, 0.5);
        assert!((learned.get(1) - 0.9).abs() < 1e-6);
    }
}
