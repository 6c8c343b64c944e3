//! A view turned a little in its plane, or enlarged, sampled from the stored margin.
//!
//! Rotation is about the crop's centre in the plane of h and w; enlargement is the same along all axes. Interpolation is linear, in mm, so
//! unequal spacings are not sheared; beyond what is stored, the border continues. It smooths a little, and an evaluation is not smoothed: so
//! only half of the samples are turned, and the network learns sharp ones too. Units: degrees, mm. Invariant: voxels in, voxels out.

use mtids_patch::ViewName;
use rand::RngExt;

use super::crop::Crop;
use super::key::AugmentKey;
use super::rounding::to_stored;

/// Share of the samples that are turned.
const TURNED_SHARE: f64 = 0.5;

/// How far views are turned and enlarged at random.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct WarpRange {
    /// Largest angle, degrees, either way.
    pub(super) rotation_degrees: f64,
    /// Largest enlargement beyond 1; the largest reduction is its inverse.
    pub(super) scale: f64,
}

impl WarpRange {
    /// The angle of a sample in radians: 0 for half of the samples, the others equally spread.
    fn angle(&self, key: &AugmentKey<'_>, view: &ViewName) -> f64 {
        if self.rotation_degrees == 0.0 {
            return 0.0;
        }
        let mut random = key.random("rotation", view);
        let is_turned = random.random_bool(TURNED_SHARE);
        let share: f64 = random.random_range(-1.0..=1.0);
        if is_turned { (share * self.rotation_degrees).to_radians() } else { 0.0 }
    }

    /// By how much the image of a sample is larger than the stored one: its logarithm is equally spread.
    pub(super) fn enlargement(&self, key: &AugmentKey<'_>, view: &ViewName) -> f64 {
        if self.scale == 0.0 {
            return 1.0;
        }
        let share: f64 = key.random("scale", view).random_range(-1.0..=1.0);
        (share * self.scale.ln_1p()).exp()
    }

    /// What is done to a sample; `None` for nothing.
    pub(super) fn draw(&self, key: &AugmentKey<'_>, view: &ViewName) -> Option<Warp> {
        let warp = Warp { angle: self.angle(key, view), enlargement: self.enlargement(key, view) };
        (warp.angle != 0.0 || warp.enlargement != 1.0).then_some(warp)
    }
}

/// A rotation and an enlargement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Warp {
    /// Radians from h towards w.
    pub(super) angle: f64,
    /// Size of the image by that of the stored one.
    pub(super) enlargement: f64,
}

/// Two neighbouring voxels along an axis, and the share of the second.
#[derive(Clone, Copy)]
struct Between {
    low: usize,
    high: usize,
    share: f32,
}

impl Between {
    fn at(position: f64, length: usize) -> Self {
        let last = length.saturating_sub(1);
        let position = position.clamp(0.0, last as f64);
        let low = position.floor() as usize;
        Self { low, high: (low + 1).min(last), share: (position - low as f64) as f32 }
    }
}

/// Four neighbouring voxels of a plane, as places in it, and the shares of those behind.
#[derive(Clone, Copy)]
struct InPlane {
    places: [u32; 4],
    shares: [f32; 2],
}

impl InPlane {
    fn new(row: Between, column: Between, width: usize) -> Self {
        let place = |row: usize, column: usize| (row * width + column) as u32;
        let places = [
            place(row.low, column.low),
            place(row.low, column.high),
            place(row.high, column.low),
            place(row.high, column.high),
        ];
        Self { places, shares: [row.share, column.share] }
    }

    fn mix(&self, plane: &[i16]) -> f32 {
        let [a, b, c, d] = self.places.map(|place| f32::from(plane[place as usize]));
        let [row, column] = self.shares;
        mixed(mixed(a, b, column), mixed(c, d, column), row)
    }
}

fn mixed(low: f32, high: f32, share: f32) -> f32 {
    low * (1.0 - share) + high * share
}

