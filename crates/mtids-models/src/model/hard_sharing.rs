//! Hard parameter sharing: one backbone, one linear head per task, ŷ_t = h_t(f(x)) (Caruana, Machine Learning 28, 1997).
//!
//! Cut: the backbone's features z, `[B, d]`. Parameters: `trunk.*` (shared), `head.<task>.*`.

use candle_core::Tensor;

use crate::backbone::Backbone;
use crate::error::Result;
use crate::model::network::{MultiTaskModel, at, heads, of_task};
use crate::model::settings::PlainConfig;
use crate::tasks::TaskSet;
use crate::types::{Boundary, Mode, TaskOutput};
use mtids_layers::linear::Linear;
use mtids_layers::parameters::Parameters;

/// Settings of hard parameter sharing.
pub type HardSharingConfig = PlainConfig;

/// One backbone, one head per task.
#[derive(Debug)]
pub struct HardSharing {
    backbone: Backbone,
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
            backbone: Backbone::new("trunk", &config.backbone, input, parameters)?,
            heads: heads(tasks, config.backbone.features, parameters)?,
        })
    }
}

impl MultiTaskModel for HardSharing {
    fn boundary(&self, x: &Tensor, _mode: Mode) -> Result<Boundary> {
        Ok(Boundary { tensors: vec![self.backbone.forward(x)?], gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], _mode: Mode) -> Result<TaskOutput> {
        Ok(TaskOutput::plain(of_task(&self.heads, task)?.forward(at(boundary, 0)?)?))
    }

    fn is_shared(&self, name: &str) -> bool {
        name.starts_with("trunk.")
    }
}
