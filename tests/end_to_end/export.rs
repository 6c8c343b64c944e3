//! A run in other programs: onnxruntime says what an evaluation says, and the exported weights are those that it used.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mtids_runtime::digest::Digest;
use mtids_shards::{Dataset, Split, read_row_group};
use mtids_train::calibration::Calibration;
use serde_json::Value;

use crate::support::{dataset, python, root, run, text, tree};

/// How far probabilities may lie from those of an evaluation.
const CLOSE: f64 = 1e-5;

/// Runs whose every difference matters to a graph: crops, symmetries, both kinds of backbones and norms, two baselines.
const RUNS: [(&str, &[&str]); 4] = [
    ("mt-ids", &["inputs.near.size=[7, 20, 20]", "inputs.wide.size=[9, 21, 20]"]),
    (
        "mt-ids-volume",
        &["model.backbone.kind=volume", "model.backbone.norm=group", "test_symmetries=16", "average_decay=0.9"],
    ),
    ("mtan", &["model.architecture=mtan", "test_symmetries=8"]),
    ("dselect-k", &["model.architecture=dselect-k", "test_symmetries=1", "pet=false"]),
];

/// Trains and evaluates a small run; `more` are settings.
fn train(run_folder: &Path, more: &[&str]) {
    let fixed = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", "epochs=1"];
    let settings = more.iter().flat_map(|setting| ["--set", setting]);
    let places = ["--dataset", text(dataset()), "--run", text(run_folder)];
    run("mtids-train", fixed.into_iter().chain(settings).chain(places)).expect_code(0);
    let split = ["--split", "train", "--bootstrap-resamples", "20"];
    let evaluate = ["evaluate", "--run", text(run_folder), "--dataset", text(dataset())];
    run("mtids-train", evaluate.into_iter().chain(split)).expect_code(0);
}

/// Keys of the rows of the training split, and their voxels by view, as little-endian single precision.
fn stored_rows() -> (Vec<String>, BTreeMap<String, Vec<u8>>) {
    let opened = Dataset::open(dataset()).unwrap();
    let views = opened.manifest().description.views.clone();
    let (mut keys, mut voxels) = (Vec::new(), BTreeMap::<String, Vec<u8>>::new());
    for shard in opened.shards(Split::Train).collect::<Vec<_>>() {
        for group in 0..opened.manifest().shards[shard].row_groups.len() {
            let rows = read_row_group(&opened, shard, group).unwrap();
            keys.extend(rows.labels.iter().map(|row| row.sample_key.clone()));
            for (view, read) in views.iter().zip(&rows.views) {
                let bytes = read.voxels.iter().flat_map(|&voxel| f32::from(voxel).to_le_bytes());
                voxels.entry(view.name.to_string()).or_default().extend(bytes);
            }
        }
    }
    (keys, voxels)
}

/// What onnxruntime says of every model of a folder, by name.
fn answers(folder: &Path) -> BTreeMap<String, Value> {
    let script = root().join("tests/python/run_onnx.py");
    let output = std::process::Command::new(python()).args([script.as_path(), folder]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let answers = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    answers.map(|answer| (answer["model"].as_str().unwrap().to_owned(), answer)).collect()
}

/// Rows of `predictions-train.csv` by sample key: the numbers behind the labels.
fn predictions(run_folder: &Path) -> BTreeMap<String, Vec<f64>> {
    let table = fs::read_to_string(run_folder.join("predictions-train.csv")).unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[0].to_owned(), cells[6..].iter().map(|cell| cell.parse().unwrap()).collect())
    };
    table.lines().skip(1).map(row).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

#[track_caller]
fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= CLOSE, "{what}: {found} is not {expected}");
    }
}

