//! HU and SUV become network input: one channel per window, one for PET.
//!
//! Units: HU and hundredths of an SUV in, 0…1 out (clamped). Shapes: voxels `[B, 1 or 2, V]` become channels `[B, C, V]`.

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

/// How stored channels become network input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputChannels<'a> {
    /// Windows of the CT, one input channel each.
    pub windows: &'a [Window],
    /// Stored value of the PET that becomes 1, where the dataset's second channel is PET and the network sees it.
    pub pet_full: Option<f32>,
    /// Stored channels of a patch.
    pub stored: usize,
}

impl InputChannels<'_> {
    /// Input channels of a patch.
    pub fn count(&self) -> usize {
        self.windows.len() + usize::from(self.pet_full.is_some())
    }

    /// Appends `[B, C, V]` to `out` for `voxels` `[B, stored, V]` with `patch_len` = V; a value at the centre of a window becomes 0.5.
    pub fn fill(&self, voxels: &[i16], patch_len: usize, out: &mut Vec<f32>) {
        let patch = patch_len * self.stored;
        out.reserve(voxels.len() / patch.max(1) * patch_len * self.count());
        for patch in voxels.chunks_exact(patch.max(1)) {
            let (ct, pet) = patch.split_at(patch_len);
            for window in self.windows {
                let scale = 1.0 / window.width_hu;
                let low = window.center_hu - 0.5 * window.width_hu;
                out.extend(ct.iter().map(|&hu| ((f32::from(hu) - low) * scale).clamp(0.0, 1.0)));
            }
            if let Some(full) = self.pet_full {
                out.extend(pet.iter().take(patch_len).map(|&suv| (f32::from(suv) / full).clamp(0.0, 1.0)));
            }
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
        let channels = InputChannels { windows: &windows, pet_full: None, stored: 1 };
        channels.fill(&[0, 1000, -1000, 50], 2, &mut out);
        assert_eq!(out, [0.5, 1.0, 0.25, 1.0, 0.0, 1.0, 0.0, 0.5]);
        let channels = InputChannels { windows: &windows[..1], pet_full: Some(1000.0), stored: 2 };
        let mut out = Vec::new();
        channels.fill(&[0, 1000, 250, 2000, -1000, 0, 0, 500], 2, &mut out);
        assert_eq!((channels.count(), out), (2, vec![0.5, 1.0, 0.25, 1.0, 0.0, 0.5, 0.0, 0.5]));
    }
}
