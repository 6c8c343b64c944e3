//! Which voxels of a volume a patch may be made of, without cutting it.
//!
//! Units: voxel indices, half-open. Invariant: the box holds every voxel that [`crate::cut()`] gives weight to; for an oblique grid or
//! orthogonal planes it may hold more.

use std::ops::Range;

use mtids_domain::geometry::{Affine, PointMm, Voxel};

use crate::geometry::PatchGeometry;

/// The box of voxels `[columns, rows, slices]` that a patch around `center` reads; it may reach beyond the end of the volume, never below
/// index 0.
pub fn reach(affine: &Affine, center: PointMm, geometry: &PatchGeometry) -> [Range<usize>; 3] {
    let [depth, height, width] = geometry.spacing_mm;
    let sides = geometry.size;
    // Orthogonal planes are planes as long as their second side, along all three axes.
    let (extent, step) = match geometry.planes {
        crate::Planes::Orthogonal => ([sides[1]; 3], [height.max(depth), height, width]),
        _ => (sides, geometry.spacing_mm),
    };
    let [z, y, x] = [0, 1, 2].map(|axis| (extent[axis] as f64 - 1.0) / 2.0 * step[axis]);
    let origin = affine.to_voxel(PointMm::new(0.0, 0.0, 0.0)).0;
    // How many voxels of each source axis lie in a way along a patient axis.
    let along = |way: [f64; 3]| {
        let Voxel(there) = affine.to_voxel(PointMm(way));
        [0, 1, 2].map(|axis| (there[axis] - origin[axis]).abs())
    };
    let half = [along([x, 0.0, 0.0]), along([0.0, y, 0.0]), along([0.0, 0.0, z])];
    let footprint = [along([step[2], 0.0, 0.0]), along([0.0, step[1], 0.0]), along([0.0, 0.0, step[0]])];
    let middle = affine.to_voxel(center).0;
    [0, 1, 2].map(|axis| {
        let sum = |of: &[[f64; 3]; 3]| of.iter().map(|way| way[axis]).sum::<f64>();
        // The triangle kernel reaches one voxel, or one step of the patch where that is longer.
        let reach = sum(&half) + sum(&footprint).max(1.0);
        // Casts saturate: below 0 is 0.
        (middle[axis] - reach).floor() as usize..((middle[axis] + reach).ceil() as usize).saturating_add(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Planes, cut};
    use mtids_domain::volume::Volume;
    use proptest::prelude::*;

    #[test]
    fn the_box_of_an_upright_patch_is_its_extent_and_one_kernel() {
        let affine =
            Affine::new(PointMm::new(0.0, 0.0, 0.0), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]]).unwrap();
        let geometry = PatchGeometry { size: [5, 7, 9], spacing_mm: [2.0, 1.0, 1.0], ..PatchGeometry::default() };
        assert_eq!(reach(&affine, PointMm::new(20.0, 20.0, 20.0), &geometry), [15..26, 16..25, 7..14]);
    }

    proptest! {
        #[test]
        fn a_voxel_outside_the_box_changes_nothing(
            place in prop::array::uniform3(2.0..18.0f64),
            voxel in prop::array::uniform3(0..20usize),
            angle in -0.5..0.5f64,
            planes in prop::sample::select(vec![Planes::Volume, Planes::Stack, Planes::Orthogonal]),
        ) {
            let (sin, cos) = angle.sin_cos();
            let steps = [[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, 1.3 * sin, 1.3 * cos]];
            let affine = Affine::new(PointMm::new(0.0, 0.0, 0.0), steps).unwrap();
            let geometry = PatchGeometry { size: [3, 5, 5], spacing_mm: [1.5, 1.2, 1.2], planes, ..PatchGeometry::default() };
            let center = affine.to_mm(Voxel(place));
            let volume = |hu: i16| {
                let mut voxels = vec![0; 8000];
                voxels[(voxel[2] * 20 + voxel[1]) * 20 + voxel[0]] = hu;
                Volume::new(voxels, [20; 3], affine).unwrap()
            };
            let within = reach(&affine, center, &geometry).iter().zip(voxel).all(|(range, index)| range.contains(&index));
            if !within {
                prop_assert_eq!(cut(&volume(0), center, &geometry).voxels, cut(&volume(20_000), center, &geometry).voxels);
            }
        }
    }
}
