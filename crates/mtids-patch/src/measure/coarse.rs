//! A volume averaged over blocks of whole voxels, along the patient's axes: quick to search, and with less noise.
//!
//! Invariants: axis 0 runs most along +x (left), 1 along +y (back), 2 along +z (head), whatever the storage; blocks begin at the low end of
//! these axes. Units: HU, mm.

use mtids_domain::volume::{AIR_HU, Volume};

use super::local::Axes;

/// Axial planes of cells.
pub(super) struct Coarse {
    /// Cells along x, y, z.
    pub(super) size: [usize; 3],
    /// Size of a cell along x, y, z in mm.
    pub(super) cell_mm: [f64; 3],
    /// Mean HU, x fastest.
    pub(super) hu: Vec<i16>,
}

impl Coarse {
    /// Cells of about `target_mm` along x, y, z, of at least one voxel each.
    pub(super) fn of(volume: &Volume, target_mm: [f64; 3]) -> Self {
        let axes = Axes::of(volume.affine());
        let spacing = axes.sorted(volume.affine().spacing());
        let voxels = axes.sorted(volume.dimensions());
        let block: [usize; 3] = std::array::from_fn(|way| ((target_mm[way] / spacing[way]).round() as usize).max(1));
        let size: [usize; 3] = std::array::from_fn(|way| voxels[way].div_ceil(block[way]));
        let strides = [1, size[0], size[0] * size[1]];
        // For each index along the volume's own axes, what it adds to the number of its cell.
        let mut offsets: [Vec<usize>; 3] = Default::default();
        for way in 0..3 {
            let place = |n: usize| if axes.is_reversed(way) { voxels[way] - 1 - n } else { n };
            offsets[axes.source(way)] = (0..voxels[way]).map(|n| place(n) / block[way] * strides[way]).collect();
        }
        let mut sums = vec![(0i64, 0u32); size.iter().product()];
        let [along_i, along_j, along_k] = &offsets;
        for (plane, k) in volume.voxels().chunks_exact(along_i.len() * along_j.len()).zip(along_k) {
            for (row, j) in plane.chunks_exact(along_i.len()).zip(along_j) {
                for (hu, i) in row.iter().zip(along_i) {
                    let (sum, count) = &mut sums[i + j + k];
                    *sum += i64::from((*hu).max(AIR_HU));
                    *count += 1;
                }
            }
        }
        // A mean of HU is one; a cell has at least one voxel.
        let hu = sums.into_iter().map(|(sum, count)| (sum as f64 / f64::from(count)).round() as i16).collect();
        Self { size, cell_mm: std::array::from_fn(|way| block[way] as f64 * spacing[way]), hu }
    }

    /// The cells of one axial plane.
    pub(super) fn plane(&self, z: usize) -> &[i16] {
        let length = self.size[0] * self.size[1];
        &self.hu[z * length..(z + 1) * length]
    }
}
