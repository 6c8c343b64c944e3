//! The trait of all architectures, and what they have in common.

use std::fmt;

use candle_core::Tensor;
use mtids_layers::linear::Linear;
use mtids_layers::parameters::Parameters;

use crate::error::{ModelError, Result, config_error};
use crate::tasks::TaskSet;
use crate::types::{Boundary, GateTerms, Mode, TaskOutput};

/// The parts of a multi-task network on either side of its cut.
pub trait MultiTaskModel: fmt::Debug + Send + Sync {
    /// The outputs of the shared parts for an input `[B, C, D, H, W]`.
    ///
    /// # Errors
    /// When the input has another shape than the model was built for.
    fn boundary(&self, x: &Tensor, mode: Mode) -> Result<Boundary>;

    /// One task from its own view of the boundary's tensors.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a task that does not exist; when the shapes do not fit.
    fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<TaskOutput>;

    /// Whether a parameter is reached by two or more tasks. All that lie below the cut are, and few above it.
    fn is_shared(&self, name: &str) -> bool;

    /// Whether there is any shared parameter, so that there is something to balance.
    fn balances(&self) -> bool {
        true
    }

    /// The regularisers that apply to the gates.
    fn gate_terms(&self) -> GateTerms {
        GateTerms::default()
    }
}

/// One linear head `head.<task>` per task on features of this width.
pub(crate) fn heads(tasks: &TaskSet, width: usize, parameters: &Parameters) -> Result<Vec<Linear>> {
    let head = |name: &str, classes| -> Result<Linear> {
        Ok(Linear::unrounded(&format!("head.{name}"), width, classes, 0.1, parameters)?)
    };
    tasks.tasks().iter().map(|task| head(&task.name, task.classes)).collect()
}

/// The part of a task.
pub(crate) fn of_task<T>(parts: &[T], task: usize) -> Result<&T> {
    parts.get(task).ok_or_else(|| config_error("tasks", format!("there is no task {task}")))
}

/// The tensor at a place of the boundary.
pub(crate) fn at(boundary: &[Tensor], place: usize) -> Result<&Tensor> {
    boundary.get(place).ok_or_else(|| ModelError::Shape {
        what: "boundary",
        found: vec![boundary.len()],
        expected: format!("more than {place} tensors"),
    })
}

/// `Σ_e w_e f_e` for weights `[B, E]` and experts `[B, E, d]`.
pub(crate) fn mix(weights: &Tensor, experts: &Tensor) -> Result<Tensor> {
    Ok(experts.broadcast_mul(&weights.unsqueeze(2)?)?.sum(1)?)
}
