//! PLE: progressive layered extraction, several layers of CGC (Tang et al., RecSys 2020).
//!
//! In each layer a task's soft-max runs over the shared experts and its own, on the task's output of the layer below; below the last
//! layer one more soft-max over all experts, on the shared output of the layer below, feeds the next layer's shared experts. The last
//! layer has no such gate. Adapted as [`crate::model::cgc`].
//!
//! Cut and names: see `stack.rs`. With one layer this is CGC.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::{Backbone, BackboneConfig};
use crate::error::{Result, config_error};
use crate::experts::ExpertsConfig;
use crate::model::cgc::{FlatGate, stack};
use crate::model::config::{default_tasks, validate_experts};
use crate::model::stack::Stack;
use crate::model::{Boundary, Mode, MultiTaskModel, TaskOutput, heads, of_task};
use crate::tasks::{TaskKind, TaskSet};
use mtids_layers::linear::Linear;
use mtids_layers::parameters::Parameters;

/// Settings of PLE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PleConfig {
    /// The trunk.
    pub backbone: BackboneConfig,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
    /// The experts of each layer.
    pub experts: ExpertsConfig,
    /// Layers.
    pub layers: usize,
}

impl Default for PleConfig {
    fn default() -> Self {
        Self {
            backbone: BackboneConfig::default(),
            tasks: default_tasks(),
            experts: ExpertsConfig::default(),
            layers: 2,
        }
    }
}

impl PleConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        if self.layers == 0 {
            return Err(config_error("layers", "must be at least 1"));
        }
        validate_experts(&self.experts)
    }
}

/// Layers of CGC.
#[derive(Debug)]
pub struct Ple {
    trunk: Backbone,
    stack: Stack<FlatGate>,
    heads: Vec<Linear>,
}

impl Ple {
    pub(crate) fn new(config: &PleConfig, tasks: &TaskSet, input: [usize; 4], parameters: &Parameters) -> Result<Self> {
        Ok(Self {
            trunk: Backbone::new("trunk", &config.backbone, input, parameters)?,
            stack: stack(config.layers, config.backbone.features, &config.experts, tasks, parameters)?,
            heads: heads(tasks, config.experts.width, parameters)?,
        })
    }
}

impl MultiTaskModel for Ple {
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
