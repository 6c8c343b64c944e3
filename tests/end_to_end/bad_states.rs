//! A dataset that was moved, one of another layout, labels of one class, a device that is not there: each command says what to do, ends with its
//! code, and begins or loses nothing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{build_arguments, cohort, copy_tree, dataset, run, text, tree};

/// Arguments of a short training on a dataset.
fn fit(dataset: &Path, run_folder: &Path, steps: u32) -> Vec<String> {
    let steps = format!("max_steps={steps}");
    let fixed = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", &steps];
    let places = ["--dataset", text(dataset), "--run", text(run_folder)];
    fixed.into_iter().chain(places).map(str::to_owned).collect()
}

/// Arguments of a prediction for the shared cohort, which must not begin.
fn predict<'a>(run_folder: &'a Path, out: &'a Path, more: &[&'a str]) -> Vec<String> {
    let cohort = cohort().join("cohort");
    let (dicom, table) = (cohort.join("dicom"), cohort.join("annotations.csv"));
    let named = ["--data", text(&dicom), "--annotations", text(&table), "--run", text(run_folder), "--out", text(out)];
    ["predict"].into_iter().chain(named).chain(more.iter().copied()).map(str::to_owned).collect()
}

#[test]
fn a_dataset_that_was_moved_is_missed_by_name_and_found_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new, broken, unbroken] = ["old", "new", "broken", "unbroken"].map(|name| folder.path().join(name));
    copy_tree(dataset(), &old);
    run("mtids-train", fit(&old, &unbroken, 3)).expect_code(0);
    run("mtids-train", fit(&old, &broken, 2)).expect_code(0);
    let (before, moved) = (tree(&broken), fs::rename(&old, &new));
    moved.unwrap();
    let evaluate = |at: &Path| ["evaluate", "--run", text(&broken), "--dataset", text(at)].map(str::to_owned);
    for arguments in [fit(&old, &broken, 3), evaluate(&old).to_vec()] {
        let missed = run("mtids-train", arguments).expect_code(3);
        assert!(missed.stderr.contains(text(&old)) && missed.stderr.contains("does not exist"), "{}", missed.stderr);
        assert_eq!(tree(&broken), before, "nothing of the run is changed");
    }
    run("mtids-train", fit(&new, &broken, 2)).expect_code(0);
    run("mtids-train", evaluate(&new)).expect_code(0);
    // The place is no part of what a run is: on the moved dataset the training is the same one.
    let again = folder.path().join("again");
    run("mtids-train", fit(&new, &again, 3)).expect_code(0);
    let weights = |run_folder: &PathBuf| {
        let mut files = tree(run_folder);
        files.retain(|name, _| name.ends_with(".safetensors"));
        assert!(!files.is_empty());
        files
    };
    assert_eq!(weights(&again), weights(&unbroken));
}

#[test]
fn a_dataset_of_another_layout_is_named_with_what_this_program_reads() {
    let folder = tempfile::tempdir().unwrap();
    let [other, run_folder, trained] = ["other", "run", "trained"].map(|name| folder.path().join(name));
    copy_tree(dataset(), &other);
    run("mtids-train", fit(dataset(), &trained, 1)).expect_code(0);
    let file = other.join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    manifest["layout"] = 7.into();
    fs::write(&file, manifest.to_string()).unwrap();
    let (before, before_run) = (tree(&other), tree(&trained));
    let evaluate = ["evaluate", "--run", text(&trained), "--dataset", text(&other)].map(str::to_owned);
    let audit = ["report", text(&other), "--out", text(&run_folder)].map(str::to_owned);
    for (program, arguments) in [
        ("mtids-train", fit(&other, &run_folder, 1)),
        ("mtids-train", evaluate.to_vec()),
        ("mtids-audit", audit.to_vec()),
        ("mtids-prep", ["verify", text(&other)].map(str::to_owned).to_vec()),
    ] {
        let refused = run(program, arguments).expect_code(3);
        let says = ["manifest.json", "layout version 7", "versions 5 and 6"];
        assert!(says.iter().all(|words| refused.stderr.contains(words)), "{program}: {}", refused.stderr);
    }
    assert!(!run_folder.exists() && tree(&other) == before && tree(&trained) == before_run);
}

#[test]
fn a_status_that_no_training_row_has_is_told_and_no_answer_is_made_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let [out, run_folder, answer] = ["dataset", "run", "answer"].map(|name| folder.path().join(name));
    let table = folder.path().join("benign.csv");
    let lines = fs::read_to_string(cohort().join("cohort/annotations.csv")).unwrap();
    fs::write(&table, lines.replace(",metastatic,", ",benign,")).unwrap();
    let mut build = build_arguments(&out);
    let at = build.iter().position(|argument| argument.ends_with("annotations.csv")).unwrap();
    build[at] = text(&table).to_owned();
    for setting in ["read_segmentations=false", "read_reports=false"] {
        build.extend(["--set".to_owned(), setting.to_owned()]);
    }
    run("mtids-prep", build);
    let rows = mtids_shards::Dataset::open(&out).unwrap().index().unwrap();
    let is_metastatic = |row: &mtids_shards::RowLabels| row.metastasis.is_some_and(|one| one.name() == "metastatic");
    assert!(!rows.is_empty() && !rows.iter().any(is_metastatic));
    let said = run("mtids-train", fit(&out, &run_folder, 1)).expect_code(0);
    assert!(said.stderr.contains("no training row") && said.stderr.contains("`metastatic`"), "{}", said.stderr);
    let refused = run("mtids-train", predict(&run_folder, &answer, &[])).expect_code(3);
    assert!(refused.stderr.contains("known to be metastatic"), "{}", refused.stderr);
    assert!(!answer.exists(), "nothing is begun");
}

#[test]
fn a_device_that_is_not_there_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let [run_folder, answer] = ["run", "answer"].map(|name| folder.path().join(name));
    run("mtids-train", fit(dataset(), &run_folder, 1)).expect_code(0);
    let refused = run("mtids-train", predict(&run_folder, &answer, &["--device", "cuda"])).expect_code(2);
    assert!(refused.stderr.contains("device `cuda`"), "{}", refused.stderr);
    assert!(!answer.exists(), "nothing is begun");
}
