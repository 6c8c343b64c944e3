//! CGC: customised gate control (Tang et al., RecSys 2020, "Progressive Layered Extraction").
//!
//! u_t = Σ_e w_te f_e(z) with one soft-max w_t = softmax(W_t z) over the shared experts and the task's own; other tasks' experts are
//! not read. Adapted: experts and gates read the trunk's features z instead of the input; gates have a bias, as in LibMTL.
//!
//! Cut: z and the shared experts' outputs. Parameters: `trunk.*`, `shared.*` (shared), `private.<task>.*`, `gate.<task>.*`, `head.<task>.*`.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::{Backbone, BackboneConfig};
use crate::error::Result;
use crate::experts::ExpertsConfig;
use crate::gate::{GateOutput, SoftmaxGate};
use crate::model::config::{default_tasks, validate_experts};
use crate::model::stack::{BranchGate, Route, Stack, StackSizes};
use crate::model::{Boundary, Mode, MultiTaskModel, TaskOutput, heads, of_task};
use crate::tasks::{TaskKind, TaskSet};
use mtids_layers::linear::Linear;
use mtids_layers::parameters::Parameters;

/// Settings of CGC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CgcConfig {
    /// The trunk.
    pub backbone: BackboneConfig,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
    /// The experts.
    pub experts: ExpertsConfig,
}

impl Default for CgcConfig {
    fn default() -> Self {
        Self { backbone: BackboneConfig::default(), tasks: default_tasks(), experts: ExpertsConfig::default() }
    }
}

impl CgcConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        validate_experts(&self.experts)
    }
}

/// One soft-max over shared experts, then the task's own.
#[derive(Debug)]
pub(crate) struct FlatGate {
    gate: SoftmaxGate,
    shared: usize,
    private: usize,
}

impl FlatGate {
    pub(crate) fn new(name: &str, inputs: usize, experts: &ExpertsConfig, parameters: &Parameters) -> Result<Self> {
        let (shared, private) = (experts.shared, experts.private);
        Ok(Self { gate: SoftmaxGate::new(name, inputs, shared + private, parameters)?, shared, private })
    }
}

impl BranchGate for FlatGate {
    fn route(&self, input: &Tensor, _mode: Mode) -> Result<Route> {
        let weights = self.gate.forward(input)?;
        let shared = weights.narrow(1, 0, self.shared)?;
        let private = weights.narrow(1, self.shared, self.private)?;
        let gate = GateOutput::of_flat(&shared, &private, None)?;
        Ok(Route { shared: Some(shared), private: Some(private), gate })
    }
}

/// The common build of CGC and PLE.
pub(crate) fn stack(
    layers: usize,
    features: usize,
    experts: &ExpertsConfig,
    tasks: &TaskSet,
    parameters: &Parameters,
) -> Result<Stack<FlatGate>> {
    let sizes = StackSizes {
        layers,
        expert: experts.expert_shape(features),
        shared: Some(experts.shared),
        private: Some(experts.private),
    };
    Stack::new(tasks, sizes, parameters, |name, inputs| FlatGate::new(name, inputs, experts, parameters))
}

/// Shared and private experts under one soft-max per task.
#[derive(Debug)]
pub struct Cgc {
    trunk: Backbone,
    stack: Stack<FlatGate>,
    heads: Vec<Linear>,
}

impl Cgc {
    pub(crate) fn new(config: &CgcConfig, tasks: &TaskSet, input: [usize; 4], parameters: &Parameters) -> Result<Self> {
        Ok(Self {
            trunk: Backbone::new("trunk", &config.backbone, input, parameters)?,
            stack: stack(1, config.backbone.features, &config.experts, tasks, parameters)?,
            heads: heads(tasks, config.experts.width, parameters)?,
        })
    }
}

impl MultiTaskModel for Cgc {
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
}
