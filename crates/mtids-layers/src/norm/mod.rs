//! Normalisation of feature maps and features, with full gradients.
//!
//! Purpose: batch norm ([`BatchNorm`], Ioffe and Szegedy, ICML 2015), group norm ([`GroupNorm`], Wu and He, ECCV 2018) and layer norm
//! ([`LayerNorm`], Ba et al. 2016). Batch norm keeps absolute values: a brighter sample stays brighter, where group norm takes each sample's own
//! mean and deviation away. Invariants: sums on the CPU are in double precision and in an order that depends on sizes only, so threads never
//! influence results; samples influence each other in batch norm in [`Phase::Train`] only, those of all ranks.

mod batch;
mod batch_op;
mod group;
mod layer;
mod sums;

use candle_core::Tensor;
use mtids_ranks::Ranks;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use batch::BatchNorm;
pub use group::{GroupNorm, group_norm};
pub use layer::LayerNorm;

use crate::activation::Activation;
use crate::error::{LayerError, Result};
use crate::parameters::Parameters;

/// Added to variances.
pub const EPSILON: f64 = 1e-5;

/// Which norm follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum NormConfig {
    /// Over the channels of a group and all cells of one sample.
    Group {
        /// Groups; must divide the channels.
        groups: usize,
    },
    /// Over all samples of a batch and all cells, channel by channel; running statistics in evaluation.
    Batch,
}

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Batch norm uses the statistics of the batch and records them (see [`Parameters::commit_statistics`]).
    Train,
    /// Batch norm uses its running statistics.
    Evaluate,
}

/// Either norm over feature maps.
#[derive(Clone, Debug)]
pub enum Norm {
    /// Group norm.
    Group(GroupNorm),
    /// Batch norm.
    Batch(BatchNorm),
}

impl Norm {
    /// Creates `<name>.scale` and `<name>.shift`, for batch norm also its running statistics. A rectifier follows if `relu`.
    ///
    /// # Errors
    /// When a parameter exists with another shape, or the groups do not divide the channels.
    pub fn new(name: &str, channels: usize, config: &NormConfig, relu: bool, parameters: &Parameters) -> Result<Self> {
        Ok(match *config {
            NormConfig::Group { groups } => {
                if groups == 0 || !channels.is_multiple_of(groups) {
                    let reason = format!("{groups} groups do not divide {channels} channels");
                    return Err(LayerError::Parameter { name: format!("{name}.scale"), reason });
                }
                Self::Group(GroupNorm::new(name, channels, groups, relu, parameters)?)
            }
            NormConfig::Batch => Self::Batch(BatchNorm::new(name, channels, relu, parameters)?),
        })
    }

    /// Applies the layer to `[B, C, ..]`.
    ///
    /// # Errors
    /// When the shape does not fit; [`LayerError::TooFewValues`] for batch norm in training.
    pub fn forward(&self, x: &Tensor, phase: Phase) -> Result<Tensor> {
        match self {
            Self::Group(norm) => norm.forward(x),
            Self::Batch(norm) => norm.forward(x, phase),
        }
    }

    /// The layer of `x` plus `base` of the same shape, rectified behind the addition if `relu`. On a GPU it is one operation.
    ///
    /// # Errors
    /// As [`Norm::forward`].
    pub(crate) fn forward_added(&self, x: &Tensor, phase: Phase, base: &Tensor, relu: bool) -> Result<Tensor> {
        match self {
            Self::Group(norm) => added(base, &norm.forward(x)?, relu),
            Self::Batch(norm) => norm.forward_added(x, phase, base, relu),
        }
    }

    /// Weight and bias.
    pub(crate) fn parameters(&self) -> [&Tensor; 2] {
        match self {
            Self::Group(norm) => norm.parameters(),
            Self::Batch(norm) => norm.parameters(),
        }
    }

    /// Whether a rectifier follows.
    pub(crate) fn relu(&self) -> bool {
        match self {
            Self::Group(norm) => norm.relu(),
            Self::Batch(norm) => norm.relu(),
        }
    }
}

/// The sum of two maps, rectified if asked for.
fn added(base: &Tensor, x: &Tensor, relu: bool) -> Result<Tensor> {
    let sum = (base + x)?;
    if relu { Activation::Relu.forward(&sum) } else { Ok(sum) }
}

/// Values of a channel over which batch norm takes its statistics; in training at least two, on all ranks together. Those of other ranks are
/// counted where they are heard of.
pub(crate) fn values_of_channel(count: usize, phase: Phase, ranks: &Ranks) -> Result<usize> {
    if phase == Phase::Train && count < 2 && ranks.is_alone() {
        return Err(LayerError::TooFewValues { found: count });
    }
    Ok(count)
}
