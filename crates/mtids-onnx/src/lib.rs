//! Trained networks as ONNX: what an evaluation computes, as a graph that other programs run.
//!
//! # Purpose
//! [`Export`] translates a model of any architecture into one file: from voxels as a row of a dataset stores them, through crop, windows,
//! symmetries, network and decoding, to calibrated probabilities. The structure is read from the configuration ([`mtids_models::ModelConfig`]),
//! the weights by their names from the parameters. Modules: messages of the format (`proto`), a graph in the making (`graph`, `ops`),
//! layers, one file per family of architectures (`network`), decoding, input.
//!
//! # Invariants
//! * IR version 8 and operator set 17, which onnxruntime reads since 1.12; no operator outside of the standard's own domain.
//! * Every tensor of the weights is read by the translation, or belongs to what happens in training only. One that is left over is an error: a
//!   change of a model that is not translated does not pass unseen.
//! * The first axis of every value is the batch, the symbolic dimension `N`. The sizes of all other axes are known and checked while the graph
//!   is built.
//! * The same weights give the same bytes.
//!
//! # Units
//! Inputs are what the dataset stores: HU, hundredths of an SUV, thousandths of a mark. Outputs are probabilities.

mod backbone;
mod builder;
mod decoding;
mod error;
mod experts;
mod export;
mod gate;
mod graph;
mod input;
mod layers;
mod network;
mod ops;
mod plan;
mod pool;
mod proto;
mod weights;

pub use decoding::Platt;
pub use error::OnnxError;
pub use export::{Export, network_model};
pub use input::{StoredChannel, StoredView, Turn};
pub use proto::{IR_VERSION, OPERATOR_SET};
