//! Single-task networks: one whole network per task.
//!
//! The reference of every comparison: ŷ_t = h_t(f_t(x)) with a backbone f_t and a linear head h_t of its own. Nothing is shared, so
//! there is nothing to balance: a step takes each task's plain gradient. Parameters: `trunk.<task>.*`, `head.<task>.*`.

use candle_core::Tensor;

use crate::backbone::Backbone;
use crate::error::Result;
use crate::model::network::{MultiTaskModel, at, heads, of_task};
use crate::model::settings::PlainConfig;
use crate::tasks::TaskSet;
use crate::types::{Boundary, Mode, TaskOutput};
use mtids_layers::linear::Linear;
use mtids_layers::parameters::Parameters;

/// Settings of single-task networks.
pub type SingleTaskConfig = PlainConfig;

/// One network per task.
#[derive(Debug)]
pub struct SingleTask {
    backbones: Vec<Backbone>,
    heads: Vec<Linear>,
}

impl SingleTask {
    pub(crate) fn new(
        config: &SingleTaskConfig,
        tasks: &TaskSet,
        input: [usize; 4],
        parameters: &Parameters,
    ) -> Result<Self> {
        let backbone = |name: &str| Backbone::new(&format!("trunk.{name}"), &config.backbone, input, parameters);
        let backbones: Result<Vec<Backbone>> = tasks.tasks().iter().map(|task| backbone(&task.name)).collect();
        Ok(Self { backbones: backbones?, heads: heads(tasks, config.backbone.features, parameters)? })
    }
}

impl MultiTaskModel for SingleTask {
    /// The input itself, which no parameter has touched.
    fn boundary(&self, x: &Tensor, _mode: Mode) -> Result<Boundary> {
        Ok(Boundary { tensors: vec![x.clone()], gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], _mode: Mode) -> Result<TaskOutput> {
        let features = of_task(&self.backbones, task)?.forward(at(boundary, 0)?)?;
        Ok(TaskOutput::plain(of_task(&self.heads, task)?.forward(&features)?))
    }

    fn is_shared(&self, _name: &str) -> bool {
        false
    }

    fn balances(&self) -> bool {
        false
    }
}
