//! A cross-validation of one setting: trained by one command, judged by one command, and an ensemble for new studies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use mtids_shards::{Dataset, RowKind};

use crate::support::{cohort, dataset, run, text, tree};

const BASE: &str =
    "epochs = 1\nbatch_size = 16\n[model.backbone]\nsize = \"tiny\"\n[model.trunks.wide]\nfeatures = 8\n";

/// Columns of a table by their names, row by row.
fn rows(table: &Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(table).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned));
    let names: Vec<String> = lines.next().unwrap().collect();
    lines.map(|cells| names.iter().cloned().zip(cells).collect()).collect()
}

#[test]
fn folds_are_trained_and_judged_by_one_command_each_and_answer_as_an_ensemble() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("base.toml");
    fs::write(&config, BASE).unwrap();
    let crossed = folder.path().join("crossed");
    let places = ["--dataset", text(dataset()), "--run", text(&crossed)];
    let fit = |folds: &str| {
        let more = ["--config", text(&config), "--folds", folds];
        run("mtids-train", ["fit"].into_iter().chain(places).chain(more))
    };
    assert!(fit("2").expect_code(2).stderr.contains("from 3"));
    assert!(!crossed.exists(), "nothing was begun");
    fit("3").expect_code(0);
    let trained = tree(&crossed);
    // One folder holds a run or a cross-validation: an answer from a folder of both would be of either.
    let one = ["fit", "--config", text(&config), "--dataset", text(dataset())];
    let refused = run("mtids-train", [&one[..], &["--run", text(&crossed)]].concat()).expect_code(2);
    assert!(refused.stderr.contains("holds a cross-validation"), "{}", refused.stderr);
    let run_of_a_fold = crossed.join("fold-0");
    let refused =
        run("mtids-train", [&one[..], &["--run", text(&run_of_a_fold), "--folds", "3"]].concat()).expect_code(2);
    assert!(refused.stderr.contains("holds a run without folds"), "{}", refused.stderr);
    let elsewhere = folder.path().join("elsewhere");
    let refused =
        run("mtids-train", [&one[..], &["--run", text(&elsewhere), "--folds", "500"]].concat()).expect_code(2);
    assert!(refused.stderr.contains("500 folds, but"), "{}", refused.stderr);
    assert!(fit("3").expect_code(0).stdout.matches("already complete").count() == 3);
    assert_eq!(tree(&crossed), trained);

    let evaluate = |more: &[&str]| run("mtids-train", ["evaluate"].iter().chain(&places).chain(more));
    let said = evaluate(&[]).expect_code(0);
    assert!(said.stdout.contains("3 folds") && said.stdout.contains("status AUROC"), "{}", said.stdout);
    let judged = rows(&crossed.join("predictions.csv"));
    let keys: BTreeSet<&str> = judged.iter().map(|row| row["sample_key"].as_str()).collect();
    let index = Dataset::open(dataset()).unwrap().index().unwrap();
    let findings = || index.iter().filter(|row| row.kind == RowKind::Finding);
    assert_eq!(keys.len(), judged.len(), "each node is judged once");
    assert_eq!(keys, findings().map(|row| row.sample_key.as_str()).collect());
    let mut patients = BTreeSet::new();
    let labelled = findings().filter(|row| row.metastasis.is_some()).count() as u64;
    for fold in 0..3 {
        let run = crossed.join(format!("fold-{fold}"));
        let seen = fs::read_to_string(run.join("trained-on.json")).unwrap();
        let (predictions, mut tested) = (rows(&run.join("predictions.csv")), 0);
        for row in predictions {
            tested += u64::from(!row["metastasis"].is_empty());
            assert!(!seen.contains(&row["patient_key"]), "fold {fold} was trained on a patient that it judges");
            patients.insert(row["patient_key"].clone());
        }
        // Measures are weighed on the fold's own training patients, network and measures on its validation patients.
        let calibration = fs::read(run.join("calibration.json")).unwrap();
        let calibration: serde_json::Value = serde_json::from_slice(&calibration).unwrap();
        let samples = |place: &str| calibration.pointer(place).and_then(serde_json::Value::as_u64).unwrap();
        assert_eq!(samples("/fusion/reader/samples") + samples("/fusion/samples") + tested, labelled, "fold {fold}");
        let page = fs::read_to_string(run.join("report.html")).unwrap();
        assert!(page.contains(&format!("test split of fold {fold} of 3")), "the report names the fold");
    }
    assert_eq!(patients, findings().map(|row| row.patient_key.to_string()).collect());
    evaluate(&["--split", "validation"]).expect_code(2);

    let (data, candidates) = (cohort().join("cohort/dicom"), cohort().join("cohort/annotations.csv"));
    let answer = folder.path().join("answer");
    let asked = ["predict", "--run", text(&crossed), "--data", text(&data), "--annotations", text(&candidates)];
    let more = ["--config", "pipelines/demo-short/dataset.toml", "--out", text(&answer), "--no-dicom"];
    let answered = run("mtids-train", asked.into_iter().chain(more));
    let answer: serde_json::Value = serde_json::from_slice(&fs::read(answer.join("prediction.json")).unwrap()).unwrap();
    assert_eq!(answer["runs"].as_array().map(Vec::len), Some(3), "{}", answered.text());

    // A checkpoint of an epoch before the last one: the training has not ended.
    let checkpoints = crossed.join("fold-2/checkpoints");
    let latest = fs::read_to_string(checkpoints.join("latest")).unwrap();
    let state = checkpoints.join(latest.trim()).join("state.json");
    let text = fs::read_to_string(&state).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["state"]["next_batch"] = 1.into();
    fs::write(&state, json.to_string()).unwrap();
    let refused = evaluate(&[]).expect_code(2).stderr;
    assert!(refused.contains("fold-2: ") && refused.contains("epochs are done"), "{refused}");
    fs::write(&state, text).unwrap();
    fs::remove_dir_all(crossed.join("fold-1")).unwrap();
    assert!(evaluate(&[]).expect_code(2).stderr.contains("fold-1: it is missing"));
}
