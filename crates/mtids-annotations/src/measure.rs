//! The short axis of a mask, as radiologists measure it: on the axial slice where the node is largest.
//!
//! Method: the least width between two parallel lines ([`mtids_domain::caliper`]), on the slice with most pixels. Units: mm.

use mtids_domain::annotation::Mask;
use mtids_domain::caliper::Pixels;

/// Short axis in mm, or `None` for an empty mask.
pub fn short_axis_mm(mask: &Mask) -> Option<f64> {
    let mut by_slice: std::collections::BTreeMap<u32, Vec<[u32; 2]>> = std::collections::BTreeMap::new();
    for &[i, j, k] in &mask.voxels {
        by_slice.entry(k).or_default().push([i, j]);
    }
    let largest = by_slice.into_values().max_by_key(Vec::len)?;
    let [row, column, _] = mask.affine.steps();
    Some(Pixels::new(row, column).widths(&largest)?.least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::geometry::{Affine, PointMm};

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
}