#[test]
#[ignore = "needs Python readers (.venv)"]
fn onnxruntime_says_what_an_evaluation_says() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let (keys, voxels) = stored_rows();
    assert!(keys.len() >= 100, "{} rows are too few to say anything", keys.len());
    for (name, settings) in RUNS {
        let run_folder = folder.path().join(name);
        train(&run_folder, settings);
        let onnx = models.join(format!("{name}.onnx"));
        let said = run("mtids-train", ["export", "--run", text(&run_folder), "--onnx", text(&onnx)]).expect_code(0);
        assert!(said.stdout.contains("input near"), "{}", said.stdout);
        assert!(said.stdout.contains("the network's alone"), "{}", said.stdout);
        for (view, bytes) in &voxels {
            fs::write(models.join(format!("{name}.{view}.f32")), bytes).unwrap();
        }
    }
    let answers = answers(&models);
    for (name, _) in RUNS {
        let (run_folder, answer) = (folder.path().join(name), &answers[name]);
        let calibration: Calibration =
            serde_json::from_slice(&fs::read(run_folder.join("calibration.json")).unwrap()).unwrap();
        let regions: Vec<String> = serde_json::from_str(answer["metadata"]["mtids.regions"].as_str().unwrap()).unwrap();
        assert_eq!(answer["metadata"]["mtids.disclaimer"], "Research software, not for diagnosis.");
        assert_eq!(answer["metadata"]["mtids.weights"], calibration.weights.to_string());
        let (predictions, outputs) = (predictions(&run_folder), &answer["outputs"]);
        assert_eq!(predictions.len(), keys.len());
        for (row, key) in keys.iter().enumerate() {
            // Probability of metastasis, of each region, of each joint class, with six decimals.
            let expected = &predictions[key];
            let (by_region, joint) = expected[1..].split_at(regions.len());
            let what = format!("{name}, {key}");
            assert_close(&what, &[outputs["metastasis"][row].as_f64().unwrap()], &expected[..1]);
            assert_close(&what, &numbers(&outputs["region"][row]), by_region);
            let pooled = numbers(&outputs["pooled"][row]);
            assert_close(&what, &pooled, joint);
            let calibrated = outputs["metastasis_calibrated"][row].as_f64().unwrap();
            assert_close(&what, &[calibrated], &[calibration.of_network(&pooled)]);
        }
    }
}

/// Names and shapes in the head of a safetensors file.
fn tensors(file: &Path) -> BTreeMap<String, Value> {
    let bytes = fs::read(file).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let head: BTreeMap<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    head.into_iter()
        .filter(|(name, _)| name != "__metadata__")
        .map(|(name, about)| (name, about["shape"].clone()))
        .collect()
}

#[test]
fn weights_come_with_a_description_and_a_run_is_only_read() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("run");
    train(&run_folder, &["max_steps=3", "average_decay=0.5"]);
    let before = tree(&run_folder);
    let places = |name: &str| -> [PathBuf; 2] { [folder.path().join(name).join("net.onnx"), folder.path().join(name)] };
    for name in ["one", "two"] {
        let [onnx, weights] = places(name);
        let export = ["export", "--run", text(&run_folder), "--onnx", text(&onnx), "--safetensors", text(&weights)];
        run("mtids-train", export).expect_code(0);
    }
    assert_eq!(before, tree(&run_folder), "a run is only read");
    assert_eq!(tree(&places("one")[1]), tree(&places("two")[1]), "equal runs give equal bytes");
    let described: Value =
        serde_json::from_slice(&fs::read(places("one")[1].join("description.json")).unwrap()).unwrap();
    let file = places("one")[1].join("weights.safetensors");
    assert_eq!(described["weights"], Digest::of_file(&file).unwrap().to_string());
    let listed = described["tensors"].as_array().unwrap();
    let listed: BTreeMap<String, Value> =
        listed.iter().map(|tensor| (tensor["name"].as_str().unwrap().to_owned(), tensor["shape"].clone())).collect();
    assert_eq!(listed, tensors(&file));
    assert_eq!(
        described["joint_classes"].as_array().unwrap().len(),
        2 * described["regions"].as_array().unwrap().len()
    );
    assert_eq!(described["model"]["architecture"], "mt-ids");
}

#[test]
fn an_export_needs_a_run_and_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let said = run("mtids-train", ["export", "--run", text(folder.path())]).expect_code(2);
    assert!(said.stderr.contains("--onnx"), "{}", said.stderr);
    let onnx = folder.path().join("net.onnx");
    let said = run("mtids-train", ["export", "--run", text(folder.path()), "--onnx", text(&onnx)]).expect_code(2);
    assert!(said.stderr.contains("contains no run") && !onnx.exists(), "{}", said.stderr);
}

#[test]
fn an_export_replaces_nothing_that_is_not_an_export() {
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("notes.txt");
    fs::write(&notes, "of the owner").unwrap();
    let before = tree(dataset());
    let inside = dataset().join("net.onnx");
    for (target, place, reason) in [
        ("--onnx", inside.as_path(), "holds a dataset"),
        ("--onnx", notes.as_path(), "is no .onnx file"),
        ("--safetensors", dataset(), "holds a dataset"),
        ("--monai", dataset(), "holds a dataset"),
    ] {
        let said = run("mtids-train", ["export", "--run", text(folder.path()), target, text(place)]).expect_code(2);
        assert!(said.stderr.contains(target) && said.stderr.contains(reason), "{target}: {}", said.stderr);
    }
    assert_eq!(fs::read_to_string(&notes).unwrap(), "of the owner");
    assert_eq!(tree(dataset()), before);
}
