//! PLE: progressive layered extraction, several layers of CGC (Tang et al., RecSys 2020).
//!
//! In each layer a task's soft-max runs over the shared experts and its own, on the task's output of the layer below; below the last
//! layer one more soft-max over all experts, on the shared output of the layer below, feeds the next layer's shared experts. The last
//! layer has no such gate. Adapted as [`crate::model::cgc`].
//!
//! Cut and names: see `stack.rs`. With one layer this is CGC.

use mtids_layers::parameters::Parameters;

use crate::error::Result;
use crate::model::cgc::{FlatGate, flat_network};
use crate::model::settings::{BranchedConfig, LayeredConfig};
use crate::model::stack::StackNetwork;
use crate::tasks::TaskSet;

/// Settings of PLE.
pub type PleConfig = LayeredConfig;

/// The network of these settings.
pub(crate) fn network(
    config: &PleConfig,
    tasks: &TaskSet,
    input: [usize; 4],
    parameters: &Parameters,
) -> Result<StackNetwork<FlatGate>> {
    let LayeredConfig { backbone, tasks: kinds, experts, layers } = config.clone();
    flat_network(layers, &BranchedConfig { backbone, tasks: kinds, experts }, tasks, input, parameters)
}
