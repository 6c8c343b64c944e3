//! Convolution with a 3 × 3 kernel in the plane and stride 1, by minimal filtering.
//!
//! Purpose: such convolutions are most of a residual network, and a quarter of the multiplications suffices. Along depth
//! the taps are part of the inner dimension: the domain of a slice is computed once and read by every depth tap. Method:
//! blocks of tiles become `V [C][36][tiles]`, are multiplied by the weights `U [36][O][C kd]` point by point and folded
//! back. The gradient of the input is the same function of the output gradient and the flipped weights; the gradient of the
//! weights is the exact transpose. Invariant: blocks depend on shapes only.

use rayon::prelude::*;

use super::columns::add_in_order;
use super::geometry::Geometry;
use super::tiles::{Plan, gather, scatter};
use crate::kernels::product::{InnerProducts, Multiply, PANEL, inner_products, multiply};
use crate::kernels::winograd::{Data, EDGE, Filter, FilterGradient, Output, POINTS, Spread, TILE, transform};
use crate::kernels::{Real, row_length, whole};

/// Bytes of a single-precision block in the forward pass: about what stays in a core's second cache.
const FORWARD_BLOCK: usize = 1 << 20;
/// Tiles of a block in the gradient of the weights, whose sums run over tiles and are the quicker the longer.
const GRADIENT_TILES: usize = 320;
/// Rows per channel of a block, one more than there are points: an odd distance of channels spreads over a cache's sets.
const ROWS: usize = POINTS + 1;

/// Whether this algorithm can compute the convolution, and with clearly fewer multiplications.
pub(crate) fn suits(g: &Geometry) -> bool {
    let [_, height, width] = g.out;
    let tiles = height.div_ceil(TILE) * width.div_ceil(TILE);
    let saves = 9 * height * width >= 3 * POINTS * tiles / 2;
    g.groups == 1
        && g.kernel[1..] == [3, 3]
        && g.stride == [1; 3]
        && g.dilation == [1; 3]
        && (0..3).all(|axis| g.padding[axis] < g.kernel[axis])
        && g.inputs >= 8
        && g.outputs >= 8
        && saves
}

/// V of one block: `[C][37][v_row]`.
fn domain<T: Real>(plan: &Plan<'_>, x: &[T], block: &super::tiles::Block, planes: &mut [T], v: &mut [T]) {
    let g = plan.g;
    let columns = whole(block.tiles(plan.halo()));
    for (channel, v) in v.chunks_exact_mut(ROWS * plan.v_row).take(g.inputs).enumerate() {
        gather::<T, EDGE>(plan, block, planes, |index| {
            let (sample, depth) = plan.input_slice(index)?;
            let start = sample * g.sample() + channel * g.plane() + depth * g.size[1] * g.size[2];
            Some(&x[start..start + g.size[1] * g.size[2]])
        });
        transform::<T, Data, EDGE, EDGE>(planes, plan.v_row, v, plan.v_row, columns);
        for row in v.chunks_exact_mut(plan.v_row) {
            row[columns..].fill(T::zero());
        }
    }
}

/// Starts of the rows of V that the inner dimension `(c, depth tap)` reads at point 0.
fn rows(plan: &Plan<'_>, block: &super::tiles::Block) -> Vec<usize> {
    let depth = |channel: usize| (0..plan.g.kernel[0]).map(move |tap| (channel, tap));
    let start = |(channel, tap): (usize, usize)| channel * ROWS * plan.v_row + tap * block.per_slice();
    (0..plan.g.inputs).flat_map(depth).map(start).collect()
}

