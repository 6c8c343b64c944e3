//! Batch norm on the CPU as one operation with its own gradient, on maps `[B, C, cells]`.
//!
//! Invariant: a channel is one task, which adds over samples in order, so results do not depend on the number of threads.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::EPSILON;
use super::sums::{sum, sums};
use crate::kernels::{Loop, Real, vectorised};
use crate::statistics::Moments;
use crate::storage::{entries, with_entries};

/// Batch norm with given statistics, and a rectifier if asked for.
pub(super) struct BatchNormOp {
    /// Means and variances to normalise with.
    pub moments: Moments,
    /// Whether they are those of the input, so that the gradient passes through them too.
    pub follows: bool,
    /// Whether a rectifier follows.
    pub relu: bool,
}

/// `[batch, channels, cells]`.
#[derive(Clone, Copy)]
struct Sizes {
    channels: usize,
    cells: usize,
}

impl Sizes {
    fn new(dims: &[usize]) -> candle_core::Result<Self> {
        match dims {
            [_, channels, axes @ ..] if !axes.is_empty() => {
                Ok(Self { channels: *channels, cells: axes.iter().product() })
            }
            other => candle_core::bail!("batch norm of a tensor {other:?}"),
        }
    }

    /// The rows of one channel.
    fn rows<T>(self, x: &[T], channel: usize) -> impl Iterator<Item = &[T]> {
        x.chunks_exact(self.cells).skip(channel).step_by(self.channels)
    }

    /// The rows of all channels, channel by channel.
    fn rows_mut<T>(self, x: &mut [T]) -> Vec<Vec<&mut [T]>> {
        let mut rows: Vec<Vec<&mut [T]>> = (0..self.channels).map(|_| Vec::new()).collect();
        for (index, row) in x.chunks_exact_mut(self.cells).enumerate() {
            rows[index % self.channels].push(row);
        }
        rows
    }
}

/// Mean and biased variance of every channel of a contiguous `[B, C, ..]` on the CPU.
pub(super) fn moments(x: &Tensor) -> candle_core::Result<Moments> {
    fn typed<T: Real>(x: &[T], sizes: Sizes) -> Moments {
        let of_channel = |channel: usize| {
            let mut moments = [0.0; 2];
            vectorised(OfChannel { rows: sizes.rows(x, channel).collect(), moments: &mut moments });
            moments
        };
        let all: Vec<[f64; 2]> = (0..sizes.channels).into_par_iter().map(of_channel).collect();
        let pick = |which: usize| all.iter().map(|moments: &[f64; 2]| moments[which]).collect();
        Moments { mean: pick(0), variance: pick(1) }
    }
    let sizes = Sizes::new(x.dims())?;
    match x.dtype() {
        DType::F64 => with_entries::<f64, 1, _>([x], |[x]| typed(x, sizes)),
        _ => with_entries::<f32, 1, _>([x], |[x]| typed(x, sizes)),
    }
}

/// Mean and biased variance of the rows of one channel.
struct OfChannel<'a, T> {
    rows: Vec<&'a [T]>,
    moments: &'a mut [f64; 2],
}

impl<T: Real> Loop for OfChannel<'_, T> {
    #[inline(always)]
    fn run(self) {
        let count: usize = self.rows.iter().map(|row| row.len()).sum();
        let mut total = 0.0;
        for row in &self.rows {
            total += sum(row, |value| value);
        }
        let mean = total / count as f64;
        let mut squares = 0.0;
        for row in &self.rows {
            squares += sum(row, |value| (value - mean) * (value - mean));
        }
        *self.moments = [mean, squares / count as f64];
    }
}

impl BatchNormOp {
    /// Mean, reciprocal standard deviation, and factor and offset of a channel's affine map.
    fn channel<T: Real>(&self, channel: usize, weight: T, bias: T) -> Channel<T> {
        let (mean, inverse) = (self.moments.mean[channel], 1.0 / (self.moments.variance[channel] + EPSILON).sqrt());
        let factor = weight.widen() * inverse;
        Channel { mean, inverse, factor: T::narrow(factor), offset: T::narrow(bias.widen() - mean * factor) }
    }

    fn forward<T: Real>(&self, sizes: Sizes, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let mut result = vec![T::zero(); x.len()];
        sizes.rows_mut(&mut result).into_par_iter().enumerate().for_each(|(channel, results)| {
            let of = self.channel(channel, weight[channel], bias[channel]);
            for (result, x) in results.into_iter().zip(sizes.rows(x, channel)) {
                vectorised(Forward { of, relu: self.relu, result, x });
            }
        });
        result
    }

