//! Repaired series against what they were made of: a tilted gantry, missing slices, unequal steps.
//!
//! The body is a linear field of HU with balls of 300 HU in it, known at every point; so a repair can be judged where it was resampled.

use std::path::Path;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::open_file;
use mtids_dicom::volume::check_geometry;
use mtids_dicom::write::{CtOptions, write_ct_series};
use mtids_dicom::{Limits, LoadedVolume, ReasonCode, Series, load_volume};
use mtids_domain::geometry::{Affine, PointMm, Voxel};
use mtids_domain::repair::Repair;
use mtids_domain::volume::Volume;
use proptest::prelude::*;

use crate::round_trip::{facts, identity};
use crate::{grouped, shared};

const REPAIR: Limits = limits(true);

const fn limits(repair: bool) -> Limits {
    Limits {
        max_file_bytes: 1 << 20,
        max_depth: 32,
        max_voxels: 1 << 24,
        max_findings: 1000,
        max_set_voxels: 1 << 20,
        max_expansion: 50,
        max_header_bytes: 1 << 20,
        min_slices: 3,
        max_tilt_degrees: 0.1,
        position_tolerance_mm: 0.02,
        refuse_lossy: true,
        repair,
    }
}

/// Balls of 300 HU: centre and radius in mm.
const BALLS: [([f64; 3], f64); 2] = [([-4.0, 6.0, 30.0], 9.0), ([10.0, -8.0, 70.0], 7.0)];

/// The field without its balls.
fn field([x, y, z]: [f64; 3]) -> f64 {
    3.0 * x + 2.0 * y + z
}

fn hu(point: [f64; 3]) -> f64 {
    let inside = |(centre, radius): &([f64; 3], f64)| PointMm(*centre).distance(PointMm(point)) <= *radius;
    if BALLS.iter().any(inside) { 300.0 } else { field(point) }
}

/// 64 × 60 pixels of 0.9 mm around the origin, slices from 0 upwards at these heights; the gantry is tilted by `degrees` about x: rows
/// run along x, columns lean, the table moves along z.
fn write(folder: &Path, heights: &[f64], degrees: f64) {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let column = [0.0, 0.9 * cos, -0.9 * sin];
    for (k, z) in heights.iter().enumerate() {
        // The first pixel such that the middle of the slice lies at x = y = 0 at the height of the table.
        let origin = PointMm::new(-28.8, -30.0 * column[1], z - 30.0 * column[2]);
        let affine = Affine::new(origin, [[0.9, 0.0, 0.0], column, [0.0, 0.0, 2.5]]).unwrap();
        let at = |i: usize, j: usize| affine.to_mm(Voxel([i as f64, j as f64, 0.0])).0;
        let voxels = (0..60).flat_map(|j| (0..64).map(move |i| (i, j))).map(|(i, j)| hu(at(i, j)).round() as i16);
        let volume = Volume::new(voxels.collect(), [64, 60, 1], affine).unwrap();
        let mut options = CtOptions::new("2.25.7".into(), "repair".into(), facts());
        options.file_prefix = format!("S{k:02}_");
        let path = write_ct_series(folder, &volume, &identity(), &options).unwrap().remove(0);
        let mut object = open_file(&path).unwrap();
        let uid = format!("2.25.7.{}", k + 1);
        object.put(DataElement::new(tags::SOP_INSTANCE_UID, VR::UI, PrimitiveValue::from(uid)));
        object.write_to_file(&path).unwrap();
    }
}

fn series(heights: &[f64], degrees: f64) -> (tempfile::TempDir, Series) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), heights, degrees);
    let mut outcome = grouped(folder.path());
    assert_eq!(outcome.series.len(), 1, "{:?}", outcome.refused);
    let series = outcome.series.remove(0);
    (folder, series)
}

fn repaired(heights: &[f64], degrees: f64) -> LoadedVolume {
    let (_folder, series) = series(heights, degrees);
    assert!(load_volume(&series, &limits(false)).is_err(), "refused by default");
    let loaded = load_volume(&series, &REPAIR).unwrap();
    let grid = check_geometry(&series, &REPAIR).unwrap();
    assert_eq!((grid.dimensions, &grid.affine), (loaded.volume.dimensions(), loaded.volume.affine()));
    assert_eq!(grid.repaired, loaded.repaired);
    loaded
}