/// Weights `[O, C, kd, 3, 3]` in the domain, packed: `[panels of O][36][C kd][8]`.
pub(crate) fn filter_domain<T: Real>(weight: &[T], outputs: usize, inner: usize) -> Vec<T> {
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
pub(crate) fn flipped<T: Real>(g: &Geometry, weight: &[T]) -> Vec<T> {
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

/// `[B, O, cells]` from `x` `[B, C, plane]`.
pub(crate) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T]) -> Vec<T> {
    let plan = Plan::new(g, (FORWARD_BLOCK / (4 * POINTS * (g.inputs + g.outputs))).max(64), 4);
    let inner = g.inputs * g.kernel[0];
    let u = filter_domain(weight, g.outputs, inner);
    let channel = ROWS * plan.m_row;
    let mut result = vec![T::zero(); g.batch * g.out_sample()];
    result.par_chunks_mut(plan.part * g.out_sample()).zip(x.par_chunks(plan.part * g.sample())).for_each(
        |(result, x)| {
            let lengths = [POINTS * plan.v_row, g.inputs * ROWS * plan.v_row, g.outputs * channel];
            T::with(lengths, |[planes, v, m]| {
                for block in plan.blocks(x.len() / g.sample()) {
                    domain(&plan, x, &block, planes, v);
                    let rows = rows(&plan, &block);
                    let n = whole(block.tiles(0));
                    for point in 0..POINTS {
                        multiply(Multiply {
                            c: &mut m[point * plan.m_row..],
                            c_row: channel,
                            m: g.outputs,
                            n,
                            a: &u[point * inner * PANEL..],
                            a_panel: POINTS * inner * PANEL,
                            b: &v[point * plan.v_row..],
                            rows: &rows,
                        });
                    }
                    for (output, m) in m.chunks_exact(channel).enumerate() {
                        transform::<T, Output, EDGE, TILE>(m, plan.m_row, planes, plan.v_row, n);
                        scatter(&plan, &block, planes, output, result);
                    }
                }
            });
        },
    );
    result
}

/// Gradients of the input (empty unless asked for) and of the weight.
pub(crate) fn backward<T: Real>(
    g: &Geometry,
    x: &[T],
    weight: &[T],
    gradient: &[T],
    want_input: bool,
) -> (Vec<T>, Vec<T>) {
    let input = if want_input {
        let padding = [0, 1, 2].map(|axis| g.kernel[axis] - 1 - g.padding[axis]);
        let back = Geometry { inputs: g.outputs, outputs: g.inputs, size: g.out, out: g.size, padding, ..*g };
        forward(&back, gradient, &flipped(g, weight))
    } else {
        Vec::new()
    };
    (input, weight_gradient(g, x, gradient))
}

fn weight_gradient<T: Real>(g: &Geometry, x: &[T], gradient: &[T]) -> Vec<T> {
    let plan = Plan::new(g, GRADIENT_TILES, 2);
    let inner = g.inputs * g.kernel[0];
    let channel = ROWS * plan.m_row;
    let point = g.outputs * inner;
    let parts: Vec<Vec<T>> = x
        .par_chunks(plan.part * g.sample())
        .zip(gradient.par_chunks(plan.part * g.out_sample()))
        .map(|(x, gradient)| {
            let mut sums = vec![T::zero(); POINTS * point];
            let lengths = [POINTS * plan.v_row, g.inputs * ROWS * plan.v_row, g.outputs * channel];
            T::with(lengths, |[planes, v, m]| {
                for block in plan.blocks(x.len() / g.sample()) {
                    domain(&plan, x, &block, planes, v);
                    let rows = rows(&plan, &block);
                    let n = whole(block.tiles(0));
                    for (output, m) in m.chunks_exact_mut(channel).enumerate() {
                        gather::<T, TILE>(&plan, &block, planes, |index| {
                            let (sample, depth) = plan.output_slice(index)?;
                            let area = g.out[1] * g.out[2];
                            let start = sample * g.out_sample() + output * g.cells() + depth * area;
                            Some(&gradient[start..start + area])
                        });
                        transform::<T, Spread, TILE, EDGE>(planes, plan.v_row, m, plan.m_row, n);
                    }
                    for (at, c) in sums.chunks_exact_mut(point).enumerate() {
                        inner_products(InnerProducts {
                            c,
                            c_row: inner,
                            a: &m[at * plan.m_row..],
                            a_row: channel,
                            m: g.outputs,
                            b: &v[at * plan.v_row..],
                            rows: &rows,
                            length: n,
                        });
                    }
                }
            });
            sums
        })
        .collect();
    let mut result = vec![T::zero(); point * 9];
    filter_gradient(&add_in_order(parts), inner, &mut result);
    result
}

/// Gradient of the weights `[O, C, kd, 3, 3]` from its domain `[36][O][C kd]`.
pub(crate) fn filter_gradient<T: Real>(sums: &[T], inner: usize, result: &mut [T]) {
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
