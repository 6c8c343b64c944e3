//! Multi-task models: MT-IDS and its rivals behind one trait.
//!
//! Purpose: `[B, C, D, H, W]` to one row of logits per task, for every architecture of [`ModelConfig`]. A model is cut in two:
//! [`MultiTaskModel::boundary`] computes what all tasks read, [`MultiTaskModel::task`] what one task makes of it. A parameter is
//! shared if two or more tasks reach it (tag O). All models have a cut with nothing private below it, so both scopes of a
//! training step apply to each; only [`single_task`] shares nothing. Invariants: `task` reads its own view of the boundary and nothing of
//! another task above it, so one task's loss never moves the parts of another; samples of a batch do not influence each
//! other; the names of parameters do not depend on the order of the tasks.
//!
//! Rivals follow the rule of their source. Three things are the same in all of them, so that a comparison compares the rule:
//! the trunk, experts on the trunk's features (most sources put them on the input), and the form of an expert.

pub mod adatt;
pub mod cgc;
pub mod config;
pub mod cross_stitch;
pub mod dselect_k;
pub mod hard_sharing;
pub mod mmoe;
pub mod mt_ids;
pub mod mtan;
pub mod ple;
pub mod single_task;
mod stack;
pub mod stem;

use std::fmt;

use candle_core::Tensor;

pub use config::{Architecture, ModelConfig};

use crate::error::{ModelError, Result, config_error};
use crate::gate::GateOutput;
use crate::read_out::INITIAL_ETA;
use crate::tasks::TaskSet;
use mtids_layers::linear::Linear;
use mtids_layers::parameters::{Init, Parameters};

/// Whether gate noise is drawn (only sparse gates have any).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// No noise.
    Evaluate,
    /// Noise that is a function of seed and step.
    Train {
        /// Seed of the run.
        seed: u64,
        /// Optimiser step.
        step: u64,
    },
}

/// What the model says about a batch.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// Logits of each task, `[B, C_t]`.
    pub logits: Vec<Tensor>,
    /// Decision of each task's last gate; empty for a model without gates.
    pub gates: Vec<GateOutput>,
    /// Decisions of the layers below, lowest first, each with one gate per task.
    pub lower_gates: Vec<Vec<GateOutput>>,
    /// Terms that the architecture itself adds to the loss, weighted; scalars.
    pub penalties: Vec<Tensor>,
}

/// What all tasks read: the outputs of the shared parameters.
#[derive(Clone, Debug, Default)]
pub struct Boundary {
    /// The tensors at the cut, batch first.
    pub tensors: Vec<Tensor>,
    /// Decisions of layers that lie wholly below the cut, lowest first, one per task.
    pub gates: Vec<Vec<GateOutput>>,
}

/// What one task makes of its view of the boundary.
#[derive(Clone, Debug)]
pub struct TaskOutput {
    /// `[B, C_t]`.
    pub logits: Tensor,
    /// Decisions of the task's gates above the cut, lowest layer first; empty without gates.
    pub gates: Vec<GateOutput>,
    /// A weighted term for the loss, a scalar, where the architecture has one.
    pub penalty: Option<Tensor>,
}

impl TaskOutput {
    fn plain(logits: Tensor) -> Self {
        Self { logits, gates: Vec::new(), penalty: None }
    }

    fn gated(logits: Tensor, gate: GateOutput) -> Self {
        Self { logits, gates: vec![gate], penalty: None }
    }
}

/// Which regularisers of [`crate::LossConfig`] apply to the gates of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateTerms {
    /// The gates learn a distribution over two branches: the branch prior R_b.
    pub branch_prior: bool,
    /// The load balance R_e.
    pub load_balance: bool,
}

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

/// A model of any architecture, with its tasks and its read-out.
#[derive(Debug)]
pub struct Model {
    architecture: Architecture,
    tasks: TaskSet,
    eta: Tensor,
    tracked: Box<dyn MultiTaskModel>,
    frozen: Box<dyn MultiTaskModel>,
}

