//! Places in patient millimetres and in voxel indices, and the affine map between them.
//!
//! Purpose: one affine per volume is the only way from an index to the patient. Units: [`PointMm`] in LPS mm; [`Voxel`]
//! is continuous, `(i, j, k)` = (column, row, slice), with integers at voxel centres. Invariant: an [`Affine`] is always
//! invertible, so both directions exist.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A point or vector in the DICOM patient frame, LPS millimetres: `[x, y, z]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PointMm(pub [f64; 3]);

impl PointMm {
    /// A point from its coordinates.
    pub const fn new(x: f64, y: f64, z: f64) -> Self {
        Self([x, y, z])
    }

    /// A point given in RAS millimetres (NIfTI, Slicer).
    pub const fn from_ras(x: f64, y: f64, z: f64) -> Self {
        Self([-x, -y, z])
    }

    /// Euclidean distance in mm.
    pub fn distance(self, other: Self) -> f64 {
        norm(subtract(self.0, other.0))
    }
}

/// A continuous voxel index `[i, j, k]` = (column, row, slice); integers are voxel centres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Voxel(pub [f64; 3]);

impl Voxel {
    /// The nearest voxel, if it lies inside a grid of `dimensions` `[columns, rows, slices]`.
    pub fn nearest(self, dimensions: [usize; 3]) -> Option<[usize; 3]> {
        let mut index = [0; 3];
        for axis in 0..3 {
            let rounded = self.0[axis].round();
            if !(rounded >= 0.0 && rounded < dimensions[axis] as f64) {
                return None;
            }
            index[axis] = rounded as usize;
        }
        Some(index)
    }
}

/// Map from voxel indices to patient millimetres: `p = origin + columns · (i, j, k)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    origin: [f64; 3],
    /// `columns[a]` is the step in mm for one voxel along index axis `a`.
    columns: [[f64; 3]; 3],
    inverse_rows: [[f64; 3]; 3],
}

/// Steps that do not span space.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the voxel steps {0:?} do not span three dimensions")]
pub struct SingularAffineError([[f64; 3]; 3]);

impl Affine {
    /// An affine from the centre of voxel `(0, 0, 0)` and the three steps in mm (column, row, slice).
    ///
    /// # Errors
    /// [`SingularAffineError`] when the steps are not finite or (nearly) coplanar.
    pub fn new(origin: PointMm, steps: [[f64; 3]; 3]) -> Result<Self, SingularAffineError> {
        let [a, b, c] = steps;
        let determinant = dot(a, cross(b, c));
        let scale = norm(a) * norm(b) * norm(c);
        if !origin.0.iter().all(|x| x.is_finite())
            || !determinant.is_finite()
            || determinant.abs() <= 1e-9 * scale
            || scale == 0.0
        {
            return Err(SingularAffineError(steps));
        }
        let rows = [cross(b, c), cross(c, a), cross(a, b)].map(|row| row.map(|x| x / determinant));
        Ok(Self { origin: origin.0, columns: steps, inverse_rows: rows })
    }

    /// Centre of voxel (0, 0, 0).
    pub fn origin(&self) -> PointMm {
        PointMm(self.origin)
    }

    /// Step in mm for one voxel along each index axis (column, row, slice).
    pub fn steps(&self) -> [[f64; 3]; 3] {
        self.columns
    }

    /// Length of the steps in mm: spacing along (i, j, k).
    pub fn spacing(&self) -> [f64; 3] {
        self.columns.map(norm)
    }

    /// Volume of a voxel in mm³.
    pub fn voxel_volume(&self) -> f64 {
        dot(self.columns[0], cross(self.columns[1], self.columns[2])).abs()
    }

    /// Patient position of a continuous index.
    pub fn to_mm(&self, voxel: Voxel) -> PointMm {
        let mut point = self.origin;
        for (axis, column) in self.columns.iter().enumerate() {
            for (coordinate, step) in point.iter_mut().zip(column) {
                *coordinate += voxel.0[axis] * step;
            }
        }
        PointMm(point)
    }

    /// Continuous index of a patient position.
    pub fn to_voxel(&self, point: PointMm) -> Voxel {
        let offset = subtract(point.0, self.origin);
        Voxel(self.inverse_rows.map(|row| dot(row, offset)))
    }
}

/// Dot product.
pub fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Cross product.
pub fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// Euclidean length.
pub fn norm(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

/// `a − b`.
pub fn subtract(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn coplanar_steps_are_refused() {
        let flat = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]];
        assert!(Affine::new(PointMm::new(0.0, 0.0, 0.0), flat).is_err());
        assert!(Affine::new(PointMm::new(0.0, 0.0, 0.0), [[0.0; 3]; 3]).is_err());
        assert!(
            Affine::new(PointMm::new(f64::NAN, 0.0, 0.0), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).is_err()
        );
    }

    #[test]
    fn nearest_stays_inside() {
        assert_eq!(Voxel([0.4, 1.6, -0.4]).nearest([2, 3, 1]), Some([0, 2, 0]));
        assert_eq!(Voxel([1.6, 0.0, 0.0]).nearest([2, 3, 1]), None);
        assert_eq!(Voxel([f64::NAN, 0.0, 0.0]).nearest([2, 3, 1]), None);
    }

    proptest! {
        #[test]
        fn there_and_back_again(
            origin in prop::array::uniform3(-500.0..500.0f64),
            steps in prop::array::uniform3(prop::array::uniform3(-5.0..5.0f64)),
            index in prop::array::uniform3(-100.0..600.0f64),
        ) {
            let [a, b, c] = steps;
            // Well-conditioned grids only: real ones are close to orthogonal.
            prop_assume!(dot(a, cross(b, c)).abs() > 0.05 * norm(a) * norm(b) * norm(c));
            let affine = Affine::new(PointMm(origin), steps).unwrap();
            let back = affine.to_voxel(affine.to_mm(Voxel(index)));
            for (back, index) in back.0.iter().zip(index) {
                prop_assert!((back - index).abs() < 1e-6);
            }
        }
    }
}
