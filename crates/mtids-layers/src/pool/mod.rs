//! Pooling in two and three dimensions with exact gradients.
//!
//! Purpose: candle's maximum pooling returns gradients that are wrong by a factor and asks for windows that do not overlap;
//! it has no pooling in three dimensions. Windows here may overlap and reach over the border ([`max_pool`],
//! [`average_pool`]), or be the cells of a coarse grid ([`GridPool`], 1 cell being the global average).

mod composed;
mod dispatch;
mod grid;
mod window;

use candle_core::Tensor;

pub use grid::{GridPool, GridPooling};
pub use window::{Windows, grid_cell};

use crate::error::Result;
use crate::geometry::deep;
use dispatch::pool_regions;
use window::{Kind, Regions};

/// Maximum over windows of `[B, C, (D,) H, W]`; cells over the border do not take part. The gradient goes to the first
/// largest cell.
///
/// # Errors
/// When the windows do not fit.
pub fn max_pool<const N: usize>(x: &Tensor, windows: &Windows<N>) -> Result<Tensor> {
    pool(x, windows, Kind::Maximum)
}

/// Mean over windows of `[B, C, (D,) H, W]`; cells over the border do not count.
///
/// # Errors
/// When the windows do not fit.
pub fn average_pool<const N: usize>(x: &Tensor, windows: &Windows<N>) -> Result<Tensor> {
    pool(x, windows, Kind::Average)
}

/// Largest cell of each channel: `[B, C, H, W]` or `[B, C, D, H, W]` to `[B, C]`. The gradient goes to the first largest cell.
///
/// # Errors
/// When there is no cell.
pub fn global_max_pool(x: &Tensor) -> Result<Tensor> {
    Ok(pool_regions(x, Regions::Grid([1; 3]), Kind::Maximum)?.flatten_from(1)?)
}

/// Mean of each channel: `[B, C, ..]` to `[B, C]`.
///
/// # Errors
/// When candle refuses the operation.
pub fn global_average_pool(x: &Tensor) -> Result<Tensor> {
    Ok(x.flatten_from(2)?.mean(2)?)
}

fn pool<const N: usize>(x: &Tensor, windows: &Windows<N>, kind: Kind) -> Result<Tensor> {
    if x.dims().len() != N + 2 {
        let expected = format!("two axes and {N} more");
        return Err(crate::LayerError::Shape { what: "feature map", found: x.dims().to_vec(), expected });
    }
    // Two axes are three with a depth of one.
    let windows =
        Windows { kernel: deep(windows.kernel, 1), stride: deep(windows.stride, 1), padding: deep(windows.padding, 0) };
    pool_regions(x, Regions::Windows(windows), kind)
}

#[cfg(test)]
mod tests;