impl Model {
    /// Builds the network for `regions` regions and inputs of shape `[C, D, H, W]`.
    ///
    /// # Errors
    /// [`ModelError::Config`] for settings out of range, [`mtids_layers::LayerError::Parameter`] when `parameters` holds others.
    pub fn new(config: &ModelConfig, regions: usize, input: [usize; 4], parameters: &Parameters) -> Result<Self> {
        config.validate()?;
        let tasks = TaskSet::new(config.tasks(), regions)?;
        Ok(Self {
            architecture: config.architecture(),
            eta: parameters.get_or_init("read_out.eta", &[tasks.len()], Init::Constant(INITIAL_ETA))?,
            tracked: config.network(&tasks, input, parameters)?,
            frozen: config.network(&tasks, input, &parameters.frozen())?,
            tasks,
        })
    }

    /// Which architecture it is.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The tasks, in the order of all per-task lists.
    pub fn tasks(&self) -> &TaskSet {
        &self.tasks
    }

    /// The two sides of the cut, with gradients.
    pub fn network(&self) -> &dyn MultiTaskModel {
        self.tracked.as_ref()
    }

    /// The read-out's η, `[T]`, tracked.
    pub fn eta(&self) -> &Tensor {
        &self.eta
    }

    /// The whole network, with its graph.
    ///
    /// # Errors
    /// When the input has another shape than the model was built for.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Outputs> {
        forward(self.tracked.as_ref(), self.tasks.len(), x, mode)
    }

    /// The whole network without noise and without retaining any graph, with the current parameters.
    ///
    /// # Errors
    /// When the input has another shape than the model was built for.
    pub fn evaluate(&self, x: &Tensor) -> Result<Outputs> {
        forward(self.frozen.as_ref(), self.tasks.len(), &x.detach(), Mode::Evaluate)
    }
}

fn forward(network: &dyn MultiTaskModel, tasks: usize, x: &Tensor, mode: Mode) -> Result<Outputs> {
    let boundary = network.boundary(x, mode)?;
    let outputs: Result<Vec<TaskOutput>> = (0..tasks).map(|task| network.task(task, &boundary.tensors, mode)).collect();
    Ok(gather(boundary.gates, outputs?))
}

/// The outputs of all tasks in one.
pub(crate) fn gather(below: Vec<Vec<GateOutput>>, tasks: Vec<TaskOutput>) -> Outputs {
    let mut outputs = Outputs { lower_gates: below, ..Outputs::default() };
    let first = outputs.lower_gates.len();
    for task in tasks {
        outputs.logits.push(task.logits);
        outputs.penalties.extend(task.penalty);
        let mut gates = task.gates;
        outputs.gates.extend(gates.pop());
        for (layer, gate) in gates.into_iter().enumerate() {
            if outputs.lower_gates.len() <= first + layer {
                outputs.lower_gates.push(Vec::new());
            }
            outputs.lower_gates[first + layer].push(gate);
        }
    }
    outputs
}

/// One linear head `head.<task>` per task on features of this width.
fn heads(tasks: &TaskSet, width: usize, parameters: &Parameters) -> Result<Vec<Linear>> {
    let head = |name: &str, classes| -> Result<Linear> {
        Ok(Linear::unrounded(&format!("head.{name}"), width, classes, 0.1, parameters)?)
    };
    tasks.tasks().iter().map(|task| head(&task.name, task.classes)).collect()
}

/// The part of a task.
fn of_task<T>(parts: &[T], task: usize) -> Result<&T> {
    parts.get(task).ok_or_else(|| config_error("tasks", format!("there is no task {task}")))
}

/// The tensor at a place of the boundary.
fn at(boundary: &[Tensor], place: usize) -> Result<&Tensor> {
    boundary.get(place).ok_or_else(|| ModelError::Shape {
        what: "boundary",
        found: vec![boundary.len()],
        expected: format!("more than {place} tensors"),
    })
}

/// `Σ_e w_e f_e` for weights `[B, E]` and experts `[B, E, d]`.
fn mix(weights: &Tensor, experts: &Tensor) -> Result<Tensor> {
    Ok(experts.broadcast_mul(&weights.unsqueeze(2)?)?.sum(1)?)
}
