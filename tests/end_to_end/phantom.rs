//! Cohorts with defects, all forms of labels and PET, through the preprocessing; nodes in a real CT.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{build_arguments_of, python, root, run, shared_data, text};

fn json(path: &std::path::Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_defect_of_a_cohort_ends_where_its_truth_says() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = folder.path().join("cohort");
    run(
        "mtids-prep",
        [
            "phantom",
            "--out",
            text(&cohort),
            "--set",
            "patients=24",
            "--set",
            "dimensions=[80,80,36]",
            "--set",
            "spacing_mm=[4.2,4.2,6.2]",
            "--set",
            "defect_fraction=0.7",
            "--set",
            "pet_fraction=0.3",
        ],
    )
    .expect_code(0);
    let dataset = folder.path().join("dataset");
    let built = run("mtids-prep", build_arguments_of(&cohort, &dataset));
    // 1 says: done, some input was quarantined.
    assert!(matches!(built.code, 0 | 1), "{}", built.text());
    let truth = json(&cohort.join("truth.json"));
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    let mut usable = 0;
    for patient in truth.as_array().unwrap() {
        match patient["expected_reason"].as_str() {
            Some(reason) => *expected.entry(reason.to_owned()).or_default() += 1,
            None => usable += patient["nodes"].as_array().unwrap().len(),
        }
    }
    assert!(expected.len() >= 2, "the seed gives several reasons: {expected:?}");
    let quarantine = fs::read_to_string(dataset.join("quarantine.jsonl")).unwrap();
    let mut found: BTreeMap<String, std::collections::BTreeSet<String>> = BTreeMap::new();
    for line in quarantine.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        if let (Some(reason), Some(series)) = (record["reason"].as_str(), record["series_key"].as_str()) {
            found.entry(reason.to_owned()).or_default().insert(series.to_owned());
        }
    }
    for (reason, count) in &expected {
        assert_eq!(found.get(reason).map_or(0, |series| series.len()), *count, "{reason}: {quarantine}");
    }
    let manifest = json(&dataset.join("manifest.json"));
    assert_eq!(manifest["totals"]["rows"].as_u64().unwrap(), usable as u64, "every node of a usable series is one row");
}

#[test]
#[ignore = "needs ../shared/data"]
fn nodes_go_into_a_real_ct_and_come_out_of_a_dataset() {
    let real = shared_data("chest-ct-lung1/ct");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("inserted");
    run("mtids-prep", ["insert", "--data", text(&real), "--out", text(&out), "--set", "nodes=5"]).expect_code(0);
    let truth = json(&out.join("truth.json"));
    let nodes = truth["nodes"].as_array().unwrap();
    assert!(nodes.len() >= 4);
    // Every header says what it is, and nothing says whose it was.
    for entry in fs::read_dir(out.join("dicom")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let holds = |words: &str| bytes.windows(words.len()).any(|window| window == words.as_bytes());
        assert!(holds("SYNTHETIC"));
        assert!(!holds("LUNG1"), "the identifier of the source");
    }
    let dataset = folder.path().join("dataset");
    let arguments = |config: &[&str]| -> Vec<String> {
        [
            "build",
            "--data",
            text(&out.join("dicom")),
            "--annotations",
            text(&out.join("annotations.csv")),
            "--out",
            text(&dataset),
        ]
        .into_iter()
        .chain(config.iter().copied())
        .map(str::to_owned)
        .collect()
    };
    // A real patient is behind these voxels: the phantoms' public key is refused.
    run("mtids-prep", arguments(&["--config", "pipelines/demo-short/dataset.toml"])).expect_code(2);
    let key = folder.path().join("key");
    fs::write(&key, "a secret of this test, long enough to be one").unwrap();
    let setting = format!("pseudonym.key_file={}", text(&key));
    run("mtids-prep", arguments(&["--set", &setting])).expect_code(0);
    let manifest = json(&dataset.join("manifest.json"));
    assert_eq!(manifest["totals"]["rows"].as_u64().unwrap(), nodes.len() as u64);
}

#[test]
#[ignore = "needs Python readers (.venv)"]
fn other_readers_find_the_same_masks_in_every_form() {
    let python = python();
    let folder = tempfile::tempdir().unwrap();
    let forms = ["segmentation", "structures", "nifti"].map(|form| {
        let out = folder.path().join(form);
        let weights = ["table", "segmentation", "structures", "nifti"]
            .map(|name| format!("{name}={}", if name == form { "1.0" } else { "0.0" }));
        let labels = format!("labels={{{}}}", weights.join(","));
        let mut arguments = vec!["phantom".to_owned(), "--out".into(), text(&out).into()];
        for setting in ["patients=4", "dimensions=[88,80,40]", "spacing_mm=[3.6,3.6,5.5]", &labels] {
            arguments.extend(["--set".to_owned(), setting.to_owned()]);
        }
        run("mtids-prep", arguments).expect_code(0);
        out
    });
    let read = Command::new(python).arg(root().join("tests/python/same_masks.py")).args(&forms).output().unwrap();
    let said = String::from_utf8_lossy(&read.stdout).into_owned();
    assert!(read.status.success(), "{said}{}", String::from_utf8_lossy(&read.stderr));
    assert!(said.contains("of 4 patients"), "{said}");
}
