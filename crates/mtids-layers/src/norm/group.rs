//! Group normalisation with its full gradient.
//!
//! Purpose: candle's group norm is a chain of slow elementary operations. Here it is one operation with an exact backward
//! pass on the CPU, optionally followed by a rectifier; on a GPU the same function is composed of elementary operations.
//! Invariant: statistics are sums in double precision over one sample and one group, in a fixed order, so samples never
//! influence each other and threads never influence results. Source: Wu and He, ECCV 2018.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::EPSILON;
use super::layer::standardise;
use super::sums::{sum, sums};
use crate::error::Result;
use crate::kernels::{Loop, Real, vectorised};
use crate::parameters::{Init, Parameters};
use crate::storage::{entries, with_entries};

/// Group normalisation over `[B, C, ..]`, then `max(0, ·)` if asked for.
///
/// Its weight and bias are saved as `scale` and `shift`: names are part of saved states and of the order of sums.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    relu: bool,
}

impl GroupNorm {
    /// Creates `<name>.scale` (ones) and `<name>.shift` (zeros), `[channels]`. `groups` must divide `channels`.
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(name: &str, channels: usize, groups: usize, relu: bool, parameters: &Parameters) -> Result<Self> {
        Ok(Self {
            weight: parameters.get_or_init(&format!("{name}.scale"), &[channels], Init::Constant(1.0))?,
            bias: parameters.get_or_init(&format!("{name}.shift"), &[channels], Init::Constant(0.0))?,
            groups,
            relu,
        })
    }

    /// Weight and bias.
    pub(crate) fn parameters(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    /// Number of groups.
    pub(crate) fn groups(&self) -> usize {
        self.groups
    }

    /// Whether a rectifier follows.
    pub(crate) fn relu(&self) -> bool {
        self.relu
    }

    /// Applies the layer.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        group_norm(x, &self.weight, &self.bias, self.groups, self.relu)
    }
}

/// Group normalisation of `x` `[B, C, ..]` (at least one spatial axis) with `scale` and `shift` `[C]`, then `max(0, ·)` if `rectify`.
///
/// # Errors
/// When the shapes do not fit.
pub fn group_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize, relu: bool) -> Result<Tensor> {
    if x.device().is_cpu() {
        let op = GroupNormOp { groups, relu };
        return Ok(x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)?);
    }
    group_norm_composed(x, weight, bias, groups, relu)
}

fn group_norm_composed(x: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize, relu: bool) -> Result<Tensor> {
    let (batch, channels) = (x.dim(0)?, x.dim(1)?);
    let rows = standardise(&x.reshape((batch, groups, ()))?)?.reshape((batch, channels, ()))?;
    let shape = (1, channels, 1);
    let result =
        rows.broadcast_mul(&weight.reshape(shape)?)?.broadcast_add(&bias.reshape(shape)?)?.reshape(x.shape())?;
    Ok(if relu { result.relu()? } else { result })
}

struct GroupNormOp {
    groups: usize,
    relu: bool,
}

#[derive(Clone, Copy)]
struct Sizes {
    /// Channels.
    channels: usize,
    /// Channels of one group.
    members: usize,
    /// Cells of one channel.
    cells: usize,
}

/// Mean and reciprocal standard deviation of one group.
#[inline(always)]
fn statistics<T: Real>(x: &[T]) -> (f64, f64) {
    let count = x.len() as f64;
    let mean = sum(x, |value| value) / count;
    let variance = sum(x, |value| (value - mean) * (value - mean)) / count;
    (mean, 1.0 / (variance + EPSILON).sqrt())
}

impl GroupNormOp {
    fn sizes(&self, layout: &Layout) -> candle_core::Result<Sizes> {
        if let [_, channels, axes @ ..] = layout.dims() {
            let cells: usize = axes.iter().product();
            if self.groups > 0 && channels.is_multiple_of(self.groups) && *channels > 0 && cells > 0 {
                return Ok(Sizes { channels: *channels, members: channels / self.groups, cells });
            }
        }
        candle_core::bail!("group norm of {:?} in {} groups", layout.shape(), self.groups);
    }

    fn forward<T: Real>(&self, sizes: Sizes, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let mut result = vec![T::zero(); x.len()];
        let sample = sizes.channels * sizes.cells;
        result.par_chunks_mut(sample).zip(x.par_chunks(sample)).for_each(|(result, x)| {
            let group = sizes.members * sizes.cells;
            for (index, (result, x)) in result.chunks_mut(group).zip(x.chunks(group)).enumerate() {
                let channels = index * sizes.members..(index + 1) * sizes.members;
                let (weight, bias) = (&weight[channels.clone()], &bias[channels]);
                vectorised(ForwardGroup { relu: self.relu, cells: sizes.cells, result, x, weight, bias });
            }
        });
        result
    }

