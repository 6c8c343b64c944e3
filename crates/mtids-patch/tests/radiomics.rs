//! Measures beside those of pyradiomics 3.0.1 on the same masks and grids (tests/parity/make_measure_fixtures.py).
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::collections::BTreeMap;

use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{Affine, PointMm};
use mtids_domain::volume::Volume;
use mtids_patch::Measure;
use mtids_patch::measure::{Region, of_region};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    spacing_mm: [f64; 3],
    size: [usize; 3],
    hu: Vec<i16>,
    mask: String,
    features: BTreeMap<String, f64>,
}

#[test]
fn volume_first_order_and_shape_are_those_of_pyradiomics() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/radiomics.json")).unwrap();
    assert_eq!(cases.len(), 4);
    let mut largest: BTreeMap<&str, f64> = BTreeMap::new();
    for case in cases {
        let [x, y, z] = case.spacing_mm;
        let affine = Affine::new(PointMm([0.0; 3]), [[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, z]]).unwrap();
        let [columns, rows, _] = case.size;
        let set = case.mask.bytes().enumerate().filter(|(_, byte)| *byte == b'1');
        let voxels =
            set.map(|(n, _)| [n % columns, n / columns % rows, n / (columns * rows)].map(|x| x as u32)).collect();
        let volume = Volume::new(case.hu, case.size, affine).unwrap();
        let region = Region::of_mask(&volume, &Mask { affine, voxels }).unwrap();
        let found = of_region(&volume, &region, PointMm([0.0; 3]), None, None);
        let of = |measure| f64::from(found.get(measure).unwrap());
        for (name, ours, tolerance) in [
            ("VoxelVolume", of(Measure::Volume), 0.01),
            ("Mean", of(Measure::MeanHu), 0.01),
            ("Median", of(Measure::MedianHu), 0.01),
            ("10Percentile", of(Measure::P10Hu), 0.01),
            ("90Percentile", of(Measure::P90Hu), 0.01),
            ("Variance", of(Measure::DeviationHu).powi(2), 0.01),
            ("Elongation", of(Measure::Elongation), 0.01),
            ("Sphericity", 1.0 / of(Measure::Roughness), 0.01),
        ] {
            let error = (ours / case.features[name] - 1.0).abs();
            assert!(error < tolerance, "{}: {name} is {ours}, by pyradiomics {}", case.name, case.features[name]);
            let entry = largest.entry(name).or_default();
            *entry = entry.max(error);
        }
    }
    println!("largest relative differences: {largest:?}");
}
