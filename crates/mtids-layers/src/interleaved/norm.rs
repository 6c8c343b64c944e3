//! Group norm and rectifier on interleaved maps.
//!
//! Purpose: one pass for the statistics of each sample and group, one that writes what the next layer reads, with the other
//! branch of a residual block added in the same pass. Invariants: statistics are sums in double precision in a fixed order,
//! and never leave their lane; the backward pass uses the statistics of the forward pass.

use rayon::prelude::*;

use super::buffer::Buffer;
use crate::kernels::{LANES, Loop, Real, vectorised};
use crate::norm::EPSILON;

/// Sizes of one group norm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Channels.
    pub channels: usize,
    /// Channels of one group.
    pub members: usize,
    /// Cells of one channel.
    pub cells: usize,
}

impl Sizes {
    /// Entries of a group of a bundle.
    fn group(&self) -> usize {
        self.members * self.cells * LANES
    }
}

type Lanes = [f64; LANES];

/// Mean and reciprocal standard deviation, per bundle and group.
pub(super) type Statistics = Vec<[Lanes; 2]>;

/// `x` normalised by groups, scaled and shifted, rectified if asked for, plus `base` where there is one.
pub(super) fn forward<T: Real>(
    sizes: Sizes,
    relu: bool,
    x: &[T],
    [weight, bias]: [&[T]; 2],
    base: Option<&[T]>,
) -> (Buffer<T>, Statistics) {
    let mut result = Buffer::new(x.len());
    let group = sizes.group();
    let of_group = |index: usize| {
        let first = index * sizes.members % sizes.channels;
        [&weight[first..first + sizes.members], &bias[first..first + sizes.members]]
    };
    let tasks = result.par_chunks_mut(group).zip(x.par_chunks(group)).enumerate();
    let statistics = tasks
        .map(|(index, (result, x))| {
            let mut statistics = [[0.0; LANES]; 2];
            let base = base.map(|base| &base[index * group..][..group]);
            vectorised(ForwardGroup {
                sizes,
                relu,
                result,
                x,
                affine: of_group(index),
                base,
                statistics: &mut statistics,
            });
            statistics
        })
        .collect();
    (result, statistics)
}

/// Gradients of the input, of weight and of bias; `gradient` is that of the result.
pub(super) fn backward<T: Real>(
    sizes: Sizes,
    relu: bool,
    (x, statistics): (&[T], &Statistics),
    [weight, bias]: [&[T]; 2],
    gradient: &[T],
    [by_weight, by_bias]: [&mut [T]; 2],
) -> Buffer<T> {
    let mut input = Buffer::new(x.len());
    let group = sizes.group();
    let tasks = input.par_chunks_mut(group).zip(x.par_chunks(group)).zip(gradient.par_chunks(group)).enumerate();
    let parts: Vec<Vec<[f64; 2]>> = tasks
        .map(|(index, ((input, x), gradient))| {
            let mut totals = vec![[0.0; 2]; sizes.members];
            let first = index * sizes.members % sizes.channels;
            let affine = [&weight[first..first + sizes.members], &bias[first..first + sizes.members]];
            let (statistics, totals_mut) = (&statistics[index], &mut totals);
            vectorised(BackwardGroup { sizes, relu, input, x, affine, gradient, statistics, totals: totals_mut });
            totals
        })
        .collect();
    let mut totals = vec![[0.0; 2]; sizes.channels];
    for (index, part) in parts.iter().enumerate() {
        for (member, value) in part.iter().enumerate() {
            let total: &mut [f64; 2] = &mut totals[(index * sizes.members + member) % sizes.channels];
            total[0] += value[0];
            total[1] += value[1];
        }
    }
    for ((total, weight), bias) in totals.iter().zip(by_weight).zip(by_bias) {
        (*weight, *bias) = (T::narrow(total[0]), T::narrow(total[1]));
    }
    input
}

/// One channel's factor and offset per lane: the result is `x · factor + offset`.
#[inline(always)]
fn affine<T: Real>(weight: T, bias: T, [mean, inverse]: &[Lanes; 2]) -> [[T; LANES]; 2] {
    let (mut factors, mut offsets) = ([T::zero(); LANES], [T::zero(); LANES]);
    for lane in 0..LANES {
        let factor = weight.widen() * inverse[lane];
        factors[lane] = T::narrow(factor);
        offsets[lane] = T::narrow(bias.widen() - mean[lane] * factor);
    }
    [factors, offsets]
}

#[inline(always)]
fn value<T: Real>(x: T, factor: T, offset: T, relu: bool) -> T {
    let value = x * factor + offset;
    // A NaN is not below 0 and stays one.
    if relu && value < T::zero() { T::zero() } else { value }
}

/// One group of one bundle, forward.
struct ForwardGroup<'a, T> {
    sizes: Sizes,
    relu: bool,
    result: &'a mut [T],
    x: &'a [T],
    affine: [&'a [T]; 2],
    base: Option<&'a [T]>,
    statistics: &'a mut [Lanes; 2],
}

