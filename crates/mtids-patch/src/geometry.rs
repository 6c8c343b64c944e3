//! Size, spacing and interpolation of a patch, as a checked configuration value.
//!
//! Units: voxels and mm, both in the order (d, h, w) = (z, y, x).

use mtids_domain::geometry::PointMm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a patch voxel is found between the volume's voxels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Triangle kernel: trilinear where the patch is finer than the volume, widened against aliasing where it is coarser.
    #[default]
    Linear,
    /// The nearest voxel, unchanged.
    Nearest,
}

/// What the axis d of a patch runs over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Planes {
    /// A volume: each voxel averages over its own extent along all axes.
    #[default]
    Volume,
    /// Thin axial slices `spacing_mm[0]` apart (2.5-D): they are interpolated along d, not averaged over the step.
    Stack,
    /// Three planes through the centre: axial, coronal, sagittal. `size` is 3 × S × S, `spacing_mm[0]` the thickness that each plane
    /// averages over. Axial: h towards the back, w towards the left; coronal: h towards the feet, w towards the left; sagittal: h towards
    /// the feet, w towards the back.
    Orthogonal,
}

impl Planes {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Planes::Volume => "volume",
            Planes::Stack => "stack",
            Planes::Orthogonal => "orthogonal",
        }
    }
}

/// Geometry of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PatchGeometry {
    /// Voxels along (d, h, w). Default 24 × 56 × 56.
    pub size: [usize; 3],
    /// Distance of neighbouring voxels in mm along (z, y, x). Default 3 × 2 × 2 mm.
    pub spacing_mm: [f64; 3],
    /// Interpolation. Default `linear`.
    pub interpolation: Interpolation,
    /// What d runs over. Default `volume`. Key `planes`; files of older versions say `views`.
    #[serde(alias = "views")]
    pub planes: Planes,
}

impl Default for PatchGeometry {
    /// 72 × 112 × 112 mm: a station is told from its surroundings, not from the node.
    fn default() -> Self {
        Self {
            size: [24, 56, 56],
            spacing_mm: [3.0, 2.0, 2.0],
            interpolation: Interpolation::Linear,
            planes: Planes::Volume,
        }
    }
}

/// A geometry that no patch can have.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GeometryError {
    /// A side of no voxels, or of more than 512.
    #[error("`size` {0:?}: each side needs 1 to 512 voxels")]
    Size([usize; 3]),
    /// A spacing that is no positive length.
    #[error("`spacing_mm` {0:?}: each spacing must lie between 0.05 and 50 mm")]
    Spacing([f64; 3]),
    /// Three planes need three equal squares.
    #[error("`size` {0:?} with `spacing_mm` {1:?}: orthogonal planes are 3 × S × S, of one spacing along h and w")]
    Orthogonal([usize; 3], [f64; 3]),
}

impl PatchGeometry {
    /// Checks the values.
    ///
    /// # Errors
    /// [`GeometryError`] naming the key and the value.
    pub fn validate(&self) -> Result<(), GeometryError> {
        if self.size.iter().any(|side| !(1..=512).contains(side)) {
            return Err(GeometryError::Size(self.size));
        }
        if self.spacing_mm.iter().any(|spacing| !(0.05..=50.0).contains(spacing)) {
            return Err(GeometryError::Spacing(self.spacing_mm));
        }
        let ([count, height, width], [_, y, x]) = (self.size, self.spacing_mm);
        if self.planes == Planes::Orthogonal && (count != 3 || height != width || y != x) {
            return Err(GeometryError::Orthogonal(self.size, self.spacing_mm));
        }
        Ok(())
    }

    /// Number of voxels of a patch.
    pub fn len(&self) -> usize {
        self.size.iter().product()
    }

    /// True for a patch without voxels, which [`Self::validate`] refuses.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Position of voxel `(d, h, w)` of a patch around `center`, LPS mm.
    pub fn position(&self, center: PointMm, [d, h, w]: [usize; 3]) -> PointMm {
        let offset =
            |axis: usize, index: usize| (index as f64 - (self.size[axis] as f64 - 1.0) / 2.0) * self.spacing_mm[axis];
        let [x, y, z] = match (self.planes, d) {
            (Planes::Orthogonal, 0) => [offset(2, w), offset(1, h), 0.0],
            // Standing planes have the head up.
            (Planes::Orthogonal, 1) => [offset(2, w), 0.0, -offset(1, h)],
            (Planes::Orthogonal, _) => [0.0, offset(2, w), -offset(1, h)],
            _ => [offset(2, w), offset(1, h), offset(0, d)],
        };
        PointMm::new(center.0[0] + x, center.0[1] + y, center.0[2] + z)
    }

    /// Side lengths (z, y, x) of what a patch shows, mm: voxels by their spacing. For orthogonal planes, those of a cube of their side.
    pub fn extent_mm(&self) -> [f64; 3] {
        let side = |axis: usize| self.size[axis] as f64 * self.spacing_mm[axis];
        match self.planes {
            Planes::Orthogonal => [side(1); 3],
            _ => [0, 1, 2].map(side),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_geometries_are_refused() {
        assert!(PatchGeometry::default().validate().is_ok());
        assert!(PatchGeometry { size: [0, 1, 1], ..Default::default() }.validate().is_err());
        assert!(PatchGeometry { spacing_mm: [1.0, f64::NAN, 1.0], ..Default::default() }.validate().is_err());
        let planes = PatchGeometry { size: [3, 9, 9], planes: Planes::Orthogonal, ..Default::default() };
        assert!(planes.validate().is_ok());
        for size in [[4, 9, 9], [3, 9, 8]] {
            assert!(PatchGeometry { size, ..planes }.validate().is_err());
        }
        assert!(PatchGeometry { spacing_mm: [1.0, 1.0, 2.0], ..planes }.validate().is_err());
    }

    #[test]
    fn the_centre_of_an_odd_patch_is_the_centre() {
        let geometry = PatchGeometry { size: [3, 5, 7], ..Default::default() };
        let center = PointMm::new(1.0, 2.0, 3.0);
        assert_eq!(geometry.position(center, [1, 2, 3]), center);
        assert_eq!(geometry.position(center, [0, 2, 3]).0[2], 0.0);
        assert_eq!(geometry.extent_mm(), [9.0, 10.0, 14.0]);
    }
}
