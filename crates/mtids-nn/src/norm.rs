//! Group and layer normalisation with full gradients.
//!
//! Purpose: candle's fused layer norm returns no gradient and its group norm is a chain of slow elementary operations. Group
//! norm here is one operation with an exact backward pass on the CPU, optionally followed by a rectifier; on a GPU the same
//! function is composed of elementary operations. Invariant: statistics are sums in double precision over one sample and one
//! group, in a fixed order, so samples never influence each other and threads never influence results. Sources: Wu and He,
//! ECCV 2018; Ba et al. 2016.

use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::error::Result;
use crate::parameters::{Init, Parameters};
use crate::storage::{entries, with_entries};

const EPSILON: f64 = 1e-5;

/// Group normalisation over `[B, C, ..]`, then a rectifier if asked for.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    scale: Tensor,
    shift: Tensor,
    groups: usize,
    rectify: bool,
}

impl GroupNorm {
    /// Creates `<name>.scale` (ones) and `<name>.shift` (zeros), `[channels]`. `groups` must divide `channels`.
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(name: &str, channels: usize, groups: usize, rectify: bool, parameters: &Parameters) -> Result<Self> {
        Ok(Self {
            scale: parameters.get_or_init(&format!("{name}.scale"), &[channels], Init::Constant(1.0))?,
            shift: parameters.get_or_init(&format!("{name}.shift"), &[channels], Init::Constant(0.0))?,
            groups,
            rectify,
        })
    }

    /// Applies the layer.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        group_norm(x, &self.scale, &self.shift, self.groups, self.rectify)
    }
}

/// Group normalisation of `x` `[B, C, ..]` (at least one spatial axis) with `scale` and `shift` `[C]`, then `max(0, ·)` if `rectify`.
///
/// # Errors
/// When the shapes do not fit.
pub fn group_norm(x: &Tensor, scale: &Tensor, shift: &Tensor, groups: usize, rectify: bool) -> Result<Tensor> {
    if x.device().is_cpu() {
        let op = GroupNormOp { groups, rectify };
        return Ok(x.contiguous()?.apply_op3(&scale.contiguous()?, &shift.contiguous()?, op)?);
    }
    group_norm_composed(x, scale, shift, groups, rectify)
}

fn group_norm_composed(x: &Tensor, scale: &Tensor, shift: &Tensor, groups: usize, rectify: bool) -> Result<Tensor> {
    let (batch, channels) = (x.dim(0)?, x.dim(1)?);
    let rows = standardise(&x.reshape((batch, groups, ()))?)?.reshape((batch, channels, ()))?;
    let shape = (1, channels, 1);
    let result =
        rows.broadcast_mul(&scale.reshape(shape)?)?.broadcast_add(&shift.reshape(shape)?)?.reshape(x.shape())?;
    Ok(if rectify { result.relu()? } else { result })
}

/// Mean 0, variance 1 over the last axis.
fn standardise(x: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    Ok(centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)?)
}

/// Layer normalisation over the last axis.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    scale: Tensor,
    shift: Tensor,
}

impl LayerNorm {
    /// Creates `<name>.scale` (ones) and `<name>.shift` (zeros), `[size]`.
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(name: &str, size: usize, parameters: &Parameters) -> Result<Self> {
        Ok(Self {
            scale: parameters.get_or_init(&format!("{name}.scale"), &[size], Init::Constant(1.0))?,
            shift: parameters.get_or_init(&format!("{name}.shift"), &[size], Init::Constant(0.0))?,
        })
    }

    /// Applies the layer to `[.., size]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(standardise(x)?.broadcast_mul(&self.scale)?.broadcast_add(&self.shift)?)
    }
}

struct GroupNormOp {
    groups: usize,
    rectify: bool,
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

/// Σ f(i) in double precision with eight running sums, so that the compiler can use vector registers.
fn sum<T: WithDType>(values: &[T], term: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0f64; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += term(value.to_f64());
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|value| term(value.to_f64())).sum::<f64>()
}

