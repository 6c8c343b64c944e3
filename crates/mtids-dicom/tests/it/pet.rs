//! PET: factors of real makers' headers, slopes that differ from slice to slice, and what is written reads back.

use std::path::Path;
use std::process::Command;

use mtids_dicom::pet::{PetFacts, suv_factor};
use mtids_dicom::write::{PetOptions, StudyIdentity, write_pet_series};
use mtids_dicom::{FileKind, Limits, ReasonCode, group, load_pet, read_header};
use mtids_domain::geometry::{Affine, PointMm};
use mtids_domain::volume::Volume;
use serde_json::Value;

use crate::{grouped, shared};

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

const MAKERS: [&str; 3] = ["PHILIPS_BQML", "PHILIPS_CNTS_AND_SUV", "SIEMENS"];

#[test]
#[ignore = "needs ../shared/data"]
fn the_series_of_three_makers_have_their_stated_suv_everywhere() {
    let data = shared("pet-suv");
    for maker in MAKERS {
        let folder = data.join(maker);
        let expected = json(&folder.join("expected.json"));
        let outcome = grouped(&folder);
        assert_eq!(outcome.series.len(), 1, "{maker}");
        let loaded = load_pet(&outcome.series[0], &Limits::default()).unwrap();
        let factor = expected["suvbw_per_activity_unit"].as_f64().unwrap();
        assert!((loaded.factor / factor - 1.0).abs() < 1e-4, "{maker}: {} for {factor}", loaded.factor);
        for probe in expected["probes_lps_mm_suvbw"].as_array().unwrap() {
            let [x, y, z, suv] = numbers(probe)[..] else { panic!("a probe has four numbers") };
            let found = f64::from(loaded.volume.nearest(PointMm::new(x, y, z)).unwrap());
            assert!((found / suv - 1.0).abs() < 1e-4, "{maker} at {x}, {y}, {z}: {found} for {suv}");
        }
    }
}

#[test]
#[ignore = "needs ../shared/data"]
fn the_header_sets_of_three_makers_give_their_stated_factor() {
    let (headers, stated) = (shared("calculate-suv"), shared("pet-suv"));
    for maker in MAKERS {
        let slices: Vec<PetFacts> = json(&headers.join(format!("{maker}-instances.json")))
            .as_array()
            .unwrap()
            .iter()
            .map(|slice| {
                let text = |key: &str| slice[key].as_str().map(|text| text.trim().to_owned());
                let seconds = |date: &str, time: &str| {
                    let stamp = format!("{}{}", text(date)?, text(time)?);
                    PetFacts::date_time(&stamp)
                };
                PetFacts {
                    units: text("Units"),
                    decay_correction: text("DecayCorrection"),
                    corrected: slice["CorrectedImage"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|word| word.as_str().unwrap().to_owned())
                        .collect(),
                    weight_kg: slice["PatientWeight"].as_f64(),
                    dose_bq: slice["RadionuclideTotalDose"].as_f64(),
                    half_life_s: slice["RadionuclideHalfLife"].as_f64(),
                    injected: text("RadiopharmaceuticalStartDateTime").and_then(|text| PetFacts::date_time(&text)),
                    injected_time_of_day: text("RadiopharmaceuticalStartTime")
                        .and_then(|text| PetFacts::time_of_day(&text)),
                    series: seconds("SeriesDate", "SeriesTime"),
                    acquired: seconds("AcquisitionDate", "AcquisitionTime"),
                    philips_suv: slice["PhilipsPETPrivateGroup"]["SUVScaleFactor"]
                        .as_str()
                        .and_then(|x| x.parse().ok()),
                    ..PetFacts::default()
                }
            })
            .collect();
        let found = suv_factor(&slices.iter().collect::<Vec<_>>()).unwrap();
        let factor = json(&stated.join(maker).join("expected.json"))["suvbw_per_activity_unit"].as_f64().unwrap();
        assert!((found / factor - 1.0).abs() < 1e-4, "{maker}: {found} for {factor}");
    }
}

#[test]
#[ignore = "needs ../shared/data"]
fn the_pet_of_the_chest_ct_peaks_in_its_lesion() {
    let folder = shared("chest-ct-lung1");
    let expected = json(&folder.join("pet_expected.json"));
    let outcome = grouped(&folder.join("pet"));
    let loaded = load_pet(&outcome.series[0], &Limits::default()).unwrap();
    let factor = expected["factor"].as_f64().unwrap();
    assert!((loaded.factor / factor - 1.0).abs() < 1e-4, "{} for {factor}", loaded.factor);
    let [x, y, z] = numbers(&expected["hot_spot_lps_mm"])[..] else { panic!("a point") };
    let peak = f64::from(loaded.volume.nearest(PointMm::new(x, y, z)).unwrap());
    assert!((peak - 8.2).abs() < 0.5, "{peak}");
    // Both lie in one frame of reference.
    let ct = grouped(&folder.join("ct"));
    assert_eq!(outcome.series[0].frame_of_reference_uid, ct.series[0].frame_of_reference_uid);
}