    /// Gradients of input, weight and bias.
    fn backward<T: Real>(
        &self,
        sizes: Sizes,
        (x, weight, bias): (&[T], &[T], &[T]),
        gradient: &[T],
    ) -> (Vec<T>, Vec<T>, Vec<T>) {
        let mut input = vec![T::zero(); x.len()];
        let sample = sizes.channels * sizes.cells;
        let parts: Vec<Vec<[f64; 2]>> = input
            .par_chunks_mut(sample)
            .zip(x.par_chunks(sample))
            .zip(gradient.par_chunks(sample))
            .map(|((input, x), gradient)| {
                let mut sums = vec![[0f64; 2]; sizes.channels];
                let group = sizes.members * sizes.cells;
                let groups = input.chunks_mut(group).zip(x.chunks(group)).zip(gradient.chunks(group));
                for (index, (((input, x), gradient), sums)) in groups.zip(sums.chunks_mut(sizes.members)).enumerate() {
                    let channels = index * sizes.members..(index + 1) * sizes.members;
                    let (weight, bias) = (&weight[channels.clone()], &bias[channels]);
                    let (relu, cells) = (self.relu, sizes.cells);
                    vectorised(BackwardGroup { relu, cells, input, x, weight, bias, gradient, totals: sums });
                }
                sums
            })
            .collect();
        let mut totals = vec![[0f64; 2]; sizes.channels];
        for part in &parts {
            for (total, value) in totals.iter_mut().zip(part) {
                total[0] += value[0];
                total[1] += value[1];
            }
        }
        let pick = |which: usize| totals.iter().map(|total| T::narrow(total[which])).collect();
        (input, pick(0), pick(1))
    }
}

/// One sample and group, forward.
struct ForwardGroup<'a, T> {
    relu: bool,
    cells: usize,
    result: &'a mut [T],
    x: &'a [T],
    weight: &'a [T],
    bias: &'a [T],
}

impl<T: Real> Loop for ForwardGroup<'_, T> {
    #[inline(always)]
    fn run(self) {
        let (mean, inverse) = statistics(self.x);
        let channels = self.result.chunks_mut(self.cells).zip(self.x.chunks(self.cells));
        for ((result, x), (weight, bias)) in channels.zip(self.weight.iter().zip(self.bias)) {
            let factor = weight.widen() * inverse;
            let (factor, offset) = (T::narrow(factor), T::narrow(bias.widen() - mean * factor));
            if self.relu {
                for (result, x) in result.iter_mut().zip(x) {
                    let value = *x * factor + offset;
                    // A NaN is not below 0 and stays one.
                    *result = if value < T::zero() { T::zero() } else { value };
                }
            } else {
                for (result, x) in result.iter_mut().zip(x) {
                    *result = *x * factor + offset;
                }
            }
        }
    }
}

/// One sample and group, backward.
///
/// With x̂ the standardised input and h = weight · gradient (rectified): ∂x = inverse (h − mean h − x̂ mean(h x̂)).
struct BackwardGroup<'a, T> {
    relu: bool,
    cells: usize,
    input: &'a mut [T],
    x: &'a [T],
    weight: &'a [T],
    bias: &'a [T],
    gradient: &'a [T],
    /// Gradients of weight and bias per channel.
    totals: &'a mut [[f64; 2]],
}

impl<T: Real> Loop for BackwardGroup<'_, T> {
    #[inline(always)]
    fn run(self) {
        let (mean, inverse) = statistics(self.x);
        let (mut sum_h, mut sum_hx) = (0f64, 0f64);
        for (member, total) in self.totals.iter_mut().enumerate() {
            let run = member * self.cells..(member + 1) * self.cells;
            let (x, gradient, input) = (&self.x[run.clone()], &self.gradient[run.clone()], &mut self.input[run]);
            let weight = self.weight[member].widen();
            let (factor, offset) = (weight * inverse, self.bias[member].widen() - mean * (weight * inverse));
            let (factor, offset) = (T::narrow(factor), T::narrow(offset));
            // `input` holds the rectified gradient until the second pass.
            if self.relu {
                for ((input, x), gradient) in input.iter_mut().zip(x).zip(gradient) {
                    *input = if *x * factor + offset <= T::zero() { T::zero() } else { *gradient };
                }
            } else {
                input.copy_from_slice(gradient);
            }
            let (open, with_x) = sums(input, x, mean);
            *total = [with_x * inverse, open];
            sum_h += weight * open;
            sum_hx += weight * (with_x * inverse);
        }
        let count = self.x.len() as f64;
        let mean_t = T::narrow(mean);
        let by_x = T::narrow(-inverse * inverse * (sum_hx / count));
        let by_all = T::narrow(-inverse * (sum_h / count));
        let channels = self.input.chunks_mut(self.cells).zip(self.x.chunks(self.cells));
        for (weight, (input, x)) in self.weight.iter().zip(channels) {
            let by_gradient = T::narrow(weight.widen() * inverse);
            for (input, x) in input.iter_mut().zip(x) {
                *input = by_gradient * *input + by_x * (*x - mean_t) + by_all;
            }
        }
    }
}

impl CustomOp3 for GroupNormOp {
    fn name(&self) -> &'static str {
        "mtids-group-norm"
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
        let sizes = self.sizes(x_layout)?;
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
            _ => candle_core::bail!("group norm needs f32 or f64"),
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
            op: &GroupNormOp,
            (x, weight, bias): (&Tensor, &Tensor, &Tensor),
            gradient: &Tensor,
        ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
            let sizes = op.sizes(x.layout())?;
            let (input, by_weight, by_bias) =
                with_entries::<T, 4, _>([x, weight, bias, gradient], |[x, weight, bias, gradient]| {
                    op.backward(sizes, (x, weight, bias), gradient)
                })?;
            Ok((
                Some(Tensor::from_vec(input, x.shape(), x.device())?),
                Some(Tensor::from_vec(by_weight, weight.shape(), x.device())?),
                Some(Tensor::from_vec(by_bias, bias.shape(), x.device())?),
            ))
        }
        let gradient = gradient.contiguous()?;
        match x.dtype() {
            DType::F64 => typed::<f64>(self, (x, weight, bias), &gradient),
            _ => typed::<f32>(self, (x, weight, bias), &gradient),
        }
    }
}
