//! A region grown from the centre of a patch, and what it measures.
//!
//! Method: smoothed voxels between a threshold and what is too bright for a node, connected by faces within 16 mm of the centre; bridges of
//! one voxel are opened. Units: HU, mm, mm³.

use super::filter::{LEN, SIZE, SPACING_MM, dilated, eroded, part_at, place, sobel};
use super::moments::{mean_and_deviation, percentile, principal_deviations};

/// Numbers that a region gives.
pub(super) const COUNT: usize = 12;
/// Nothing farther from the centre belongs to a node, mm.
const REACH_MM: f64 = 16.0;
/// HU of fat, which a node lies in.
const FAT_HU: f32 = -80.0;

/// What regions are grown on.
pub(super) struct Ground<'a> {
    hu: &'a [f32],
    smooth: Vec<f32>,
    radius_mm: &'a [f64],
    /// Median of the smoothed voxels within 3 mm of the centre.
    center_hu: f32,
}

impl<'a> Ground<'a> {
    pub(super) fn new(hu: &'a [f32], smooth: Vec<f32>, radius_mm: &'a [f64]) -> Self {
        let mut core: Vec<f64> =
            smooth.iter().zip(radius_mm).filter(|(_, r)| **r < 3.0).map(|(&hu, _)| f64::from(hu)).collect();
        core.sort_by(f64::total_cmp);
        let center_hu = percentile(&core, 50.0) as f32;
        Self { hu, smooth, radius_mm, center_hu }
    }

    /// Volume, principal lengths in space (3) and on the largest slice (2), their ratio, edge voxels by volume, gradient at the edge, mean,
    /// deviation and 10th percentile of the core. `depth` is the threshold below the centre as a share of its height above fat.
    pub(super) fn region(&self, depth: f32) -> [f64; COUNT] {
        let Some(mask) = self.grow(depth) else { return [0.0; COUNT] };
        let voxels: Vec<usize> = (0..LEN).filter(|&voxel| mask[voxel]).collect();
        let count = voxels.len() as f64;
        if voxels.len() < 5 {
            let mut few = [0.0; COUNT];
            few[0] = count;
            return few;
        }
        let places: Vec<[f64; 3]> = voxels
            .iter()
            .map(|&voxel| {
                let at = place(voxel);
                std::array::from_fn(|axis| at[axis] as f64 * SPACING_MM[axis])
            })
            .collect();
        let [short, middle, long] = principal_deviations(&places).map(|deviation| 4.0 * deviation);
        let [narrow, wide] = largest_slice(&voxels);

        let inner = eroded(&mask);
        let edge: Vec<usize> = voxels.iter().copied().filter(|&voxel| !inner[voxel]).collect();
        let slope = edge.iter().map(|&voxel| sobel(&self.smooth, voxel)).sum::<f64>() / edge.len().max(1) as f64;
        let core: Vec<usize> = voxels.iter().copied().filter(|&voxel| inner[voxel]).collect();
        let core = if core.len() > 5 { &core } else { &voxels };
        let mut values: Vec<f64> = core.iter().map(|&voxel| f64::from(self.hu[voxel])).collect();
        values.sort_by(f64::total_cmp);
        let [mean, deviation] = mean_and_deviation(&values);
        [
            count * SPACING_MM.iter().product::<f64>(),
            short,
            middle,
            long,
            4.0 * narrow,
            4.0 * wide,
            wide / (narrow + 0.1),
            edge.len() as f64 / count.powf(2.0 / 3.0),
            slope,
            mean,
            deviation,
            percentile(&values, 10.0),
        ]
    }

    /// The region; none if the centre itself lies outside every one.
    fn grow(&self, depth: f32) -> Option<Vec<bool>> {
        let center = self.center_hu;
        let low = if center > -40.0 { FAT_HU + (center - FAT_HU) * (1.0 - depth) } else { center - 30.0 };
        let high = (center + 90.0).max(160.0);
        let candidates: Vec<bool> = self
            .smooth
            .iter()
            .zip(self.radius_mm)
            .map(|(&hu, &radius)| hu > low && hu < high && radius < REACH_MM)
            .collect();
        let part = part_at(&candidates, |voxel| self.radius_mm[voxel] < 2.0)?;
        let large = part.iter().filter(|&&inside| inside).count() > 60;
        let opened = if large { dilated(&eroded(&part)) } else { part };
        Some(part_at(&opened, |voxel| self.radius_mm[voxel] < 4.0).unwrap_or(opened))
    }
}

/// Principal deviations in the plane on the slice with the most voxels, the first among equals; 0 for fewer than four.
fn largest_slice(voxels: &[usize]) -> [f64; 2] {
    let mut areas = [0usize; SIZE[0]];
    voxels.iter().for_each(|&voxel| areas[place(voxel)[0]] += 1);
    let most = areas.iter().copied().max().unwrap_or(0);
    let slice = areas.iter().position(|&area| area == most).unwrap_or(0);
    if most < 4 {
        return [0.0; 2];
    }
    let flat: Vec<[f64; 2]> = voxels
        .iter()
        .map(|&voxel| place(voxel))
        .filter(|at| at[0] == slice)
        .map(|[_, h, w]| [h as f64 * SPACING_MM[1], w as f64 * SPACING_MM[2]])
        .collect();
    principal_deviations(&flat)
}
