//! CGC: customised gate control (Tang et al., RecSys 2020, "Progressive Layered Extraction").
//!
//! u_t = Σ_e w_te f_e(z) with one soft-max w_t = softmax(W_t z) over the shared experts and the task's own; other tasks' experts are
//! not read. Adapted: experts and gates read the backbone's features z instead of the input; gates have a bias, as in LibMTL.
//!
//! Cut: z and the shared experts' outputs. Parameters: `trunk.*`, `shared.*` (shared), `private.<task>.*`, `gate.<task>.*`, `head.<task>.*`.

use candle_core::Tensor;

use crate::error::Result;
use crate::experts::ExpertsConfig;
use crate::gate::SoftmaxGate;
use crate::model::network::heads;
use crate::model::settings::BranchedConfig;
use crate::model::stack::{BranchGate, Route, Stack, StackNetwork, StackSizes};
use crate::model::views::Reading;
use crate::trunks::{Blueprint, Trunks};
use crate::types::{GateOutput, GateTerms, Mode};
use mtids_layers::parameters::Parameters;

/// Settings of CGC.
pub type CgcConfig = BranchedConfig;

/// One soft-max over shared experts, then the task's own.
#[derive(Debug)]
pub(crate) struct FlatGate {
    gate: SoftmaxGate,
    shared: usize,
    private: usize,
}

impl FlatGate {
    pub(crate) fn new(name: &str, inputs: usize, experts: &ExpertsConfig, parameters: &Parameters) -> Result<Self> {
        let (shared, private) = (experts.shared, experts.private);
        Ok(Self { gate: SoftmaxGate::new(name, inputs, shared + private, parameters)?, shared, private })
    }
}

impl BranchGate for FlatGate {
    fn route(&self, input: &Tensor, _mode: Mode) -> Result<Route> {
        let weights = self.gate.forward(input)?;
        let shared = weights.narrow(1, 0, self.shared)?;
        let private = weights.narrow(1, self.shared, self.private)?;
        let gate = GateOutput::of_flat(&shared, &private, None)?;
        Ok(Route { shared: Some(shared), private: Some(private), gate })
    }
}

/// The network of these settings.
pub(crate) fn network(config: &CgcConfig, blueprint: &Blueprint<'_>) -> Result<StackNetwork<FlatGate>> {
    flat_network(1, &config.experts, blueprint)
}

/// The network of CGC and PLE: `layers` layers of experts under flat gates.
pub(crate) fn flat_network(
    layers: usize,
    experts: &ExpertsConfig,
    blueprint: &Blueprint<'_>,
) -> Result<StackNetwork<FlatGate>> {
    let sizes = StackSizes {
        layers,
        expert: experts.expert_shape(blueprint.features(), blueprint.dropout),
        reading: Reading::of_all(blueprint.tasks.len(), blueprint.views.len()),
        gates_learn: true,
        shared: Some(experts.shared),
        private: Some(experts.private),
    };
    let gate = |name: &str, inputs: usize| FlatGate::new(name, inputs, experts, blueprint.parameters);
    Ok(StackNetwork {
        trunks: Trunks::new("trunk", blueprint)?,
        stack: Stack::new(blueprint, sizes, gate)?,
        heads: heads(experts.width, blueprint)?,
        terms: GateTerms::default(),
    })
}
