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
/// Fewest slices that make a volume.
pub const DEFAULT_MIN_SLICES: usize = 3;
/// Largest accepted angle between slice normal and stacking direction, in degrees.
pub const DEFAULT_MAX_TILT_DEGREES: f64 = 0.1;
/// Accepted jitter of slice positions in mm; 1 % of the step is accepted as well.
pub const DEFAULT_POSITION_TOLERANCE_MM: f64 = 0.02;

/// Bounds of reading.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest accepted file in bytes.
    pub max_file_bytes: u64,
    /// Deepest accepted nesting.
    pub max_depth: usize,
    /// Largest accepted volume in voxels.
    pub max_voxels: u64,
    /// Fewest slices of a volume.
    pub min_slices: usize,
    /// Largest accepted gantry tilt in degrees.
    pub max_tilt_degrees: f64,
    /// Accepted jitter of positions in mm.
    pub position_tolerance_mm: f64,
    /// Refuse lossy compression instead of flagging it.
    pub refuse_lossy: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_file_bytes: DEFAULT_MAX_FILE_BYTES,
            max_depth: DEFAULT_MAX_DEPTH,
            max_voxels: DEFAULT_MAX_VOXELS,
            min_slices: DEFAULT_MIN_SLICES,
            max_tilt_degrees: DEFAULT_MAX_TILT_DEGREES,
            position_tolerance_mm: DEFAULT_POSITION_TOLERANCE_MM,
            refuse_lossy: true,
        }
    }
}
