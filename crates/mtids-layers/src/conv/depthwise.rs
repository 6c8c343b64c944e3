//! Depthwise convolution: every output channel sees one input channel.
//!
//! Purpose: there is no inner dimension to multiply over, so unfolding would only move memory. Each tap adds a shifted,
//! scaled row to the output row.

use rayon::prelude::*;

use super::columns::add_in_order;
use super::geometry::Geometry;
use crate::kernels::Real;

/// Calls `visit(weight, output, input, length)` for each tap and each stretch of one channel; entry `i` of the stretch
/// joins output entry `output + i` and input entry `input + i * stride` of the channels.
#[inline(always)]
fn stretches(g: &Geometry, mut visit: impl FnMut(usize, usize, usize, usize)) {
    let [kd, kh, kw] = g.kernel;
    for (weight, (dz, dy, dx)) in
        (0..kd).flat_map(|dz| (0..kh).flat_map(move |dy| (0..kw).map(move |dx| (dz, dy, dx)))).enumerate()
    {
        let xs = g.valid(2, dx);
        if xs.is_empty() {
            continue;
        }
        for z in g.valid(0, dz) {
            for y in g.valid(1, dy) {
                let at = |axis: usize, out: usize, tap: usize| {
                    out * g.stride[axis] + tap * g.dilation[axis] - g.padding[axis]
                };
                let output = (z * g.out[1] + y) * g.out[2] + xs.start;
                let input = (at(0, z, dz) * g.size[1] + at(1, y, dy)) * g.size[2] + at(2, xs.start, dx);
                visit(weight, output, input, xs.len());
            }
        }
    }
}

/// `[B, O, cells]` from `x` `[B, C, plane]`.
pub(crate) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T]) -> Vec<T> {
    let (cells, plane, taps, stride) = (g.cells(), g.plane(), g.taps(), g.stride[2]);
    let multiplier = g.outputs / g.inputs;
    let mut result = vec![T::zero(); g.batch * g.out_sample()];
    result.par_chunks_mut(cells).enumerate().for_each(|(index, result)| {
        let (sample, output) = (index / g.outputs, index % g.outputs);
        let x = &x[(sample * g.inputs + output / multiplier) * plane..][..plane];
        let weight = &weight[output * taps..][..taps];
        stretches(g, |tap, to, from, length| {
            let (factor, target) = (weight[tap], &mut result[to..to + length]);
            if stride == 1 {
                for (value, x) in target.iter_mut().zip(&x[from..from + length]) {
                    *value += factor * *x;
                }
            } else {
                for (value, x) in target.iter_mut().zip(x[from..].iter().step_by(stride)) {
                    *value += factor * *x;
                }
            }
        });
    });
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
    let (cells, plane, taps, stride) = (g.cells(), g.plane(), g.taps(), g.stride[2]);
    let multiplier = g.outputs / g.inputs;
    let part = g.part(g.cells(), 1);
    let mut input = vec![T::zero(); if want_input { x.len() } else { 0 }];
    let mut targets: Vec<Option<&mut [T]>> = input.chunks_mut(part * g.sample()).map(Some).collect();
    targets.resize_with(g.batch.div_ceil(part), || None);
    let sums: Vec<Vec<T>> = targets
        .into_par_iter()
        .zip(x.par_chunks(part * g.sample()))
        .zip(gradient.par_chunks(part * g.out_sample()))
        .map(|((mut target, x), gradient)| {
            let mut sums = vec![T::zero(); g.weights()];
            for (index, gradient) in gradient.chunks(cells).enumerate() {
                let (sample, output) = (index / g.outputs, index % g.outputs);
                let channel = (sample * g.inputs + output / multiplier) * plane;
                let (x, weight) = (&x[channel..channel + plane], &weight[output * taps..][..taps]);
                let sums = &mut sums[output * taps..][..taps];
                let mut target = target.as_mut().map(|target| &mut target[channel..channel + plane]);
                stretches(g, |tap, at, from, length| {
                    let gradient = &gradient[at..at + length];
                    if let Some(target) = &mut target {
                        for (value, slope) in target[from..].iter_mut().step_by(stride).zip(gradient) {
                            *value += weight[tap] * *slope;
                        }
                    }
                    for (slope, x) in gradient.iter().zip(x[from..].iter().step_by(stride)) {
                        sums[tap] += *slope * *x;
                    }
                });
            }
            sums
        })
        .collect();
    (input, add_in_order(sums))
}
