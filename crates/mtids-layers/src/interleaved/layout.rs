//! From `[B, cells]` to bundles of samples and back.

use rayon::prelude::*;

use super::buffer::Buffer;
use crate::kernels::{LANES, Real};

/// Cells that one task of [`interleave`] takes, and how many it takes at a time: what a core's first cache holds.
const CELLS: usize = 1 << 12;
const NEAR: usize = 1 << 7;

/// Bundles of a batch.
pub(crate) fn bundles(batch: usize) -> usize {
    batch.div_ceil(LANES)
}

/// `[B, cells]` to `[bundles][cells][LANES]`, zeros behind the last sample.
pub(crate) fn interleave<T: Real>(x: &[T], batch: usize) -> Buffer<T> {
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
pub(crate) fn deinterleave<T: Real>(x: &[T], batch: usize) -> Vec<T> {
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
