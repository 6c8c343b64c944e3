//! A volume: values on one regular grid.
//!
//! Invariants: `voxels.len() == columns · rows · slices`; `i` (column) runs fastest, then `j` (row), then `k` (slice); one
//! affine maps indices to LPS mm. Units: CT is HU as `i16` (the default), clamped to −32768..=32767 where the source went beyond; PET is
//! SUV as `f32`.

use crate::geometry::{Affine, PointMm, Voxel};

/// HU of air, used for padding outside the scanned field.
pub const AIR_HU: i16 = -1000;

/// Values on a regular grid; Hounsfield units unless another type is named.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume<T = i16> {
    voxels: Vec<T>,
    dimensions: [usize; 3],
    affine: Affine,
}

/// A buffer that does not fit its dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} voxels cannot fill a grid of {dimensions:?} (columns, rows, slices)")]
pub struct VolumeShapeError {
    got: usize,
    dimensions: [usize; 3],
}

impl<T: Copy + Into<f64>> Volume<T> {
    /// A volume from voxels in `(i fastest, j, k)` order and `[columns, rows, slices]`.
    ///
    /// # Errors
    /// [`VolumeShapeError`] when the buffer's length is not the product of a non-zero, non-overflowing shape.
    pub fn new(voxels: Vec<T>, dimensions: [usize; 3], affine: Affine) -> Result<Self, VolumeShapeError> {
        let count = dimensions.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        if count != Some(voxels.len()) || voxels.is_empty() {
            return Err(VolumeShapeError { got: voxels.len(), dimensions });
        }
        Ok(Self { voxels, dimensions, affine })
    }

    /// All voxels, `i` fastest.
    pub fn voxels(&self) -> &[T] {
        &self.voxels
    }

    /// The volume with every voxel replaced, in place.
    #[must_use]
    pub fn map(mut self, change: impl Fn(T) -> T) -> Self {
        self.voxels.iter_mut().for_each(|voxel| *voxel = change(*voxel));
        self
    }

    /// `[columns, rows, slices]`.
    pub fn dimensions(&self) -> [usize; 3] {
        self.dimensions
    }

    /// Map from indices to LPS mm.
    pub fn affine(&self) -> &Affine {
        &self.affine
    }

    /// Value at an index, or `None` outside.
    pub fn get(&self, [i, j, k]: [usize; 3]) -> Option<T> {
        let [columns, rows, slices] = self.dimensions;
        (i < columns && j < rows && k < slices).then(|| self.voxels[(k * rows + j) * columns + i])
    }

    /// Value of the nearest voxel to a patient position, or `None` outside.
    pub fn nearest(&self, point: PointMm) -> Option<T> {
        self.get(self.affine.to_voxel(point).nearest(self.dimensions)?)
    }

    /// Value by trilinear interpolation between voxel centres, or `None` outside the hull of the centres.
    pub fn linear(&self, point: PointMm) -> Option<f64> {
        let Voxel(index) = self.affine.to_voxel(point);
        let mut base = [0usize; 3];
        let mut fraction = [0.0; 3];
        for axis in 0..3 {
            let last = (self.dimensions[axis] - 1) as f64;
            // A billionth of a voxel forgives the rounding of the inverse at the outermost centres.
            if !(index[axis] >= -1e-9 && index[axis] <= last + 1e-9) {
                return None;
            }
            let clamped = index[axis].clamp(0.0, last);
            base[axis] = (clamped.floor() as usize).min(self.dimensions[axis].saturating_sub(2));
            fraction[axis] = clamped - base[axis] as f64;
        }
        let mut sum = 0.0;
        for corner in 0..8usize {
            let mut weight = 1.0;
            let mut at = base;
            for axis in 0..3 {
                let upper = corner >> axis & 1;
                weight *= if upper == 1 { fraction[axis] } else { 1.0 - fraction[axis] };
                at[axis] += upper;
            }
            if weight > 0.0 {
                sum += weight * self.get(at)?.into();
            }
        }
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> Volume {
        let affine =
            Affine::new(PointMm::new(10.0, 20.0, 30.0), [[2.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 4.0]]).unwrap();
        let voxels = (0..3 * 4 * 5).map(|n| n as i16 * 10).collect();
        Volume::new(voxels, [3, 4, 5], affine).unwrap()
    }

    #[test]
    fn columns_run_fastest() {
        let volume = ramp();
        assert_eq!(volume.get([1, 0, 0]), Some(10));
        assert_eq!(volume.get([0, 1, 0]), Some(30));
        assert_eq!(volume.get([0, 0, 1]), Some(120));
        assert_eq!(volume.get([3, 0, 0]), None);
        assert_eq!(volume.nearest(PointMm::new(12.9, 20.0, 30.0)), Some(10));
    }

    #[test]
    fn linear_interpolation_is_exact_on_a_linear_field() {
        let volume = ramp();
        let hu = volume.linear(PointMm::new(11.0, 24.5, 36.0)).unwrap();
        assert!((hu - (0.5 * 10.0 + 1.5 * 30.0 + 1.5 * 120.0)).abs() < 1e-9);
        assert_eq!(volume.linear(PointMm::new(14.0, 29.0, 46.0)), Some(590.0));
        assert_eq!(volume.linear(PointMm::new(14.1, 29.0, 46.0)), None);
    }

    #[test]
    fn a_wrong_shape_is_refused() {
        let affine = *ramp().affine();
        assert!(Volume::new(vec![0; 7], [2, 2, 2], affine).is_err());
        assert!(Volume::new(Vec::<i16>::new(), [0, 2, 2], affine).is_err());
        assert!(Volume::new(vec![0; 8], [usize::MAX, 2, 2], affine).is_err());
    }
}
