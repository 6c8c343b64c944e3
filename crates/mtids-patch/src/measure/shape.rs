//! Size and shape of a region.
//!
//! Units: mm. Invariant: every figure depends on where the voxels lie in the patient alone.

use std::collections::BTreeMap;

use mtids_domain::caliper::{Pixels, Widths};

use super::local::Local;
use super::surface::Surface;

/// Short and long axis on the axial slice with the largest area.
///
/// "Axial" is the plane of the grid that is nearest to it, so a tilted grid is measured in its own slices, as radiologists do.
pub(super) fn axes(set: &[bool], local: &Local) -> Option<Widths> {
    let mut slices: BTreeMap<usize, Vec<[u32; 2]>> = BTreeMap::new();
    for n in (0..set.len()).filter(|&n| set[n]) {
        let [x, y, z] = local.place(n);
        // The box of a region has less than 2³² voxels a side.
        slices.entry(z).or_default().push([x as u32, y as u32]);
    }
    let largest = slices.into_values().max_by_key(Vec::len)?;
    Pixels::new(local.steps[0], local.steps[1]).widths(&largest)
}

/// Square root of the second by the first principal variance of the voxel centres (IBSI Q3CK); `None` for one voxel.
pub(super) fn elongation(set: &[bool], local: &Local) -> Option<f64> {
    let chosen = || (0..set.len()).filter(|&n| set[n]).map(|n| local.offset(n));
    let (mut mean, mut count) = ([0.0; 3], 0.0);
    for offset in chosen() {
        (0..3).for_each(|way| mean[way] += offset[way]);
        count += 1.0;
    }
    mean.iter_mut().for_each(|mean| *mean /= count);
    let mut scatter = [[0.0; 3]; 3];
    for offset in chosen() {
        let from: [f64; 3] = std::array::from_fn(|way| offset[way] - mean[way]);
        for (row, a) in scatter.iter_mut().zip(from) {
            row.iter_mut().zip(from).for_each(|(cell, b)| *cell += a * b / count);
        }
    }
    let [first, second, _] = eigenvalues(scatter);
    (first > 0.0).then(|| (second.max(0.0) / first).sqrt())
}

/// Eigenvalues of a symmetric matrix, largest first (Smith, Communications of the ACM 4, 1961).
fn eigenvalues(of: [[f64; 3]; 3]) -> [f64; 3] {
    let off = of[0][1].powi(2) + of[0][2].powi(2) + of[1][2].powi(2);
    let middle = (of[0][0] + of[1][1] + of[2][2]) / 3.0;
    let spread = (0..3).map(|n| (of[n][n] - middle).powi(2)).sum::<f64>() + 2.0 * off;
    let scale = (spread / 6.0).sqrt();
    if scale <= 0.0 {
        return [middle; 3];
    }
    let unit: [[f64; 3]; 3] =
        std::array::from_fn(|a| std::array::from_fn(|b| (of[a][b] - if a == b { middle } else { 0.0 }) / scale));
    let [a, b, c] = unit;
    let determinant =
        a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0]);
    let angle = (0.5 * determinant).clamp(-1.0, 1.0).acos() / 3.0;
    let first = middle + 2.0 * scale * angle.cos();
    let last = middle + 2.0 * scale * (angle + 2.0 / 3.0 * std::f64::consts::PI).cos();
    [first, 3.0 * middle - first - last, last]
}

/// Area of the surface over that of a ball of the same volume, both of the mesh (inverse of IBSI QCFX).
pub(super) fn roughness(set: &[bool], local: &Local) -> Option<f64> {
    Surface::of(set, local.size, local.steps).roughness()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_are_those_of_known_matrices() {
        let near = |found: [f64; 3], expected: [f64; 3]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} {expected:?}");
        };
        near(eigenvalues([[2.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 3.0]]), [5.0, 3.0, 2.0]);
        near(eigenvalues([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 2.0]]), [3.0, 2.0, 1.0]);
        near(eigenvalues([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]]), [4.0; 3]);
    }
}
