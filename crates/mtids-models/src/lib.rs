#![doc = include_str!("../README.md")]
//!
//! # Purpose
//! The backbone in 2.5 or three dimensions ([`backbone`]), shared and private experts ([`experts`]), the Dual-control Branch
//! Routing gate ([`gate`]), the label maps ([`tasks`]), MT-IDS and its baselines behind one trait ([`model`]), losses
//! ([`loss`], [`regulariser`]), decoding of the heads ([`decoding`]) and one training step ([`step`]). Layers, parameters and
//! optimisers are those of `mtids-layers`.
//!
//! # Invariants
//! * Results are a pure function of seed, configuration and data; on the CPU they do not depend on the number of threads.
//! * The gradient of one task never reaches the private parts of another task.
//! * Coefficients of a balancer touch only parameters that two or more tasks reach.
//! * The network is a reconstruction of MT-IDS from its published abstract; no formula here is claimed to be the paper's.
//!
//! # Units
//! Inputs are dimensionless intensities (Hounsfield units after windowing) of shape `[B, C, D, H, W]`: batch, windows,
//! slices (to the head), rows (to the back), columns (to the left).

pub mod backbone;
pub mod decoding;
pub mod error;
pub mod experts;
pub mod gate;
pub mod loss;
pub mod model;
pub mod regulariser;
pub mod step;
pub mod tasks;
pub mod types;

pub use backbone::{BackboneConfig, BackboneKind, BackboneSize};
pub use decoding::PredictionHead;
pub use error::ModelError;
pub use gate::DbrConfig;
pub use loss::{EvidenceWeights, LossConfig, TaskLosses};
pub use model::mt_ids::MtIdsConfig;
pub use model::{Architecture, Model, ModelConfig, MultiTaskModel};
pub use step::{
    Balancing, Combined, Scope, StepGradients, StepInputs, StepOptions, StepReport, losses_of, train_step,
    train_step_with,
};
pub use tasks::{TargetBatch, TaskKind, TaskSet};
pub use types::{GateOutput, Mode, Outputs};
