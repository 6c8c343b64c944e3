//! The engine of convolutions on the CPU: maps whose innermost axis is sixteen samples.
//!
//! Purpose: in `[B, C, D, H, W]` a vector of the machine holds neighbouring cells, so strides, borders and tiles of a
//! convolution have to be gathered and scattered, which cost more time than the products. Here a batch is dealt into bundles
//! of `LANES` samples and a map is `[bundles][C][D][H][W][LANES]`: every cell is whole vectors, whatever the stride, the
//! statistics of a sample never leave its lane, and the transforms of minimal filtering read and write vectors in place.
//! A whole run of blocks (convolution, norm, rectifier, shortcut) is one operation of candle (`run`), so that nothing
//! between them is copied, set to zero or added by the graph; a single convolution is another (`conv`).
//! Invariants: lanes never influence each other except in the gradients of parameters and in the statistics of batch norm; lanes
//! beyond the batch add nothing to either; work is cut by shapes alone and added in order, so results do not depend on the number of threads.

#![allow(clippy::needless_range_loop, reason = "loops over the same lanes or rows of several small arrays")]

mod batch_norm;
mod buffer;
pub(crate) mod convolution;
mod direct;
mod filter;
pub(crate) mod layout;
mod network;
mod norm;
mod op;
mod tiles;
mod winograd;

pub(crate) use network::{ConvBlockPlan, NormPlan, Part, ResidualBlockPlan};
pub(crate) use op::run;

#[cfg(test)]
pub(crate) mod definition;
#[cfg(test)]
mod tests;