fn equal_heights(count: usize) -> Vec<f64> {
    (0..count).map(|k| 2.5 * k as f64).collect()
}

/// The largest difference of HU from the truth over voxels that are measured and lie away from the surface of the balls, and the centres of
/// mass of the balls.
fn judge(loaded: &LoadedVolume) -> (f64, Vec<PointMm>) {
    let volume = &loaded.volume;
    let [columns, rows, slices] = volume.dimensions();
    let mut worst: f64 = 0.0;
    let mut masses = vec![(0.0, [0.0; 3]); BALLS.len()];
    for k in 0..slices {
        for (j, i) in (0..rows).flat_map(|j| (0..columns).map(move |i| (j, i))) {
            let point = volume.affine().to_mm(Voxel([i as f64, j as f64, k as f64])).0;
            let value = f64::from(volume.get([i, j, k]).unwrap());
            let away = |(centre, radius): &([f64; 3], f64)| PointMm(*centre).distance(PointMm(point)) - radius;
            if !loaded.invented.touches(&[i..i + 1, j..j + 1, k..k + 1], volume.dimensions())
                && BALLS.iter().all(|ball| away(ball).abs() > 3.5)
            {
                // The outermost half pixel is that of the outermost pixel: up to 3 HU per mm times half of 0.9 mm.
                worst = worst.max((value - hu(point)).abs());
            }
            for (ball, (mass, sum)) in BALLS.iter().zip(&mut masses) {
                if away(ball) < 4.0 {
                    // How much of a ball is in the voxel.
                    let weight = (value - field(point)) / (300.0 - field(point));
                    *mass += weight;
                    (0..3).for_each(|axis| sum[axis] += weight * point[axis]);
                }
            }
        }
    }
    (worst, masses.into_iter().map(|(mass, sum)| PointMm(sum.map(|x| x / mass))).collect())
}

fn assert_true(loaded: &LoadedVolume, what: &str) {
    let (worst, centres) = judge(loaded);
    assert!(worst <= 5.0, "{what}: {worst} HU off");
    for (centre, (truth, _)) in centres.into_iter().zip(BALLS) {
        let off = centre.distance(PointMm(truth));
        assert!(off < 0.5, "{what}: a ball at {truth:?} is {off} mm off");
    }
}

#[test]
fn a_tilt_is_undone_to_the_place_and_hu_of_the_untilted_body() {
    for degrees in [5.0, -12.5, 20.0, 29.0] {
        let loaded = repaired(&equal_heights(40), degrees);
        assert_eq!(loaded.repaired, Some(Repair::Tilt));
        assert_true(&loaded, &format!("{degrees} degrees"));
        // The grid stands on the normal of the slices, and holds every pixel of them.
        let [row, column, step] = loaded.volume.affine().steps();
        let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        assert!(dot(row, step).abs() < 1e-9 && dot(column, step).abs() < 1e-9);
        let grown = (39.0 * 2.5 * degrees.to_radians().sin().abs() / 0.9 - 0.01).ceil() as usize;
        assert_eq!(loaded.volume.dimensions(), [64, 60 + grown, 40]);
        assert!(loaded.warnings.iter().any(|warning| warning.contains("resampling (tilt)")), "{:?}", loaded.warnings);
    }
}

#[test]
fn a_tilt_beyond_any_gantry_is_refused_by_its_angle() {
    let (_folder, series) = series(&equal_heights(10), 35.0);
    let error = load_volume(&series, &REPAIR).unwrap_err();
    assert_eq!(error.reason(), ReasonCode::GantryTilt);
    assert!(error.to_string().contains("35.00 degrees"), "{error}");
}

