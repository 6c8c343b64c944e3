//! The same pooling composed of candle's own operations, for devices that are not the CPU.
//!
//! Purpose: windows become one more axis, by choosing for each tap the cells that it meets. The maximum is gathered at the
//! position of the largest cell, so that one cell gets the gradient also where several are equal (after a rectifier).

use candle_core::{D, Tensor};

use super::window::{Kind, Regions, WindowOp, Windows};
use crate::error::Result;
use crate::geometry::output_size;

/// Stands for "smaller than all" without becoming NaN in a product with 0.
const LOWEST: f64 = -1e30;

/// Pools `[B, C, (D,) H, W]`.
pub(super) fn pool(x: &Tensor, op: &WindowOp) -> Result<Tensor> {
    let sizes = op.check(x.dims())?;
    let volume = if x.dims().len() == 4 { x.unsqueeze(2)? } else { x.clone() };
    let pooled = match &op.regions {
        Regions::Windows(windows) => pool_windows(&volume, windows, op.kind)?,
        Regions::Grid(_) => pool_grid(&volume, op, sizes.size, sizes.out)?,
    };
    Ok(if x.dims().len() == 4 { pooled.squeeze(2)? } else { pooled })
}

fn pool_windows(x: &Tensor, windows: &Windows<3>, kind: Kind) -> Result<Tensor> {
    let inside = Tensor::ones(x.shape(), x.dtype(), x.device())?;
    let (cells, inside) = (taps(x, windows)?, taps(&inside, windows)?);
    match kind {
        Kind::Average => Ok(cells.sum(D::Minus1)?.div(&inside.sum(D::Minus1)?)?),
        Kind::Maximum => largest((cells + inside.affine(-LOWEST, LOWEST)?)?),
    }
}

/// The cells of a grid are few, and differ in size: one by one.
fn pool_grid(x: &Tensor, op: &WindowOp, size: [usize; 3], out: [usize; 3]) -> Result<Tensor> {
    let [depth, height, width] = out;
    let mut pooled = Vec::with_capacity(depth * height * width);
    for cell in 0..depth * height * width {
        let at = [cell / (height * width), cell / width % height, cell % width];
        let mut region = x.clone();
        for axis in 0..3 {
            let span = op.regions.span(axis, size[axis], at[axis]);
            region = region.narrow(axis + 2, span.start, span.len())?;
        }
        let cells = region.flatten_from(2)?;
        pooled.push(match op.kind {
            Kind::Average => cells.mean(D::Minus1)?,
            Kind::Maximum => largest(cells)?,
        });
    }
    Ok(Tensor::stack(&pooled, 2)?.reshape((x.dim(0)?, x.dim(1)?, depth, height, width))?)
}

/// The largest entry along the last axis, gathered at its position.
fn largest(cells: Tensor) -> Result<Tensor> {
    let cells = cells.contiguous()?;
    let at = cells.argmax_keepdim(D::Minus1)?;
    Ok(cells.gather(&at, D::Minus1)?.squeeze(D::Minus1)?)
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
