//! The trait of all architectures, and what they have in common.

use std::fmt;

use candle_core::Tensor;
use mtids_layers::dropout::Dropout;
use mtids_layers::linear::Linear;

use crate::error::{ModelError, Result, config_error};
use crate::trunks::Blueprint;
use crate::types::{Boundary, GateTerms, Mode, Outputs, TaskOutput};

/// The parts of a multi-task network on either side of its cut.
pub trait MultiTaskModel: fmt::Debug + Send + Sync {
    /// The outputs of the shared parts for inputs `[B, C, D, H, W]`, one for each view.
    ///
    /// # Errors
    /// When an input has another shape than the model was built for.
    fn boundary(&self, inputs: &[Tensor], mode: Mode) -> Result<Boundary>;

    /// One task from its own view of the boundary's tensors.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a task that does not exist; when the shapes do not fit.
    fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<TaskOutput>;

    /// How all tasks can be computed together; `None` where they are computed one by one.
    fn together(&self) -> Option<Together> {
        None
    }

    /// All tasks from their own copies of the boundary's tensors, `[T, B, ..]` each.
    ///
    /// # Errors
    /// [`ModelError::Config`] where [`MultiTaskModel::together`] has no answer; when the shapes do not fit.
    fn tasks(&self, _boundary: &[Tensor], _mode: Mode) -> Result<Outputs> {
        Err(config_error("tasks", "the tasks of this network are computed one by one"))
    }

    /// Whether a parameter is reached by two or more tasks. Most that lie below the cut are, and few above it.
    fn is_shared(&self, name: &str) -> bool;

    /// Whether what lies below a tensor of the boundary is shared. Where it is not, that tensor's gradient is its task's plain one.
    fn is_shared_place(&self, _place: usize) -> bool {
        true
    }

    /// Whether there is any shared parameter, so that there is something to balance.
    fn balances(&self) -> bool {
        true
    }

    /// The regularisers that apply to the gates.
    fn gate_terms(&self) -> GateTerms {
        GateTerms::default()
    }
}

/// What a training step must know of tasks that are computed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Together {
    /// By task, then by place of the boundary: whether the task trains what lies below. Elsewhere its gradient counts for nothing.
    pub trains: Vec<Vec<bool>>,
    /// Whether the gates pass a gradient into the boundary.
    pub by_gates: bool,
}

/// A task's linear layer, behind dropout.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    dropout: Dropout,
    linear: Linear,
}

impl Head {
    pub(crate) fn forward(&self, features: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(self.linear.forward(&self.dropout.forward(features, mode.draw())?)?)
    }
}

/// One linear head `head.<task>` per task on features of this width.
pub(crate) fn heads(width: usize, blueprint: &Blueprint<'_>) -> Result<Vec<Head>> {
    let head = |name: &str, outputs| -> Result<Head> {
        let name = format!("head.{name}");
        Ok(Head {
            linear: Linear::unrounded(&name, width, outputs, 0.1, blueprint.parameters)?,
            dropout: Dropout::new(&name, blueprint.dropout, blueprint.parameters.ranks())?,
        })
    };
    blueprint.tasks.tasks().iter().map(|task| head(&task.name, task.classes)).collect()
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