impl Warp {
    /// Appends the warped crop that begins at `start` of one channel to `out`, rounded to whole numbers.
    pub(super) fn append(
        &self,
        crop: &Crop,
        start: [usize; 3],
        spacing_mm: [f64; 3],
        voxels: &[i16],
        out: &mut Vec<i16>,
    ) {
        let (stored, size) = (crop.stored(), crop.size());
        let middle = |axis: usize| (size[axis] as f64 - 1.0) / 2.0;
        let offset_mm = |axis: usize, n: usize| (n as f64 - middle(axis)) * spacing_mm[axis] / self.enlargement;
        let between =
            |axis: usize, mm: f64| Between::at(start[axis] as f64 + middle(axis) + mm / spacing_mm[axis], stored[axis]);
        let (sine, cosine) = self.angle.sin_cos();
        // The places of a plane are the same in all.
        let in_plane: Vec<InPlane> = (0..size[1] * size[2])
            .map(|n| {
                let (y, x) = (offset_mm(1, n / size[2]), offset_mm(2, n % size[2]));
                InPlane::new(between(1, y * cosine - x * sine), between(2, y * sine + x * cosine), stored[2])
            })
            .collect();
        let plane = |d: usize| &voxels[d * stored[1] * stored[2]..][..stored[1] * stored[2]];
        for d in 0..size[0] {
            let along = between(0, offset_mm(0, d));
            let low = plane(along.low);
            if along.share == 0.0 {
                out.extend(in_plane.iter().map(|place| to_stored(place.mix(low))));
            } else {
                let high = plane(along.high);
                let mix = |place: &InPlane| to_stored(mixed(place.mix(low), place.mix(high), along.share));
                out.extend(in_plane.iter().map(mix));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> ViewName {
        ViewName::try_from("near".to_owned()).unwrap()
    }

    fn warped(warp: Warp, stored: [usize; 3], size: [usize; 3], spacing: [f64; 3], voxels: &[i16]) -> Vec<i16> {
        let crop = Crop::new(size, [0; 3], stored);
        let mut out = Vec::new();
        warp.append(&crop, crop.start(None), spacing, voxels, &mut out);
        out
    }

    #[test]
    fn a_quarter_turn_moves_voxels_and_no_turn_moves_none() {
        let voxels: Vec<i16> = (0..18).collect();
        let still = Warp { angle: 0.0, enlargement: 1.0 };
        assert_eq!(warped(still, [2, 3, 3], [2, 3, 3], [2.0, 1.0, 1.0], &voxels), voxels);
        let quarter = Warp { angle: std::f64::consts::FRAC_PI_2, enlargement: 1.0 };
        // (y, x) reads (−x, y): the first row is the last column from below.
        assert_eq!(warped(quarter, [1, 3, 3], [1, 3, 3], [2.0, 1.0, 1.0], &voxels[..9])[..3], [6, 3, 0][..]);
    }

    #[test]
    fn a_ramp_is_turned_and_enlarged_in_mm() {
        // HU = 10 per mm along w, of 2 mm voxels; h has 1 mm voxels.
        let (stored, spacing) = ([3, 21, 21], [1.0, 1.0, 2.0]);
        let voxels: Vec<i16> = (0..3 * 21 * 21).map(|n| 20 * (n % 21) as i16).collect();
        let (angle, enlargement) = (0.2_f64, 1.25);
        let size = [1, 5, 5];
        let out = warped(Warp { angle, enlargement }, stored, size, spacing, &voxels);
        for (n, &value) in out.iter().enumerate() {
            let (y, x) = ((n / 5) as f64 - 2.0, 2.0 * ((n % 5) as f64 - 2.0));
            let expected = 200.0 + 10.0 * (y * angle.sin() + x * angle.cos()) / enlargement;
            assert!((f64::from(value) - expected).abs() <= 0.51, "{n}: {value} is not {expected}");
        }
    }

    #[test]
    fn half_of_the_samples_are_turned_and_all_within_the_range() {
        let range = WarpRange { rotation_degrees: 15.0, scale: 0.0 };
        let draws: Vec<Option<Warp>> = (0..400)
            .map(|n| range.draw(&AugmentKey { seed: 1, epoch: 0, sample: &format!("s{n}"), copy: 0 }, &view()))
            .collect();
        let turned: Vec<f64> = draws.iter().flatten().map(|warp| warp.angle.to_degrees()).collect();
        assert!((150..250).contains(&turned.len()), "{}", turned.len());
        assert!(turned.iter().all(|angle| angle.abs() <= 15.0) && turned.iter().any(|angle| *angle < -10.0));
        let scaled = WarpRange { rotation_degrees: 0.0, scale: 0.25 };
        let factors: Vec<f64> = (0..400)
            .map(|n| scaled.enlargement(&AugmentKey { seed: 1, epoch: 0, sample: &format!("s{n}"), copy: 0 }, &view()))
            .collect();
        assert!(factors.iter().all(|factor| (0.8..=1.25).contains(factor)));
        assert!(factors.iter().any(|factor| *factor < 0.85) && factors.iter().any(|factor| *factor > 1.2));
    }
}
