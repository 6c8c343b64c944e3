//! Single-task networks: one whole network per task.
//!
//! The reference of every comparison: ŷ_t = h_t(f_t(x)) with a trunk f_t and a linear head h_t of its own. Nothing is shared, so
//! there is nothing to balance: a step takes each task's plain gradient. Parameters: `trunk.<task>.*`, `head.<task>.*`.

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

/// Settings of single-task networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SingleTaskConfig {
    /// The trunk of each task.
    pub backbone: BackboneConfig,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
}

impl Default for SingleTaskConfig {
    fn default() -> Self {
        Self { backbone: BackboneConfig::default(), tasks: default_tasks() }
    }
}

impl SingleTaskConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        Ok(())
    }
}

/// One network per task.
#[derive(Debug)]
pub struct SingleTask {
    trunks: Vec<Backbone>,
    heads: Vec<Linear>,
}

impl SingleTask {
    pub(crate) fn new(
        config: &SingleTaskConfig,
        tasks: &TaskSet,
        input: [usize; 4],
        parameters: &Parameters,
    ) -> Result<Self> {
        let trunk = |name: &str| Backbone::new(&format!("trunk.{name}"), &config.backbone, input, parameters);
        let trunks: Result<Vec<Backbone>> = tasks.tasks().iter().map(|task| trunk(&task.name)).collect();
        Ok(Self { trunks: trunks?, heads: heads(tasks, config.backbone.features, parameters)? })
    }
}

impl MultiTaskModel for SingleTask {
    /// The input itself, which no parameter has touched.
    fn boundary(&self, x: &Tensor, _mode: Mode) -> Result<Boundary> {
        Ok(Boundary { tensors: vec![x.clone()], gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], _mode: Mode) -> Result<TaskOutput> {
        let features = of_task(&self.trunks, task)?.forward(at(boundary, 0)?)?;
        Ok(TaskOutput::plain(of_task(&self.heads, task)?.forward(&features)?))
    }

    fn is_shared(&self, _name: &str) -> bool {
        false
    }

    fn balances(&self) -> bool {
        false
    }
}
