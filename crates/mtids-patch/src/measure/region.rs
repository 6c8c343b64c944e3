//! The voxels of a node on the grid of the volume they are measured in.
//!
//! Invariants: a region has at least one voxel; all of them lie inside the volume. Units: voxel indices `[i, j, k]` of the volume; LPS mm by
//! its affine.

use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{Affine, PointMm, Voxel};
use mtids_domain::volume::Volume;

/// What rounding may move an index, in voxels.
const TIE: f64 = 1e-6;
/// Largest box of a region, in voxels: a cube of 400 voxels a side. A node never fills it; a mask of two specks far apart may.
const MOST_BOX: usize = 64_000_000;

/// Voxels of a node: a box of the volume's grid, and which voxels of it are set.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    affine: Affine,
    low: [usize; 3],
    size: [usize; 3],
    /// `i` fastest.
    set: Vec<bool>,
    count: usize,
}

impl Region {
    /// A region from voxels `[i, j, k]` of a volume; those outside it are left out. `None` where none is left, or where their box has more
    /// than 64 million voxels.
    pub fn new(volume: &Volume, voxels: impl IntoIterator<Item = [usize; 3]> + Clone) -> Option<Self> {
        let dimensions = volume.dimensions();
        let inside = |voxel: &[usize; 3]| (0..3).all(|axis| voxel[axis] < dimensions[axis]);
        let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
        for voxel in voxels.clone().into_iter().filter(inside) {
            for axis in 0..3 {
                low[axis] = low[axis].min(voxel[axis]);
                high[axis] = high[axis].max(voxel[axis]);
            }
        }
        if low[0] == usize::MAX {
            return None;
        }
        let size: [usize; 3] = std::array::from_fn(|axis| high[axis] - low[axis] + 1);
        let length = size.iter().try_fold(1usize, |product, &side| product.checked_mul(side))?;
        if length > MOST_BOX {
            return None;
        }
        let mut set = vec![false; length];
        for [i, j, k] in voxels.into_iter().filter(inside) {
            set[((k - low[2]) * size[1] + j - low[1]) * size[0] + i - low[0]] = true;
        }
        let count = set.iter().filter(|&&set| set).count();
        Some(Self { affine: *volume.affine(), low, size, set, count })
    }

    /// The region of a mask. On the volume's grid it is taken as it is; on another one, a voxel of the volume belongs to it where the nearest
    /// voxel of the mask is set. `None` where nothing of it lies in the volume, or where it is too large ([`Self::new`]).
    pub fn of_mask(volume: &Volume, mask: &Mask) -> Option<Self> {
        if is_same_grid(&mask.affine, volume.affine(), volume.dimensions()) {
            return Self::new(volume, mask.voxels.iter().map(|voxel| voxel.map(|index| index as usize)));
        }
        // The box of the volume that the voxels of the mask reach into, with half a voxel of the mask around them.
        let first = mask.voxels.first()?;
        let (mut from, mut to) = (*first, *first);
        for voxel in &mask.voxels {
            for axis in 0..3 {
                from[axis] = from[axis].min(voxel[axis]);
                to[axis] = to[axis].max(voxel[axis]);
            }
        }
        let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for corner in 0..8 {
            let at = |axis: usize| {
                if corner >> axis & 1 == 1 { f64::from(to[axis]) + 0.5 } else { f64::from(from[axis]) - 0.5 }
            };
            let Voxel(index) = volume.affine().to_voxel(mask.affine.to_mm(Voxel([at(0), at(1), at(2)])));
            for axis in 0..3 {
                low[axis] = low[axis].min(index[axis]);
                high[axis] = high[axis].max(index[axis]);
            }
        }
        let dimensions = volume.dimensions();
        // Casts saturate: below 0 is 0.
        let range: [std::ops::Range<usize>; 3] = std::array::from_fn(|axis| {
            low[axis].floor() as usize..((high[axis].ceil() as usize).saturating_add(1)).min(dimensions[axis])
        });
        let length = range.iter().try_fold(1usize, |product, side| product.checked_mul(side.len()))?;
        if length > MOST_BOX {
            return None;
        }
        let mut found = Vec::new();
        for k in range[2].clone() {
            for j in range[1].clone() {
                for i in range[0].clone() {
                    let point = volume.affine().to_mm(Voxel([i as f64, j as f64, k as f64]));
                    // A point between two voxels of the mask belongs to the upper one, also below the first; rounding moves neither.
                    let nearest = mask.affine.to_voxel(point).0.map(|index| (index + 0.5 + TIE).floor());
                    if nearest.iter().all(|index| (0.0..=f64::from(u32::MAX)).contains(index)) {
                        let [a, b, c] = nearest.map(|index| index as u32);
                        // The voxels of a mask are sorted by (k, j, i).
                        if mask.voxels.binary_search_by(|&[i, j, k]| [k, j, i].cmp(&[c, b, a])).is_ok() {
                            found.push([i, j, k]);
                        }
                    }
                }
            }
        }
        Self::new(volume, found.iter().copied())
    }

    /// The grid of the volume.
    pub fn affine(&self) -> &Affine {
        &self.affine
    }

    /// Number of voxels.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Volume in mm³: voxels by the volume of a voxel (IBSI YEKZ).
    pub fn volume_mm3(&self) -> f64 {
        self.count as f64 * self.affine.voxel_volume()
    }

