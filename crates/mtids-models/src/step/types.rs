//! What goes into a step, what a balancer is given and answers, and what comes out.

use candle_core::Tensor;
use mtids_layers::parameters::Parameters;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::BoxError;
use crate::loss::TaskLosses;
use crate::model::Model;
use crate::tasks::TargetBatch;

/// Gradients of one task at the places where tasks are compared; `None` where the task does not reach.
pub(super) type Parts = Vec<Option<Tensor>>;

/// A model, its losses and one batch.
#[derive(Clone, Copy, Debug)]
pub struct StepInputs<'a> {
    /// The network.
    pub model: &'a Model,
    /// Its parameters.
    pub parameters: &'a Parameters,
    /// The losses of its tasks.
    pub losses: &'a TaskLosses,
    /// `[B, C, D, H, W]` for each view, in the order of the problem's views and in the type of the parameters.
    pub input: &'a [Tensor],
    /// Labels of the `B` samples.
    pub targets: &'a TargetBatch,
}

/// Where the tasks' gradients are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// At the model's boundary, for MT-IDS the backbone's features and the shared experts' outputs: one backward pass of the backbone.
    #[default]
    Boundary,
    /// On the shared parameters themselves: one backward pass per task.
    Exact,
}

/// What the balancer is given.
#[derive(Clone, Copy, Debug)]
pub struct StepGradients<'a> {
    /// Gram matrix of the tasks' gradients, `T * T`, row-major; rows of inactive tasks are 0.
    pub gram: &'a [f64],
    /// Loss of each task; 0 for inactive tasks.
    pub losses: &'a [f64],
    /// Which tasks had a labelled sample.
    pub active: &'a [bool],
}

/// A balancer that weighs: one finite coefficient per task. Some rules have negative ones.
pub type Coefficients<'a> = dyn FnMut(&StepGradients<'_>) -> Result<Vec<f64>, BoxError> + 'a;

/// Whole gradients: `[T]` rows of `[P]` numbers, empty for inactive tasks, in the type of the parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum WholeGradients {
    /// Of a training.
    F32(Vec<Vec<f32>>),
    /// Of numerical checks.
    F64(Vec<Vec<f64>>),
}

impl WholeGradients {
    /// In double precision.
    pub fn widened(&self) -> Vec<Vec<f64>> {
        match self {
            Self::F32(rows) => rows.iter().map(|row| row.iter().map(|value| f64::from(*value)).collect()).collect(),
            Self::F64(rows) => rows.clone(),
        }
    }
}

/// A balancer that combines whole gradients into one.
pub type Combination<'a> = dyn FnMut(&StepGradients<'_>, &WholeGradients) -> Result<Combined, BoxError> + 'a;

/// What a [`Combination`] answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Combined {
    /// `[P]`: the combined gradient.
    pub update: Vec<f64>,
    /// `[T]`: weights of the tasks, where the rule has such; for the log.
    pub weights: Option<Vec<f64>>,
}

/// Who decides about the shared gradient.
pub enum Balancing<'b, 'a> {
    /// By coefficients; the rows never leave the graph's tensors.
    Weigh(&'b mut Coefficients<'a>),
    /// By whole gradients, which costs T copies of them.
    Combine(&'b mut Combination<'a>),
}

/// Settings of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOptions {
    /// Where gradients are compared.
    pub scope: Scope,
    /// Limit of the global gradient norm.
    pub clip_norm: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Seed of the run, for gate noise and dropout.
    pub seed: u64,
}

/// Mean decision of one task's gate over a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateMeans {
    /// Mean weight of the shared branch, α^s.
    pub shared_branch: f64,
    /// Mean weight of the private branch, α^p.
    pub private_branch: f64,
    /// Mean weight of the other tasks' experts, where the task reads them.
    pub other_branch: Option<f64>,
    /// Mean π^s per shared expert.
    pub shared_experts: Vec<f64>,
    /// Mean π^p per private expert.
    pub private_experts: Vec<f64>,
    /// Mean division among the other tasks' experts, in task order.
    pub other_experts: Vec<f64>,
}

/// What happened in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Loss of each task; `None` where no sample was labelled.
    pub losses: Vec<Option<f64>>,
    /// Loss of the pooled prediction head.
    pub pooled_loss: Option<f64>,
    /// Weighted sum of the gate regularisers.
    pub regulariser: f64,
    /// Gram matrix handed to the balancer, `T * T`.
    pub gram: Vec<f64>,
    /// Its answer; empty where it gave a combined gradient without weights.
    pub coefficients: Vec<f64>,
    /// Global norm of the combined gradient before clipping.
    pub gradient_norm: f64,
    /// Mean decisions of the gates; empty for a model without gates.
    pub gates: Vec<GateMeans>,
    /// How often the host waited for values of the step: on a GPU, each time for all work given to it.
    pub reads: usize,
}
