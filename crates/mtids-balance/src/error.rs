//! Why a balance could not be computed.
//!
//! Purpose: one error type for the crate. Invariant: an error leaves the state of the balancer as it was.

/// Why a balancer refused its input, configuration or state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BalanceError {
    /// A slice has the wrong length.
    #[error("{what} has {got} values, {expected} are needed for {tasks} tasks")]
    Shape {
        /// What was handed over.
        what: &'static str,
        /// Number of tasks of the balancer.
        tasks: usize,
        /// Needed length.
        expected: usize,
        /// Length found.
        got: usize,
    },
    /// An entry of the Gram matrix is infinite or not a number: a gradient overflowed.
    #[error(
        "the Gram entry of tasks {row} and {column} is {value}; a gradient overflowed: lower the learning rate or clip the loss"
    )]
    NonFiniteGram {
        /// Row task.
        row: usize,
        /// Column task.
        column: usize,
        /// The entry.
        value: f64,
    },
    /// Not the Gram matrix of any gradients.
    #[error("the matrix is not a Gram matrix at tasks {row} and {column}: {reason}")]
    NotGram {
        /// Row task.
        row: usize,
        /// Column task.
        column: usize,
        /// What does not hold.
        reason: &'static str,
    },
    /// A loss that is not a number, infinite or negative.
    #[error(
        "the loss of task {task} is {value}; this balancer divides by the initial loss and takes its logarithm, so losses must be finite and not negative: pass no losses where they can be negative"
    )]
    Loss {
        /// The task.
        task: usize,
        /// Its loss.
        value: f64,
    },
    /// A balancer that works on losses was given none.
    #[error("balancer `{method}` weights tasks by their losses; pass them")]
    LossesMissing {
        /// Its `method`.
        method: &'static str,
    },
    /// A loss outside of the range in which the balancer is defined.
    #[error("the loss of task {task} is {value}; balancer `{method}` needs {needs}")]
    LossRange {
        /// Its `method`.
        method: &'static str,
        /// The task.
        task: usize,
        /// Its loss.
        value: f64,
        /// What would be valid.
        needs: &'static str,
    },
    /// An entry of a gradient is infinite or not a number.
    #[error(
        "the gradient of task {task} is {value} at coordinate {coordinate}; lower the learning rate or clip the loss"
    )]
    NonFiniteGradient {
        /// The task.
        task: usize,
        /// Position in the gradient.
        coordinate: usize,
        /// The entry.
        value: f64,
    },
    /// A gradient has another length than the others, or than at earlier steps.
    #[error("the gradient of task {task} has {got} coordinates, the balancer expects {expected}")]
    Width {
        /// The task.
        task: usize,
        /// Coordinates expected.
        expected: usize,
        /// Coordinates found.
        got: usize,
    },
    /// The balancer needs more than a Gram matrix and losses per step.
    #[error("balancer `{method}` needs {needs}; build it with `BalancerConfig::build_any` and a loop that provides it")]
    NeedsMore {
        /// Its `method`.
        method: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// The losses after a step were not handed over before the next one, or twice.
    #[error("balancer `{method}`: {reason}")]
    AfterStep {
        /// Its `method`.
        method: &'static str,
        /// What went wrong.
        reason: &'static str,
    },
    /// Losses came at some steps and not at others.
    #[error("losses were {} at earlier steps and are {} now; pass them always or never", if *before { "passed" } else { "absent" }, if *before { "absent" } else { "passed" })]
    LossesChanged {
        /// Whether earlier steps had losses.
        before: bool,
    },
    /// A configuration value out of range.
    #[error("balancer configuration key `{key}`: {reason}")]
    Configuration {
        /// The key.
        key: &'static str,
        /// What is allowed.
        reason: String,
    },
    /// A saved state that does not fit this balancer.
    #[error("the saved state does not fit the balancer `{method}` for {tasks} tasks: {reason}")]
    State {
        /// Its `method`.
        method: &'static str,
        /// Number of tasks.
        tasks: usize,
        /// What is wrong.
        reason: String,
    },
}

impl BalanceError {
    /// An error about a configuration key unless something holds.
    pub(crate) fn need(holds: bool, key: &'static str, reason: &str) -> Result<(), BalanceError> {
        if holds { Ok(()) } else { Err(BalanceError::Configuration { key, reason: reason.to_owned() }) }
    }
}
