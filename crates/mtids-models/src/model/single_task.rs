//! Single-task networks: one whole network per task.
//!
//! The reference of every comparison: ŷ_t = h_t([f_t¹(x¹); …; f_t^V(x^V)]) with backbones f_t and a linear head h_t of its own. Nothing is
//! shared, so there is nothing to balance: a step takes each task's plain gradient. Parameters: `trunk.<task>.*`, with several
//! views `trunk.<task>.<view>.*`, and `head.<task>.*`.

use candle_core::Tensor;

use crate::error::Result;
use crate::model::network::{Head, MultiTaskModel, heads, of_task};
use crate::model::settings::PlainConfig;
use crate::trunks::{Blueprint, Trunks};
use crate::types::{Boundary, Mode, TaskOutput};

/// Settings of single-task networks.
pub type SingleTaskConfig = PlainConfig;

/// One network per task.
#[derive(Debug)]
pub struct SingleTask {
    trunks: Vec<Trunks>,
    heads: Vec<Head>,
}

impl SingleTask {
    pub(crate) fn new(_config: &SingleTaskConfig, blueprint: &Blueprint<'_>) -> Result<Self> {
        let trunks = |name: &str| Trunks::new(&format!("trunk.{name}"), blueprint);
        let trunks: Result<Vec<Trunks>> = blueprint.task_names().map(trunks).collect();
        Ok(Self { trunks: trunks?, heads: heads(blueprint.features(), blueprint)? })
    }
}

impl MultiTaskModel for SingleTask {
    /// The inputs themselves, which no parameter has touched.
    fn boundary(&self, inputs: &[Tensor], _mode: Mode) -> Result<Boundary> {
        Ok(Boundary { tensors: inputs.to_vec(), gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<TaskOutput> {
        let features = of_task(&self.trunks, task)?.forward(boundary, mode)?;
        Ok(TaskOutput::plain(of_task(&self.heads, task)?.forward(&features, mode)?))
    }

    fn is_shared(&self, _name: &str) -> bool {
        false
    }

    fn balances(&self) -> bool {
        false
    }
}
