//! Channels that mark the node: its centre, and the share of each voxel that its mask covers.
//!
//! Units: thousandths as `i16`, LPS mm. Invariant: a mark lies on the same voxels as the image that is cut with the same centre and
//! geometry. A mark tells a network where to look; where only some labels come with a mask it also tells which, so it is off by default.

use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{Affine, PointMm, Voxel};
use mtids_domain::volume::Volume;

use crate::cut::{SHARE_STEPS, cut_share};
use crate::geometry::PatchGeometry;
use crate::reach::reach;

/// Distance from the node's centre at which its mark has fallen to 0, mm.
pub const CENTER_RADIUS_MM: f64 = 5.0;

/// The channel [`crate::Channel::Center`] of a patch around `center`: 1000 at `node`, falling linearly to 0 at [`CENTER_RADIUS_MM`], taken
/// at the centre of each voxel.
///
/// Shapes: `[D, H, W]`, w fastest.
pub fn mark_center(node: PointMm, center: PointMm, geometry: &PatchGeometry) -> Vec<i16> {
    let [depth, height, width] = geometry.size;
    let mut marks = Vec::with_capacity(geometry.len());
    for d in 0..depth {
        for h in 0..height {
            for w in 0..width {
                let distance = geometry.position(center, [d, h, w]).distance(node);
                let share = (1.0 - distance / CENTER_RADIUS_MM).max(0.0);
                marks.push((SHARE_STEPS * share).round() as i16);
            }
        }
    }
    marks
}

/// The channel [`crate::Channel::Mask`] of a patch around `center`: the share of each voxel that the mask covers, by the resampling that the
/// image has; 0 everywhere without a mask.
///
/// Shapes: `[D, H, W]`, w fastest.
pub fn mark_mask(mask: Option<&Mask>, center: PointMm, geometry: &PatchGeometry) -> Vec<i16> {
    match mask.and_then(|mask| region_near(mask, center, geometry)) {
        Some(region) => cut_share(&region, center, geometry),
        None => vec![0; geometry.len()],
    }
}

/// The part of a mask that a patch reads, as a volume that just holds it: what lies outside is 0 anyway.
fn region_near(mask: &Mask, center: PointMm, geometry: &PatchGeometry) -> Option<Volume<u8>> {
    let near = reach(&mask.affine, center, geometry);
    let indices = mask.voxels.iter().map(|voxel| voxel.map(|index| index as usize));
    let within: Vec<[usize; 3]> =
        indices.filter(|voxel| near.iter().zip(voxel).all(|(range, index)| range.contains(index))).collect();
    let (mut first, mut last) = (*within.first()?, *within.first()?);
    for voxel in &within {
        for axis in 0..3 {
            first[axis] = first[axis].min(voxel[axis]);
            last[axis] = last[axis].max(voxel[axis]);
        }
    }
    let dimensions: [usize; 3] = [0, 1, 2].map(|axis| last[axis] - first[axis] + 1);
    let [columns, rows, _] = dimensions;
    let mut voxels = vec![0u8; dimensions.iter().product()];
    for [i, j, k] in within {
        voxels[((k - first[2]) * rows + j - first[1]) * columns + i - first[0]] = 1;
    }
    let affine = shifted(&mask.affine, first)?;
    Volume::new(voxels, dimensions, affine).ok()
}

/// The same grid with another first voxel.
fn shifted(affine: &Affine, first: [usize; 3]) -> Option<Affine> {
    let at = |voxel: [f64; 3]| affine.to_mm(Voxel(voxel));
    let origin = at([0.0; 3]);
    let steps = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|unit| {
        let there = at(unit);
        [0, 1, 2].map(|axis| there.0[axis] - origin.0[axis])
    });
    Affine::new(at(first.map(|index| index as f64)), steps).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Planes, cut};
    use proptest::prelude::*;

    fn grid(angle: f64) -> Affine {
        let (sin, cos) = angle.sin_cos();
        Affine::new(PointMm::new(-12.0, -14.0, -9.0), [[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.5]]).unwrap()
    }

    /// A ball as a mask, and as a volume of HU 0 and 1000 with room around it.
    fn ball(middle: PointMm, radius: f64, affine: Affine) -> (Mask, Volume) {
        let (mut voxels, mut hu) = (Vec::new(), Vec::new());
        for k in 0..16u32 {
            for j in 0..30u32 {
                for i in 0..30u32 {
                    let inside = affine.to_mm(Voxel([i, j, k].map(f64::from))).distance(middle) <= radius;
                    hu.push(if inside { 1000 } else { 0 });
                    voxels.extend(inside.then_some([i, j, k]));
                }
            }
        }
        (Mask { affine, voxels }, Volume::new(hu, [30, 30, 16], affine).unwrap())
    }

    #[test]
    fn the_mark_of_the_centre_is_a_cone_around_the_node() {
        let geometry = PatchGeometry { size: [3, 5, 5], spacing_mm: [2.0, 1.0, 1.0], ..PatchGeometry::default() };
        let center = PointMm::new(10.0, 20.0, 30.0);
        let marks = mark_center(PointMm::new(11.0, 20.0, 30.0), center, &geometry);
        let at = |d: usize, h: usize, w: usize| marks[(d * 5 + h) * 5 + w];
        assert_eq!([at(1, 2, 3), at(1, 2, 2), at(1, 2, 4), at(1, 2, 0), at(0, 2, 3)], [1000, 800, 800, 400, 600]);
        assert!(mark_center(PointMm::new(30.0, 20.0, 30.0), center, &geometry).iter().all(|&mark| mark == 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_mask_is_resampled_as_its_image_is(
            angle in prop::sample::select(vec![0.0, 0.3]),
            middle in prop::array::uniform3(-2.0..2.0f64),
            center in prop::array::uniform3(-3.0..3.0f64),
            radius in 1.5..5.0f64,
            planes in prop::sample::select(vec![Planes::Volume, Planes::Stack, Planes::Orthogonal]),
        ) {
            let (mask, image) = ball(PointMm(middle), radius, grid(angle));
            let geometry = PatchGeometry { size: [3, 4, 4], spacing_mm: [2.5, 1.5, 1.5], planes, ..PatchGeometry::default() };
            let marks = mark_mask(Some(&mask), PointMm(center), &geometry);
            let patch = cut(&image, PointMm(center), &geometry);
            prop_assert_eq!(patch.pad_fraction, 0.0);
            for (mark, hu) in marks.iter().zip(&patch.voxels) {
                prop_assert!((mark - hu).abs() <= 1, "{} for {}", mark, hu);
            }
        }
    }

    #[test]
    fn no_mask_and_a_mask_elsewhere_mark_nothing() {
        let geometry = PatchGeometry { size: [2, 3, 3], ..PatchGeometry::default() };
        let (mask, _) = ball(PointMm::new(0.0, 0.0, 0.0), 3.0, grid(0.0));
        let far = PointMm::new(500.0, 0.0, 0.0);
        for marks in [mark_mask(None, far, &geometry), mark_mask(Some(&mask), far, &geometry)] {
            assert_eq!(marks, [0; 18]);
        }
    }
}
