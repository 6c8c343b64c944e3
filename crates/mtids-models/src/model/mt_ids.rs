//! MT-IDS, reconstructed from its abstract: trunk, shared and private experts, DBR gates, one head per task.
//!
//! Decomposition into auxiliary tasks, shared and task-specific features, and a gate that weighs them: stated in the abstract (A).
//! Experts as two-layer perceptrons under shared and private branches: prior art (P, CGC). Gate input, branch control and its prior:
//! our choice (O), see [`crate::gate`]. Stacked layers (`dbr.layers`) follow PLE; the input of the next layer's shared experts is a
//! plain soft-max over all experts (P, PLE).
//!
//! Cut: z and the outputs of the shared experts (see `stack.rs` for more layers). Parameters: `trunk.*`, `shared.*` (shared),
//! `private.<task>.*`, `gate.<task>.*`, `head.<task>.*`, and `layer<l>.*` below the last layer.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::{Backbone, BackboneConfig};
use crate::error::Result;
use crate::gate::{BranchControl, DbrConfig, Gate};
use crate::model::config::default_tasks;
use crate::model::stack::{BranchGate, Route, Stack, StackSizes};
use crate::model::{Boundary, GateTerms, Mode, MultiTaskModel, TaskOutput, heads, of_task};
use crate::tasks::{TaskKind, TaskSet};
use mtids_layers::linear::Linear;
use mtids_layers::parameters::Parameters;

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
        Self { backbone: BackboneConfig::default(), dbr: DbrConfig::default(), tasks: default_tasks() }
    }
}

impl MtIdsConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        self.dbr.validate()
    }
}

impl BranchGate for Gate {
    fn route(&self, input: &Tensor, mode: Mode) -> Result<Route> {
        let gate = self.forward(input, mode)?;
        Ok(Route { shared: gate.shared_weights()?, private: gate.private_weights()?, gate })
    }
}

/// The network on either side of its cut.
#[derive(Debug)]
pub struct MtIds {
    trunk: Backbone,
    stack: Stack<Gate>,
    heads: Vec<Linear>,
    learned_branches: bool,
}

impl MtIds {
    pub(crate) fn new(
        config: &MtIdsConfig,
        tasks: &TaskSet,
        input: [usize; 4],
        parameters: &Parameters,
    ) -> Result<Self> {
        let dbr = &config.dbr;
        let sizes = StackSizes {
            layers: dbr.layers,
            expert: dbr.expert_shape(config.backbone.features),
            shared: dbr.has_shared().then_some(dbr.shared_experts),
            private: dbr.has_private().then_some(dbr.private_experts),
        };
        Ok(Self {
            trunk: Backbone::new("trunk", &config.backbone, input, parameters)?,
            stack: Stack::new(tasks, sizes, parameters, |name, inputs| Gate::new(name, inputs, dbr, parameters))?,
            heads: heads(tasks, dbr.expert_width, parameters)?,
            learned_branches: dbr.branch_control == BranchControl::Softmax,
        })
    }
}

impl MultiTaskModel for MtIds {
    fn boundary(&self, x: &Tensor, mode: Mode) -> Result<Boundary> {
        self.stack.boundary(&self.trunk.forward(x)?, mode)
    }

    fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<TaskOutput> {
        let (mixed, gates) = self.stack.task(task, boundary, mode)?;
        Ok(TaskOutput { logits: of_task(&self.heads, task)?.forward(&mixed)?, gates, penalty: None })
    }

    fn is_shared(&self, name: &str) -> bool {
        name.starts_with("trunk.") || self.stack.is_shared(name)
    }

    fn gate_terms(&self) -> GateTerms {
        GateTerms { branch_prior: self.learned_branches, load_balance: true }
    }
}