    /// Lowest index and number of voxels of its box along `[i, j, k]`.
    pub fn bounds(&self) -> ([usize; 3], [usize; 3]) {
        (self.low, self.size)
    }

    /// Whether a voxel belongs to it.
    pub fn contains(&self, voxel: [usize; 3]) -> bool {
        let mut at = [0; 3];
        for axis in 0..3 {
            match voxel[axis].checked_sub(self.low[axis]) {
                Some(offset) if offset < self.size[axis] => at[axis] = offset,
                _ => return false,
            }
        }
        self.set[(at[2] * self.size[1] + at[1]) * self.size[0] + at[0]]
    }

    /// Whether the nearest voxel of a place belongs to it.
    pub fn contains_point(&self, point: PointMm) -> bool {
        let index = self.affine.to_voxel(point).0.map(f64::round);
        // A negative zero is zero; anything below is outside.
        index.iter().all(|&index| index >= 0.0) && self.contains(index.map(|index| index as usize))
    }

    /// Its voxels `[i, j, k]`, `i` fastest.
    pub fn voxels(&self) -> impl Iterator<Item = [usize; 3]> {
        let (low, size) = (self.low, self.size);
        self.set
            .iter()
            .enumerate()
            .filter(|(_, set)| **set)
            .map(move |(n, _)| [low[0] + n % size[0], low[1] + n / size[0] % size[1], low[2] + n / (size[0] * size[1])])
    }

    /// Its voxels as a mask.
    pub fn to_mask(&self) -> Mask {
        // An axis of a volume in memory has fewer than 2³² voxels; what would not fit is left out.
        let narrow =
            |[i, j, k]: [usize; 3]| Some([u32::try_from(i).ok()?, u32::try_from(j).ok()?, u32::try_from(k).ok()?]);
        Mask { affine: self.affine, voxels: self.voxels().filter_map(narrow).collect() }
    }
}

/// Whether two grids put the voxels of a volume at the same places, to a hundredth of a voxel at its corners.
fn is_same_grid(mask: &Affine, volume: &Affine, dimensions: [usize; 3]) -> bool {
    (0..8).all(|corner| {
        let at: [f64; 3] =
            std::array::from_fn(|axis| if corner >> axis & 1 == 1 { dimensions[axis] as f64 - 1.0 } else { 0.0 });
        let Voxel(there) = mask.to_voxel(volume.to_mm(Voxel(at)));
        (0..3).all(|axis| (there[axis] - at[axis]).abs() < 0.01)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(origin: f64, step: f64, sides: usize) -> Volume {
        let steps = [[step, 0.0, 0.0], [0.0, step, 0.0], [0.0, 0.0, step]];
        let affine = Affine::new(PointMm([origin; 3]), steps).unwrap();
        Volume::new(vec![0; sides * sides * sides], [sides; 3], affine).unwrap()
    }

    #[test]
    fn a_mask_on_the_grid_is_taken_as_it_is() {
        let volume = grid(0.0, 1.0, 10);
        let mask = Mask { affine: *volume.affine(), voxels: vec![[1, 2, 3], [4, 2, 3], [2, 2, 5], [2, 2, 12]] };
        let region = Region::of_mask(&volume, &mask).unwrap();
        assert_eq!(region.voxels().collect::<Vec<_>>(), [[1, 2, 3], [4, 2, 3], [2, 2, 5]], "the last is outside");
        assert_eq!((region.count(), region.volume_mm3()), (3, 3.0));
        assert!(region.contains([4, 2, 3]) && !region.contains([3, 2, 3]) && !region.contains([0, 0, 0]));
        assert!(region.contains_point(PointMm([1.4, 2.0, 3.0])) && !region.contains_point(PointMm([-1.0, 2.0, 3.0])));
        assert_eq!(region.to_mask().voxels.len(), 3);
    }

    #[test]
    fn a_mask_of_thicker_slices_keeps_its_volume_at_its_first_slice_too() {
        // Centres of every second slice of the volume are those of the mask, so the others lie between two of them.
        let (volume, thick) = (grid(0.0, 1.0, 20), grid(4.0, 2.0, 5));
        for first in [0, 1] {
            let voxels = [first, first + 1].map(|k| [1, 1, k]).to_vec();
            let region = Region::of_mask(&volume, &Mask { affine: *thick.affine(), voxels }).unwrap();
            assert_eq!(region.volume_mm3(), 2.0 * 8.0, "from slice {first}");
        }
    }

    #[test]
    fn a_mask_on_another_grid_keeps_its_place() {
        // Voxels of 2 mm, of which one covers 2 × 2 × 2 voxels of the volume.
        let (volume, coarse) = (grid(0.5, 1.0, 20), grid(1.0, 2.0, 10));
        let mask = Mask { affine: *coarse.affine(), voxels: vec![[3, 4, 5]] };
        let region = Region::of_mask(&volume, &mask).unwrap();
        assert_eq!((region.bounds(), region.count()), (([6, 8, 10], [2, 2, 2]), 8));
        let outside = Mask { affine: *grid(500.0, 2.0, 2).affine(), voxels: vec![[0, 0, 0]] };
        assert_eq!(Region::of_mask(&volume, &outside), None);
        assert_eq!(Region::of_mask(&volume, &Mask { affine: *volume.affine(), voxels: Vec::new() }), None);
    }
}
