//! A node in three planes: axial, coronal and sagittal, through its centre, with its outline.
//!
//! Units: a field of 58 mm at 0.6 mm a pixel; the mediastinal window of 40 ± 200 HU. Sides are those of a radiologist: the patient's right is on
//! the left of axial and coronal planes, and the front on the left of sagittal ones.

use mtids_domain::annotation::Mask;
use mtids_domain::geometry::PointMm;
use mtids_domain::volume::Volume;
use mtids_patch::{Interpolation, PatchGeometry, Planes, cut, mark_mask};
use mtids_report::grey::{OUTLINE, grey};
use mtids_report::picture::Picture;

/// Pixels along a side of a plane.
const SIDE: usize = 96;
/// Millimetres of a pixel.
const PIXEL_MM: f64 = 0.6;

/// The three planes beside each other.
pub(super) fn three_planes(volume: &Volume, center: PointMm, outline: Option<&Mask>) -> Picture {
    let geometry = PatchGeometry {
        size: [3, SIDE, SIDE],
        spacing_mm: [PIXEL_MM; 3],
        interpolation: Interpolation::default(),
        planes: Planes::Orthogonal,
    };
    let planes = cut(volume, center, &geometry);
    let marks = mark_mask(outline, center, &geometry);
    let most = marks.iter().copied().max().unwrap_or(0);
    let beside = |n: usize| (n % (3 * SIDE) / SIDE, n / (3 * SIDE), n % SIDE);
    let at = |(plane, y, x): (usize, usize, usize)| (plane * SIDE + y) * SIDE + x;
    let pixels = 0..3 * SIDE * SIDE;
    let values: Vec<u8> = pixels.clone().map(|n| grey(f64::from(planes.voxels[at(beside(n))]))).collect();
    let mut picture = Picture::grey(3 * SIDE, SIDE, &values);
    if most > 0 {
        let set: Vec<bool> = pixels.map(|n| 2 * i32::from(marks[at(beside(n))]) > i32::from(most)).collect();
        picture.outline(&set, OUTLINE);
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::geometry::Affine;

    #[test]
    fn the_patients_left_is_on_the_right_and_the_head_is_up() {
        // A volume of air of 1 mm with a bright block to the left, and one above.
        let size = [80, 80, 80];
        let voxel = |n: usize| {
            let [i, j, k] = [n % 80, n / 80 % 80, n / 6400];
            let is_left = (58..64).contains(&i) && (37..43).contains(&j) && (37..43).contains(&k);
            let is_above = (37..43).contains(&i) && (37..43).contains(&j) && (58..64).contains(&k);
            if is_left || is_above { 300 } else { -1000 }
        };
        let voxels: Vec<i16> = (0..80 * 80 * 80).map(voxel).collect();
        let affine = Affine::new(PointMm([0.0; 3]), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).unwrap();
        let volume = Volume::new(voxels, size, affine).unwrap();
        let picture = three_planes(&volume, PointMm([40.0, 40.0, 40.0]), None);
        let bytes = picture.png().unwrap();
        assert!(bytes.len() > 100);
        let bright = |x: usize, y: usize| picture.red(x, y) > 200;
        // 21 mm are 35 pixels.
        assert!(bright(48 + 35, 48) && !bright(48 - 35, 48), "axial: left is on the right");
        assert!(bright(SIDE + 48 + 35, 48) && bright(SIDE + 48, 48 - 35), "coronal: left on the right, head up");
        assert!(bright(2 * SIDE + 48, 48 - 35) && !bright(2 * SIDE + 48, 48 + 35), "sagittal: head up");
    }
}
