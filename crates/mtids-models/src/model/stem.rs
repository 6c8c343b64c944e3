//! STEM: shared and task-specific experts, all read and only the own ones trained (Su et al., AAAI 2024, arXiv 2308.13537).
//!
//! u_t = Σ_e softmax(W_t z)_e f_e over the shared experts, the task's own, and those of all other tasks, the last behind a stop of the
//! gradient ("all forward, task-specific backward"). Adapted: an image has no embedding tables, so the task-specific and shared
//! embeddings of the source fall away and all experts read the backbone's features z; gates are linear where the authors' code has a
//! small perceptron; one layer.
//!
//! Cut: z, the shared experts' outputs, and the outputs of all private experts as values without gradient. Parameters: `trunk.*`,
//! `shared.*` (shared), `private.<task>.*`, `gate.<task>.*`, `head.<task>.*`.

use candle_core::Tensor;

use crate::error::Result;
use crate::experts::ExpertGroup;
use crate::gate::SoftmaxGate;
use crate::model::network::{Head, MultiTaskModel, at, heads, mix, of_task};
use crate::model::settings::BranchedConfig;
use crate::trunks::{Blueprint, Trunks};
use crate::types::{Boundary, GateOutput, Mode, TaskOutput};

/// Settings of STEM.
pub type StemConfig = BranchedConfig;

/// Every task reads all experts and trains its own and the shared ones.
#[derive(Debug)]
pub struct Stem {
    trunks: Trunks,
    shared: ExpertGroup,
    private: Vec<ExpertGroup>,
    gates: Vec<SoftmaxGate>,
    heads: Vec<Head>,
}

impl Stem {
    pub(crate) fn new(config: &StemConfig, blueprint: &Blueprint<'_>) -> Result<Self> {
        let (experts, features, parameters) = (&config.experts, blueprint.features(), blueprint.parameters);
        let shape = experts.expert_shape(features, blueprint.dropout);
        let all = experts.shared + blueprint.tasks.len() * experts.private;
        let names = || blueprint.task_names();
        let private: Result<Vec<ExpertGroup>> = names()
            .map(|name| ExpertGroup::new(&format!("private.{name}"), experts.private, shape, parameters))
            .collect();
        let gates: Result<Vec<SoftmaxGate>> =
            names().map(|name| SoftmaxGate::new(&format!("gate.{name}"), features, all, parameters)).collect();
        Ok(Self {
            trunks: Trunks::new("trunk", blueprint)?,
            shared: ExpertGroup::new("shared", experts.shared, shape, parameters)?,
            private: private?,
            gates: gates?,
            heads: heads(experts.width, blueprint)?,
        })
    }
}

impl MultiTaskModel for Stem {
    fn boundary(&self, inputs: &[Tensor], mode: Mode) -> Result<Boundary> {
        let z = self.trunks.forward(inputs, mode)?;
        let mut tensors = vec![z.clone(), self.shared.forward(&z, mode)?];
        for private in &self.private {
            tensors.push(private.forward(&z.detach(), mode)?.detach());
        }
        Ok(Boundary { tensors, gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<TaskOutput> {
        let (z, shared) = (at(boundary, 0)?, at(boundary, 1)?);
        let private = of_task(&self.private, task)?.forward(z, mode)?;
        let others: Vec<Tensor> = (0..self.private.len())
            .filter(|other| *other != task)
            .map(|other| Ok(at(boundary, 2 + other)?.detach()))
            .collect::<Result<_>>()?;
        let (e_s, e_p) = (self.shared.len(), private.dim(1)?);
        let weights = of_task(&self.gates, task)?.forward(z)?;
        let (of_shared, of_own) = (weights.narrow(1, 0, e_s)?, weights.narrow(1, e_s, e_p)?);
        let mut mixed = (mix(&of_shared, shared)? + mix(&of_own, &private)?)?;
        let mut of_others = None;
        if !others.is_empty() {
            let rest = weights.narrow(1, e_s + e_p, others.len() * e_p)?;
            mixed = (mixed + mix(&rest, &Tensor::cat(&others, 1)?)?)?;
            of_others = Some(rest);
        }
        let gate = GateOutput::of_flat(&of_shared, &of_own, of_others.as_ref())?;
        Ok(TaskOutput::gated(of_task(&self.heads, task)?.forward(&mixed, mode)?, gate))
    }

    fn is_shared(&self, name: &str) -> bool {
        name.starts_with("trunk.") || name.starts_with("shared.")
    }
}
