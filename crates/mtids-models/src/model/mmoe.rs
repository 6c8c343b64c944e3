//! MMoE: multi-gate mixture of experts (Ma et al., KDD 2018).
//!
//! u_t = Σ_e softmax(W_t z)_e f_e(z), one gate per task over shared experts; logits by a linear head. Adapted: experts and gates
//! read the backbone's features z instead of the input; gates have a bias, as in LibMTL.
//!
//! Cut: z and the experts' outputs. Parameters: `trunk.*`, `shared.<e>.*` (shared), `gate.<task>.*`, `head.<task>.*`.

use candle_core::Tensor;

use crate::backbone::Backbone;
use crate::error::Result;
use crate::experts::ExpertGroup;
use crate::gate::SoftmaxGate;
use crate::model::network::{MultiTaskModel, at, heads, mix, of_task};
use crate::model::settings::SharedConfig;
use crate::tasks::TaskSet;
use crate::types::{Boundary, GateOutput, Mode, TaskOutput};
use mtids_layers::linear::Linear;
use mtids_layers::parameters::Parameters;

/// Settings of MMoE.
pub type MmoeConfig = SharedConfig;

/// Shared experts, one soft-max gate per task.
#[derive(Debug)]
pub struct Mmoe {
    backbone: Backbone,
    experts: ExpertGroup,
    gates: Vec<SoftmaxGate>,
    heads: Vec<Linear>,
}

impl Mmoe {
    pub(crate) fn new(
        config: &MmoeConfig,
        tasks: &TaskSet,
        input: [usize; 4],
        parameters: &Parameters,
    ) -> Result<Self> {
        let (experts, features) = (&config.experts, config.backbone.features);
        let gate = |name: &str| SoftmaxGate::new(&format!("gate.{name}"), features, experts.count, parameters);
        let gates: Result<Vec<SoftmaxGate>> = tasks.tasks().iter().map(|task| gate(&task.name)).collect();
        Ok(Self {
            backbone: Backbone::new("trunk", &config.backbone, input, parameters)?,
            experts: ExpertGroup::new("shared", experts.count, experts.expert_shape(features), parameters)?,
            gates: gates?,
            heads: heads(tasks, experts.width, parameters)?,
        })
    }
}

impl MultiTaskModel for Mmoe {
    fn boundary(&self, x: &Tensor, _mode: Mode) -> Result<Boundary> {
        let z = self.backbone.forward(x)?;
        let experts = self.experts.forward(&z)?;
        Ok(Boundary { tensors: vec![z, experts], gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], _mode: Mode) -> Result<TaskOutput> {
        let weights = of_task(&self.gates, task)?.forward(at(boundary, 0)?)?;
        let mixed = mix(&weights, at(boundary, 1)?)?;
        let gate = GateOutput::of_shared(&weights)?;
        Ok(TaskOutput::gated(of_task(&self.heads, task)?.forward(&mixed)?, gate))
    }

    fn is_shared(&self, name: &str) -> bool {
        name.starts_with("trunk.") || name.starts_with("shared.")
    }
}
