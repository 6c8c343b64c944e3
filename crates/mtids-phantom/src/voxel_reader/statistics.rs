//! The fixed statistics of a patch: ten shells around the centre, and a region grown from it at two thresholds.
//!
//! Invariant: every patch gives [`COUNT`] finite numbers in one order; what cannot be measured is 0. Units: HU, mm, mm³; gradients in HU per
//! voxel as Sobel sums them.

use std::sync::LazyLock;

use super::filter::{LEN, SIZE, SPACING_MM, gaussian, place};
use super::grown::{self, Ground};
use super::moments::{mean_and_deviation, percentile};

/// Radii between the shells, mm.
const SHELLS_MM: [f64; 11] = [0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0];
const PER_SHELL: usize = 10;
/// How far the regions' thresholds lie below the centre, as shares of its height above fat.
const DEPTHS: [f32; 2] = [0.5, 0.3];
/// Smoothing before a region is grown, voxels along (d, h, w).
const SMOOTH: [f64; 3] = [0.4, 0.8, 0.8];

/// Number of statistics.
pub const COUNT: usize = (SHELLS_MM.len() - 1) * PER_SHELL + DEPTHS.len() * grown::COUNT;

/// Distance of each voxel from the centre of the patch, mm.
static RADIUS_MM: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let off = |at: [usize; 3], axis: usize| (at[axis] as f64 - 0.5 * (SIZE[axis] as f64 - 1.0)) * SPACING_MM[axis];
    (0..LEN).map(|voxel| (0..3).map(|axis| off(place(voxel), axis).powi(2)).sum::<f64>().sqrt()).collect()
});

/// Voxels of each shell.
static SHELLS: LazyLock<Vec<Vec<usize>>> = LazyLock::new(|| {
    let between = |low: f64, high: f64| (0..LEN).filter(|&voxel| (low..high).contains(&RADIUS_MM[voxel])).collect();
    SHELLS_MM.windows(2).map(|edges| between(edges[0], edges[1])).collect()
});

/// Statistics of a patch of [`super::field`], HU, `[D, H, W]` with w fastest. Of a patch of another size, all are 0.
pub fn statistics(patch: &[i16]) -> Vec<f32> {
    if patch.len() != LEN {
        return vec![0.0; COUNT];
    }
    let radius: &[f64] = &RADIUS_MM;
    let mut found = Vec::with_capacity(COUNT);
    found.extend(SHELLS.iter().flat_map(|voxels| shell(voxels.iter().map(|&voxel| f64::from(patch[voxel])).collect())));
    let hu: Vec<f32> = patch.iter().map(|&hu| f32::from(hu)).collect();
    let ground = Ground::new(&hu, gaussian(&hu, SMOOTH), radius);
    found.extend(DEPTHS.into_iter().flat_map(|depth| ground.region(depth)));
    found.into_iter().map(|value| value as f32).collect()
}

/// Mean, deviation, five percentiles, and the shares above 0, below −30 and above 150 HU.
fn shell(mut values: Vec<f64>) -> [f64; PER_SHELL] {
    values.sort_by(f64::total_cmp);
    let [mean, deviation] = mean_and_deviation(&values);
    let [p5, p25, p50, p75, p95] = [5.0, 25.0, 50.0, 75.0, 95.0].map(|percent| percentile(&values, percent));
    let share = |above: f64| {
        let below = values.partition_point(|&hu| hu <= above);
        (values.len() - below) as f64 / values.len().max(1) as f64
    };
    let dark = values.partition_point(|&hu| hu < -30.0) as f64 / values.len().max(1) as f64;
    [mean, deviation, p5, p25, p50, p75, p95, share(0.0), dark, share(150.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ball of 60 HU in fat.
    fn ball(radius_mm: f64) -> Vec<i16> {
        RADIUS_MM.iter().map(|&r| if r < radius_mm { 60 } else { -100 }).collect()
    }

    #[test]
    fn shells_and_regions_know_the_size_of_a_ball() {
        let [small, large] = [ball(5.0), ball(9.0)].map(|patch| statistics(&patch));
        assert_eq!((small.len(), COUNT), (COUNT, 124));
        // Means of the innermost shell and of the one from 6 to 7 mm.
        assert_eq!((small[0], small[50], large[50]), (60.0, -100.0, 60.0));
        let volume = |statistics: &[f32]| f64::from(statistics[100]);
        for (statistics, radius) in [(&small, 5.0f64), (&large, 9.0)] {
            let wanted = 4.0 / 3.0 * std::f64::consts::PI * radius.powi(3);
            assert!((volume(statistics) / wanted - 1.0).abs() < 0.1, "{} mm³ for {wanted}", volume(statistics));
        }
    }

    #[test]
    fn a_patch_of_one_value_has_statistics_too() {
        for value in [-1000, 0, 3071] {
            assert!(statistics(&vec![value; LEN]).iter().all(|x| x.is_finite()));
        }
        assert_eq!(statistics(&[1, 2, 3]), vec![0.0; COUNT]);
    }
}