#[test]
#[ignore = "needs ../shared/data"]
fn a_ct_has_no_suv() {
    let folder = shared("pitfalls/clean");
    let error = load_pet(&grouped(&folder).series[0], &Limits::default()).unwrap_err();
    assert_eq!(error.reason(), ReasonCode::NoSuv);
}

/// Identity and options of the series of these tests.
pub(crate) fn written() -> (StudyIdentity, PetOptions) {
    let identity = StudyIdentity {
        patient_id: "TEST-1".into(),
        patient_name: "TEST^SYNTHETIC".into(),
        study_uid: "2.25.1".into(),
        frame_of_reference_uid: "2.25.2".into(),
        study_date: "20260101".into(),
        ..StudyIdentity::default()
    };
    let options = PetOptions {
        series_uid: "2.25.4".into(),
        description: "round trip".into(),
        manufacturer: "Maker".into(),
        weight_kg: 81.5,
        dose_bq: 3.1e8,
    };
    (identity, options)
}

/// 6 × 5 × 4 voxels; the slices differ in their largest value, so in their slope; one is empty.
pub(crate) fn suv() -> Volume<f32> {
    let steps = [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 3.0]];
    let affine = Affine::new(PointMm::new(-10.0, 5.0, 100.0), steps).unwrap();
    let suv =
        (0..6 * 5 * 4).map(|n| if n / 30 == 2 { 0.0 } else { (n % 30) as f32 * 0.37 * (n / 30 + 1) as f32 }).collect();
    Volume::new(suv, [6, 5, 4], affine).unwrap()
}

#[test]
fn a_written_series_reads_back_with_its_suv() {
    let folder = tempfile::tempdir().unwrap();
    let (volume, (identity, options)) = (suv(), written());
    let affine = *volume.affine();
    write_pet_series(folder.path(), &volume, &identity, &options).unwrap();
    let outcome = grouped(folder.path());
    let loaded = load_pet(&outcome.series[0], &Limits::default()).unwrap();
    assert_eq!(loaded.volume.dimensions(), volume.dimensions());
    assert!(loaded.volume.affine().origin().distance(affine.origin()) < 1e-6);
    for (slice, (found, written)) in loaded.volume.voxels().chunks(30).zip(volume.voxels().chunks(30)).enumerate() {
        let most = written.iter().copied().fold(0.0, f32::max);
        for (found, written) in found.iter().zip(written) {
            assert!((found - written).abs() <= most / 65535.0 + 1e-5, "slice {slice}: {found} for {written}");
        }
    }
    let nobody = PetOptions { weight_kg: 0.0, ..options };
    assert!(write_pet_series(folder.path(), &volume, &identity, &nobody).is_err());
}

/// Three frames of 4 × 4 by pydicom: 300 MBq in MBq, times in two zones, mapped to Bq/ml and to SUV.
#[test]
fn an_enhanced_pet_of_pydicom_has_its_suv() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/enhanced_pet.dcm");
    let FileKind::Frames(frames) = read_header(&path, &Limits::default()).unwrap() else { panic!("frames") };
    let facts = frames[0].pet.as_deref().unwrap();
    assert_eq!((facts.dose_bq, facts.weight_kg, facts.units.as_deref()), (Some(3e8), Some(80.0), Some("GML")));
    assert_eq!((facts.nuclide.as_deref(), facts.utc_offset_s), (Some("77004003"), Some(3600)));
    assert_eq!(facts.corrected, ["DECY", "ATTN"]);
    let loaded = load_pet(&group(frames).series[0], &Limits::default()).unwrap();
    assert_eq!(loaded.volume.dimensions(), [4, 4, 3]);
    for (n, suv) in loaded.volume.voxels().iter().enumerate() {
        assert!((suv - 0.1 * n as f32).abs() < 1e-5, "{suv} at {n}");
    }
}

#[test]
#[ignore = "needs Python readers (.venv)"]
fn a_series_converted_by_highdicom_has_the_same_suv() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let [single, converted] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (identity, options) = written();
    write_pet_series(single.path(), &suv(), &identity, &options).unwrap();
    let script = root.join("tests/python/convert_pet.py");
    let python = Command::new(root.join(".venv/bin/python"))
        .args([script.as_path(), single.path(), &converted.path().join("enhanced.dcm")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&python.stdout);
    assert_eq!(said.trim(), "4 frames of 1.2.840.10008.5.1.4.1.1.128.1", "{}", String::from_utf8_lossy(&python.stderr));
    let [one, other] = [single, converted].map(|folder| {
        let outcome = grouped(folder.path());
        assert_eq!((outcome.series.len(), outcome.refused.len()), (1, 0));
        load_pet(&outcome.series[0], &Limits::default()).unwrap()
    });
    assert_eq!(one, other);
}
