//! The same pooling composed of candle's own operations, for devices that are not the CPU.
//!
//! Purpose: windows become one more axis, by choosing for each tap the cells that it meets. The maximum is gathered at the
//! position of the largest cell, so that one cell gets the gradient also where several are equal (after a rectifier).

use candle_core::{D, Tensor};

use super::Windows;
use super::window::Kind;
use crate::conv::output_size;
use crate::error::Result;

/// Stands for "smaller than all" without becoming NaN in a product with 0.
const LOWEST: f64 = -1e30;

/// Pools `[B, C, (D,) H, W]`.
pub(super) fn pool(x: &Tensor, windows: &Windows<3>, kind: Kind) -> Result<Tensor> {
    let volume = if x.dims().len() == 4 { x.unsqueeze(2)? } else { x.clone() };
    let inside = Tensor::ones(volume.shape(), volume.dtype(), volume.device())?;
    let (cells, inside) = (taps(&volume, windows)?, taps(&inside, windows)?);
    let pooled = match kind {
        Kind::Average => cells.sum(D::Minus1)?.div(&inside.sum(D::Minus1)?)?,
        Kind::Maximum => {
            let cells = (cells + inside.affine(-LOWEST, LOWEST)?)?;
            let largest = cells.argmax_keepdim(D::Minus1)?;
            cells.contiguous()?.gather(&largest, D::Minus1)?.squeeze(D::Minus1)?
        }
    };
    Ok(if x.dims().len() == 4 { pooled.squeeze(2)? } else { pooled })
}

/// `[B, C, D', H', W', taps]`, zeros over the border; windows in their order, cells of a window in theirs.
fn taps(x: &Tensor, windows: &Windows<3>) -> Result<Tensor> {
    let mut x = x.clone();
    for axis in 0..3 {
        let (kernel, stride, padding) = (windows.kernel[axis], windows.stride[axis], windows.padding[axis]);
        let axis = axis + 2;
        let out = output_size(x.dim(axis)?, kernel, stride, padding, 1);
        let padded = x.pad_with_zeros(axis, padding, padding)?.contiguous()?;
        let tap = |tap: usize| -> Result<Tensor> {
            let met: Vec<u32> = (0..out).map(|window| (window * stride + tap) as u32).collect();
            Ok(padded.index_select(&Tensor::from_vec(met, out, x.device())?, axis)?)
        };
        let rows = (0..kernel).map(tap).collect::<Result<Vec<Tensor>>>()?;
        x = Tensor::stack(&rows, x.dims().len())?;
    }
    Ok(x.flatten_from(5)?)
}
