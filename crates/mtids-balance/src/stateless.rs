//! Rules that are a function of the Gram matrix alone.
//!
//! Purpose: such a rule is one function from [`ActiveTasks`] to weights; everything around it (checks, inactive tasks,
//! telemetry, the empty state) is here once.

use serde_json::Value;

use crate::balancer::{Balance, Balancer};
use crate::error::BalanceError;
use crate::gram::ActiveTasks;
use crate::input::BalanceInput;
use crate::saved::{envelope, restored};
use crate::telemetry::DirectionTelemetry;

/// Weights of the active tasks, for the raw gradients, and directions where the rule has some.
pub(crate) struct Weights {
    pub(crate) values: Vec<f64>,
    pub(crate) direction: Option<DirectionTelemetry>,
}

impl From<Vec<f64>> for Weights {
    fn from(values: Vec<f64>) -> Self {
        Weights { values, direction: None }
    }
}

/// A rule without state. The function is called with at least one active task.
pub(crate) struct Stateless<F> {
    pub(crate) name: &'static str,
    pub(crate) tasks: usize,
    pub(crate) rule: F,
}

impl<F: Fn(&ActiveTasks) -> Weights> Balancer for Stateless<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coefficients(&mut self, input: &BalanceInput<'_>) -> Result<Balance, BalanceError> {
        let active = ActiveTasks::new(input, self.tasks, None)?;
        if active.len() == 0 {
            return Ok(Balance::new(&active, &[]));
        }
        let weights = (self.rule)(&active);
        let mut balance = Balance::new(&active, &weights.values);
        balance.telemetry.direction = weights.direction;
        Ok(balance)
    }

    fn state(&self) -> Value {
        envelope(self.name, self.tasks, Value::Null)
    }

    fn restore(&mut self, state: &Value) -> Result<(), BalanceError> {
        restored(self.name, self.tasks, state, |()| true)
    }
}

/// exp over its sum, of values of any size; empty for none.
pub(crate) fn softmax(values: &[f64]) -> Vec<f64> {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = values.iter().map(|value| (value - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}
