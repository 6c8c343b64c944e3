//! candle layers with exact gradients, backbones, experts, the DBR gate and MT-IDS.
//!
//! # Purpose
//! Everything that is differentiated: the parameters and their seeded initial values ([`parameters`]), layers whose
//! gradients are proved by tests ([`conv`], [`norm`], [`activation`], [`pool`], [`linear`], [`dropout`]), the trunk in 2.5 or
//! three dimensions ([`backbone`]), shared and private experts ([`experts`]), the Dual-control Branch Routing gate
//! ([`gate`]), the label maps ([`tasks`]), MT-IDS and its rivals behind one trait ([`model`]), losses ([`loss`],
//! [`regulariser`]), combined read-outs ([`read_out`]), optimisers with a saved state ([`optimizer`]), learning-rate schedules
//! ([`schedule`]), one training step ([`step`]), and the precision of products ([`precision`]).
//!
//! # Invariants
//! * Results are a pure function of seed, configuration and data; on the CPU they do not depend on the number of threads.
//! * No gradient is lost silently: candle's fused norms and softmax, which cut the graph, are not used.
//! * The gradient of one task never reaches the private parts of another task.
//! * Coefficients of a balancer touch only parameters that two or more tasks reach.
//! * The network is a reconstruction of MT-IDS from its published abstract; no formula here is claimed to be the paper's.
//!
//! # Units
//! Inputs are dimensionless intensities (Hounsfield units after windowing) of shape `[B, C, D, H, W]`: batch, windows,
//! slices (to the head), rows (to the back), columns (to the left).

pub mod activation;
pub mod backbone;
pub mod conv;
pub mod device;
pub mod dropout;
pub mod error;
pub mod experts;
pub mod gate;
mod interleaved;
mod kernels;
pub mod linear;
pub mod loss;
pub mod model;
pub mod norm;
pub mod optimizer;
pub mod parameters;
pub mod pool;
pub mod precision;
pub mod read_out;
pub mod regulariser;
pub mod schedule;
pub mod step;
mod storage;
pub mod tasks;

pub use candle_core::{DType, Device, Tensor};

pub use backbone::{BackboneConfig, BackboneKind, BackboneSize};
pub use device::device;
pub use error::NnError;
pub use gate::{DbrConfig, GateOutput};
pub use loss::{EvidenceWeights, LossConfig, TaskLosses};
pub use model::mt_ids::MtIdsConfig;
pub use model::{Architecture, Mode, Model, ModelConfig, MultiTaskModel, Outputs};
pub use optimizer::{AdamW, AdamWConfig, Optimizer, OptimizerConfig, Sgd, SgdConfig, UpdateRule, WeightAverage};
pub use parameters::{Init, Parameters};
pub use precision::Precision;
pub use read_out::ReadOut;
pub use schedule::{Schedule, ScheduleConfig};
pub use step::{
    Balancing, Combined, Scope, StepGradients, StepOptions, StepReport, losses_of, train_step, train_step_with,
};
pub use tasks::{TargetBatch, TaskKind, TaskSet};
