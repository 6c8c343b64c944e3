//! However a volume is stored, a place of the patient keeps its value: left and right never swap.

use mtids_dicom::{Limits, load_volume};
use mtids_domain::geometry::{Affine, PointMm, Voxel};
use mtids_domain::volume::Volume;
use mtids_patch::{Interpolation, PatchGeometry, cut};
use proptest::prelude::*;

use crate::grouped;
use crate::round_trip::write;

/// The same patient (9 × 9 × 9 places, 2 mm apart) stored along axes `order` with signs `signs`.
fn stored(order: [usize; 3], signs: [bool; 3], hu: &[i16]) -> Volume {
    let mut steps = [[0.0; 3]; 3];
    let mut origin = [-8.0; 3];
    for (axis, step) in steps.iter_mut().enumerate() {
        step[order[axis]] = if signs[axis] { -2.0 } else { 2.0 };
        if signs[axis] {
            origin[order[axis]] = 8.0;
        }
    }
    let affine = Affine::new(PointMm(origin), steps).unwrap();
    let mut voxels = Vec::with_capacity(729);
    for k in 0..9 {
        for j in 0..9 {
            for i in 0..9 {
                let place = affine.to_mm(Voxel([i, j, k].map(f64::from))).0.map(|x| ((x + 8.0) / 2.0).round() as usize);
                voxels.push(hu[(place[2] * 9 + place[1]) * 9 + place[0]]);
            }
        }
    }
    Volume::new(voxels, [9, 9, 9], affine).unwrap()
}

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_volume_stored_in_any_orientation_gives_the_same_patch(
        order in prop::sample::select(&ORDERS[..]),
        signs: [bool; 3],
        hu in prop::collection::vec(-1000i16..2000, 729),
        center in [-5.0f64..5.0, -5.0..5.0, -5.0..5.0],
        linear: bool,
    ) {
        let interpolation = if linear { Interpolation::Linear } else { Interpolation::Nearest };
        let geometry = PatchGeometry { size: [4, 5, 6], spacing_mm: [1.7, 2.3, 2.9], interpolation, ..PatchGeometry::default() };
        let read = |order, signs| {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), &stored(order, signs, &hu));
            let outcome = grouped(folder.path());
            prop_assert_eq!(outcome.series.len(), 1);
            Ok(load_volume(&outcome.series[0], &Limits::default()).unwrap().volume)
        };
        let (upright, turned) = (read([0, 1, 2], [false; 3])?, read(order, signs)?);
        let center = PointMm(center);
        let (expected, found) = (cut(&upright, center, &geometry), cut(&turned, center, &geometry));
        prop_assert_eq!(found, expected);
        // The patient's left is at +x, whatever the storage.
        let left = PointMm::new(6.0, 0.0, 0.0);
        prop_assert_eq!(turned.nearest(left), Some(hu[(4 * 9 + 4) * 9 + 7]));
    }
}

#[test]
fn all_forty_eight_storages_give_the_same_patch() {
    let hu: Vec<i16> = (0..729).map(|n| (n * 37 % 3000) as i16 - 1000).collect();
    let geometry = PatchGeometry { size: [4, 5, 6], spacing_mm: [1.7, 2.3, 2.9], ..PatchGeometry::default() };
    let center = PointMm::new(1.3, -2.1, 0.7);
    let expected = cut(&stored([0, 1, 2], [false; 3], &hu), center, &geometry);
    for order in ORDERS {
        for bits in 0..8 {
            let signs = [1, 2, 4].map(|bit| bits & bit != 0);
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), &stored(order, signs, &hu));
            let outcome = grouped(folder.path());
            let volume = load_volume(&outcome.series[0], &Limits::default()).unwrap().volume;
            assert_eq!(cut(&volume, center, &geometry), expected, "{order:?} {signs:?}");
        }
    }
}
