//! PLE: progressive layered extraction, several layers of CGC (Tang et al., RecSys 2020).
//!
//! In each layer a task's soft-max runs over the shared experts and its own, on the task's output of the layer below; below the last
//! layer one more soft-max over all experts, on the shared output of the layer below, feeds the next layer's shared experts. The last
//! layer has no such gate. Adapted as [`crate::model::cgc`].
//!
//! Cut and names: see `stack.rs`. With one layer this is CGC.

use crate::error::Result;
use crate::model::cgc::{FlatGate, flat_network};
use crate::model::settings::LayeredConfig;
use crate::model::stack::StackNetwork;
use crate::trunks::Blueprint;

/// Settings of PLE.
pub type PleConfig = LayeredConfig;

/// The network of these settings.
pub(crate) fn network(config: &PleConfig, blueprint: &Blueprint<'_>) -> Result<StackNetwork<FlatGate>> {
    flat_network(config.layers, &config.experts, blueprint)
}
