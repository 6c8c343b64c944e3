//! The short axis of a mask, as radiologists measure it: on the axial slice where the node is largest.
//!
//! Method: on each slice the least distance between two parallel lines that hold all pixels (smallest caliper width over directions,
//! every 3 degrees), on the slice with most pixels. Units: mm. A single pixel has the width of a pixel.

use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{dot, norm};

/// Short axis in mm, or `None` for an empty mask.
pub fn short_axis_mm(mask: &Mask) -> Option<f64> {
    let mut by_slice: std::collections::BTreeMap<u32, Vec<[f64; 2]>> = std::collections::BTreeMap::new();
    let [row, column, _] = mask.affine.steps();
    let (width, height) = (norm(row), norm(column));
    // A skewed in-plane grid keeps its angle.
    let along = dot(row, column) / width;
    let across = (height * height - along * along).max(0.0).sqrt();
    for &[i, j, k] in &mask.voxels {
        let (i, j) = (f64::from(i), f64::from(j));
        by_slice.entry(k).or_default().push([i * width + j * along, j * across]);
    }
    let largest = by_slice.into_values().max_by_key(Vec::len)?;
    let caliper = |degrees: usize| {
        let (sin, cos) = (degrees as f64).to_radians().sin_cos();
        let projections = largest.iter().map(|[x, y]| x * cos + y * sin);
        let (low, high) =
            projections.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        // Centres of pixels lie half a pixel inside the outline on both sides.
        high - low + (width * cos.abs()).max(across * sin.abs())
    };
    (0..180).step_by(3).map(caliper).min_by(f64::total_cmp)
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
