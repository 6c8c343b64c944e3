//! What a balancer is given at a step.

/// The gradients and losses of one step, for T tasks.
#[derive(Debug, Clone, Copy)]
pub struct BalanceInput<'a> {
    /// `[T, T]` row-major: inner products of the tasks' gradients of the shared parameters.
    pub gram: &'a [f64],
    /// `[T]`: detached losses. DD-GB uses them if they are there; rules that work on losses refuse to do without. Values of inactive tasks are not looked at.
    pub losses: Option<&'a [f64]>,
    /// `[T]`: whether the task had a labelled sample in the batch.
    pub active: &'a [bool],
}
