//! Bounds that keep a hostile or broken file from taking the machine.
//!
//! Units: bytes, levels, mm, degrees. Every default is a documented constant.

use serde::{Deserialize, Serialize};

/// Largest accepted file: 2 GiB.
pub const DEFAULT_MAX_FILE_BYTES: u64 = 2 << 30;
/// Deepest accepted nesting of sequences.
pub const DEFAULT_MAX_DEPTH: usize = 32;
/// Largest accepted volume: 2³⁰ voxels (2 GiB of HU).
pub const DEFAULT_MAX_VOXELS: u64 = 1 << 30;
/// Most findings of one object: no patient has a thousand nodes.
pub const DEFAULT_MAX_FINDINGS: usize = 10_000;
/// Most set voxels of the masks of one file: 2²⁵. A node has thousands, a lung a few millions.
pub const DEFAULT_MAX_SET_VOXELS: usize = 1 << 25;
/// Compressed data above [`EXPANSION_FLOOR`] may grow by this factor at most; a CT slice grows by two to ten.
pub const DEFAULT_MAX_EXPANSION: u64 = 50;
/// Largest data set that is inflated into memory: 512 MiB.
pub const MAX_INFLATED: u64 = 512 << 20;
/// Decoded sizes up to this are not judged by their growth: 64 MiB.
pub const EXPANSION_FLOOR: u64 = 64 << 20;
/// Most bytes that are parsed of one file, its pixels aside: 256 MiB. Contours of large structure sets come near.
pub const DEFAULT_MAX_HEADER_BYTES: u64 = 256 << 20;
/// Fewest slices that make a volume.
pub const DEFAULT_MIN_SLICES: usize = 3;
/// Largest accepted angle between slice normal and stacking direction, in degrees.
pub const DEFAULT_MAX_TILT_DEGREES: f64 = 0.1;
/// Accepted jitter of slice positions in mm; 1 % of the step is accepted as well.
pub const DEFAULT_POSITION_TOLERANCE_MM: f64 = 0.02;
/// Largest gantry tilt that a repair undoes, in degrees: the range of tilting gantries.
pub const MAX_REPAIRED_TILT_DEGREES: f64 = 30.0;
/// Largest step over which a repair interpolates, in usual steps: one slice may be missing in a row.
pub const MAX_REPAIRED_STEPS: f64 = 2.0;

/// Bounds of reading.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest accepted file in bytes.
    pub max_file_bytes: u64,
    /// Deepest accepted nesting.
    pub max_depth: usize,
    /// Largest accepted volume in voxels.
    pub max_voxels: u64,
    /// Most findings of one label, and labels of one object.
    pub max_findings: usize,
    /// Most set voxels of the masks of one file.
    pub max_set_voxels: usize,
    /// Largest accepted growth of compressed data.
    pub max_expansion: u64,
    /// Most bytes that are parsed of one file.
    pub max_header_bytes: u64,
    /// Fewest slices of a volume.
    pub min_slices: usize,
    /// Largest accepted gantry tilt in degrees.
    pub max_tilt_degrees: f64,
    /// Accepted jitter of positions in mm.
    pub position_tolerance_mm: f64,
    /// Refuse lossy compression instead of flagging it.
    pub refuse_lossy: bool,
    /// Resample tilted stacks, single missing slices and unequal steps instead of refusing them.
    pub repair: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_file_bytes: DEFAULT_MAX_FILE_BYTES,
            max_depth: DEFAULT_MAX_DEPTH,
            max_voxels: DEFAULT_MAX_VOXELS,
            max_findings: DEFAULT_MAX_FINDINGS,
            max_set_voxels: DEFAULT_MAX_SET_VOXELS,
            max_expansion: DEFAULT_MAX_EXPANSION,
            max_header_bytes: DEFAULT_MAX_HEADER_BYTES,
            min_slices: DEFAULT_MIN_SLICES,
            max_tilt_degrees: DEFAULT_MAX_TILT_DEGREES,
            position_tolerance_mm: DEFAULT_POSITION_TOLERANCE_MM,
            refuse_lossy: true,
            repair: false,
        }
    }
}

/// A limit that cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {reason}")]
pub struct LimitFault {
    /// The field.
    pub key: &'static str,
    /// What it may be.
    pub reason: &'static str,
}

impl Limits {
    /// Checks the numbers that a user may set. A comparison with NaN is never true, so a limit that is NaN would limit nothing.
    ///
    /// # Errors
    /// [`LimitFault`] naming the field.
    pub fn validate(&self) -> Result<(), LimitFault> {
        if !(0.0..=90.0).contains(&self.max_tilt_degrees) {
            return Err(LimitFault { key: "max_tilt_degrees", reason: "between 0 and 90 degrees" });
        }
        if !(0.0..=1000.0).contains(&self.position_tolerance_mm) {
            return Err(LimitFault { key: "position_tolerance_mm", reason: "between 0 and 1000 mm" });
        }
        Ok(())
    }

    /// The sentence for a mask file with more set voxels than [`Self::max_set_voxels`].
    pub fn too_many_set_voxels(&self) -> String {
        format!("more than {} set voxels; select only structures that are nodes", self.max_set_voxels)
    }

    /// Whether `compressed` bytes may become `decoded` bytes.
    pub(crate) fn allows_expansion(&self, compressed: u64, decoded: u64) -> bool {
        decoded <= EXPANSION_FLOOR.max(compressed.saturating_mul(self.max_expansion))
    }

    /// Largest size that `compressed` bytes may decode to.
    pub(crate) fn decoded_limit(&self, compressed: u64) -> u64 {
        EXPANSION_FLOOR.max(compressed.saturating_mul(self.max_expansion)).min(MAX_INFLATED).min(self.max_file_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_limit_nothing_are_refused() {
        assert_eq!(Limits::default().validate(), Ok(()));
        for wrong in [f64::NAN, f64::INFINITY, -1.0] {
            let tilt = Limits { max_tilt_degrees: wrong, ..Limits::default() };
            let jitter = Limits { position_tolerance_mm: wrong, ..Limits::default() };
            assert_eq!(tilt.validate().map_err(|fault| fault.key), Err("max_tilt_degrees"), "{wrong}");
            assert_eq!(jitter.validate().map_err(|fault| fault.key), Err("position_tolerance_mm"), "{wrong}");
        }
    }
}
