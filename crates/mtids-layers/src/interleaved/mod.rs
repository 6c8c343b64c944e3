//! Convolutional units on maps whose innermost axis is sixteen samples.
//!
//! Purpose: in `[B, C, D, H, W]` a vector of the machine holds neighbouring cells, so strides, borders and tiles of a
//! convolution have to be gathered and scattered, which cost more time than the products. Here a batch is dealt into bundles
//! of [`LANES`] samples and a map is `[bundles][C][D][H][W][LANES]`: every cell is whole vectors, whatever the stride, the
//! statistics of a sample never leave its lane, and the transforms of minimal filtering read and write vectors in place.
//! A whole run of units (convolution, group norm, rectifier, shortcut) is one operation of candle, so that nothing between
//! them is copied, set to zero or added by the graph.
//! Invariants: lanes never influence each other except in the gradients of parameters, where lanes beyond the batch add
//! zeros; work is cut by shapes alone and added in order, so results do not depend on the number of threads.

#![allow(clippy::needless_range_loop, reason = "loops over the same lanes or rows of several small arrays")]

mod buffer;
mod direct;
mod network;
mod norm;
mod op;
mod product;
mod tiles;
mod winograd;

use rayon::prelude::*;

pub(crate) use buffer::Pooled;
pub(crate) use network::{BlockPlan, Part, UnitPlan};
pub(crate) use op::run;

use crate::kernels::{LANES, Real};
use buffer::Buffer;

/// Cells that one task of [`interleave`] takes, and how many it takes at a time: what a core's first cache holds.
const CELLS: usize = 1 << 12;
const NEAR: usize = 1 << 7;

/// Bundles of a batch.
pub(crate) fn bundles(batch: usize) -> usize {
    batch.div_ceil(LANES)
}

/// `[B, cells]` to `[bundles][cells][LANES]`, zeros behind the last sample.
fn interleave<T: Real>(x: &[T], batch: usize) -> Buffer<T> {
    let cells = x.len() / batch;
    let mut result = Buffer::new(bundles(batch) * cells * LANES);
    let bundles = result.par_chunks_mut(cells * LANES).zip(x.par_chunks(cells * LANES));
    bundles.for_each(|(result, x)| {
        let samples = x.len() / cells;
        result.par_chunks_mut(CELLS * LANES).enumerate().for_each(|(chunk, result)| {
            if samples < LANES {
                result.fill(T::zero());
            }
            for (near, result) in result.chunks_mut(NEAR * LANES).enumerate() {
                let (cells_of_result, _) = result.as_chunks_mut::<LANES>();
                for (sample, x) in x.chunks_exact(cells).enumerate() {
                    let x = &x[chunk * CELLS + near * NEAR..][..cells_of_result.len()];
                    for (cell, value) in cells_of_result.iter_mut().zip(x) {
                        cell[sample] = *value;
                    }
                }
            }
        });
    });
    result
}

/// The inverse of [`interleave`].
fn deinterleave<T: Real>(x: &[T], batch: usize) -> Vec<T> {
    let cells = x.len() / (bundles(batch) * LANES);
    let mut result = vec![T::zero(); batch * cells];
    result.par_chunks_mut(cells).enumerate().for_each(|(sample, result)| {
        let bundle = &x[sample / LANES * cells * LANES..][..cells * LANES];
        for (value, cell) in result.iter_mut().zip(bundle.chunks_exact(LANES)) {
            *value = cell[sample % LANES];
        }
    });
    result
}

#[cfg(test)]
mod tests;
