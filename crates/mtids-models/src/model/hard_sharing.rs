//! Hard parameter sharing: one backbone, one linear head per task, ŷ_t = h_t(f(x)) (Caruana, Machine Learning 28, 1997).
//!
//! Cut: the backbone's features z, `[B, d]`. Parameters: `trunk.*` (shared), `head.<task>.*`.

use candle_core::Tensor;

use crate::error::Result;
use crate::model::network::{Head, MultiTaskModel, at, heads, of_task};
use crate::model::settings::PlainConfig;
use crate::trunks::{Blueprint, Trunks};
use crate::types::{Boundary, Mode, TaskOutput};

/// Settings of hard parameter sharing.
pub type HardSharingConfig = PlainConfig;

/// One backbone, one head per task.
#[derive(Debug)]
pub struct HardSharing {
    trunks: Trunks,
    heads: Vec<Head>,
}

impl HardSharing {
    pub(crate) fn new(_config: &HardSharingConfig, blueprint: &Blueprint<'_>) -> Result<Self> {
        Ok(Self { trunks: Trunks::new("trunk", blueprint)?, heads: heads(blueprint.features(), blueprint)? })
    }
}

impl MultiTaskModel for HardSharing {
    fn boundary(&self, inputs: &[Tensor], mode: Mode) -> Result<Boundary> {
        Ok(Boundary { tensors: vec![self.trunks.forward(inputs, mode)?], gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<TaskOutput> {
        Ok(TaskOutput::plain(of_task(&self.heads, task)?.forward(at(boundary, 0)?, mode)?))
    }

    fn is_shared(&self, name: &str) -> bool {
        name.starts_with("trunk.")
    }
}
