//! The same convolutions composed of candle's own operations, for devices that are not the CPU.
//!
//! Purpose: candle has `conv2d` on every device, with one stride, padding and dilation for both axes, and no `conv3d`. Here the
//! input is padded by hand; unequal strides are taken by choosing rows and columns of the result of stride 1, unequal
//! dilations by zeros between the taps; a convolution along depth is the sum over depth taps of planar convolutions of the
//! slices that the tap reaches, with depth folded into the batch. The input is cut to the cells that are read, so that candle's backward pass, which
//! derives one remainder from the height for both axes, is right.

use candle_core::{D, Tensor};

use crate::error::Result;
use crate::geometry::{ConvOptions, output_size};

/// `[B, C, H, W]` with `[O, C / groups, kh, kw]`.
pub(crate) fn conv2d(x: &Tensor, weight: &Tensor, options: &ConvOptions<3>) -> Result<Tensor> {
    let ConvOptions { stride: [_, sh, sw], padding: [_, ph, pw], dilation: [_, dh, dw], groups } = *options;
    let (mut stride, padding, mut dilation) = ([sh, sw], [ph, pw], [dh, dw]);
    let (mut x, mut weight) = (x.clone(), weight.clone());
    let mut out = [0; 2];
    let mut wanted = None;
    for axis in 0..2 {
        out[axis] = output_size(x.dim(axis + 2)?, weight.dim(axis + 2)?, stride[axis], padding[axis], dilation[axis]);
        x = x.pad_with_zeros(axis + 2, padding[axis], padding[axis])?;
    }
    if dilation[0] != dilation[1] {
        for (axis, dilation) in dilation.into_iter().enumerate() {
            weight = spread(&weight, axis + 2, dilation)?;
        }
        dilation = [1; 2];
    }
    if stride[0] != stride[1] {
        wanted = Some(stride);
        for axis in 0..2 {
            // The rows that a stride of 1 gives up to the last one wanted.
            out[axis] = (out[axis].max(1) - 1) * stride[axis] + 1;
        }
        stride = [1; 2];
    }
    for axis in 0..2 {
        let read = (out[axis].max(1) - 1) * stride[axis] + dilation[axis] * (weight.dim(axis + 2)? - 1) + 1;
        if read <= x.dim(axis + 2)? {
            x = x.narrow(axis + 2, 0, read)?;
        }
    }
    let mut y = x.contiguous()?.conv2d(&weight.contiguous()?, 0, stride[0], dilation[0], groups)?;
    for (axis, stride) in wanted.into_iter().flatten().enumerate() {
        y = every(&y, axis + 2, stride)?;
    }
    Ok(y)
}

/// `[B, C, D, H, W]` with `[O, C / groups, kd, kh, kw]`.
pub(crate) fn conv3d(x: &Tensor, weight: &Tensor, options: &ConvOptions<3>) -> Result<Tensor> {
    let (sd, pd, dd) = (options.stride[0], options.padding[0], options.dilation[0]);
    let taps = weight.dim(2)?;
    let slices = output_size(x.dim(2)?, taps, sd, pd, dd);
    let x = x.pad_with_zeros(2, pd, pd)?;
    let (batch, channels, _, height, width) = x.dims5()?;
    let mut sum: Option<Tensor> = None;
    for tap in 0..taps {
        let reached = every(&x.narrow(2, tap * dd, (slices.max(1) - 1) * sd + 1)?, 2, sd)?;
        let folded = reached.transpose(1, 2)?.contiguous()?.reshape((batch * slices, channels, height, width))?;
        let y = conv2d(&folded, &weight.narrow(2, tap, 1)?.squeeze(2)?, options)?;
        sum = Some(match sum {
            Some(sum) => (sum + y)?,
            None => y,
        });
    }
    let Some(y) = sum else { return Ok(weight.sum(D::Minus1)?) };
    let (_, outputs, height, width) = y.dims4()?;
    Ok(y.reshape((batch, slices, outputs, height, width))?.transpose(1, 2)?.contiguous()?)
}

/// Every `step`-th entry along an axis, from the first.
fn every(x: &Tensor, axis: usize, step: usize) -> Result<Tensor> {
    if step == 1 {
        return Ok(x.clone());
    }
    let kept = (0..x.dim(axis)?).step_by(step).map(|index| index as u32).collect::<Vec<_>>();
    let count = kept.len();
    Ok(x.contiguous()?.index_select(&Tensor::from_vec(kept, count, x.device())?, axis)?)
}

/// A kernel with `dilation - 1` zeros between neighbouring taps along an axis.
fn spread(weight: &Tensor, axis: usize, dilation: usize) -> Result<Tensor> {
    let taps = weight.dim(axis)?;
    let wide = weight.unsqueeze(axis + 1)?.pad_with_zeros(axis + 1, 0, dilation - 1)?;
    Ok(wide.flatten(axis, axis + 1)?.narrow(axis, 0, dilation * (taps - 1) + 1)?)
}
