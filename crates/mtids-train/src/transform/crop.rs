//! Crops: the model sees a part of the stored view, shifted at random while training and centred otherwise.
//!
//! Units: voxels (d, h, w). Invariant: the crop lies within what is stored.

use mtids_runtime::random::Rng;
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// How the views are cropped that have no defaults of their own: all but `near` and `wide`.
///
/// A left-right flip is not offered here: it would change the station (4R becomes 4L) and turn 5 and 6 into places that do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CropConfig {
    /// Model input (d, h, w); each side at least 1 and no larger than the stored patch. Without it, the whole patch.
    pub size: Option<[usize; 3]>,
    /// Largest random shift from the centre, voxels (d, h, w), as far as the margin allows; training only.
    pub shift: [usize; 3],
    /// Standard deviation of noise added while training, HU.
    pub noise_hu: f64,
}

impl Default for CropConfig {
    fn default() -> Self {
        // No shift along the slices: they are channels of the 2.5-D backbone, and a node that changes channels is not learned.
        Self { size: None, shift: [0, 4, 4], noise_hu: 0.0 }
    }
}

impl CropConfig {
    /// Checks what does not depend on the dataset.
    ///
    /// # Errors
    /// [`TrainError::Setting`] naming the key.
    pub fn validate(&self) -> Result<(), TrainError> {
        if self.size.is_some_and(|size| size.contains(&0)) {
            return Err(TrainError::setting("crop.size", "each side is at least 1"));
        }
        if !(0.0..=500.0).contains(&self.noise_hu) {
            return Err(TrainError::setting("crop.noise_hu", "between 0 and 500 HU"));
        }
        Ok(())
    }
}

/// The crop of views of one size.
#[derive(Clone, Debug)]
pub(super) struct Crop {
    stored: [usize; 3],
    size: [usize; 3],
    /// Smallest distance of the crop from the start of what is stored, when centred.
    center: [usize; 3],
    /// Largest shift that the margin allows.
    shift: [usize; 3],
}

impl Crop {
    /// The crop to `size` of `stored` voxels, which are no fewer along any axis.
    pub(super) fn new(size: [usize; 3], shift: [usize; 3], stored: [usize; 3]) -> Self {
        let center: [usize; 3] = std::array::from_fn(|axis| stored[axis].saturating_sub(size[axis]) / 2);
        Self { stored, size, center, shift: std::array::from_fn(|axis| shift[axis].min(center[axis])) }
    }

    /// Size of the crop (d, h, w).
    pub(super) fn size(&self) -> [usize; 3] {
        self.size
    }

    /// Size of what is stored (d, h, w).
    pub(super) fn stored(&self) -> [usize; 3] {
        self.stored
    }

    /// First voxel of the crop: shifted where a generator is given, centred otherwise.
    pub(super) fn start(&self, random: Option<&mut Rng>) -> [usize; 3] {
        match random {
            None => self.center,
            Some(random) => std::array::from_fn(|axis| {
                self.center[axis] + random.random_range(0..=2 * self.shift[axis]) - self.shift[axis]
            }),
        }
    }

    /// Appends the crop of one channel `[D, H, W]` to `out`.
    pub(super) fn append(&self, voxels: &[i16], start: [usize; 3], out: &mut Vec<i16>) {
        let (stored, size) = (self.stored, self.size);
        for d in start[0]..start[0] + size[0] {
            for h in start[1]..start[1] + size[1] {
                let row = (d * stored[1] + h) * stored[2] + start[2];
                out.extend_from_slice(&voxels[row..row + size[2]]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::random::rng_for;

    #[test]
    fn crops_are_centred_or_shifted_within_the_margin() {
        let voxels: Vec<i16> = (0..4 * 6 * 6).collect();
        let crop = Crop::new([2, 2, 2], [5, 2, 1], [4, 6, 6]);
        let mut out = Vec::new();
        crop.append(&voxels, crop.start(None), &mut out);
        assert_eq!((out.len(), out[0]), (8, 36 + 2 * 6 + 2));
        let starts: Vec<[usize; 3]> = (0..200).map(|draw| crop.start(Some(&mut rng_for(1, "crop", &[draw])))).collect();
        for (axis, range) in [(0, 0..=2), (1, 0..=4), (2, 1..=3)] {
            assert!(starts.iter().all(|start| range.contains(&start[axis])));
            assert!(range.clone().all(|at| starts.iter().any(|start| start[axis] == at)), "axis {axis}");
        }
        let whole = Crop::new([4, 6, 6], [0, 4, 4], [4, 6, 6]);
        assert_eq!(whole.start(Some(&mut rng_for(1, "crop", &[0]))), [0; 3]);
    }
}
