//! The views of one place show the same place: a landmark off the centre lies at the same millimetres in each.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use mtids_domain::geometry::{Affine, PointMm, Voxel};
use mtids_domain::volume::Volume;
use mtids_patch::{PatchGeometry, cut};

/// What the ball is filled with above its surroundings, HU.
const CONTRAST: f64 = 1000.0;

/// A ball with a soft edge of one millimetre on a grid around the origin, so that its centroid does not depend on the grid.
fn landmark(middle: PointMm, radius: f64, steps: [[f64; 3]; 3]) -> Volume {
    let dimensions = [160, 204, 112];
    let unplaced = Affine::new(PointMm::new(0.0, 0.0, 0.0), steps).unwrap();
    let half = unplaced.to_mm(Voxel(dimensions.map(|n| (n as f64 - 1.0) / 2.0)));
    let affine = Affine::new(PointMm(half.0.map(|x| -x)), steps).unwrap();
    let mut voxels = Vec::with_capacity(dimensions.iter().product());
    for k in 0..dimensions[2] {
        for j in 0..dimensions[1] {
            for i in 0..dimensions[0] {
                let distance = affine.to_mm(Voxel([i, j, k].map(|n| n as f64))).distance(middle);
                voxels.push((CONTRAST * (radius + 0.5 - distance).clamp(0.0, 1.0)).round() as i16);
            }
        }
    }
    Volume::new(voxels, dimensions, affine).unwrap()
}

/// Mean position of what is bright in a patch, LPS mm.
fn centroid(voxels: &[i16], center: PointMm, geometry: &PatchGeometry) -> [f64; 3] {
    let [_, height, width] = geometry.size;
    let (mut sum, mut mean) = (0.0, [0.0; 3]);
    for (n, &hu) in voxels.iter().enumerate() {
        let weight = f64::from(hu);
        let place = geometry.position(center, [n / (height * width), n / width % height, n % width]);
        sum += weight;
        (0..3).for_each(|axis| mean[axis] += weight * place.0[axis]);
    }
    mean.map(|total| total / sum)
}

#[test]
fn the_views_of_a_place_show_the_same_place() {
    let near = PatchGeometry { size: [16, 48, 48], spacing_mm: [2.0, 1.0, 1.0], ..PatchGeometry::default() };
    let wide = PatchGeometry { size: [20, 44, 44], spacing_mm: [5.0, 2.5, 2.5], ..PatchGeometry::default() };
    let center = PointMm::new(3.1, -4.7, 2.3);
    let ball = PointMm::new(9.4, -11.2, 6.9);
    let (sin, cos) = 0.35_f64.sin_cos();
    let grids = [
        ("upright", [[0.8, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 1.5]]),
        ("flipped", [[-0.8, 0.0, 0.0], [0.0, -0.8, 0.0], [0.0, 0.0, -1.5]]),
        ("oblique", [[0.8, 0.0, 0.0], [0.0, 0.8 * cos, 0.8 * sin], [0.0, -1.5 * sin, 1.5 * cos]]),
    ];
    for (grid, steps) in grids {
        let volume = landmark(ball, 5.0, steps);
        let [a, b] = [near, wide].map(|view| {
            let patch = cut(&volume, center, &view);
            assert_eq!(patch.pad_fraction, 0.0, "{grid}: air would count");
            centroid(&patch.voxels, center, &view)
        });
        // x, y, z; a tenth of a voxel of the wide view.
        for (axis, tolerance) in [0.25, 0.25, 0.5].into_iter().enumerate() {
            assert!((a[axis] - b[axis]).abs() < tolerance, "{grid}: {a:?} in the near view, {b:?} in the wide one");
            assert!((b[axis] - ball.0[axis]).abs() < tolerance, "{grid}: {b:?} in the wide view, planted at {ball:?}");
        }
    }
}
