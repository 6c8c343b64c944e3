//! Rules that are a function of the Gram matrix alone.
//!
//! Purpose: such a rule is one function from [`ActiveTasks`] to weights; everything around it (checks, inactive tasks,
//! telemetry, the empty state) is here once. Also holds what saved states of all rules have in common.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::gram::ActiveTasks;
use crate::telemetry::DirectionTelemetry;
use crate::{Balance, BalanceError, BalanceInput, Balancer};

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
        open::<()>(self.name, self.tasks, state)
    }
}

/// exp over its sum, of values of any size; empty for none.
pub(crate) fn softmax(values: &[f64]) -> Vec<f64> {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = values.iter().map(|value| (value - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// A saved state with the rule and the number of tasks it belongs to.
pub(crate) fn envelope(method: &'static str, tasks: usize, inner: Value) -> Value {
    json!({ "method": method, "tasks": tasks, "inner": inner })
}

/// Checks an [`envelope`] and reads its content.
pub(crate) fn open<S: DeserializeOwned>(method: &'static str, tasks: usize, state: &Value) -> Result<S, BalanceError> {
    let fail = |reason: String| BalanceError::State { method, tasks, reason };
    let found = state.get("method").and_then(Value::as_str);
    if found != Some(method) {
        return Err(fail(format!("it was saved by `{}`", found.unwrap_or("an unknown rule"))));
    }
    let count = state.get("tasks").and_then(Value::as_u64);
    if count != Some(tasks as u64) {
        return Err(fail(format!(
            "it was saved for {} tasks",
            count.map_or("unknown".into(), |count| count.to_string())
        )));
    }
    let inner = state.get("inner").ok_or_else(|| fail("it has no content".into()))?;
    S::deserialize(inner).map_err(|error| fail(error.to_string()))
}
