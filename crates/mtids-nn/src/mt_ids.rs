//! The whole network: trunk, experts, DBR gates, one head per task.
//!
//! Purpose: `[B, C, D, H, W]` to one row of logits per task. Invariants: shared parameters (reached by every task) are those
//! named `trunk.*` and `shared.*`; all others belong to exactly one task, or to the read-out (`read_out.*`).

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::{Backbone, BackboneConfig};
use crate::error::{Result, config_error};
use crate::experts::ExpertGroup;
use crate::gate::{BranchControl, DbrConfig, Gate, GateOutput};
use crate::linear::Linear;
use crate::parameters::{Init, Parameters};
use crate::read_out::INITIAL_ETA;
use crate::tasks::{TaskKind, TaskSet};

/// The network's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MtIdsConfig {
    /// The trunk.
    pub backbone: BackboneConfig,
    /// Experts and gates.
    pub dbr: DbrConfig,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
}

impl Default for MtIdsConfig {
    fn default() -> Self {
        Self {
            backbone: BackboneConfig::default(),
            dbr: DbrConfig::default(),
            tasks: vec![TaskKind::Joint, TaskKind::Region, TaskKind::Metastasis],
        }
    }
}

impl MtIdsConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`crate::NnError::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        self.backbone.validate()?;
        self.dbr.validate()?;
        if self.tasks.is_empty() {
            return Err(config_error("tasks", "name at least one task"));
        }
        Ok(())
    }
}

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

/// What the network says about a batch.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// Logits of each task, `[B, C_t]`.
    pub logits: Vec<Tensor>,
    /// Decision of each task's gate.
    pub gates: Vec<GateOutput>,
}

#[derive(Clone, Debug)]
struct Branch {
    gate: Gate,
    private: Option<ExpertGroup>,
    head: Linear,
}

#[derive(Clone, Debug)]
struct Network {
    backbone: Backbone,
    shared: Option<ExpertGroup>,
    branches: Vec<Branch>,
    eta: Tensor,
}

impl Network {
    fn new(config: &MtIdsConfig, tasks: &TaskSet, input: [usize; 4], parameters: &Parameters) -> Result<Self> {
        let (features, dbr) = (config.backbone.features, &config.dbr);
        let sizes = [features, dbr.expert_hidden, dbr.expert_width];
        let branch = |name: &str, classes: usize| -> Result<Branch> {
            Ok(Branch {
                gate: Gate::new(name, features, dbr, parameters)?,
                private: dbr
                    .has_private()
                    .then(|| ExpertGroup::new(&format!("private.{name}"), dbr.private_experts, sizes, parameters))
                    .transpose()?,
                head: Linear::new(&format!("head.{name}"), dbr.expert_width, classes, 0.1, parameters)?,
            })
        };
        let branches: Result<Vec<Branch>> = tasks.tasks().iter().map(|task| branch(&task.name, task.classes)).collect();
        Ok(Self {
            backbone: Backbone::new("trunk", &config.backbone, input, parameters)?,
            shared: dbr
                .has_shared()
                .then(|| ExpertGroup::new("shared", dbr.shared_experts, sizes, parameters))
                .transpose()?,
            branches: branches?,
            eta: parameters.get_or_init("read_out.eta", &[tasks.len()], Init::Constant(INITIAL_ETA))?,
        })
    }
}

/// MT-IDS.
#[derive(Clone, Debug)]
pub struct MtIds {
    tasks: TaskSet,
    learned_branches: bool,
    tracked: Network,
    frozen: Network,
}

impl MtIds {
    /// Builds the network for `regions` regions and inputs of shape `[C, D, H, W]`.
    ///
    /// # Errors
    /// [`crate::NnError::Config`] for settings out of range, [`crate::NnError::Parameter`] when `parameters` holds others.
    pub fn new(config: &MtIdsConfig, regions: usize, input: [usize; 4], parameters: &Parameters) -> Result<Self> {
        config.validate()?;
        let tasks = TaskSet::new(&config.tasks, regions)?;
        let tracked = Network::new(config, &tasks, input, parameters)?;
        let frozen = Network::new(config, &tasks, input, &parameters.frozen())?;
        let learned_branches = config.dbr.branch_control == BranchControl::Softmax;
        Ok(Self { tasks, learned_branches, tracked, frozen })
    }

    /// The tasks, in the order of all per-task lists.
    pub fn tasks(&self) -> &TaskSet {
        &self.tasks
    }

    /// Whether a parameter is reached by every task.
    pub fn is_shared(name: &str) -> bool {
        name.starts_with("trunk.") || name.starts_with("shared.")
    }

    /// Whether the gates learn a distribution over the two branches, so that the branch prior applies.
    pub fn has_learned_branches(&self) -> bool {
        self.learned_branches
    }

    /// The read-out's η, `[T]`, tracked.
    pub fn eta(&self) -> &Tensor {
        &self.tracked.eta
    }

    /// Trunk features z, `[B, d]`.
    ///
    /// # Errors
    /// When the input has another shape than the model was built for.
    pub fn trunk(&self, x: &Tensor) -> Result<Tensor> {
        self.tracked.backbone.forward(x)
    }

    /// Outputs S of the shared experts, `[B, E_s, d_e]`; `None` without a shared branch.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn experts(&self, z: &Tensor) -> Result<Option<Tensor>> {
        self.tracked.shared.as_ref().map(|shared| shared.forward(z)).transpose()
    }

    /// One task from its own view of z and S.
    ///
    /// # Errors
    /// [`crate::NnError::Config`] for a task that does not exist; when the shapes do not fit.
    pub fn task(&self, task: usize, z: &Tensor, s: Option<&Tensor>, mode: Mode) -> Result<(Tensor, GateOutput)> {
        forward_task(&self.tracked, task, z, s, mode)
    }

    /// All tasks from the same z and S.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn heads(&self, z: &Tensor, s: Option<&Tensor>, mode: Mode) -> Result<Outputs> {
        forward_tasks(&self.tracked, z, s, mode)
    }

    /// The whole network, with its graph.
    ///
    /// # Errors
    /// When the input has another shape than the model was built for.
    pub fn forward(&self, x: &Tensor, mode: Mode) -> Result<Outputs> {
        let z = self.trunk(x)?;
        let s = self.experts(&z)?;
        self.heads(&z, s.as_ref(), mode)
    }

    /// The whole network without noise and without retaining any graph, with the current parameters.
    ///
    /// # Errors
    /// When the input has another shape than the model was built for.
    pub fn evaluate(&self, x: &Tensor) -> Result<Outputs> {
        let z = self.frozen.backbone.forward(&x.detach())?;
        let s = self.frozen.shared.as_ref().map(|shared| shared.forward(&z)).transpose()?;
        forward_tasks(&self.frozen, &z, s.as_ref(), Mode::Evaluate)
    }
}

fn forward_tasks(network: &Network, z: &Tensor, s: Option<&Tensor>, mode: Mode) -> Result<Outputs> {
    let mut outputs = Outputs { logits: Vec::new(), gates: Vec::new() };
    for task in 0..network.branches.len() {
        let (logits, gate) = forward_task(network, task, z, s, mode)?;
        outputs.logits.push(logits);
        outputs.gates.push(gate);
    }
    Ok(outputs)
}

fn forward_task(
    network: &Network,
    task: usize,
    z: &Tensor,
    s: Option<&Tensor>,
    mode: Mode,
) -> Result<(Tensor, GateOutput)> {
    let branch = network.branches.get(task).ok_or_else(|| config_error("tasks", format!("there is no task {task}")))?;
    let gate = branch.gate.forward(z, mode)?;
    let mix = |weights: &Tensor, experts: &Tensor| -> Result<Tensor> {
        Ok(experts.broadcast_mul(&weights.unsqueeze(2)?)?.sum(1)?)
    };
    let mut mixed: Option<Tensor> = None;
    if let (Some(weights), Some(s)) = (gate.shared_weights()?, s) {
        mixed = Some(mix(&weights, s)?);
    }
    if let (Some(weights), Some(private)) = (gate.private_weights()?, &branch.private) {
        let own = mix(&weights, &private.forward(z)?)?;
        mixed = Some(match mixed {
            Some(shared) => (shared + own)?,
            None => own,
        });
    }
    let mixed = mixed.ok_or_else(|| config_error("dbr", "the outputs of the shared experts are missing"))?;
    Ok((branch.head.forward(&mixed)?, gate))
}
