//! One scan stored in many ways is one scan: rows, columns or slices reversed, other planes, other patient positions give the same answer. A
//! mirrored patient is another one: its places are mirrored too.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mtids_dicom::write::{CtOptions, StudyIdentity, write_ct_series};
use mtids_domain::geometry::{Affine, PointMm, Voxel};
use mtids_domain::volume::Volume;
use mtids_prep::candidates::Candidates;
use mtids_prep::config::BuildConfig;
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::Dataset;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{cohort, dataset, run, text};

/// A scan of the shared cohort with its points.
struct Scan {
    volume: Volume,
    points: Vec<PointMm>,
    options: CtOptions,
}

fn scan() -> Scan {
    let config = BuildConfig {
        data: Some(cohort().join("cohort/dicom")),
        annotations: vec![cohort().join("cohort/annotations.csv")],
        read_segmentations: false,
        read_reports: false,
        ..BuildConfig::default()
    };
    let description = Dataset::open(dataset()).unwrap().manifest().description.clone();
    let interrupt = Interrupt::new();
    let config = config.for_candidates(&description).unwrap();
    let candidates = Candidates::read(config, description, None, &interrupt, false).unwrap();
    // Most candidates, so that much is compared.
    let planned = candidates.series().iter().max_by_key(|planned| planned.findings.len()).unwrap();
    let volume = candidates.cut(planned, &interrupt).unwrap().volume.unwrap();
    assert!(volume.repaired.is_none());
    let facts = planned.series.facts.as_ref().clone();
    Scan {
        volume: volume.volume,
        points: planned.findings.iter().map(|finding| finding.center).collect(),
        options: CtOptions::new(String::new(), "a scan stored otherwise".into(), facts),
    }
}

/// The same voxels with axes in another order and some of them reversed: old axis `order[n]` becomes axis n.
fn stored(volume: &Volume, order: [usize; 3], reversed: [bool; 3]) -> Volume {
    let old = volume.dimensions();
    let size = order.map(|axis| old[axis]);
    let mut voxels = Vec::with_capacity(volume.voxels().len());
    for k in 0..size[2] {
        for j in 0..size[1] {
            for i in 0..size[0] {
                let mut from = [0; 3];
                for (n, index) in [i, j, k].into_iter().enumerate() {
                    from[order[n]] = if reversed[n] { size[n] - 1 - index } else { index };
                }
                voxels.push(volume.get(from).unwrap());
            }
        }
    }
    let mut corner = [0.0; 3];
    let steps = std::array::from_fn(|n| {
        let step = volume.affine().steps()[order[n]];
        if reversed[n] { step.map(|x| -x) } else { step }
    });
    for n in 0..3 {
        corner[order[n]] = if reversed[n] { (size[n] - 1) as f64 } else { 0.0 };
    }
    Volume::new(voxels, size, Affine::new(volume.affine().to_mm(Voxel(corner)), steps).unwrap()).unwrap()
}

/// A run with a view that keeps its orientation and one that does not, trained for a moment.
fn trained() -> &'static Path {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let run_folder = folder.path().join("run");
        let fixed = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", "epochs=1"];
        let places = ["--dataset", text(dataset()), "--run", text(&run_folder)];
        run("mtids-train", fixed.into_iter().chain(places)).expect_code(0);
        (folder, run_folder)
    })
    .1
}

/// The nodes of an answer for a volume and points, in the order of the points.
fn answer(volume: &Volume, points: &[PointMm], options: &CtOptions, position: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let identity = StudyIdentity {
        patient_id: "P1".into(),
        study_uid: "2.25.1".into(),
        frame_of_reference_uid: "2.25.2".into(),
        study_date: "20260101".into(),
        ..StudyIdentity::default()
    };
    let options = CtOptions { series_uid: "2.25.3".into(), patient_position: position.into(), ..options.clone() };
    write_ct_series(&data, volume, &identity, &options).unwrap();
    let rows: String = points.iter().map(|PointMm([x, y, z])| format!("2.25.3,{x},{y},{z}\n")).collect();
    let table = folder.path().join("points.csv");
    fs::write(&table, format!("series_uid,x_mm,y_mm,z_mm\n{rows}")).unwrap();
    let out = folder.path().join("answer");
    let places = ["--run", text(trained()), "--data", text(&data), "--annotations", text(&table), "--out", text(&out)];
    run("mtids-train", ["predict"].into_iter().chain(places)).expect_code(0);
    let answer: Value = serde_json::from_slice(&fs::read(out.join("prediction.json")).unwrap()).unwrap();
    let nodes = answer["patients"][0]["nodes"].as_array().unwrap();
    let near = |node: &Value, point: &PointMm| {
        let center: [f64; 3] = serde_json::from_value(node["center_mm"].clone()).unwrap();
        PointMm(center).distance(*point) < 1e-3
    };
    points.iter().map(|point| nodes.iter().find(|node| near(node, point)).unwrap().clone()).collect()
}

fn number(node: &Value, name: &str) -> f64 {
    node["status"][name].as_f64().unwrap()
}

#[test]
fn a_scan_has_one_answer_however_it_is_stored() {
    let Scan { volume, points, options } = scan();
    let first = answer(&volume, &points, &options, "HFS");
    for (what, order, reversed, position) in [
        ("rows and columns reversed", [0, 1, 2], [true, true, false], "HFP"),
        ("slices reversed", [0, 1, 2], [false, false, true], "HFS"),
        ("columns reversed", [0, 1, 2], [true, false, false], "HFS"),
        ("feet first", [0, 1, 2], [true, false, true], "FFS"),
        ("coronal", [0, 2, 1], [false, true, false], "HFS"),
        ("sagittal", [1, 2, 0], [false, true, false], "HFS"),
        ("sagittal, all reversed", [1, 2, 0], [true, true, true], "HFS"),
    ] {
        let again = answer(&stored(&volume, order, reversed), &points, &options, position);
        for (a, b) in first.iter().zip(&again) {
            assert_eq!(a["status"]["region"], b["status"]["region"], "{what}");
            for name in ["probability", "region_probability"] {
                let (a, b) = (number(a, name), number(b, name));
                assert!((a - b).abs() < 1e-4, "{what}, {name}: {a} is not {b}");
            }
        }
    }
}

#[test]
fn a_mirrored_patient_has_mirrored_places() {
    let Scan { volume, points, options } = scan();
    let mirror = |[x, y, z]: [f64; 3]| [-x, y, z];
    let steps = volume.affine().steps().map(mirror);
    let affine = Affine::new(PointMm(mirror(volume.affine().origin().0)), steps).unwrap();
    let mirrored = Volume::new(volume.voxels().to_vec(), volume.dimensions(), affine).unwrap();
    let across: Vec<PointMm> = points.iter().map(|point| PointMm(mirror(point.0))).collect();
    let (here, there) = (answer(&volume, &points, &options, "HFS"), answer(&mirrored, &across, &options, "HFS"));
    let mut moved = 0;
    for (a, b) in here.iter().zip(&there) {
        // The same tissue is measured, and the wide view sees another patient.
        let axis = |node: &Value| node["grown"]["short_axis_mm"].as_f64();
        match (axis(a), axis(b)) {
            (Some(a), Some(b)) => assert!((a - b).abs() < 0.05, "{a} is not {b}"),
            (a, b) => assert_eq!(a, b),
        }
        moved += usize::from((number(a, "region_probability") - number(b, "region_probability")).abs() > 1e-4);
    }
    assert!(moved > 0, "the wide view keeps its orientation");
}
