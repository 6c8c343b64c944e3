//! Rules that remember something, as one function from state and step to weights.
//!
//! Purpose: checks, inactive tasks, telemetry, saving and restoring are here once. Invariant: the state changes only when a
//! step succeeded and at least one task was active.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::balancer::{Balance, Balancer};
use crate::error::BalanceError;
use crate::gram::ActiveTasks;
use crate::input::BalanceInput;
use crate::saved::{envelope, restored};
use crate::stateless::Weights;

/// The least cross-entropy above 0 in single precision.
const LEAST: f64 = f32::EPSILON as f64;

/// What a rule sees of a step: the tasks that take part, at least one.
pub(crate) struct Step<'a> {
    pub(crate) method: &'static str,
    pub(crate) active: &'a ActiveTasks,
    losses: Option<&'a [f64]>,
}

impl<'a> Step<'a> {
    pub(crate) fn new(method: &'static str, active: &'a ActiveTasks, losses: Option<&'a [f64]>) -> Self {
        Step { method, active, losses }
    }

    /// Losses of the active tasks, which must be there and finite.
    pub(crate) fn losses(&self) -> Result<Vec<f64>, BalanceError> {
        self.checked("finite losses", f64::is_finite)
    }

    /// Losses of the active tasks, which must be there, finite and not below zero. A cross-entropy in single precision is rounded to 0 where its
    /// network is sure enough, while its gradient is not; so what is below [`LEAST`] counts as that.
    pub(crate) fn positive_losses(&self) -> Result<Vec<f64>, BalanceError> {
        let losses = self.checked("finite losses, not below 0", |loss| loss.is_finite() && loss >= 0.0)?;
        Ok(losses.into_iter().map(|loss| loss.max(LEAST)).collect())
    }

    /// Losses of the active tasks that pass a test.
    pub(crate) fn checked(&self, needs: &'static str, holds: fn(f64) -> bool) -> Result<Vec<f64>, BalanceError> {
        let method = self.method;
        let losses = self.losses.ok_or(BalanceError::LossesMissing { method })?;
        let members = self.active.members().iter();
        members
            .map(|&task| {
                let value = losses[task];
                if holds(value) { Ok(value) } else { Err(BalanceError::LossRange { method, task, value, needs }) }
            })
            .collect()
    }
}

/// One rule with a state.
pub(crate) trait StatefulRule {
    /// What it remembers.
    type State: Clone + PartialEq + Serialize + DeserializeOwned;

    /// The kebab-case name.
    fn method(&self) -> &'static str;

    /// The state before the first step.
    fn fresh(&self, tasks: usize) -> Self::State;

    /// Whether a saved state has the right lengths.
    fn fits(&self, state: &Self::State, tasks: usize) -> bool;

    /// The weights of a step.
    fn weights(&self, state: &mut Self::State, step: &Step<'_>) -> Result<Weights, BalanceError>;
}

/// A rule and its state.
pub(crate) struct Stateful<R: StatefulRule> {
    pub(crate) rule: R,
    pub(crate) tasks: usize,
    pub(crate) state: R::State,
}

impl<R: StatefulRule> Stateful<R> {
    pub(crate) fn new(rule: R, tasks: usize) -> Self {
        let state = rule.fresh(tasks);
        Stateful { rule, tasks, state }
    }

    /// One step; tells also which tasks took part.
    pub(crate) fn step(&mut self, input: &BalanceInput<'_>) -> Result<(Balance, ActiveTasks), BalanceError> {
        let active = ActiveTasks::new(input, self.tasks, None)?;
        if active.len() == 0 {
            return Ok((Balance::new(&active, &[]), active));
        }
        let mut state = self.state.clone();
        let step = Step::new(self.rule.method(), &active, input.losses);
        let weights = self.rule.weights(&mut state, &step)?;
        self.state = state;
        let mut balance = Balance::new(&active, &weights.values);
        balance.telemetry.direction = weights.direction;
        Ok((balance, active))
    }

    pub(crate) fn save(&self) -> Value {
        envelope(self.rule.method(), self.tasks, json!(self.state))
    }

    pub(crate) fn load(&mut self, state: &Value) -> Result<(), BalanceError> {
        let (rule, tasks) = (&self.rule, self.tasks);
        self.state = restored(rule.method(), tasks, state, |found| rule.fits(found, tasks))?;
        Ok(())
    }
}

impl<R: StatefulRule> Balancer for Stateful<R> {
    fn name(&self) -> &'static str {
        self.rule.method()
    }

    fn coefficients(&mut self, input: &BalanceInput<'_>) -> Result<Balance, BalanceError> {
        self.step(input).map(|(balance, _)| balance)
    }

    fn state(&self) -> Value {
        self.save()
    }

    fn restore(&mut self, state: &Value) -> Result<(), BalanceError> {
        self.load(state)
    }
}
