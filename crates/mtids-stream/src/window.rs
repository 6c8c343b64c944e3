//! HU become network input: one channel per window.
//!
//! Units: HU in, 0…1 out (clamped). Shapes: voxels `[B, V]` become channels `[B, C, V]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A grey-value window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Centre in HU.
    pub center_hu: f32,
    /// Width in HU, above 0.
    pub width_hu: f32,
}

/// Appends `[B, C, V]` to `out` for `voxels` `[B, V]` with `patch_len` = V; a value at the centre becomes 0.5.
pub fn fill_channels(voxels: &[i16], patch_len: usize, windows: &[Window], out: &mut Vec<f32>) {
    out.reserve(voxels.len() * windows.len());
    for patch in voxels.chunks_exact(patch_len.max(1)) {
        for window in windows {
            let scale = 1.0 / window.width_hu;
            let low = window.center_hu - 0.5 * window.width_hu;
            out.extend(patch.iter().map(|&hu| ((f32::from(hu) - low) * scale).clamp(0.0, 1.0)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_become_channels() {
        let windows = [Window { center_hu: 0.0, width_hu: 100.0 }, Window { center_hu: 50.0, width_hu: 200.0 }];
        let mut out = Vec::new();
        fill_channels(&[0, 1000, -1000, 50], 2, &windows, &mut out);
        assert_eq!(out, [0.5, 1.0, 0.25, 1.0, 0.0, 1.0, 0.0, 0.5]);
    }
}
