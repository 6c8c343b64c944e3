//! Shards become an ordered stream of batches through bounded crossbeam channels.
//!
//! # Purpose
//! [`plan::epoch_plan`] says which row comes when, as a pure function of (seed, epoch); [`stream::BatchStream`] reads, verifies and decodes
//! row groups on threads of its own and hands batches to the trainer in exactly that order.
//!
//! # Invariants
//! * The order never depends on the number of readers or on timing; a stream may start at any batch and gives the tail of the whole.
//! * Everything in flight stays within one byte budget (a single row group larger than it is still let through, alone).
//! * A damaged row group is an error value in its place; a reader's panic is an error too. Dropping the stream ends its threads.
//!
//! # Units
//! Voxels are `i16` HU `[B, D, H, W]`, w fastest; [`window`] turns them into `f32` channels.

pub mod crop;
pub mod error;
pub mod plan;
pub mod stream;
pub mod window;

pub use crop::{CropConfig, crop};
pub use error::StreamError;
pub use plan::{Plan, RowGroupId, epoch_plan};
pub use stream::{Batch, BatchStream, StreamConfig};
pub use window::{InputChannels, Window};
