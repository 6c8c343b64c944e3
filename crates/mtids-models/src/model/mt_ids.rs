//! MT-IDS, reconstructed from its abstract: backbone, shared and private experts, DBR gates, one head per task.
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
use crate::model::network::heads;
use crate::model::stack::{BranchGate, Route, Stack, StackNetwork, StackSizes};
use crate::tasks::{TaskKind, TaskSet, default_tasks};
use crate::types::{GateTerms, Mode};
use mtids_layers::parameters::Parameters;

/// The network's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MtIdsConfig {
    /// The backbone.
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

/// The network of these settings.
pub(crate) fn network(
    config: &MtIdsConfig,
    tasks: &TaskSet,
    input: [usize; 4],
    parameters: &Parameters,
) -> Result<StackNetwork<Gate>> {
    let dbr = &config.dbr;
    let sizes = StackSizes {
        layers: dbr.layers,
        expert: dbr.expert_shape(config.backbone.features),
        shared: dbr.has_shared().then_some(dbr.shared_experts),
        private: dbr.has_private().then_some(dbr.private_experts),
    };
    Ok(StackNetwork {
        backbone: Backbone::new("trunk", &config.backbone, input, parameters)?,
        stack: Stack::new(tasks, sizes, parameters, |name, inputs| Gate::new(name, inputs, dbr, parameters))?,
        heads: heads(tasks, dbr.expert_width, parameters)?,
        terms: GateTerms { branch_prior: dbr.branch_control == BranchControl::Softmax, load_balance: true },
    })
}
