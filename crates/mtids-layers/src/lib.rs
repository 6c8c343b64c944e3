#![doc = include_str!("../README.md")]
//!
//! # Purpose
//! Everything between tensors and tensors: convolution ([`conv`]), residual stages ([`residual`]), batch, group and layer norm
//! ([`norm`], with the [`statistics`] of batch norm), activations ([`activation`]), pooling ([`pool`]), fully connected layers ([`linear`]), [`dropout`], the
//! [`precision`] of products; the [`parameters`] with their seeded initial values, [`stacked`] for one product, optimisers ([`optimizer`]) and
//! learning-rate schedules ([`schedule`]). No task, no loss of a task and no model is known here.
//!
//! # Invariants
//! * Results are a pure function of seed, configuration and data; on the CPU they do not depend on the number of threads.
//! * No gradient is lost silently: candle's fused norms and soft-max, which cut the graph, are not used.
//! * Samples of a batch never influence each other, but for batch norm in [`Phase::Train`]. There the batch is that of all ranks (`mtids-ranks`).
//!
//! # Units
//! Tensors are dimensionless. Feature maps are `[B, C, H, W]` or `[B, C, D, H, W]`: batch, channels, depth, height, width.

pub mod activation;
mod among_ranks;
pub mod conv;
pub mod device;
pub mod dropout;
pub mod error;
mod geometry;
mod interleaved;
mod kernels;
pub mod linear;
pub mod norm;
pub mod optimizer;
pub mod parameters;
pub mod pool;
pub mod precision;
pub mod residual;
pub mod schedule;
pub mod stacked;
pub mod statistics;
pub mod storage;

pub use candle_core::{DType, Device, Tensor};

pub use among_ranks::{mean_of_rows, sums_of_tensors};
pub use device::device;
pub use error::LayerError;
pub use norm::{NormConfig, Phase};
pub use optimizer::{AdamW, AdamWConfig, Optimizer, OptimizerConfig, Sgd, SgdConfig, UpdateRule, WeightAverage};
pub use parameters::{Init, Matching, Parameters};
pub use precision::Precision;
pub use schedule::{Schedule, ScheduleConfig};
