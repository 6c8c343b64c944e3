//! Stacks of thin slices and orthogonal planes, beside the series itself.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use mtids_domain::geometry::{Affine, PointMm, Voxel};
use mtids_domain::volume::Volume;
use mtids_patch::{PatchGeometry, Planes, cut};
use proptest::prelude::*;

/// Voxels without any pattern, from a congruential generator.
fn noise(dimensions: [usize; 3], affine: Affine, seed: u32) -> Volume {
    let mut state = seed;
    let voxels = (0..dimensions.iter().product::<usize>()).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 20) as i16 - 2048
    });
    Volume::new(voxels.collect(), dimensions, affine).unwrap()
}

fn millimetres() -> Affine {
    Affine::new(PointMm::new(-20.0, -20.0, -20.0), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).unwrap()
}

#[test]
fn the_slices_of_a_stack_are_those_of_the_series() {
    let volume = noise([41, 41, 41], millimetres(), 1);
    let stack = PatchGeometry {
        size: [3, 5, 5],
        spacing_mm: [6.0, 1.0, 1.0],
        planes: Planes::Stack,
        ..PatchGeometry::default()
    };
    let patch = cut(&volume, PointMm::new(0.0, 0.0, 0.0), &stack);
    for (d, k) in [14, 20, 26].into_iter().enumerate() {
        for h in 0..5 {
            for w in 0..5 {
                assert_eq!(Some(patch.voxels[(d * 5 + h) * 5 + w]), volume.get([18 + w, 18 + h, k]));
            }
        }
    }
    // A volume of that spacing averages over the gap.
    let averaged = cut(&volume, PointMm::new(0.0, 0.0, 0.0), &PatchGeometry { planes: Planes::Volume, ..stack });
    assert_ne!(averaged.voxels, patch.voxels);
}

#[test]
fn three_views_are_the_planes_through_the_centre_with_the_head_up() {
    let volume = noise([41, 41, 41], millimetres(), 2);
    let shape = PatchGeometry {
        size: [3, 7, 7],
        spacing_mm: [1.0, 1.0, 1.0],
        planes: Planes::Orthogonal,
        ..PatchGeometry::default()
    };
    let patch = cut(&volume, PointMm::new(1.0, 2.0, 3.0), &shape);
    let at = |i: i64, j: i64, k: i64| volume.get([(21 + i) as usize, (22 + j) as usize, (23 + k) as usize]).unwrap();
    for row in -3..=3_i64 {
        for column in -3..=3_i64 {
            let place = ((row + 3) * 7 + column + 3) as usize;
            assert_eq!(patch.voxels[place], at(column, row, 0), "axial");
            assert_eq!(patch.voxels[49 + place], at(column, 0, -row), "coronal");
            assert_eq!(patch.voxels[98 + place], at(0, column, -row), "sagittal");
        }
    }
    assert_eq!(patch.pad_fraction, 0.0);
    // At the upper end three of seven rows of the standing planes lie outside, and none of the axial one.
    let upper = cut(&volume, PointMm::new(0.0, 0.0, 20.0), &shape);
    assert!((upper.pad_fraction - 2.0 / 3.0 * 3.0 / 7.0).abs() < 1e-6, "{}", upper.pad_fraction);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn stored_otherwise_the_views_are_the_same(
        center in prop::array::uniform3(-8.0..8.0f64),
        thickness in 0.5..4.0f64,
        step in 0.5..4.0f64,
        planes in prop::sample::select(vec![Planes::Stack, Planes::Orthogonal]),
    ) {
        let shape = PatchGeometry { size: [3, 6, 6], spacing_mm: [thickness, step, step], planes, ..PatchGeometry::default() };
        let smooth = |p: PointMm| 300.0 * (p.0[0] / 9.0).sin() + 200.0 * (p.0[1] / 5.0).cos() + 15.0 * p.0[2];
        let stored = |corner: [f64; 3], steps: [[f64; 3]; 3]| {
            let affine = Affine::new(PointMm(corner), steps).unwrap();
            let index = |n: usize| Voxel([n % 41, n / 41 % 41, n / 1681].map(|n| n as f64));
            let voxels = (0..41 * 41 * 41).map(|n| smooth(affine.to_mm(index(n))).round() as i16).collect();
            Volume::new(voxels, [41; 3], affine).unwrap()
        };
        let axial = stored([-20.0; 3], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        let sagittal = stored([-20.0, -20.0, 20.0], [[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]);
        prop_assert_eq!(cut(&axial, PointMm(center), &shape), cut(&sagittal, PointMm(center), &shape));
    }
}
