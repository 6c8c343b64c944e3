//! Multi-task models: MT-IDS and its baselines behind one trait.
//!
//! Purpose: `[B, C, D, H, W]` of each view to one row of logits per task, for every architecture of [`ModelConfig`]. A model is cut in two:
//! [`MultiTaskModel::boundary`] computes what all tasks read, [`MultiTaskModel::task`] what one task makes of it. A parameter is
//! shared if two or more tasks reach it (tag O). All models have a cut with nothing private below it, so both scopes of a
//! training step apply to each; only [`single_task`] shares nothing. Invariants: `task` reads its own view of the boundary and nothing of
//! another task above it, so one task's loss never moves the parts of another; samples of a batch influence each other
//! only through batch norm in training; the names of parameters do not depend on the order of the tasks.
//!
//! The parameters of a backbone are named `trunk.*`, with several views `trunk.<view>.*`: initial values are a function of the name,
//! so it stays.
//!
//! Baselines follow the rule of their source. Three things are the same in all of them, so that a comparison compares the rule:
//! the backbones of all views, experts on the backbones' features (most sources put them on the input), and the form of an expert.

pub mod adatt;
pub mod cgc;
pub mod config;
pub mod cross_stitch;
pub mod dselect_k;
pub mod hard_sharing;
pub mod mmoe;
pub mod mt_ids;
pub mod mtan;
pub mod network;
pub mod ple;
pub mod settings;
pub mod single_task;
mod stack;
pub mod stem;
mod views;

use candle_core::Tensor;
use mtids_layers::parameters::{Init, Parameters};

pub use config::{Architecture, ModelConfig};
pub use network::MultiTaskModel;
pub use views::{Owner, SeenViews};

use crate::decoding::INITIAL_ETA;
use crate::error::Result;
use crate::problem::Problem;
use crate::tasks::TaskSet;
use crate::trunks::{Blueprint, dropout_of};
use crate::types::{Mode, Outputs, TaskOutput, gather};

/// A model of any architecture, with its tasks and its prediction head.
#[derive(Debug)]
pub struct Model {
    architecture: Architecture,
    tasks: TaskSet,
    eta: Tensor,
    tracked: Box<dyn MultiTaskModel>,
    frozen: Box<dyn MultiTaskModel>,
}

impl Model {
    /// Builds the network for the regions, measures and views of a problem.
    ///
    /// # Errors
    /// [`crate::ModelError::Config`] for settings out of range, [`mtids_layers::LayerError::Parameter`] when `parameters`
    /// holds others.
    pub fn new(config: &ModelConfig, problem: &Problem, parameters: &Parameters) -> Result<Self> {
        config.validate()?;
        let tasks = TaskSet::new(config.tasks(), problem.regions, problem.measures)?;
        let (views, frozen) = (config.plans(problem)?, parameters.frozen());
        let dropout = dropout_of(config.dropout(), views.len());
        let blueprint = Blueprint { tasks: &tasks, views: &views, dropout, parameters };
        Ok(Self {
            architecture: config.architecture(),
            // The name is part of saved states and stays.
            eta: parameters.get_or_init("read_out.eta", &[tasks.len()], Init::Constant(INITIAL_ETA))?,
            tracked: config.network(&blueprint)?,
            frozen: config.network(&Blueprint { parameters: &frozen, ..blueprint })?,
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

    /// The prediction head's η, `[T]`, tracked.
    pub fn eta(&self) -> &Tensor {
        &self.eta
    }

    /// The whole network, with its graph; inputs `[B, C, D, H, W]`, one for each view. In [`Mode::Train`] batch norm records the
    /// statistics of the batch, which [`Parameters::commit_statistics`] folds in and [`Parameters::discard_statistics`] drops.
    ///
    /// # Errors
    /// When an input has another shape than the model was built for.
    pub fn forward(&self, inputs: &[Tensor], mode: Mode) -> Result<Outputs> {
        forward(self.tracked.as_ref(), self.tasks.len(), inputs, mode)
    }

    /// The whole network without noise and without retaining any graph, with the current parameters.
    ///
    /// # Errors
    /// When an input has another shape than the model was built for.
    pub fn evaluate(&self, inputs: &[Tensor]) -> Result<Outputs> {
        let inputs: Vec<Tensor> = inputs.iter().map(Tensor::detach).collect();
        forward(self.frozen.as_ref(), self.tasks.len(), &inputs, Mode::Evaluate)
    }
}

fn forward(network: &dyn MultiTaskModel, tasks: usize, inputs: &[Tensor], mode: Mode) -> Result<Outputs> {
    let boundary = network.boundary(inputs, mode)?;
    let outputs: Result<Vec<TaskOutput>> = (0..tasks).map(|task| network.task(task, &boundary.tensors, mode)).collect();
    Ok(gather(boundary.gates, outputs?))
}
