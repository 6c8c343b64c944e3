//! Saved states: the balancer and the number of tasks that a state belongs to, around its content.
//!
//! Invariant: floats keep every bit. They are finite, and serde_json reads back what it printed (its feature `float_roundtrip`).

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::BalanceError;

/// A state with the method and the number of tasks it belongs to.
pub(crate) fn envelope(method: &'static str, tasks: usize, inner: Value) -> Value {
    json!({ "method": method, "tasks": tasks, "inner": inner })
}

/// Checks an [`envelope`] and reads its content, whose lists must have the lengths that `fits` asks for.
pub(crate) fn restored<S: DeserializeOwned>(
    method: &'static str,
    tasks: usize,
    state: &Value,
    fits: impl Fn(&S) -> bool,
) -> Result<S, BalanceError> {
    let content = content(method, tasks, state).map_err(|reason| BalanceError::State { method, tasks, reason })?;
    if fits(&content) {
        return Ok(content);
    }
    Err(BalanceError::State { method, tasks, reason: "a list has the wrong length".into() })
}

/// The content of an envelope, or why it is none of this balancer.
fn content<S: DeserializeOwned>(method: &str, tasks: usize, state: &Value) -> Result<S, String> {
    let found = state.get("method").and_then(Value::as_str);
    if found != Some(method) {
        return Err(format!("it was saved by `{}`", found.unwrap_or("an unknown balancer")));
    }
    let count = state.get("tasks").and_then(Value::as_u64);
    if count != Some(tasks as u64) {
        let count = count.map_or("unknown".into(), |count| count.to_string());
        return Err(format!("it was saved for {count} tasks"));
    }
    let inner = state.get("inner").ok_or("it has no content")?;
    S::deserialize(inner).map_err(|error| error.to_string())
}
