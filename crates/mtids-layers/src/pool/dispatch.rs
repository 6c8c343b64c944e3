//! Which pooling runs: our own operation on the CPU, candle's operations elsewhere.

use candle_core::Tensor;

use super::composed;
use super::window::{Kind, Regions, WindowOp};
use crate::error::Result;

/// Pools `[B, C, (D,) H, W]` over regions.
///
/// # Errors
/// When the regions do not fit.
pub(super) fn pool_regions(x: &Tensor, regions: Regions, kind: Kind) -> Result<Tensor> {
    let op = WindowOp { regions, kind };
    if x.device().is_cpu() {
        return Ok(x.contiguous()?.apply_op1(op)?);
    }
    composed::pool(x, &op)
}
