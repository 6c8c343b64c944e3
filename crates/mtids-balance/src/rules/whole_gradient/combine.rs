//! Rules on whole gradients, as one function from state and rows to an update.
//!
//! Purpose: checks, inactive tasks, telemetry, saving and restoring are here once, as in `stateful` for rules on the Gram
//! matrix. Invariants: the state changes only when a step succeeded and at least one task was active; rows of tasks that take
//! no part are not read.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::any::{GradientBalance, GradientBalancer};
use crate::error::BalanceError;
use crate::gram::ActiveTasks;
use crate::input::BalanceInput;
use crate::rows::{Element, GradientInput, Rows, gram_of};
use crate::saved::{envelope, restored};
use crate::stateful::Step;
use crate::telemetry::Telemetry;

/// What a rule answers with.
pub(crate) struct Update {
    /// `[P]`.
    pub(crate) values: Vec<f64>,
    /// Of the active tasks.
    pub(crate) weights: Option<Vec<f64>>,
    /// Whether these weights are those of the raw gradients.
    pub(crate) raw: bool,
}

/// One rule on rows.
pub(crate) trait GradientRule {
    /// What it remembers.
    type State: PartialEq + Serialize + DeserializeOwned;

    /// The kebab-case name.
    fn method(&self) -> &'static str;

    /// The state before the first step.
    fn fresh(&self, tasks: usize) -> Self::State;

    /// Whether a saved state has the right lengths.
    fn fits(&self, state: &Self::State, tasks: usize) -> bool;

    /// The update from the rows of the active tasks, which are finite and of one length. Must not change the state before
    /// everything that can fail is done.
    fn update<F: Element>(
        &self,
        state: &mut Self::State,
        step: &Step<'_>,
        rows: &[&[F]],
    ) -> Result<Update, BalanceError>;
}

/// A rule and its state.
pub(crate) struct OnGradients<R: GradientRule> {
    rule: R,
    tasks: usize,
    state: R::State,
}

impl<R: GradientRule> OnGradients<R> {
    pub(crate) fn new(rule: R, tasks: usize) -> Self {
        let state = rule.fresh(tasks);
        OnGradients { rule, tasks, state }
    }

    fn run<F: Element>(&mut self, rows: &[&[F]], input: &GradientInput<'_>) -> Result<GradientBalance, BalanceError> {
        if rows.len() != self.tasks {
            return Err(BalanceError::Shape {
                what: "the list of gradients",
                tasks: self.tasks,
                expected: self.tasks,
                got: rows.len(),
            });
        }
        let gram = gram_of(rows, input.active)?;
        let reduced = BalanceInput { gram: &gram, losses: input.losses, active: input.active };
        let active = match ActiveTasks::new(&reduced, self.tasks, None) {
            Err(BalanceError::NonFiniteGram { .. }) => return Err(self.culprit(rows, input, &gram)),
            other => other?,
        };
        let width = (0..self.tasks).filter(|&task| input.active[task]).map(|task| rows[task].len()).next().unwrap_or(0);
        if active.len() == 0 {
            let telemetry = Telemetry::new(&active, &[], 0.0, Some(&[]));
            return Ok(GradientBalance { update: vec![0.0; width], weights: None, telemetry });
        }
        let chosen: Vec<&[F]> = active.members().iter().map(|&task| rows[task]).collect();
        let step = Step::new(self.rule.method(), &active, input.losses);
        let update = self.rule.update(&mut self.state, &step, &chosen)?;
        let norm = length(&update.values);
        let pull: Vec<f64> = chosen
            .iter()
            .zip(active.norms())
            .map(|(row, norm)| row.iter().zip(&update.values).map(|(g, u)| (*g).into() / norm * u).sum())
            .collect();
        let raw = update.weights.as_deref().filter(|_| update.raw);
        let telemetry = Telemetry::new(&active, &pull, norm, raw);
        let weights = update.weights.as_ref().map(|weights| active.spread(weights));
        Ok(GradientBalance { update: update.values, weights, telemetry })
    }

    /// Names the entry that made the Gram matrix infinite, if a single one did.
    fn culprit<F: Element>(&self, rows: &[&[F]], input: &GradientInput<'_>, gram: &[f64]) -> BalanceError {
        for task in (0..self.tasks).filter(|&task| input.active[task]) {
            for (coordinate, value) in rows[task].iter().enumerate() {
                let value: f64 = (*value).into();
                if !value.is_finite() {
                    return BalanceError::NonFiniteGradient { task, coordinate, value };
                }
            }
        }
        let at = gram.iter().position(|value| !value.is_finite()).unwrap_or(0);
        BalanceError::NonFiniteGram { row: at / self.tasks, column: at % self.tasks, value: gram[at] }
    }
}

impl<R: GradientRule> GradientBalancer for OnGradients<R> {
    fn name(&self) -> &'static str {
        self.rule.method()
    }

    fn combine(&mut self, input: &GradientInput<'_>) -> Result<GradientBalance, BalanceError> {
        match input.rows {
            Rows::F32(rows) => self.run(rows, input),
            Rows::F64(rows) => self.run(rows, input),
        }
    }

    fn state(&self) -> Value {
        envelope(self.rule.method(), self.tasks, json!(self.state))
    }

    fn restore(&mut self, state: &Value) -> Result<(), BalanceError> {
        let (rule, tasks) = (&self.rule, self.tasks);
        self.state = restored(rule.method(), tasks, state, |found| rule.fits(found, tasks))?;
        Ok(())
    }
}

/// Euclidean length, without overflow of the squares.
pub(crate) fn length(values: &[f64]) -> f64 {
    let top = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    if top == 0.0 { 0.0 } else { top * values.iter().map(|x| (x / top) * (x / top)).sum::<f64>().sqrt() }
}

/// Σ w_i y_i over rows.
pub(crate) fn mix<F: Element>(rows: &[&[F]], weights: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; rows.first().map_or(0, |row| row.len())];
    for (row, weight) in rows.iter().zip(weights) {
        sum.iter_mut().zip(*row).for_each(|(sum, value)| *sum += weight * (*value).into());
    }
    sum
}
