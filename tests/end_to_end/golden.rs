//! Golden test on a real chest CT: the voxels around the lesion are those that an independent reader finds.
//!
//! `tests/golden/chest-ct-lung1.json` was computed once by `tests/python/golden_chest_ct.py` (pydicom, scipy). Station and
//! status of the lesion are unknown; none is claimed here.

use std::fs;
use std::path::Path;

use mtids_shards::{Dataset, read_row_group};
use serde_json::Value;

use crate::support::{root, run, shared_data, text};

fn golden() -> Value {
    serde_json::from_slice(&fs::read(root().join("tests/golden/chest-ct-lung1.json")).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Builds the study with patches on its native spacing, centred on the row of its own table.
fn build(data: &Path, interpolation: &str, out: &Path) {
    let golden = golden();
    let key = out.with_extension("key");
    fs::write(&key, "a secret of at least sixteen bytes").unwrap();
    run(
        "mtids-prep",
        [
            "build",
            "--data",
            text(data),
            "--annotations",
            text(&data.join("annotations_mm.csv")),
            "--out",
            text(out),
            "--set",
            &format!("patch.size={}", golden["size"]),
            "--set",
            &format!("patch.spacing_mm={}", golden["spacing_mm"]),
            "--set",
            &format!("patch.interpolation=\"{interpolation}\""),
            "--set",
            &format!("pseudonym.key_file=\"{}\"", text(&key)),
            "--set",
            "read_segmentations=false",
        ],
    )
    .expect_code(0);
}

fn only_patch(out: &Path) -> Vec<i16> {
    let dataset = Dataset::open(out).unwrap();
    let group = read_row_group(&dataset, 0, 0).unwrap();
    assert_eq!(group.labels.len(), 1, "one lesion, one patch");
    assert_eq!((group.labels[0].region, group.labels[0].metastasis), (None, None), "unknown stays unknown");
    let [view] = group.views.try_into().unwrap();
    view.voxels
}

#[test]
#[ignore = "needs ../shared/data"]
fn patches_hold_the_hu_that_an_independent_reader_finds() {
    let data = shared_data("chest-ct-lung1");
    let golden = golden();
    let folder = tempfile::tempdir().unwrap();

    let nearest = folder.path().join("nearest");
    build(&data, "nearest", &nearest);
    let found: Vec<f64> = only_patch(&nearest).into_iter().map(f64::from).collect();
    assert_eq!(found, numbers(&golden["nearest_hu"]), "nearest voxels are exact");

    let linear = folder.path().join("linear");
    build(&data, "linear", &linear);
    for (found, expected) in only_patch(&linear).into_iter().zip(numbers(&golden["linear_hu"])) {
        assert!((f64::from(found) - expected).abs() <= 0.5001, "{found} for {expected}");
    }
}

#[test]
#[ignore = "needs ../shared/data"]
fn the_public_key_of_phantoms_is_refused_for_a_real_study() {
    let data = shared_data("chest-ct-lung1");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    let build = ["build", "--config", "pipelines/demo-short/dataset.toml", "--data", text(&data), "--out", text(&out)];
    let refused = run("mtids-prep", build).expect_code(2);
    assert!(refused.stderr.contains("pseudonym.demo"), "{}", refused.stderr);
    assert!(!out.exists());
}

#[test]
#[ignore = "needs ../shared/data"]
fn probe_prints_the_same_hu() {
    let data = shared_data("chest-ct-lung1");
    let golden = golden();
    let at = numbers(&golden["center_mm"]);
    let at = format!("{},{},{}", at[0], at[1], at[2]);
    let probed = run("mtids-prep", ["probe", text(&data), "--at", &at]).expect_code(0);
    let expected = golden["nearest_hu_at_center"].to_string();
    assert!(probed.stdout.contains(&expected), "{} HU in\n{}", expected, probed.stdout);
}

#[test]
#[ignore = "needs ../shared/data"]
fn all_sources_speak_of_one_finding() {
    let data = shared_data("chest-ct-lung1");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    let key = folder.path().join("key");
    fs::write(&key, "a secret of at least sixteen bytes").unwrap();
    let mut arguments =
        vec!["build".to_owned(), "--data".into(), text(&data).into(), "--out".into(), text(&out).into()];
    for source in ["annotations_mm.csv", "annotations_voxel.csv", "mask.nii.gz", "mask.nrrd", "voc"] {
        arguments.extend(["--annotations".into(), text(&data.join(source)).into()]);
    }
    arguments.extend(["--annotations".into(), "data/demo-real/made-up-labels.csv".into()]);
    for setting in [format!("pseudonym.key_file=\"{}\"", text(&key)), "classes=[{ name = \"^lesion(-1)?$\" }]".into()] {
        arguments.extend(["--set".into(), setting]);
    }
    run("mtids-prep", arguments).expect_code(0);
    // 20 slices, 3 SEG, 1 report on one of them, 1 RTSTRUCT, 2 tables, 2 masks and 3 files of boxes are used; the last table lies outside the folder.
    let totals = Dataset::open(&out).unwrap().manifest().totals.clone();
    assert_eq!((totals.used, totals.unmatched_findings), (32, 0), "{totals:?}");
    let dataset = Dataset::open(&out).unwrap();
    let rows: Vec<_> = (0..dataset.manifest().shards.len())
        .flat_map(|shard| {
            (0..dataset.manifest().shards[shard].row_groups.len())
                .flat_map(|group| read_row_group(&dataset, shard, group).unwrap().labels)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(rows.len(), 1, "SEG, SR, RTSTRUCT, masks and tables speak of one lesion");
    assert_eq!(rows[0].label_source, "segmentation-with-table");
    assert_eq!(rows[0].region_name.as_deref(), Some("hilar"));
    // The box of the table spans 13.7 × 14.8 mm in the plane.
    let short_axis = rows[0].short_axis_mm.unwrap();
    assert!((8.0..=14.8).contains(&short_axis), "{short_axis}");
}

#[test]
#[ignore = "needs ../shared/data"]
fn a_mask_on_a_grid_of_its_own_finds_the_series_that_its_name_carries() {
    let data = shared_data("chest-ct-lung1");
    let folder = tempfile::tempdir().unwrap();
    let (out, key) = (folder.path().join("dataset"), folder.path().join("key"));
    let mask = folder.path().join("nodes_2.25.19740805100667864827315022029831408582_resampled.nrrd");
    let nameless = folder.path().join("resampled.nrrd");
    fs::write(&key, "a secret of at least sixteen bytes").unwrap();
    // 12 mm of voxels of 3 mm around the lesion, axes towards the right, the front and the head.
    let header = "NRRD0004\ntype: uint8\ndimension: 3\nspace: LPS\nsizes: 4 4 4\nspace directions: (-3,0,0) (0,-3,0) (0,0,3)\n\
                  space origin: (-17.4,-116.0,-616.0)\nencoding: raw\n\n";
    for path in [&mask, &nameless] {
        fs::write(path, [header.as_bytes(), &[1; 64]].concat()).unwrap();
    }
    let build = |studies: &Path, mask: &Path| {
        let setting = format!("pseudonym.key_file=\"{}\"", text(&key));
        let arguments =
            ["build", "--data", text(studies), "--annotations", text(mask), "--out", text(&out), "--set", &setting];
        run("mtids-prep", arguments)
    };
    build(&data.join("ct"), &mask).expect_code(0);
    let dataset = Dataset::open(&out).unwrap();
    let labels = read_row_group(&dataset, 0, 0).unwrap().labels;
    assert_eq!(labels.len(), 1);
    let [x, y, z] = labels[0].center_mm;
    assert!((x + 21.9).abs() < 0.1 && (y + 120.5).abs() < 0.1 && (z + 611.5).abs() < 0.1, "{x}, {y}, {z}");
    // Without its name the file could be anybody's: chests lie in the same places.
    let left_out = build(&data.join("ct"), &nameless).expect_code(3);
    assert!(left_out.stderr.contains("its file name has no SeriesInstanceUID"), "{}", left_out.stderr);
}