impl<T: Real> Loop for ForwardGroup<'_, T> {
    #[inline(always)]
    fn run(self) {
        let [mean, inverse] = self.statistics;
        let (cells, _) = self.x.as_chunks::<LANES>();
        let count = cells.len() as f64;
        // Sums of the distances from the first cell, which is about as far from the mean as any: one pass loses nothing.
        let mut pivot = [0.0; LANES];
        if let Some(first) = cells.first() {
            for lane in 0..LANES {
                pivot[lane] = first[lane].widen();
            }
        }
        let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
        for cell in cells {
            for lane in 0..LANES {
                let distance = cell[lane].widen() - pivot[lane];
                sums[lane] += distance;
                squares[lane] += distance * distance;
            }
        }
        for lane in 0..LANES {
            let distance = sums[lane] / count;
            let variance = squares[lane] / count - distance * distance;
            mean[lane] = pivot[lane] + distance;
            inverse[lane] = 1.0 / (variance + EPSILON).sqrt();
        }
        let statistics = [*mean, *inverse];
        let length = self.sizes.cells * LANES;
        for member in 0..self.sizes.members {
            let [factor, offset] = affine(self.affine[0][member], self.affine[1][member], &statistics);
            let run = member * length..(member + 1) * length;
            let (x, _) = self.x[run.clone()].as_chunks::<LANES>();
            let (result, _) = self.result[run.clone()].as_chunks_mut::<LANES>();
            let relu = self.relu;
            match self.base {
                Some(base) => {
                    let (base, _) = base[run].as_chunks::<LANES>();
                    for ((result, x), base) in result.iter_mut().zip(x).zip(base) {
                        for lane in 0..LANES {
                            result[lane] = base[lane] + value(x[lane], factor[lane], offset[lane], relu);
                        }
                    }
                }
                None => {
                    for (result, x) in result.iter_mut().zip(x) {
                        for lane in 0..LANES {
                            result[lane] = value(x[lane], factor[lane], offset[lane], relu);
                        }
                    }
                }
            }
        }
    }
}

/// One group of one bundle, backward.
///
/// With x̂ the standardised input and h = weight · gradient (rectified): ∂x = inverse (h − mean h − x̂ mean(h x̂)).
struct BackwardGroup<'a, T> {
    sizes: Sizes,
    relu: bool,
    input: &'a mut [T],
    x: &'a [T],
    affine: [&'a [T]; 2],
    gradient: &'a [T],
    statistics: &'a [Lanes; 2],
    /// Gradients of weight and bias per channel.
    totals: &'a mut [[f64; 2]],
}

impl<T: Real> Loop for BackwardGroup<'_, T> {
    #[inline(always)]
    fn run(self) {
        let [mean, inverse] = self.statistics;
        let length = self.sizes.cells * LANES;
        let (mut sum_h, mut sum_hx) = ([0.0; LANES], [0.0; LANES]);
        for (member, total) in self.totals.iter_mut().enumerate() {
            let weight = self.affine[0][member];
            let [factor, offset] = affine(weight, self.affine[1][member], self.statistics);
            let run = member * length..(member + 1) * length;
            let (x, _) = self.x[run.clone()].as_chunks::<LANES>();
            let (gradient, _) = self.gradient[run.clone()].as_chunks::<LANES>();
            let (input, _) = self.input[run].as_chunks_mut::<LANES>();
            let (mut open, mut with_x) = ([0.0; LANES], [0.0; LANES]);
            // `input` holds the rectified gradient until the second pass.
            for ((input, x), gradient) in input.iter_mut().zip(x).zip(gradient) {
                for lane in 0..LANES {
                    let closed = self.relu && x[lane] * factor[lane] + offset[lane] <= T::zero();
                    let value = if closed { T::zero() } else { gradient[lane] };
                    input[lane] = value;
                    open[lane] += value.widen();
                    with_x[lane] += value.widen() * (x[lane].widen() - mean[lane]);
                }
            }
            for lane in 0..LANES {
                let with_x = with_x[lane] * inverse[lane];
                total[0] += with_x;
                total[1] += open[lane];
                sum_h[lane] += weight.widen() * open[lane];
                sum_hx[lane] += weight.widen() * with_x;
            }
        }
        let count = (self.sizes.members * self.sizes.cells) as f64;
        let (mut mean_t, mut by_x, mut by_all) = ([T::zero(); LANES], [T::zero(); LANES], [T::zero(); LANES]);
        for lane in 0..LANES {
            mean_t[lane] = T::narrow(mean[lane]);
            by_x[lane] = T::narrow(-inverse[lane] * inverse[lane] * (sum_hx[lane] / count));
            by_all[lane] = T::narrow(-inverse[lane] * (sum_h[lane] / count));
        }
        for member in 0..self.sizes.members {
            let mut by_gradient = [T::zero(); LANES];
            for lane in 0..LANES {
                by_gradient[lane] = T::narrow(self.affine[0][member].widen() * inverse[lane]);
            }
            let run = member * length..(member + 1) * length;
            let (x, _) = self.x[run.clone()].as_chunks::<LANES>();
            let (input, _) = self.input[run].as_chunks_mut::<LANES>();
            for (input, x) in input.iter_mut().zip(x) {
                for lane in 0..LANES {
                    input[lane] =
                        by_gradient[lane] * input[lane] + by_x[lane] * (x[lane] - mean_t[lane]) + by_all[lane];
                }
            }
        }
    }
}
