#![doc = include_str!("../README.md")]
//!
//! # Invariants
//! * The order never depends on the number of readers or on timing; a stream may start at any batch and gives the tail of the whole.
//! * No batch has one row where it could have two ([`batches_per_epoch`]).
//! * Everything in flight stays within one byte budget (a single row group larger than it is still let through, alone).
//! * A damaged row group is an error value in its place; a reader's panic is an error too. Dropping the stream ends its threads.
//!
//! # Units
//! Voxels are stored values (`i16`: HU, and hundredths of an SUV) in `[B, C, D, H, W]` of each view, w fastest.

mod batches;
mod builder;
mod config;
pub mod error;
pub mod plan;
pub mod stream;

pub use batches::batches_per_epoch;
pub use builder::BatchStreamBuilder;
pub use config::StreamConfig;
pub use error::StreamError;
pub use plan::{Plan, RowGroupId, epoch_plan};
pub use stream::{Batch, BatchStream};
