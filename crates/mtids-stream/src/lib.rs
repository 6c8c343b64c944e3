#![doc = include_str!("../README.md")]
//!
//! # Invariants
//! * The order is a pure function of datasets, sampling, seed, epoch and `shuffle_row_groups`. It never depends on readers, ranks, memory or
//!   timing; a stream may start at any batch and gives the tail of the whole.
//! * No row is repeated or dropped so that ranks are even. No batch has one row where it could have two ([`batches_per_epoch`]).
//! * Everything in flight stays within one byte budget; a budget that is too small is refused. Where it holds all row groups of a table, decoded,
//!   streams over the table read each of them once.
//! * A damaged row group is an error value in its place; a panic of a thread is an error too. Dropping the stream ends its threads.
//! * An epoch that ends without error has delivered the rows of the manifest, or has counted what it skipped.
//!
//! # Units
//! Voxels are stored values (`i16`: HU, and hundredths of an SUV) in `[B, C, D, H, W]` of each view, w fastest.

mod batches;
mod buffers;
mod builder;
mod collate;
mod config;
pub mod error;
pub mod gauges;
mod kept;
mod memory;
pub mod order;
mod reading;
pub mod sampling;
mod shares;
mod state;
pub mod stream;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
pub mod table;

pub use batches::batches_per_epoch;
pub use buffers::Voxels;
pub use builder::BatchStreamBuilder;
pub use collate::Batch;
pub use config::{DamagePolicy, StreamConfig};
pub use error::StreamError;
pub use gauges::{Gauges, Limit, Reading, Skipped};
pub use order::{Cursor, Drawn, EpochOrder};
pub use sampling::{Balance, Filter, SamplingConfig};
pub use state::StreamState;
pub use stream::{BatchStream, Positions};
pub use table::{RowGroupId, SampleTable, Source};
