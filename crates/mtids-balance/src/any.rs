//! What a rule needs, said by its type.
//!
//! Purpose: most rules are content with the Gram matrix and the losses of a step; a loop that runs them must not be able to
//! forget what the others need besides. So [`BalancerConfig::rule`](crate::BalancerConfig::rule) returns one variant for
//! each way of calling, and a `match` on it is not complete without all of them.
//!
//! | variant | what the loop does | rules |
//! |---|---|---|
//! | [`Rule::Step`] | coefficients from K and losses | all others |
//! | [`Rule::Epoch`] | besides, says when an epoch ends | DWA |
//! | [`Rule::FollowUp`] | after the step, evaluates the losses of the same batch again | FAMO |
//! | [`Rule::Gradients`] | hands over whole gradients, gets the update itself | `GradDrop`, `ExcessMTL`, `MoCo`, DB-MTL |
//!
//! # Invariants
//! * A rule that returns an error keeps its state; states of all variants survive JSON bit for bit.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rows::GradientInput;
use crate::{Balance, BalanceError, BalanceInput, Balancer, Telemetry};

/// What a rule must be given.
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
            Needs::EpochEnds => "to be told when an epoch ends",
            Needs::LossesAfter => "the losses of the same batch after the step",
            Needs::Gradients => "whole task gradients, not only their Gram matrix",
        }
    }
}

/// A rule, ready to run, by what it must be given.
pub enum Rule {
    /// Coefficients from the Gram matrix and the losses.
    Step(Box<dyn Balancer + Send>),
    /// The same, with the ends of epochs.
    Epoch(Box<dyn EpochBalancer + Send>),
    /// The same, with the losses after the step.
    FollowUp(Box<dyn FollowUpBalancer + Send>),
    /// The update from whole gradients.
    Gradients(Box<dyn GradientBalancer + Send>),
}

impl Rule {
    /// The kebab-case name used as `method` in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Rule::Step(rule) => rule.name(),
            Rule::Epoch(rule) => rule.name(),
            Rule::FollowUp(rule) => rule.name(),
            Rule::Gradients(rule) => rule.name(),
        }
    }

    /// What the rule must be given.
    pub fn needs(&self) -> Needs {
        match self {
            Rule::Step(_) => Needs::Step,
            Rule::Epoch(_) => Needs::EpochEnds,
            Rule::FollowUp(_) => Needs::LossesAfter,
            Rule::Gradients(_) => Needs::Gradients,
        }
    }

    /// Everything that is needed to go on after an interruption, bit for bit.
    pub fn state(&self) -> Value {
        match self {
            Rule::Step(rule) => rule.state(),
            Rule::Epoch(rule) => rule.state(),
            Rule::FollowUp(rule) => rule.state(),
            Rule::Gradients(rule) => rule.state(),
        }
    }

    /// Takes over what [`Rule::state`] of the same rule and number of tasks returned.
    ///
    /// # Errors
    /// [`BalanceError::State`] when the value belongs to another rule or shape; the rule is then unchanged.
    pub fn restore(&mut self, state: &Value) -> Result<(), BalanceError> {
        match self {
            Rule::Step(rule) => rule.restore(state),
            Rule::Epoch(rule) => rule.restore(state),
            Rule::FollowUp(rule) => rule.restore(state),
            Rule::Gradients(rule) => rule.restore(state),
        }
    }
}

/// A balancer that works from epoch to epoch.
pub trait EpochBalancer: Balancer {
    /// All steps of an epoch are done.
    fn end_epoch(&mut self);
}

/// A balancer that looks at what its step did to the losses of the same batch.
pub trait FollowUpBalancer {
    /// The kebab-case name used as `method` in the configuration.
    fn name(&self) -> &'static str;

    /// The weights of one training step, and the duty to call [`FollowUpBalancer::follow_up`] after it.
    ///
    /// # Errors
    /// As [`Balancer::coefficients`]; [`BalanceError::FollowUp`] while an earlier step has not been followed up.
    fn coefficients(&mut self, input: &BalanceInput<'_>) -> Result<(Balance, FollowUp), BalanceError>;

    /// Takes the losses of the same batch, `[T]`, after the parameters were updated. Those of tasks that were inactive at the
    /// step are not looked at.
    ///
    /// # Errors
    /// [`BalanceError`] for losses of the wrong length or out of range; the duty then remains, see [`FollowUpBalancer::pending`].
    fn follow_up(&mut self, duty: FollowUp, losses: &[f64]) -> Result<(), BalanceError>;

    /// The duty that is open, if any: after an error, or after a restart between a step and its follow-up.
    fn pending(&self) -> Option<FollowUp>;

    /// As [`Balancer::state`].
    fn state(&self) -> Value;

    /// As [`Balancer::restore`].
    ///
    /// # Errors
    /// As [`Balancer::restore`].
    fn restore(&mut self, state: &Value) -> Result<(), BalanceError>;
}

/// The duty to hand over the losses after a step.
#[must_use = "the rule learns from the losses after the step: evaluate them and call `follow_up`"]
#[derive(Debug, PartialEq, Eq)]
pub struct FollowUp {
    pub(crate) step: u64,
}

/// A rule that needs the gradients themselves.
pub trait GradientBalancer {
    /// The kebab-case name used as `method` in the configuration.
    fn name(&self) -> &'static str;

    /// The update of one training step; advances the state of stateful rules.
    ///
    /// # Errors
    /// [`BalanceError`] for input of the wrong shape, not finite, or losses out of range.
    fn combine(&mut self, input: &GradientInput<'_>) -> Result<GradientBalance, BalanceError>;

    /// As [`Balancer::state`]. Rules that average gradients hold T·P numbers, 16 characters each.
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
    /// `[T]`: weights of the tasks where the rule has such: of the raw gradients, or of the rule's averages of them.
    pub weights: Option<Vec<f64>>,
    /// What was seen on the way; norms and cosines are those of the raw gradients.
    pub telemetry: Telemetry,
}
