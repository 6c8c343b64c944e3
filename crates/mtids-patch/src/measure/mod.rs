//! Measures of a node in mm and HU, from its mask or from a region grown from a point.
//!
//! The way of a node: [`Region::of_mask`] or [`grown`] gives its voxels, [`of_region`] measures them; [`aorta()`] gives the blood of the
//! series, once. Definitions follow the Image Biomarker Standardisation Initiative (IBSI, Zwanenburg et al., Radiology 295, 2020) where it
//! has one; its codes stand in [`Measure`]. Invariants: every measure is a function of the tissue alone, not of how the volume is stored;
//! what cannot be measured is `None`. Units: HU, mm, SUV.

mod aorta;
mod coarse;
mod disc;
mod grey;
mod grow;
mod local;
mod morphology;
mod region;
mod shape;
mod surface;

pub use aorta::aorta;
pub use grow::{GrowOptions, grown};
pub use region::Region;

use mtids_domain::geometry::{PointMm, Voxel};
use mtids_domain::volume::Volume;

use crate::measures::{Measure, Measures};
use local::Local;

/// Largest box that is looked at around a point, in voxels: 0.1 mm voxels over 24 mm.
const MOST_VOXELS: usize = 16_000_000;

/// The measures that need a point only: the shells around it, and the aorta of the series. For rows without a region.
pub fn of_point(volume: &Volume, center: PointMm, aorta_hu: Option<f32>) -> Measures {
    let mut measures = Measures::default();
    measures.set(Measure::AortaHu, aorta_hu);
    let local = Local::around(volume.affine(), volume.dimensions(), center, grey::OUTERMOST_MM, MOST_VOXELS);
    if let Some(local) = local {
        grey::set_shells(&mut measures, &local, volume);
    }
    measures
}

/// All measures of a region of this volume around a point.
///
/// `aorta_hu` is what [`aorta()`] says of the series. `pet` holds SUV by body weight in the same patient space. The largest SUV is that of
/// PET voxels with their centre in the region; where the region is so small that it holds none, of the PET voxel at its centroid.
pub fn of_region(
    volume: &Volume,
    region: &Region,
    center: PointMm,
    aorta_hu: Option<f32>,
    pet: Option<&Volume<f32>>,
) -> Measures {
    let mut measures = of_point(volume, center, aorta_hu);
    let hu = region.voxels().filter_map(|index| volume.get(index)).collect();
    grey::set_region(&mut measures, hu, aorta_hu.map(f64::from));
    let mut set = |measure, value: Option<f64>| measures.set(measure, value.map(|value| value as f32));
    set(Measure::Volume, Some(region.volume_mm3()));
    let (low, size) = region.bounds();
    let ranges = std::array::from_fn(|axis| low[axis]..low[axis] + size[axis]);
    if let Some(local) = Local::of_ranges(region.affine(), ranges, center, usize::MAX) {
        let voxels = local.map(|index| region.contains(index));
        let widths = shape::axes(&voxels, &local);
        set(Measure::ShortAxis, widths.map(|widths| widths.least));
        set(Measure::LongAxis, widths.map(|widths| widths.largest));
        set(Measure::Elongation, shape::elongation(&voxels, &local));
        set(Measure::Roughness, shape::roughness(&voxels, &local));
    }
    measures.set(Measure::SuvMax, pet.and_then(|pet| suv_max(pet, region)));
    measures
}

/// The largest SUV of a region.
fn suv_max(pet: &Volume<f32>, region: &Region) -> Option<f32> {
    let (low, size) = region.bounds();
    // The box of the region, in voxels of the PET.
    let (mut first, mut last) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    for corner in 0..8 {
        let at = |axis: usize| low[axis] as f64 - 0.5 + if corner >> axis & 1 == 1 { size[axis] as f64 } else { 0.0 };
        let Voxel(index) = pet.affine().to_voxel(region.affine().to_mm(Voxel([at(0), at(1), at(2)])));
        for axis in 0..3 {
            first[axis] = first[axis].min(index[axis]);
            last[axis] = last[axis].max(index[axis]);
        }
    }
    let dimensions = pet.dimensions();
    // Casts saturate: below 0 is 0.
    let [along_i, along_j, along_k]: [std::ops::Range<usize>; 3] = std::array::from_fn(|axis| {
        first[axis].ceil() as usize..(last[axis].floor() + 1.0).clamp(0.0, dimensions[axis] as f64) as usize
    });
    let mut largest: Option<f32> = None;
    for k in along_k {
        for j in along_j.clone() {
            for i in along_i.clone() {
                if region.contains_point(pet.affine().to_mm(Voxel([i as f64, j as f64, k as f64]))) {
                    largest = pet.get([i, j, k]).into_iter().chain(largest).reduce(f32::max);
                }
            }
        }
    }
    largest.or_else(|| pet.nearest(region.to_mask().centroid()?))
}
