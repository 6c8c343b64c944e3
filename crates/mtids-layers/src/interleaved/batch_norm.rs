//! Batch norm and rectifier on interleaved maps.
//!
//! Purpose: one pass for the statistics of a channel, one that writes what the next layer reads, with the shortcut of a residual block added and
//! rectified in the same pass; the backward pass likewise. Invariants: statistics are those of the batch's samples, lanes beyond the batch
//! do not count: their outputs are finite and their gradients 0, so they add nothing to any gradient; a channel is one task that adds in
//! double precision over bundles, cells and lanes in a fixed order, so results do not depend on the number of threads; with several ranks the sums
//! run over the samples of all.

use mtids_ranks::Ranks;
use rayon::prelude::*;

use super::buffer::Buffer;
use crate::error::Result;
use crate::kernels::{LANES, Loop, Real, vectorised};
use crate::norm::EPSILON;
use crate::statistics::Moments;

type Lanes = [f64; LANES];

/// Sizes of one batch norm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Samples; the last bundle may have fewer than [`LANES`].
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Cells of one channel.
    pub cells: usize,
}

impl Sizes {
    /// The maps of one channel in all bundles.
    fn of_channel<T>(self, x: &[T], channel: usize) -> Vec<&[T]> {
        x.chunks_exact(self.cells * LANES).skip(channel).step_by(self.channels).collect()
    }

    /// The maps of all channels, channel by channel.
    fn by_channel<T>(self, x: &mut [T]) -> Vec<Vec<&mut [T]>> {
        let mut channels: Vec<Vec<&mut [T]>> = (0..self.channels).map(|_| Vec::new()).collect();
        for (index, map) in x.chunks_exact_mut(self.cells * LANES).enumerate() {
            channels[index % self.channels].push(map);
        }
        channels
    }

    /// Samples of a bundle.
    fn samples(self, bundle: usize) -> usize {
        (self.batch - bundle * LANES).min(LANES)
    }
}

