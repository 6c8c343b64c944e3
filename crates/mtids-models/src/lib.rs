#![doc = include_str!("../README.md")]
//!
//! # Purpose
//! What a model is built for ([`problem`]), one backbone in 2.5 or three dimensions for each view ([`backbone`]), shared and private experts ([`experts`]), the Dual-control Branch
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
//! Inputs are dimensionless intensities (Hounsfield units after windowing), one tensor `[B, C, D, H, W]` for each view: batch, windows,
//! slices (to the head), rows (to the back), columns (to the left).

pub mod backbone;
pub mod decoding;
pub mod error;
pub mod experts;
pub mod gate;
mod label_space;
pub mod loss;
pub mod model;
pub mod problem;
mod regression;
pub mod regulariser;
pub mod step;
pub mod tasks;
mod trunks;
pub mod types;

pub use backbone::{BackboneConfig, BackboneKeys, BackboneKind, BackboneSize, Finish, NormKind};
pub use decoding::PredictionHead;
pub use error::ModelError;
pub use gate::DbrConfig;
pub use loss::{EvidenceWeights, LossConfig, TaskLosses};
pub use model::mt_ids::MtIdsConfig;
pub use model::{Architecture, Model, ModelConfig, MultiTaskModel, Owner};
pub use problem::{Problem, ViewInput};
pub use step::{
    Accumulation, Balancing, Combined, Scope, StepGradients, StepInputs, StepOptions, StepReport, WholeGradients,
    losses_of, train_step, train_step_with,
};
pub use tasks::{Dimension, TargetBatch, TaskKind, TaskSet};
pub use types::{GateOutput, Mode, Outputs};
