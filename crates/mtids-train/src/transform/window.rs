//! HU and SUV become network input: one channel per window, one for PET.
//!
//! Units: HU and hundredths of an SUV in, 0…1 out (clamped). Shapes: voxels `[B, 1 or 2, V]` become channels `[B, C, V]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// A grey-value window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Centre in HU.
    pub center_hu: f32,
    /// Width in HU, above 0.
    pub width_hu: f32,
}

impl Window {
    /// Checks the windows of a configuration.
    ///
    /// # Errors
    /// [`TrainError::Setting`] where there is none, or one has no finite centre or no finite, positive width.
    pub fn validate_all(windows: &[Window]) -> Result<(), TrainError> {
        let is_valid =
            |window: &Window| window.center_hu.is_finite() && window.width_hu.is_finite() && window.width_hu > 0.0;
        if windows.is_empty() || !windows.iter().all(is_valid) {
            return Err(TrainError::setting("windows", "at least one, each with a finite centre and a positive width"));
        }
        Ok(())
    }
}

/// How stored channels become network input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InputChannels {
    /// Windows of the CT, one input channel each.
    pub(crate) windows: Vec<Window>,
    /// Stored value of the PET that becomes 1, where the dataset's second channel is PET and the network sees it.
    pub(crate) pet_full: Option<f32>,
    /// Stored channels of a patch.
    pub(crate) stored: usize,
}

impl InputChannels {
    /// Input channels of a patch.
    pub(crate) fn count(&self) -> usize {
        self.windows.len() + usize::from(self.pet_full.is_some())
    }

    /// Appends `[B, C, V]` to `out` for `voxels` `[B, stored, V]` with `patch_len` = V; a value at the centre of a window becomes 0.5.
    pub(crate) fn fill(&self, voxels: &[i16], patch_len: usize, out: &mut Vec<f32>) {
        let patch = patch_len * self.stored;
        out.reserve(voxels.len() / patch.max(1) * patch_len * self.count());
        for patch in voxels.chunks_exact(patch.max(1)) {
            let (ct, pet) = patch.split_at(patch_len);
            for window in &self.windows {
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
        let channels = InputChannels { windows: windows.to_vec(), pet_full: None, stored: 1 };
        channels.fill(&[0, 1000, -1000, 50], 2, &mut out);
        assert_eq!(out, [0.5, 1.0, 0.25, 1.0, 0.0, 1.0, 0.0, 0.5]);
        let channels = InputChannels { windows: windows[..1].to_vec(), pet_full: Some(1000.0), stored: 2 };
        let mut out = Vec::new();
        channels.fill(&[0, 1000, 250, 2000, -1000, 0, 0, 500], 2, &mut out);
        assert_eq!((channels.count(), out), (2, vec![0.5, 1.0, 0.25, 1.0, 0.0, 0.5, 0.0, 0.5]));
    }

    #[test]
    fn windows_without_a_centre_or_a_width_are_refused() {
        assert!(Window::validate_all(&[Window { center_hu: 40.0, width_hu: 400.0 }]).is_ok());
        assert!(Window::validate_all(&[]).is_err());
        for (center_hu, width_hu) in
            [(f32::NAN, 1.0), (f32::INFINITY, 1.0), (0.0, f32::INFINITY), (0.0, 0.0), (0.0, f32::NAN)]
        {
            assert!(Window::validate_all(&[Window { center_hu, width_hu }]).is_err(), "{center_hu} {width_hu}");
        }
    }
}
