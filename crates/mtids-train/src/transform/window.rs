//! HU and SUV become network input: one channel per window, one for PET, one for each mark of the node.
//!
//! Units: HU, hundredths of an SUV and thousandths of a mark in, 0…1 out (clamped). Shapes: voxels `[B, S, V]` become channels `[B, C, V]`.

use mtids_onnx::StoredChannel;
use mtids_patch::Channel;
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

/// Stored value of a centre or a mask that becomes 1.
const MARK_FULL: f32 = 1000.0;

impl Window {
    /// What windows have to be.
    pub(super) const RULE: &str = "at least one, each with a finite centre and a positive width";

    /// Checks the windows of a configuration.
    ///
    /// # Errors
    /// [`TrainError::Setting`] where there is none, or one has no finite centre or no finite, positive width.
    pub fn validate_all(windows: &[Window]) -> Result<(), TrainError> {
        let is_valid =
            |window: &Window| window.center_hu.is_finite() && window.width_hu.is_finite() && window.width_hu > 0.0;
        if windows.is_empty() || !windows.iter().all(is_valid) {
            return Err(TrainError::setting("windows", Window::RULE));
        }
        Ok(())
    }

    /// Lowest HU and scale: `(hu − low) · scale` is 0 at the lower end of the window and 1 at the upper.
    fn low_and_scale(self) -> [f32; 2] {
        [self.center_hu - 0.5 * self.width_hu, 1.0 / self.width_hu]
    }
}

/// How stored channels become network input.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct InputChannels {
    /// Windows of the CT, one input channel each.
    pub(super) windows: Vec<Window>,
    /// Stored value of a PET that becomes 1; without it the network does not see PET.
    pub(super) pet_full: Option<f32>,
    /// Stored channels of a row.
    pub(super) stored: Vec<Channel>,
}

impl InputChannels {
    /// Input channels of a row.
    pub(super) fn count(&self) -> usize {
        let of = |channel: &Channel| match channel {
            Channel::Ct => self.windows.len(),
            Channel::Pet => usize::from(self.pet_full.is_some()),
            Channel::Center | Channel::Mask => 1,
        };
        self.stored.iter().map(of).sum()
    }

    /// What becomes of each stored channel, for a graph that does the same as [`InputChannels::fill`].
    pub(super) fn stored_channels(&self) -> Vec<StoredChannel> {
        let of = |channel: &Channel| match (channel, self.pet_full) {
            (Channel::Ct, _) => {
                StoredChannel::Windows(self.windows.iter().map(|window| window.low_and_scale()).collect())
            }
            (Channel::Pet, Some(full)) => StoredChannel::Share { full },
            (Channel::Pet, None) => StoredChannel::Unused,
            (Channel::Center | Channel::Mask, _) => StoredChannel::Share { full: MARK_FULL },
        };
        self.stored.iter().map(of).collect()
    }

    /// Appends `[B, C, V]` to `out` for `voxels` `[B, S, V]` with `len` = V > 0; a value at the centre of a window becomes 0.5.
    pub(super) fn fill(&self, voxels: &[i16], len: usize, out: &mut Vec<f32>) {
        let row = len * self.stored.len();
        out.reserve(voxels.len() / row.max(1) * len * self.count());
        for row in voxels.chunks_exact(row.max(1)) {
            for (values, channel) in row.chunks_exact(len).zip(&self.stored) {
                let mut share_of = |full: f32| {
                    out.extend(values.iter().map(|&value| (f32::from(value) / full).clamp(0.0, 1.0)));
                };
                match (channel, self.pet_full) {
                    (Channel::Ct, _) => {
                        for window in &self.windows {
                            let [low, scale] = window.low_and_scale();
                            out.extend(values.iter().map(|&hu| ((f32::from(hu) - low) * scale).clamp(0.0, 1.0)));
                        }
                    }
                    (Channel::Pet, Some(full)) => share_of(full),
                    (Channel::Pet, None) => {}
                    (Channel::Center | Channel::Mask, _) => share_of(MARK_FULL),
                }
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
        let channels = InputChannels { windows: windows.to_vec(), pet_full: None, stored: vec![Channel::Ct] };
        channels.fill(&[0, 1000, -1000, 50], 2, &mut out);
        assert_eq!(out, [0.5, 1.0, 0.25, 1.0, 0.0, 1.0, 0.0, 0.5]);
        let stored = vec![Channel::Ct, Channel::Pet];
        let channels = InputChannels { windows: windows[..1].to_vec(), pet_full: Some(1000.0), stored };
        let mut out = Vec::new();
        channels.fill(&[0, 1000, 250, 2000, -1000, 0, 0, 500], 2, &mut out);
        assert_eq!((channels.count(), out), (2, vec![0.5, 1.0, 0.25, 1.0, 0.0, 0.5, 0.0, 0.5]));
    }

    #[test]
    fn marks_of_the_node_are_shares_and_a_pet_may_be_left_out() {
        let stored = vec![Channel::Ct, Channel::Pet, Channel::Center, Channel::Mask];
        let windows = vec![Window { center_hu: 0.0, width_hu: 100.0 }];
        let channels = InputChannels { windows, pet_full: None, stored };
        let mut out = Vec::new();
        channels.fill(&[0, 50, 9, 9, 1000, 250, 500, 0], 2, &mut out);
        let [low, scale] = [-50.0, 0.01];
        let mark = StoredChannel::Share { full: 1000.0 };
        let stored = channels.stored_channels();
        assert_eq!(stored, [StoredChannel::Windows(vec![[low, scale]]), StoredChannel::Unused, mark.clone(), mark]);
        assert_eq!((channels.count(), out), (3, vec![0.5, 1.0, 1.0, 0.25, 0.5, 0.0]));
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
