//! MMoE: multi-gate mixture of experts (Ma et al., KDD 2018).
//!
//! u_t = Σ_e softmax(W_t z)_e f_e(z), one gate per task over shared experts; logits by a linear head. Adapted: experts and gates
//! read the backbone's features z instead of the input; gates have a bias, as in LibMTL.
//!
//! Cut: z and the experts' outputs. Parameters: `trunk.*`, `shared.<e>.*` (shared), `gate.<task>.*`, `head.<task>.*`.

use candle_core::Tensor;

use crate::error::Result;
use crate::experts::ExpertGroup;
use crate::gate::SoftmaxGate;
use crate::model::network::{Head, MultiTaskModel, at, heads, mix, of_task};
use crate::model::settings::SharedConfig;
use crate::trunks::{Blueprint, Trunks};
use crate::types::{Boundary, GateOutput, Mode, TaskOutput};

/// Settings of MMoE.
pub type MmoeConfig = SharedConfig;

/// Shared experts, one soft-max gate per task.
#[derive(Debug)]
pub struct Mmoe {
    trunks: Trunks,
    experts: ExpertGroup,
    gates: Vec<SoftmaxGate>,
    heads: Vec<Head>,
}

impl Mmoe {
    pub(crate) fn new(config: &MmoeConfig, blueprint: &Blueprint<'_>) -> Result<Self> {
        let (experts, features, parameters) = (&config.experts, blueprint.features(), blueprint.parameters);
        let shape = experts.expert_shape(features, blueprint.dropout);
        let gate = |name: &str| SoftmaxGate::new(&format!("gate.{name}"), features, experts.count, parameters);
        let gates: Result<Vec<SoftmaxGate>> = blueprint.task_names().map(gate).collect();
        Ok(Self {
            trunks: Trunks::new("trunk", blueprint)?,
            experts: ExpertGroup::new("shared", experts.count, shape, parameters)?,
            gates: gates?,
            heads: heads(experts.width, blueprint)?,
        })
    }
}

impl MultiTaskModel for Mmoe {
    fn boundary(&self, inputs: &[Tensor], mode: Mode) -> Result<Boundary> {
        let z = self.trunks.forward(inputs, mode)?;
        let experts = self.experts.forward(&z, mode)?;
        Ok(Boundary { tensors: vec![z, experts], gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<TaskOutput> {
        let weights = of_task(&self.gates, task)?.forward(at(boundary, 0)?)?;
        let mixed = mix(&weights, at(boundary, 1)?)?;
        let gate = GateOutput::of_shared(&weights)?;
        Ok(TaskOutput::gated(of_task(&self.heads, task)?.forward(&mixed, mode)?, gate))
    }

    fn is_shared(&self, name: &str) -> bool {
        name.starts_with("trunk.") || name.starts_with("shared.")
    }
}
