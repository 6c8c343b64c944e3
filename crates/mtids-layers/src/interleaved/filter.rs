//! Weights of minimal filtering: to the domain where convolution is a product, and gradients back from it.
//!
//! Invariant: the map of the gradient is the exact transpose of that of the weights.

use rayon::prelude::*;

use crate::geometry::Geometry;
use crate::kernels::product::PANEL;
use crate::kernels::winograd::{EDGE, Filter, FilterGradient, POINTS, transform};
use crate::kernels::{Real, row_length, whole};

/// Weights `[O, C, kd, 3, 3]` in the domain, packed: `[panels of O][36][C kd][8]`.
pub(super) fn filter_domain<T: Real>(weight: &[T], outputs: usize, inner: usize) -> Vec<T> {
    let row = row_length(inner);
    let mut result = vec![T::zero(); outputs.div_ceil(PANEL) * POINTS * inner * PANEL];
    result.par_chunks_mut(POINTS * inner * PANEL).zip(weight.par_chunks(PANEL * inner * 9)).for_each(
        |(panel, weight)| {
            T::with([9 * row, POINTS * row], |[planes, domain]| {
                for plane in planes.chunks_exact_mut(row) {
                    plane[inner..].fill(T::zero());
                }
                for (output, weight) in weight.chunks_exact(inner * 9).enumerate() {
                    for (index, taps) in weight.chunks_exact(9).enumerate() {
                        for (tap, value) in taps.iter().enumerate() {
                            planes[tap * row + index] = *value;
                        }
                    }
                    transform::<T, Filter, 3, EDGE>(planes, row, domain, row, whole(inner));
                    for (domain, packed) in domain.chunks_exact(row).zip(panel.chunks_exact_mut(inner * PANEL)) {
                        for (value, entries) in domain.iter().zip(packed.chunks_exact_mut(PANEL)) {
                            entries[output] = *value;
                        }
                    }
                }
            });
        },
    );
    result
}

/// The weights of the gradient of the input: `[O, C, taps]` to `[C, O, taps backwards]`.
pub(super) fn flipped<T: Real>(g: &Geometry, weight: &[T]) -> Vec<T> {
    let taps = g.taps();
    let mut result = vec![T::zero(); weight.len()];
    result.par_chunks_mut(g.outputs * taps).enumerate().for_each(|(input, result)| {
        for (output, result) in result.chunks_exact_mut(taps).enumerate() {
            let weight = &weight[(output * g.inputs + input) * taps..][..taps];
            for (value, weight) in result.iter_mut().zip(weight.iter().rev()) {
                *value = *weight;
            }
        }
    });
    result
}

/// Gradient of the weights `[O, C, kd, 3, 3]` from its domain `[36][O][C kd]`.
pub(super) fn filter_gradient<T: Real>(sums: &[T], inner: usize, result: &mut [T]) {
    let row = row_length(inner);
    let point = sums.len() / POINTS;
    result.par_chunks_mut(inner * 9).enumerate().for_each(|(output, result)| {
        T::with([POINTS * row, 9 * row], |[domain, planes]| {
            // Copied to rows of whole vectors.
            for (domain, sums) in domain.chunks_exact_mut(row).zip(sums.chunks_exact(point)) {
                domain[..inner].copy_from_slice(&sums[output * inner..][..inner]);
                domain[inner..].fill(T::zero());
            }
            transform::<T, FilterGradient, EDGE, 3>(domain, row, planes, row, whole(inner));
            for (index, taps) in result.chunks_exact_mut(9).enumerate() {
                for (tap, value) in taps.iter_mut().enumerate() {
                    *value = planes[tap * row + index];
                }
            }
        });
    });
}
