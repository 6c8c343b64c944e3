//! MT-IDS, reconstructed from its abstract: backbone, shared and private experts, DBR gates, one head per task.
//!
//! Decomposition into auxiliary tasks, shared and task-specific features, and a gate that weighs them: stated in the abstract (A).
//! Experts as two-layer perceptrons under shared and private branches: prior art (P, CGC). Gate input, branch control and its prior:
//! our choice (O), see [`crate::gate`]. With several views each label dimension trains features of its own (O, `views.rs`): shared experts
//! read all views, private ones read those of the other dimension without gradient, gates read all without gradient. Stacked layers (`dbr.layers`) follow PLE; the input of the next layer's shared experts is a
//! plain soft-max over all experts (P, PLE).
//!
//! Cut: z of each view and the outputs of the shared experts (see `stack.rs` for more layers). Parameters: `trunk.*`, `shared.*` (shared),
//! `private.<task>.*`, `gate.<task>.*`, `head.<task>.*`, and `layer<l>.*` below the last layer.

use std::collections::BTreeMap;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::BackboneKeys;
use crate::error::Result;
use crate::gate::{BranchControl, DbrConfig, Gate};
use crate::model::network::heads;
use crate::model::stack::{BranchGate, Route, Stack, StackNetwork, StackSizes};
use crate::model::views::{Owner, Reading, SeenViews};
use crate::problem::Problem;
use crate::tasks::{TaskKind, TaskSet, default_tasks};
use crate::trunks::{Blueprint, Trunks, known_views};
use crate::types::{GateOutput, GateTerms, Mode};
use mtids_layers::stacked::Stacks;

/// The network's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MtIdsConfig {
    /// The backbone of every view.
    pub backbone: BackboneKeys,
    /// What differs in the backbone of one view, by the view's name.
    pub trunks: BTreeMap<String, BackboneKeys>,
    /// Which label dimension trains the features of a view, by the view's name. Default with several views: `near` metastasis, `wide`
    /// region, others all.
    pub owners: BTreeMap<String, Owner>,
    /// Dropout before heads and in the hidden layer of experts. Default: 0.2 with several views, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Experts and gates.
    pub dbr: DbrConfig,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
}

impl Default for MtIdsConfig {
    fn default() -> Self {
        Self {
            backbone: BackboneKeys::default(),
            trunks: BTreeMap::new(),
            owners: BTreeMap::new(),
            dropout: None,
            dbr: DbrConfig::default(),
            tasks: default_tasks(),
        }
    }
}

impl MtIdsConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        self.dbr.validate()
    }

    /// Writes out what depends on the views.
    pub(crate) fn resolve(&mut self, problem: &Problem) {
        let names = problem.view_names();
        let owners = Owner::of_views(&self.owners, &names);
        self.owners = names.iter().map(|name| (*name).to_owned()).zip(owners).collect();
        self.dbr.gate_gradient = Some(self.dbr.trains_by_gates(names.len()));
    }

    /// How experts and gates of the first layer read views of these names.
    fn reading(&self, tasks: &TaskSet, views: &[&str]) -> Result<Reading> {
        known_views("owners", self.owners.keys(), views)?;
        Reading::by_owner(tasks, &Owner::of_views(&self.owners, views), &self.dbr)
    }

    /// Which of these views each task reads in the first layer, in the order of the tasks.
    ///
    /// # Errors
    /// [`crate::ModelError::Config`] for an owner of a view that is not among them, and a task that would read none.
    pub fn seen_views(&self, tasks: &TaskSet, views: &[&str]) -> Result<Vec<SeenViews>> {
        let reading = self.reading(tasks, views)?;
        (0..tasks.len()).map(|task| reading.seen(task)).collect()
    }
}

impl BranchGate for Gate {
    fn route(&self, input: &Tensor, mode: Mode) -> Result<Route> {
        let gate = self.forward(input, mode)?;
        Ok(Route { shared: gate.shared_weights()?, private: gate.private_weights()?, gate })
    }

    fn is_plain(&self) -> bool {
        Self::is_plain(self)
    }

    fn together(gates: &[Self], input: &Tensor, stacks: &Stacks) -> Result<GateOutput> {
        Self::forward_together(gates, input, stacks)
    }
}

/// The network of these settings.
pub(crate) fn network(config: &MtIdsConfig, blueprint: &Blueprint<'_>) -> Result<StackNetwork<Gate>> {
    let dbr = &config.dbr;
    let names: Vec<&str> = blueprint.views.iter().map(|view| view.name.as_str()).collect();
    let sizes = StackSizes {
        layers: dbr.layers,
        expert: dbr.expert_shape(blueprint.features(), blueprint.dropout),
        reading: config.reading(blueprint.tasks, &names)?,
        gates_learn: dbr.gates_learn(),
        shared: dbr.has_shared().then_some(dbr.shared_experts),
        private: dbr.has_private().then_some(dbr.private_experts),
    };
    Ok(StackNetwork {
        trunks: Trunks::new("trunk", blueprint)?,
        stack: Stack::new(blueprint, sizes, |name, inputs| Gate::new(name, inputs, dbr, blueprint.parameters))?,
        heads: heads(dbr.expert_width, blueprint)?,
        terms: GateTerms { branch_prior: dbr.branch_control == BranchControl::Softmax, load_balance: true },
    })
}