    /// Gradients of input, weight and bias.
    fn backward<T: Real>(&self, sizes: Sizes, [x, weight, bias, gradient]: [&[T]; 4]) -> [Vec<T>; 3] {
        let mut input = vec![T::zero(); x.len()];
        let rows = sizes.rows_mut(&mut input).into_par_iter().enumerate();
        let totals: Vec<[f64; 2]> = rows
            .map(|(channel, inputs)| {
                let of = self.channel(channel, weight[channel], bias[channel]);
                let mut totals = [0.0; 2];
                vectorised(Backward {
                    of,
                    follows: self.follows,
                    relu: self.relu,
                    inputs,
                    x: sizes.rows(x, channel).collect(),
                    gradient: sizes.rows(gradient, channel).collect(),
                    totals: &mut totals,
                });
                totals
            })
            .collect();
        let pick = |which: usize| totals.iter().map(|totals| T::narrow(totals[which])).collect();
        [input, pick(0), pick(1)]
    }
}

#[derive(Clone, Copy)]
struct Channel<T> {
    mean: f64,
    inverse: f64,
    factor: T,
    offset: T,
}

/// One row forward.
struct Forward<'a, T> {
    of: Channel<T>,
    relu: bool,
    result: &'a mut [T],
    x: &'a [T],
}

impl<T: Real> Loop for Forward<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Channel { factor, offset, .. } = self.of;
        for (result, x) in self.result.iter_mut().zip(self.x) {
            let value = *x * factor + offset;
            // A NaN is not below 0 and stays one.
            *result = if self.relu && value < T::zero() { T::zero() } else { value };
        }
    }
}

/// One channel backward.
///
/// With x̂ the standardised input and g the rectified gradient: ∂weight = Σ g x̂, ∂bias = Σ g, and where the statistics follow the input
/// ∂x = weight · inverse (g − mean g − x̂ mean(g x̂)), else weight · inverse · g.
struct Backward<'a, T> {
    of: Channel<T>,
    follows: bool,
    relu: bool,
    inputs: Vec<&'a mut [T]>,
    x: Vec<&'a [T]>,
    gradient: Vec<&'a [T]>,
    /// Gradients of weight and bias.
    totals: &'a mut [f64; 2],
}

impl<T: Real> Loop for Backward<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Channel { mean, inverse, factor, offset } = self.of;
        let (mut open, mut with_x, mut count) = (0.0, 0.0, 0);
        let mut inputs = self.inputs;
        for ((input, x), gradient) in inputs.iter_mut().zip(&self.x).zip(&self.gradient) {
            // `input` holds the rectified gradient until the second pass.
            for ((input, x), gradient) in input.iter_mut().zip(*x).zip(*gradient) {
                let closed = self.relu && *x * factor + offset <= T::zero();
                *input = if closed { T::zero() } else { *gradient };
            }
            let (row_open, row_with_x) = sums(input, x, mean);
            open += row_open;
            with_x += row_with_x;
            count += x.len();
        }
        *self.totals = [with_x * inverse, open];
        let (mut by_x, mut by_all) = (0.0, 0.0);
        if self.follows {
            by_x = -factor.widen() * inverse * inverse * with_x / count as f64;
            by_all = -factor.widen() * open / count as f64;
        }
        let (mean, by_x, by_all) = (T::narrow(mean), T::narrow(by_x), T::narrow(by_all));
        for (input, x) in inputs.iter_mut().zip(&self.x) {
            for (input, x) in input.iter_mut().zip(*x) {
                *input = factor * *input + by_x * (*x - mean) + by_all;
            }
        }
    }
}

impl CustomOp3 for BatchNormOp {
    fn name(&self) -> &'static str {
        "mtids-batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let sizes = Sizes::new(x_layout.dims())?;
        macro_rules! typed {
            ($variant:ident) => {
                CpuStorage::$variant(self.forward(
                    sizes,
                    entries(x, x_layout)?,
                    entries(weight, weight_layout)?,
                    entries(bias, bias_layout)?,
                ))
            };
        }
        let result = match x {
            CpuStorage::F32(_) => typed!(F32),
            CpuStorage::F64(_) => typed!(F64),
            _ => candle_core::bail!("batch norm needs f32 or f64"),
        };
        Ok((result, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        fn typed<T: Real>(
            op: &BatchNormOp,
            tensors: [&Tensor; 4],
        ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
            let sizes = Sizes::new(tensors[0].dims())?;
            let [input, by_weight, by_bias] = with_entries::<T, 4, _>(tensors, |entries| op.backward(sizes, entries))?;
            let tensor = |values: Vec<T>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
            let [x, weight, bias, _] = tensors;
            Ok((Some(tensor(input, x)?), Some(tensor(by_weight, weight)?), Some(tensor(by_bias, bias)?)))
        }
        let gradient = gradient.contiguous()?;
        match x.dtype() {
            DType::F64 => typed::<f64>(self, [x, weight, bias, &gradient]),
            _ => typed::<f32>(self, [x, weight, bias, &gradient]),
        }
    }
}
