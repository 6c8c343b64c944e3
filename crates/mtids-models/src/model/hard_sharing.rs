//! Hard parameter sharing: one trunk, one linear head per task, ŷ_t = h_t(f(x)) (Caruana, Machine Learning 28, 1997).
//!
//! Cut: the trunk's features z, `[B, d]`. Parameters: `trunk.*` (shared), `head.<task>.*`.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backbone::{Backbone, BackboneConfig};
use crate::error::Result;
use crate::model::config::default_tasks;
use crate::model::{Boundary, Mode, MultiTaskModel, TaskOutput, at, heads, of_task};
use crate::tasks::{TaskKind, TaskSet};
use mtids_layers::linear::Linear;
use mtids_layers::parameters::Parameters;

/// Settings of hard parameter sharing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HardSharingConfig {
    /// The trunk.
    pub backbone: BackboneConfig,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
}

impl Default for HardSharingConfig {
    fn default() -> Self {
        Self { backbone: BackboneConfig::default(), tasks: default_tasks() }
    }
}

impl HardSharingConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        Ok(())
    }
}

/// One trunk, one head per task.
#[derive(Debug)]
pub struct HardSharing {
    trunk: Backbone,
    heads: Vec<Linear>,
}

impl HardSharing {
    pub(crate) fn new(
        config: &HardSharingConfig,
        tasks: &TaskSet,
        input: [usize; 4],
        parameters: &Parameters,
    ) -> Result<Self> {
        Ok(Self {
            trunk: Backbone::new("trunk", &config.backbone, input, parameters)?,
            heads: heads(tasks, config.backbone.features, parameters)?,
        })
    }
}

impl MultiTaskModel for HardSharing {
    fn boundary(&self, x: &Tensor, _mode: Mode) -> Result<Boundary> {
        Ok(Boundary { tensors: vec![self.trunk.forward(x)?], gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], _mode: Mode) -> Result<TaskOutput> {
        Ok(TaskOutput::plain(of_task(&self.heads, task)?.forward(at(boundary, 0)?)?))
    }

    fn is_shared(&self, name: &str) -> bool {
        name.starts_with("trunk.")
    }
}
