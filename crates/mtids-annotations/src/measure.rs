//! The short axis of a mask, as radiologists measure it: on the axial slice where the node is largest.
//!
//! Method: the least width between two parallel lines ([`mtids_domain::caliper`]), on the slice with most pixels. Invariant: slices are those
//! across the patient's long axis, in whatever order a file stores the axes of its grid. Units: mm.

use std::collections::BTreeMap;

use mtids_domain::annotation::Mask;
use mtids_domain::caliper::Pixels;
use mtids_domain::geometry::{Affine, norm};

/// Short axis in mm, or `None` for an empty mask.
pub fn short_axis_mm(mask: &Mask) -> Option<f64> {
    let [across, along, slice] = axial_axes(&mask.affine);
    let mut by_slice: BTreeMap<u32, Vec<[u32; 2]>> = BTreeMap::new();
    for voxel in &mask.voxels {
        by_slice.entry(voxel[slice]).or_default().push([voxel[across], voxel[along]]);
    }
    let largest = by_slice.into_values().max_by_key(Vec::len)?;
    let steps = mask.affine.steps();
    Some(Pixels::new(steps[across], steps[along]).widths(&largest)?.least)
}

/// The axes of a grid: the two of its axial slices, and the one that lies nearest to the patient's z; among equals the last.
pub(crate) fn axial_axes(affine: &Affine) -> [usize; 3] {
    let upright = affine.steps().map(|step| step[2].abs() / norm(step));
    match (0..3).max_by(|&a, &b| upright[a].total_cmp(&upright[b])) {
        Some(0) => [1, 2, 0],
        Some(1) => [0, 2, 1],
        _ => [0, 1, 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::geometry::{PointMm, Voxel};

    #[test]
    fn an_ellipse_has_its_minor_axis() {
        let affine =
            Affine::new(PointMm::new(0.0, 0.0, 0.0), [[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 5.0]]).unwrap();
        let mut voxels = Vec::new();
        let (sin, cos) = 0.6f64.sin_cos();
        for j in 0..100u32 {
            for i in 0..100u32 {
                let (x, y) = (f64::from(i) * 0.5 - 25.0, f64::from(j) * 0.5 - 25.0);
                let (a, b) = ((x * cos + y * sin) / 15.0, (y * cos - x * sin) / 6.0);
                if a * a + b * b <= 1.0 {
                    voxels.push([i, j, 0]);
                }
            }
        }
        let short = short_axis_mm(&Mask { affine, voxels }).unwrap();
        assert!((short - 12.0).abs() < 0.6, "{short}");
        assert_eq!(short_axis_mm(&Mask { affine, voxels: Vec::new() }), None);
    }
    #[test]
    fn an_axial_slice_is_that_of_the_patient() {
        // Semi-axes of 9, 6 and 12 mm along x, y and z; in a sagittal slice the short axis would be the same, in a coronal one 18 mm.
        let steps = [[0.5, 0.0, 0.0], [0.0, 0.7, 0.0], [0.0, 0.0, 1.5]];
        let semi_axes = [9.0, 6.0, 12.0];
        let of_order = |order: [usize; 3]| {
            let affine = Affine::new(PointMm::new(-20.0, -20.0, -20.0), order.map(|axis| steps[axis])).unwrap();
            let inside = |voxel: &[u32; 3]| {
                let place = affine.to_mm(Voxel(voxel.map(f64::from))).0;
                (0..3).map(|axis| (place[axis] / semi_axes[axis]).powi(2)).sum::<f64>() <= 1.0
            };
            let all = (0..80).flat_map(|k| (0..80).flat_map(move |j| (0..80).map(move |i| [i, j, k])));
            short_axis_mm(&Mask { affine, voxels: all.filter(inside).collect() }).unwrap()
        };
        let axial = of_order([0, 1, 2]);
        assert!((axial - 12.0).abs() < 1.0, "{axial}");
        for order in [[1, 2, 0], [0, 2, 1], [2, 0, 1], [1, 0, 2], [2, 1, 0]] {
            let stored = of_order(order);
            assert!((stored - axial).abs() < 1e-9, "{order:?}: {stored}, not {axial}");
        }
    }
}
