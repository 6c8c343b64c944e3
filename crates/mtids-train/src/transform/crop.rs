//! Crops: the model sees a part of the stored patch, shifted at random while training and centred otherwise.
//!
//! A left-right flip is not offered: it would change the station (4R becomes 4L) and turn 5 and 6 into places that do not exist.
//! Invariant: a shift is a pure function of (seed, epoch, sample key).

use mtids_runtime::random::rng_for;
use rand::RngExt;
use rand_distr::{Distribution, Normal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a patch is cropped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CropConfig {
    /// Model input (d, h, w); no side larger than the stored patch. Without it, the whole patch.
    pub size: Option<[usize; 3]>,
    /// Largest random shift from the centre, voxels (d, h, w), within the margin; training only.
    pub shift: [usize; 3],
    /// Standard deviation of noise added while training, HU.
    pub noise_hu: f64,
}

impl Default for CropConfig {
    fn default() -> Self {
        // No shift along the slices: they are channels of the 2.5-D trunk, and a node that changes channels is not learned.
        Self { size: None, shift: [0, 4, 4], noise_hu: 0.0 }
    }
}

impl CropConfig {
    /// Size of the crop of a patch of `stored` voxels.
    pub fn output(&self, stored: [usize; 3]) -> [usize; 3] {
        self.size.map_or(stored, |size| std::array::from_fn(|axis| size[axis].min(stored[axis])))
    }
}

/// Crops one patch `[C, D, H, W]` and appends it to `out`, all channels alike; `keyed` is (seed, epoch, sample key) while training. Noise is
/// that of a CT, the first channel.
pub fn crop(
    voxels: &[i16],
    stored: [usize; 3],
    config: &CropConfig,
    keyed: Option<(u64, u64, &str)>,
    out: &mut Vec<i16>,
) {
    let size = config.output(stored);
    let mut random = keyed.map(|(seed, epoch, key)| rng_for(seed, &format!("augment {key}"), &[epoch]));
    let start: [usize; 3] = std::array::from_fn(|axis| {
        let margin = stored[axis] - size[axis];
        let center = margin / 2;
        match &mut random {
            None => center,
            Some(random) => {
                let shift = config.shift[axis].min(center).min(margin - center);
                center + random.random_range(0..=2 * shift) - shift
            }
        }
    });
    let noise = Normal::new(0.0, config.noise_hu).ok().filter(|_| config.noise_hu > 0.0);
    for (channel, voxels) in voxels.chunks_exact(stored.iter().product::<usize>().max(1)).enumerate() {
        for d in start[0]..start[0] + size[0] {
            for h in start[1]..start[1] + size[1] {
                let row = (d * stored[1] + h) * stored[2] + start[2];
                let row = &voxels[row..row + size[2]];
                match (&mut random, &noise) {
                    (Some(random), Some(noise)) if channel == 0 => {
                        out.extend(row.iter().map(|&hu| (f64::from(hu) + noise.sample(random)).round() as i16));
                    }
                    _ => out.extend_from_slice(row),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_are_centred_or_keyed() {
        let voxels: Vec<i16> = (0..4 * 6 * 6).collect();
        let config = CropConfig { size: Some([2, 2, 2]), shift: [1, 2, 2], noise_hu: 0.0 };
        let mut center = Vec::new();
        crop(&voxels, [4, 6, 6], &config, None, &mut center);
        assert_eq!(center[0], 36 + 2 * 6 + 2);
        let shifted = |epoch| {
            let mut out = Vec::new();
            crop(&voxels, [4, 6, 6], &config, Some((1, epoch, "s")), &mut out);
            out
        };
        assert_eq!(shifted(0), shifted(0));
        assert!((1..20).any(|epoch| shifted(epoch) != shifted(0)));
        let both: Vec<i16> = voxels.iter().copied().chain(voxels.iter().map(|hu| hu + 1000)).collect();
        let mut channels = Vec::new();
        crop(&both, [4, 6, 6], &config, Some((1, 3, "s")), &mut channels);
        let (ct, pet) = channels.split_at(8);
        assert_eq!((ct, pet.iter().map(|x| x - 1000).collect::<Vec<_>>()), (&shifted(3)[..], ct.to_vec()));
        let mut whole = Vec::new();
        crop(&voxels, [4, 6, 6], &CropConfig { size: None, ..config }, Some((1, 0, "s")), &mut whole);
        assert_eq!(whole, voxels);
    }
}