/// Mean and reciprocal standard deviation of one group.
fn statistics<T: WithDType>(x: &[T]) -> (f64, f64) {
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

    fn forward<T: WithDType>(&self, sizes: Sizes, x: &[T], scale: &[T], shift: &[T]) -> Vec<T> {
        let mut result = vec![T::zero(); x.len()];
        let sample = sizes.channels * sizes.cells;
        result.par_chunks_mut(sample).zip(x.par_chunks(sample)).for_each(|(result, x)| {
            let group = sizes.members * sizes.cells;
            for (index, (result, x)) in result.chunks_mut(group).zip(x.chunks(group)).enumerate() {
                let (mean, inverse) = statistics(x);
                for (member, (result, x)) in result.chunks_mut(sizes.cells).zip(x.chunks(sizes.cells)).enumerate() {
                    let channel = index * sizes.members + member;
                    let factor = scale[channel].to_f64() * inverse;
                    let (factor, offset) = (T::from_f64(factor), T::from_f64(shift[channel].to_f64() - mean * factor));
                    for (result, x) in result.iter_mut().zip(x) {
                        let value = *x * factor + offset;
                        *result = if self.rectify && value < T::zero() { T::zero() } else { value };
                    }
                }
            }
        });
        result
    }

    /// Gradients of input, scale and shift.
    ///
    /// With x̂ the standardised input and h = scale · gradient (rectified): ∂x = inverse (h − mean h − x̂ mean(h x̂)).
    fn backward<T: WithDType>(
        &self,
        sizes: Sizes,
        (x, scale, shift): (&[T], &[T], &[T]),
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
                for (index, x) in x.chunks(group).enumerate() {
                    let (mean, inverse) = statistics(x);
                    let (mean_t, inverse_t) = (T::from_f64(mean), T::from_f64(inverse));
                    let start = index * group;
                    let (input, gradient) = (&mut input[start..start + group], &gradient[start..start + group]);
                    let (mut sum_h, mut sum_hx) = (0f64, 0f64);
                    for member in 0..sizes.members {
                        let channel = index * sizes.members + member;
                        let run = member * sizes.cells..(member + 1) * sizes.cells;
                        let (x, gradient, input) = (&x[run.clone()], &gradient[run.clone()], &mut input[run]);
                        let factor = T::from_f64(scale[channel].to_f64() * inverse);
                        let offset = T::from_f64(shift[channel].to_f64() - mean * (scale[channel].to_f64() * inverse));
                        // `input` holds the rectified gradient until the second pass.
                        for ((input, x), gradient) in input.iter_mut().zip(x).zip(gradient) {
                            let closed = self.rectify && *x * factor + offset <= T::zero();
                            *input = if closed { T::zero() } else { *gradient };
                        }
                        let open = sum(input, |value| value);
                        let mut lanes = [0f64; 8];
                        for (chunk, x) in input.chunks(8).zip(x.chunks(8)) {
                            for ((lane, value), x) in lanes.iter_mut().zip(chunk).zip(x) {
                                *lane += value.to_f64() * (x.to_f64() - mean);
                            }
                        }
                        let with_x = lanes.iter().sum::<f64>() * inverse;
                        sums[channel] = [with_x, open];
                        sum_h += scale[channel].to_f64() * open;
                        sum_hx += scale[channel].to_f64() * with_x;
                    }
                    let count = group as f64;
                    let (mean_h, mean_hx) = (T::from_f64(sum_h / count), T::from_f64(sum_hx / count));
                    for member in 0..sizes.members {
                        let scale = scale[index * sizes.members + member];
                        let run = member * sizes.cells..(member + 1) * sizes.cells;
                        for (input, x) in input[run.clone()].iter_mut().zip(&x[run]) {
                            let standard = (*x - mean_t) * inverse_t;
                            *input = inverse_t * (scale * *input - mean_h - standard * mean_hx);
                        }
                    }
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
        let pick = |which: usize| totals.iter().map(|total| T::from_f64(total[which])).collect();
        (input, pick(0), pick(1))
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
        scale: &CpuStorage,
        scale_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let sizes = self.sizes(x_layout)?;
        macro_rules! typed {
            ($variant:ident) => {
                CpuStorage::$variant(self.forward(
                    sizes,
                    entries(x, x_layout)?,
                    entries(scale, scale_layout)?,
                    entries(shift, shift_layout)?,
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
        scale: &Tensor,
        shift: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        fn typed<T: WithDType>(
            op: &GroupNormOp,
            (x, scale, shift): (&Tensor, &Tensor, &Tensor),
            gradient: &Tensor,
        ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
            let sizes = op.sizes(x.layout())?;
            let (input, by_scale, by_shift) =
                with_entries::<T, 4, _>([x, scale, shift, gradient], |[x, scale, shift, gradient]| {
                    op.backward(sizes, (x, scale, shift), gradient)
                })?;
            Ok((
                Some(Tensor::from_vec(input, x.shape(), x.device())?),
                Some(Tensor::from_vec(by_scale, scale.shape(), x.device())?),
                Some(Tensor::from_vec(by_shift, shift.shape(), x.device())?),
            ))
        }
        let gradient = gradient.contiguous()?;
        match x.dtype() {
            DType::F64 => typed::<f64>(self, (x, scale, shift), &gradient),
            _ => typed::<f32>(self, (x, scale, shift), &gradient),
        }
    }
}