/// What the norm does with the map beside it, and with values below 0.
#[derive(Clone, Copy)]
pub(super) enum Behind<'a, T> {
    /// Nothing.
    Nothing,
    /// `max(0, ·)`.
    Relu,
    /// The other branch of a residual block is added.
    Sum(&'a [T]),
    /// The same, then `max(0, ·)`.
    SumRelu(&'a [T]),
}

/// Mean and biased variance of every channel of `x`.
pub(super) fn moments<T: Real>(sizes: Sizes, x: &[T]) -> Moments {
    let of_channel = |channel: usize| {
        let mut moments = [0.0; 2];
        vectorised(OfChannel { sizes, maps: sizes.of_channel(x, channel), moments: &mut moments });
        moments
    };
    let all: Vec<[f64; 2]> = (0..sizes.channels).into_par_iter().map(of_channel).collect();
    let pick = |which: usize| all.iter().map(|moments| moments[which]).collect();
    Moments { mean: pick(0), variance: pick(1), count: sizes.batch * sizes.cells }
}

/// `x` normalised with `moments`, scaled and shifted, and what is [`Behind`].
pub(super) fn forward<T: Real>(
    sizes: Sizes,
    x: &[T],
    moments: &Moments,
    [weight, bias]: [&[T]; 2],
    behind: Behind<'_, T>,
) -> Buffer<T> {
    let mut result = Buffer::new(x.len());
    let map = sizes.cells * LANES;
    result.par_chunks_mut(map).zip(x.par_chunks(map)).enumerate().for_each(|(index, (result, x))| {
        let channel = index % sizes.channels;
        let of = Channel::new(moments, channel, weight, bias);
        let part = |base: &'_ [T]| index * map..base.len().min((index + 1) * map);
        match behind {
            Behind::Nothing => vectorised(Forward::<T, false> { of, result, x, base: None }),
            Behind::Relu => vectorised(Forward::<T, true> { of, result, x, base: None }),
            Behind::Sum(base) => vectorised(Forward::<T, false> { of, result, x, base: Some(&base[part(base)]) }),
            Behind::SumRelu(base) => vectorised(Forward::<T, true> { of, result, x, base: Some(&base[part(base)]) }),
        }
    });
    result
}

/// Sets the gradient to 0 where the result of a rectifier is.
pub(super) fn close<T: Real>(gradient: &mut [T], result: &[T]) {
    const CHUNK: usize = 1 << 14;
    gradient.par_chunks_mut(CHUNK).zip(result.par_chunks(CHUNK)).for_each(|(gradient, result)| {
        vectorised(Close { gradient, result });
    });
}

/// Whose samples the statistics of a batch norm are those of.
#[derive(Clone, Copy)]
pub(super) enum Follows<'r> {
    /// Of no input: they are given.
    Nothing,
    /// Of the samples of these ranks.
    Samples(&'r Ranks),
}

/// Gradients of the input, of weight and of bias, the last two those of this rank's samples; `gradient` is that of the result.
pub(super) fn backward<T: Real>(
    sizes: Sizes,
    (relu, follows): (bool, Follows<'_>),
    (x, moments): (&[T], &Moments),
    [weight, bias]: [&[T]; 2],
    gradient: &[T],
    [by_weight, by_bias]: [&mut [T]; 2],
) -> Result<Buffer<T>> {
    let mut input = Buffer::new(x.len());
    let others = match follows {
        Follows::Samples(ranks) if !ranks.is_alone() => Some(ranks),
        _ => None,
    };
    let part = |channel: usize| Part {
        sizes,
        of: Channel::new(moments, channel, weight, bias),
        x: sizes.of_channel(x, channel),
        gradient: sizes.of_channel(gradient, channel),
    };
    let mut totals = vec![[0.0; 2]; sizes.channels];
    let channels = sizes.by_channel(&mut input).into_par_iter().zip(&mut totals).enumerate();
    channels.for_each(|(channel, (inputs, totals))| {
        let part = part(channel);
        let follows = matches!(follows, Follows::Samples(_));
        match (others, relu) {
            (Some(_), true) => vectorised(Totals::<T, true> { part: &part, totals }),
            (Some(_), false) => vectorised(Totals::<T, false> { part: &part, totals }),
            (None, true) => vectorised(Backward::<T, true> { part: &part, follows, inputs, totals }),
            (None, false) => vectorised(Backward::<T, false> { part: &part, follows, inputs, totals }),
        }
    });
    for ((by_weight, by_bias), totals) in by_weight.iter_mut().zip(by_bias).zip(&totals) {
        (*by_weight, *by_bias) = (T::narrow(totals[0]), T::narrow(totals[1]));
    }
    let Some(ranks) = others else { return Ok(input) };
    let mut of_all = totals.concat();
    ranks.sum(&mut of_all)?;
    if ranks.is_empty() {
        input.fill(T::zero());
        return Ok(input);
    }
    let channels = sizes.by_channel(&mut input).into_par_iter().zip(of_all.as_chunks().0).enumerate();
    channels.for_each(|(channel, (inputs, totals))| {
        let part = part(channel);
        let slopes = part.of.slopes(*totals, moments.count as f64);
        if relu {
            vectorised(Spread::<T, true> { part: &part, inputs, slopes });
        } else {
            vectorised(Spread::<T, false> { part: &part, inputs, slopes });
        }
    });
    Ok(input)
}

/// One channel's statistics, and its affine map `x · factor + offset`.
#[derive(Clone, Copy)]
struct Channel<T> {
    mean: f64,
    inverse: f64,
    factor: T,
    offset: T,
}

impl<T: Real> Channel<T> {
    fn new(moments: &Moments, channel: usize, weight: &[T], bias: &[T]) -> Self {
        let (mean, inverse) = (moments.mean[channel], 1.0 / (moments.variance[channel] + EPSILON).sqrt());
        let factor = weight[channel].widen() * inverse;
        let offset = bias[channel].widen() - mean * factor;
        Self { mean, inverse, factor: T::narrow(factor), offset: T::narrow(offset) }
    }

    /// What the gradient of an input has of its distance from the mean, and of every input alike, from the totals of `count` values.
    #[inline(always)]
    fn slopes(&self, [by_weight, by_bias]: [f64; 2], count: f64) -> [f64; 2] {
        let factor = self.factor.widen();
        [-factor * self.inverse * by_weight / count, -factor * by_bias / count]
    }
}

/// Mean and biased variance of one channel.
struct OfChannel<'a, T> {
    sizes: Sizes,
    maps: Vec<&'a [T]>,
    moments: &'a mut [f64; 2],
}

impl<T: Real> Loop for OfChannel<'_, T> {
    #[inline(always)]
    fn run(self) {
        let cells = self.sizes.cells as f64;
        // One pass: sums of distances from the first value, which is about as far from the mean as any.
        let pivot = self.maps.first().and_then(|map| map.first()).map_or(0.0, |value| value.widen());
        let mut means = Vec::with_capacity(self.maps.len() * LANES);
        let mut spread = 0.0;
        for (bundle, map) in self.maps.iter().enumerate() {
            let (mut sums, mut squares): (Lanes, Lanes) = ([0.0; LANES], [0.0; LANES]);
            let (map, _) = map.as_chunks::<LANES>();
            for cell in map {
                for lane in 0..LANES {
                    let distance = cell[lane].widen() - pivot;
                    sums[lane] += distance;
                    squares[lane] += distance * distance;
                }
            }
            for lane in 0..self.sizes.samples(bundle) {
                let mean = sums[lane] / cells;
                spread += squares[lane] - mean * sums[lane];
                means.push(mean);
            }
        }
        // The spread within lanes and that of their means add up to the whole.
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        let between: f64 = means.iter().map(|lane| (lane - mean) * (lane - mean)).sum();
        let variance = (spread + cells * between) / (cells * means.len() as f64);
        *self.moments = [pivot + mean, variance.max(0.0)];
    }
}

#[inline(always)]
fn affine<T: Real>(x: T, of: &Channel<T>) -> T {
    x * of.factor + of.offset
}

#[inline(always)]
fn rectified<T: Real, const RELU: bool>(value: T) -> T {
    // A NaN is not below 0 and stays one.
    if RELU && value < T::zero() { T::zero() } else { value }
}

