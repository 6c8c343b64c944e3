//! What goes into a balancer and what comes out.
//!
//! # Invariants
//! * [`Balance::coefficients`] has one finite value per task; 0 for an inactive one.
//! * A balancer that returns an error keeps its state.

use serde::{Deserialize, Serialize};

use crate::error::BalanceError;
use crate::gram::ActiveTasks;
use crate::input::BalanceInput;
use crate::telemetry::Telemetry;

/// A balancer of one training step: weights for the task gradients.
pub trait Balancer {
    /// The kebab-case name used as `method` in the configuration.
    fn name(&self) -> &'static str;

    /// The weights of one training step; advances the state of stateful rules.
    ///
    /// # Errors
    /// [`BalanceError`] for input of the wrong length, not finite, or that is no Gram matrix.
    fn coefficients(&mut self, input: &BalanceInput<'_>) -> Result<Balance, BalanceError>;

    /// Everything that is needed to go on after an interruption, bit for bit.
    fn state(&self) -> serde_json::Value;

    /// Takes over what [`Balancer::state`] of the same balancer and number of tasks returned.
    ///
    /// # Errors
    /// [`BalanceError::State`] when the value belongs to another balancer or shape; the balancer is then unchanged.
    fn restore(&mut self, state: &serde_json::Value) -> Result<(), BalanceError>;
}

/// The weights of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// `[T]`: weights c; the shared gradient is Σ c_t g_t over the raw task gradients.
    pub coefficients: Vec<f64>,
    /// What was seen on the way, for logs and charts.
    pub telemetry: Telemetry,
}

impl Balance {
    /// Puts the weights of the active tasks in their places and adds the telemetry every rule has.
    pub(crate) fn new(active: &ActiveTasks, weights: &[f64]) -> Self {
        let telemetry =
            Telemetry::new(active, &active.combined_projections(weights), active.combined_norm(weights), Some(weights));
        Balance { coefficients: active.spread(weights), telemetry }
    }
}