#[test]
fn a_missing_slice_is_put_in_at_its_place_and_listed_as_invented() {
    let without: Vec<f64> = equal_heights(40).into_iter().filter(|z| *z != 20.0 && *z != 55.0).collect();
    let loaded = repaired(&without, 0.0);
    assert_eq!(loaded.repaired, Some(Repair::Gaps));
    assert_eq!((loaded.volume.dimensions(), loaded.invented.slices()), ([64, 60, 40], 2));
    assert_true(&loaded, "gaps");
    let dimensions = loaded.volume.dimensions();
    let touches = |slices| loaded.invented.touches(&[30..31, 30..31, slices], dimensions);
    assert!(touches(8..9) && touches(22..23) && touches(7..9) && !touches(9..22) && !touches(0..8));
    // Slices that are there are not resampled; the field is that of the missing one too.
    let (_folder, whole) = series(&equal_heights(40), 0.0);
    let whole = load_volume(&whole, &REPAIR).unwrap();
    assert_eq!(whole.repaired, None);
    for k in 0..40 {
        let slice = |volume: &Volume| volume.voxels()[k * 64 * 60..(k + 1) * 64 * 60].to_vec();
        let differs = slice(&loaded.volume) != slice(&whole.volume);
        assert_eq!(differs, k == 8 || k == 22, "slice {k}");
    }
}

#[test]
fn two_missing_slices_in_a_row_stay_refused_with_their_place_and_files() {
    let without: Vec<f64> = equal_heights(40).into_iter().filter(|z| *z != 20.0 && *z != 22.5 && *z != 50.0).collect();
    let (_folder, series) = series(&without, 0.0);
    let error = load_volume(&series, &REPAIR).unwrap_err();
    assert_eq!(error.reason(), ReasonCode::MissingSlices);
    for part in [
        "2 here in a row",
        "3 in all at 2 places",
        "7.500 mm from 17.50 mm to 25.00 mm",
        "S07_0001.dcm and S08_0001.dcm",
    ] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    assert!(error.to_string().contains("2.500 mm × 34, 5.000 mm × 1, 7.500 mm × 1"), "{error}");
}

#[test]
fn unequal_steps_become_equal_ones_at_true_positions() {
    // Steps of 2.5 mm, then of 1.5 mm, then one of 4 mm.
    let mut heights = equal_heights(24);
    heights.extend((1..15).map(|k| 57.5 + 1.5 * f64::from(k)));
    heights.extend((1..9).map(|k| 82.5 + 2.5 * f64::from(k - 1)));
    let loaded = repaired(&heights, 0.0);
    assert_eq!(loaded.repaired, Some(Repair::UnequalSteps));
    assert!((loaded.volume.affine().spacing()[2] - 2.5).abs() < 1e-9);
    assert_true(&loaded, "unequal steps");
    assert_eq!(loaded.invented.slices(), 1, "4 mm are more than 1.5 steps");
}

#[test]
fn tilt_and_gaps_are_undone_together() {
    let without: Vec<f64> = equal_heights(40).into_iter().filter(|z| *z != 42.5).collect();
    let loaded = repaired(&without, 17.0);
    assert_eq!(loaded.repaired, Some(Repair::TiltAndGaps));
    assert_true(&loaded, "tilt and gaps");
}

#[test]
#[ignore = "needs ../shared/data"]
fn pitfalls_are_repaired_where_that_is_asked_for() {
    for (case, repair) in [("missing_slice", Repair::Gaps), ("unequal_spacing", Repair::UnequalSteps)] {
        let outcome = grouped(&shared("pitfalls").join(case));
        let loaded = load_volume(&outcome.series[0], &Limits { repair: true, ..Limits::default() }).unwrap();
        assert_eq!(loaded.repaired, Some(repair), "{case}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn a_linear_field_survives_any_repair(
        degrees in -28.0..28.0f64,
        jumps in prop::collection::vec(1.4..3.4f64, 12..20),
    ) {
        // Below all balls' heights only by chance; they are left out of the comparison.
        let heights: Vec<f64> = jumps.iter().scan(0.0, |z, jump| { *z += jump; Some(*z) }).collect();
        let (_folder, series) = series(&heights, degrees);
        match load_volume(&series, &REPAIR) {
            Ok(loaded) => prop_assert!(judge(&loaded).0 <= 5.0, "{}", judge(&loaded).0),
            // A step of more than two usual ones.
            Err(error) => prop_assert!(matches!(error.reason(), ReasonCode::UnequalSpacing | ReasonCode::MissingSlices)),
        }
    }
}
