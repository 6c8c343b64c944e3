//! Grey values of a CT changed within what scanners differ by, and noise.
//!
//! A sample becomes `hu · (1 + g) + o + noise`: the gain g is about water (0 HU), the offset o shifts all. Units: HU. Invariant: only the CT is
//! changed.

use mtids_patch::ViewName;
use mtids_runtime::random::Rng;
use rand::RngExt;

use super::key::AugmentKey;
use super::noise::{DRAWN_AT_ONCE, standard_normal};
use super::rounding::to_stored;

/// How far grey values are changed at random.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Intensity {
    gain: f64,
    offset_hu: f64,
    noise_hu: f64,
}

impl Intensity {
    /// Largest gain beyond 1 and largest offset, either way; standard deviation of the noise, a finite number of at least 0.
    pub(super) fn new(gain: f64, offset_hu: f64, noise_hu: f64) -> Self {
        Self { gain, offset_hu, noise_hu }
    }

    /// Changes the voxels of a CT. `random` gives the noise, voxel by voxel.
    pub(super) fn apply(&self, key: &AugmentKey<'_>, view: &ViewName, random: &mut Rng, voxels: &mut [i16]) {
        let (mut factor, mut offset) = (1.0, 0.0);
        if self.gain > 0.0 || self.offset_hu > 0.0 {
            let mut random = key.random("intensity", view);
            factor += self.gain * random.random_range(-1.0..=1.0);
            offset += self.offset_hu * random.random_range(-1.0..=1.0);
        } else if self.noise_hu == 0.0 {
            return;
        }
        let (factor, offset, noise_hu) = (factor as f32, offset as f32, self.noise_hu as f32);
        let changed = |hu: i16, noise: f32| to_stored(f32::from(hu) * factor + offset + noise);
        if self.noise_hu == 0.0 {
            voxels.iter_mut().for_each(|voxel| *voxel = changed(*voxel, 0.0));
            return;
        }
        let mut noise = [0.0; DRAWN_AT_ONCE];
        for voxels in voxels.chunks_mut(DRAWN_AT_ONCE) {
            let noise = &mut noise[..voxels.len()];
            standard_normal(random, noise);
            voxels.iter_mut().zip(noise).for_each(|(voxel, noise)| *voxel = changed(*voxel, *noise * noise_hu));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(intensity: Intensity, sample: &str, voxels: &[i16]) -> Vec<i16> {
        let key = AugmentKey { seed: 3, epoch: 1, sample, copy: 0 };
        let view = ViewName::try_from("near".to_owned()).unwrap();
        let mut out = voxels.to_vec();
        intensity.apply(&key, &view, &mut key.random("augment", &view), &mut out);
        out
    }

    #[test]
    fn gain_is_about_water_and_the_offset_is_one_for_all_voxels() {
        let voxels = [-1000, 0, 1000, i16::MAX, i16::MIN];
        assert_eq!(changed(Intensity::new(0.0, 0.0, 0.0), "a", &voxels), voxels);
        let mut offsets = Vec::new();
        for n in 0..100 {
            let out = changed(Intensity::new(0.02, 5.0, 0.0), &format!("s{n}"), &voxels);
            assert!((-5..=5).contains(&out[1]), "{out:?}");
            assert!((f64::from(out[2]) - 1000.0 - f64::from(out[1])).abs() <= 21.0, "{out:?}");
            assert!((i32::from(out[0]) + i32::from(out[2]) - 2 * i32::from(out[1])).abs() <= 2, "{out:?}");
            offsets.push(out[1]);
        }
        assert!(offsets.iter().any(|offset| *offset < -2) && offsets.iter().any(|offset| *offset > 2));
    }

    #[test]
    fn noise_has_its_deviation_and_no_mean() {
        let out = changed(Intensity::new(0.0, 0.0, 6.0), "a", &[40; 20_000]);
        let mean = out.iter().map(|&hu| f64::from(hu)).sum::<f64>() / 2e4;
        let deviation = (out.iter().map(|&hu| (f64::from(hu) - mean).powi(2)).sum::<f64>() / 2e4).sqrt();
        assert!((mean - 40.0).abs() < 0.2 && (deviation - 6.0).abs() < 0.15, "{mean} {deviation}");
        assert_eq!(changed(Intensity::new(0.0, 0.0, 6.0), "a", &[40; 20_000]), out);
    }
}
