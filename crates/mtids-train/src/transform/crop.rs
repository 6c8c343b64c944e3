//! Crops: the model sees a part of the stored patch, shifted at random while training and centred otherwise.
//!
//! A left-right flip is not offered: it would change the station (4R becomes 4L) and turn 5 and 6 into places that do not exist.
//! Invariant: a shift is a pure function of (seed, epoch, sample key).

use mtids_runtime::random::rng_for;
use rand::RngExt;
use rand_distr::{Distribution, Normal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// How a patch is cropped.
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

/// The crop of patches of one size.
#[derive(Clone, Debug)]
pub(crate) struct Crop {
    stored: [usize; 3],
    size: [usize; 3],
    /// Smallest distance of the crop from the patch's start when centred.
    center: [usize; 3],
    /// Largest shift that the margin allows.
    shift: [usize; 3],
    noise: Option<Normal<f64>>,
}

impl Crop {
    /// The crop of patches of `stored` voxels.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for a crop larger than the patch, or one that [`CropConfig::validate`] refuses.
    pub(crate) fn new(config: &CropConfig, stored: [usize; 3]) -> Result<Self, TrainError> {
        config.validate()?;
        let size = config.size.unwrap_or(stored);
        if (0..3).any(|axis| size[axis] > stored[axis]) {
            let reason = format!("{size:?} is larger than the patches of this dataset, {stored:?}");
            return Err(TrainError::setting("crop.size", reason));
        }
        let margin: [usize; 3] = std::array::from_fn(|axis| stored[axis] - size[axis]);
        let center = margin.map(|margin| margin / 2);
        let shift = std::array::from_fn(|axis| config.shift[axis].min(center[axis]));
        let noise = Normal::new(0.0, config.noise_hu).ok().filter(|_| config.noise_hu > 0.0);
        Ok(Self { stored, size, center, shift, noise })
    }

    /// Size of the crop (d, h, w).
    pub(crate) fn size(&self) -> [usize; 3] {
        self.size
    }

    /// Crops one patch `[C, D, H, W]` and appends it to `out`, all channels alike; `key` is (seed, epoch, sample key) while training.
    /// Noise is that of a CT, the first channel.
    pub(crate) fn append(&self, voxels: &[i16], key: Option<(u64, u64, &str)>, out: &mut Vec<i16>) {
        let (stored, size) = (self.stored, self.size);
        let mut random = key.map(|(seed, epoch, key)| rng_for(seed, &format!("augment {key}"), &[epoch]));
        let start: [usize; 3] = std::array::from_fn(|axis| match &mut random {
            None => self.center[axis],
            Some(random) => self.center[axis] + random.random_range(0..=2 * self.shift[axis]) - self.shift[axis],
        });
        for (channel, voxels) in voxels.chunks_exact(stored.iter().product::<usize>().max(1)).enumerate() {
            for d in start[0]..start[0] + size[0] {
                for h in start[1]..start[1] + size[1] {
                    let row = (d * stored[1] + h) * stored[2] + start[2];
                    let row = &voxels[row..row + size[2]];
                    match (&mut random, &self.noise) {
                        (Some(random), Some(noise)) if channel == 0 => {
                            out.extend(row.iter().map(|&hu| (f64::from(hu) + noise.sample(random)).round() as i16));
                        }
                        _ => out.extend_from_slice(row),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::exit::ExitStatus;

    #[test]
    fn crops_are_centred_or_keyed() {
        let voxels: Vec<i16> = (0..4 * 6 * 6).collect();
        let config = CropConfig { size: Some([2, 2, 2]), shift: [1, 2, 2], noise_hu: 0.0 };
        let crop = Crop::new(&config, [4, 6, 6]).unwrap();
        let mut center = Vec::new();
        crop.append(&voxels, None, &mut center);
        assert_eq!(center[0], 36 + 2 * 6 + 2);
        let shifted = |epoch| {
            let mut out = Vec::new();
            crop.append(&voxels, Some((1, epoch, "s")), &mut out);
            out
        };
        assert_eq!(shifted(0), shifted(0));
        assert!((1..20).any(|epoch| shifted(epoch) != shifted(0)));
        let both: Vec<i16> = voxels.iter().copied().chain(voxels.iter().map(|hu| hu + 1000)).collect();
        let mut channels = Vec::new();
        crop.append(&both, Some((1, 3, "s")), &mut channels);
        let (ct, pet) = channels.split_at(8);
        assert_eq!((ct, pet.iter().map(|x| x - 1000).collect::<Vec<_>>()), (&shifted(3)[..], ct.to_vec()));
        let mut whole = Vec::new();
        let uncropped = Crop::new(&CropConfig { size: None, ..config }, [4, 6, 6]).unwrap();
        uncropped.append(&voxels, Some((1, 0, "s")), &mut whole);
        assert_eq!(whole, voxels);
    }

    #[test]
    fn a_crop_that_the_patch_does_not_hold_is_refused() {
        let crop = |size, noise_hu| {
            Crop::new(&CropConfig { size, noise_hu, ..Default::default() }, [4, 6, 6]).map(|crop| crop.size())
        };
        assert_eq!(crop(Some([4, 6, 5]), 0.0).unwrap(), [4, 6, 5]);
        for size in [[5, 6, 6], [4, 6, 7], [0, 6, 6]] {
            let error = crop(Some(size), 0.0).unwrap_err();
            assert!(error.to_string().contains("`crop.size`"), "{error}");
            assert_eq!(error.exit(), mtids_runtime::exit::Exit::Usage);
        }
        for noise in [f64::NAN, -1.0, f64::INFINITY] {
            assert!(crop(None, noise).unwrap_err().to_string().contains("`crop.noise_hu`"));
        }
    }
}
