//! Balancers of every kind, by what the training loop has to provide.
//!
//! Most balancers need only the Gram matrix and the losses of a step. A loop must not be able to forget what the others need
//! besides. So [`BalancerConfig::build_any`](crate::BalancerConfig::build_any) returns one variant for
//! each way of calling, and a `match` on it is not complete without all of them.
//!
//! | variant | what the loop does | methods |
//! |---|---|---|
//! | [`AnyBalancer::Step`] | coefficients from K and losses | all others |
//! | [`AnyBalancer::Epoch`] | besides, says when an epoch ends | DWA |
//! | [`AnyBalancer::AfterStep`] | after the step, evaluates the losses of the same batch again | FAMO |
//! | [`AnyBalancer::Gradients`] | hands over whole gradients, gets the update itself | `GradDrop`, `ExcessMTL`, `MoCo`, DB-MTL |
//!
//! # Invariants
//! * A balancer that returns an error keeps its state; states of all variants survive JSON bit for bit.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::balancer::{Balance, Balancer};
use crate::error::BalanceError;
use crate::input::BalanceInput;
use crate::rows::GradientInput;
use crate::telemetry::Telemetry;

/// What a balancer must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// The Gram matrix and, for some, the losses of each step.
    Step,
    /// As [`Needs::Step`], and the ends of epochs.
    EpochEnds,
    /// As [`Needs::Step`], and the losses of the same batch after the step.
    LossesAfter,
    /// The task gradients themselves.
    Gradients,
}

impl Needs {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Needs::Step => "the Gram matrix of each step",
            Needs::EpochEnds => "the end of each epoch",
            Needs::LossesAfter => "the losses of the same batch after the step",
            Needs::Gradients => "whole task gradients, not only their Gram matrix",
        }
    }
}

/// A balancer, ready to run, by what it must be given.
pub enum AnyBalancer {
    /// Coefficients from the Gram matrix and the losses.
    Step(Box<dyn Balancer + Send>),
    /// The same, with the ends of epochs.
    Epoch(Box<dyn EpochBalancer + Send>),
    /// The same, with the losses after the step.
    AfterStep(Box<dyn AfterStepBalancer + Send>),
    /// The update from whole gradients.
    Gradients(Box<dyn GradientBalancer + Send>),
}

impl AnyBalancer {
    /// The kebab-case name used as `method` in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            AnyBalancer::Step(balancer) => balancer.name(),
            AnyBalancer::Epoch(balancer) => balancer.name(),
            AnyBalancer::AfterStep(balancer) => balancer.name(),
            AnyBalancer::Gradients(balancer) => balancer.name(),
        }
    }

    /// What the balancer must be given.
    pub fn needs(&self) -> Needs {
        match self {
            AnyBalancer::Step(_) => Needs::Step,
            AnyBalancer::Epoch(_) => Needs::EpochEnds,
            AnyBalancer::AfterStep(_) => Needs::LossesAfter,
            AnyBalancer::Gradients(_) => Needs::Gradients,
        }
    }

    /// Everything that is needed to go on after an interruption, bit for bit.
    pub fn state(&self) -> Value {
        match self {
            AnyBalancer::Step(balancer) => balancer.state(),
            AnyBalancer::Epoch(balancer) => balancer.state(),
            AnyBalancer::AfterStep(balancer) => balancer.state(),
            AnyBalancer::Gradients(balancer) => balancer.state(),
        }
    }

    /// Takes over what [`AnyBalancer::state`] of the same balancer and number of tasks returned.
    ///
    /// # Errors
    /// [`BalanceError::State`] when the value belongs to another balancer or shape; the balancer is then unchanged.
    pub fn restore(&mut self, state: &Value) -> Result<(), BalanceError> {
        match self {
            AnyBalancer::Step(balancer) => balancer.restore(state),
            AnyBalancer::Epoch(balancer) => balancer.restore(state),
            AnyBalancer::AfterStep(balancer) => balancer.restore(state),
            AnyBalancer::Gradients(balancer) => balancer.restore(state),
        }
    }
}

/// A balancer that works from epoch to epoch.
pub trait EpochBalancer: Balancer {
    /// All steps of an epoch are done.
    fn end_epoch(&mut self);
}

/// A balancer that looks at what its step did to the losses of the same batch.
pub trait AfterStepBalancer {
    /// The kebab-case name used as `method` in the configuration.
    fn name(&self) -> &'static str;

    /// The weights of one training step, and the token for [`AfterStepBalancer::after_step`].
    ///
    /// # Errors
    /// As [`Balancer::coefficients`]; [`BalanceError::AfterStep`] while the losses after an earlier step are missing.
    fn coefficients(&mut self, input: &BalanceInput<'_>) -> Result<(Balance, AfterStep), BalanceError>;

    /// Takes the losses of the same batch, `[T]`, after the parameters were updated. Those of tasks that were inactive at the
    /// step are not looked at.
    ///
    /// # Errors
    /// [`BalanceError`] for losses of the wrong length or out of range; the token then remains, see [`AfterStepBalancer::pending`].
    fn after_step(&mut self, token: AfterStep, losses: &[f64]) -> Result<(), BalanceError>;

    /// The token that is open, if any: after an error, or after a restart between a step and `after_step`.
    fn pending(&self) -> Option<AfterStep>;

    /// As [`Balancer::state`].
    fn state(&self) -> Value;

    /// As [`Balancer::restore`].
    ///
    /// # Errors
    /// As [`Balancer::restore`].
    fn restore(&mut self, state: &Value) -> Result<(), BalanceError>;
}

/// The step whose losses are still to be handed over with [`AfterStepBalancer::after_step`].
#[must_use = "the balancer learns from the losses after the step: evaluate them and call `after_step`"]
#[derive(Debug, PartialEq, Eq)]
pub struct AfterStep {
    pub(crate) step: u64,
}

/// A balancer that needs the gradients themselves.
pub trait GradientBalancer {
    /// The kebab-case name used as `method` in the configuration.
    fn name(&self) -> &'static str;

    /// The update of one training step; advances the state of stateful rules.
    ///
    /// # Errors
    /// [`BalanceError`] for input of the wrong shape, not finite, or losses out of range.
    fn combine(&mut self, input: &GradientInput<'_>) -> Result<GradientBalance, BalanceError>;

    /// As [`Balancer::state`]. Balancers that average gradients hold T·P numbers, 16 characters each.
    fn state(&self) -> Value;

    /// As [`Balancer::restore`].
    ///
    /// # Errors
    /// As [`Balancer::restore`].
    fn restore(&mut self, state: &Value) -> Result<(), BalanceError>;
}

/// The combined gradient of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GradientBalance {
    /// `[P]`: the combined gradient u; the step is −lr·u.
    pub update: Vec<f64>,
    /// `[T]`: weights of the tasks where the balancer has such: of the raw gradients, or of the balancer's averages of them.
    pub weights: Option<Vec<f64>>,
    /// What was seen on the way; norms and cosines are those of the raw gradients.
    pub telemetry: Telemetry,
}