/// The gradient before the rectifier.
#[inline(always)]
fn open<T: Real, const RELU: bool>(x: T, gradient: T, of: &Channel<T>) -> T {
    if RELU && affine(x, of) <= T::zero() { T::zero() } else { gradient }
}

/// One map forward.
struct Forward<'a, T, const RELU: bool> {
    of: Channel<T>,
    result: &'a mut [T],
    x: &'a [T],
    base: Option<&'a [T]>,
}

impl<T: Real, const RELU: bool> Loop for Forward<'_, T, RELU> {
    #[inline(always)]
    fn run(self) {
        let of = self.of;
        match self.base {
            Some(base) => {
                for ((result, x), base) in self.result.iter_mut().zip(self.x).zip(base) {
                    *result = rectified::<T, RELU>(*base + affine(*x, &of));
                }
            }
            None => {
                for (result, x) in self.result.iter_mut().zip(self.x) {
                    *result = rectified::<T, RELU>(affine(*x, &of));
                }
            }
        }
    }
}

/// A piece of a gradient before a rectifier.
struct Close<'a, T> {
    gradient: &'a mut [T],
    result: &'a [T],
}

impl<T: Real> Loop for Close<'_, T> {
    #[inline(always)]
    fn run(self) {
        for (gradient, result) in self.gradient.iter_mut().zip(self.result) {
            *gradient = if *result <= T::zero() { T::zero() } else { *gradient };
        }
    }
}

/// One channel of a gradient.
///
/// With x̂ the standardised input and g the rectified gradient: ∂weight = Σ g x̂, ∂bias = Σ g, and where the statistics follow the input
/// ∂x = weight · inverse (g − mean g − x̂ mean(g x̂)), else weight · inverse · g. [`Totals`] gives the sums, [`Spread`] ∂x; [`Backward`] is both.
struct Part<'a, T> {
    sizes: Sizes,
    of: Channel<T>,
    x: Vec<&'a [T]>,
    gradient: Vec<&'a [T]>,
}

/// Gradients of weight and bias.
struct Totals<'a, 'p, T, const RELU: bool> {
    part: &'p Part<'a, T>,
    totals: &'p mut [f64; 2],
}

impl<T: Real, const RELU: bool> Loop for Totals<'_, '_, T, RELU> {
    #[inline(always)]
    fn run(self) {
        let Part { of, x, gradient, .. } = self.part;
        // The gradient is 0 in lanes beyond the batch, so they add nothing here.
        let (mut by_bias, mut by_weight): (Lanes, Lanes) = ([0.0; LANES], [0.0; LANES]);
        for (x, gradient) in x.iter().zip(gradient) {
            let ((x, _), (gradient, _)) = (x.as_chunks::<LANES>(), gradient.as_chunks::<LANES>());
            for (x, gradient) in x.iter().zip(gradient) {
                for lane in 0..LANES {
                    let value = open::<T, RELU>(x[lane], gradient[lane], of).widen();
                    by_bias[lane] += value;
                    by_weight[lane] += value * (x[lane].widen() - of.mean);
                }
            }
        }
        *self.totals = [by_weight.iter().sum::<f64>() * of.inverse, by_bias.iter().sum::<f64>()];
    }
}

/// Gradients of the inputs.
struct Spread<'a, 'p, 'i, T, const RELU: bool> {
    part: &'p Part<'a, T>,
    inputs: Vec<&'i mut [T]>,
    slopes: [f64; 2],
}

impl<T: Real, const RELU: bool> Loop for Spread<'_, '_, '_, T, RELU> {
    #[inline(always)]
    fn run(self) {
        let Part { sizes, of, x, gradient } = self.part;
        let [by_x, by_all] = self.slopes;
        let (mean, by_x, by_all) = (T::narrow(of.mean), T::narrow(by_x), T::narrow(by_all));
        for (bundle, ((input, x), gradient)) in self.inputs.into_iter().zip(x).zip(gradient).enumerate() {
            for ((input, x), gradient) in input.iter_mut().zip(*x).zip(*gradient) {
                *input = of.factor * open::<T, RELU>(*x, *gradient, of) + by_x * (*x - mean) + by_all;
            }
            let samples = sizes.samples(bundle);
            if samples < LANES {
                for cell in input.chunks_exact_mut(LANES) {
                    cell[samples..].fill(T::zero());
                }
            }
        }
    }
}

/// One channel whose totals are its own.
struct Backward<'a, 'p, 'i, T, const RELU: bool> {
    part: &'p Part<'a, T>,
    follows: bool,
    inputs: Vec<&'i mut [T]>,
    totals: &'p mut [f64; 2],
}

impl<T: Real, const RELU: bool> Loop for Backward<'_, '_, '_, T, RELU> {
    #[inline(always)]
    fn run(self) {
        let Self { part, follows, inputs, totals } = self;
        Totals::<T, RELU> { part, totals: &mut *totals }.run();
        let count = (part.sizes.batch * part.sizes.cells) as f64;
        let slopes = if follows { part.of.slopes(*totals, count) } else { [0.0; 2] };
        Spread::<T, RELU> { part, inputs, slopes }.run();
    }
}
