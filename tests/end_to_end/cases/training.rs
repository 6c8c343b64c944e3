//! A model is never measured on patients whom it has seen, and two trainings never share a folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mtids_shards::{Dataset, Split};
use serde_json::Value;
use tempfile::TempDir;

use super::{KEY, run_in};
use crate::support::{Finished, build_arguments, dataset, program, run, shared_data, text, tree};

/// A run on the shared dataset, once per test process.
fn trained() -> &'static Path {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let run_folder = folder.path().join("run");
        let arguments = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", "epochs=1"];
        let places = ["--dataset", text(dataset()), "--run", text(&run_folder)];
        run("mtids-train", arguments.into_iter().chain(places)).expect_code(0);
        (folder, run_folder)
    })
    .1
}

/// A copy of the run, so that tests do not write into each other's results.
fn copy_of_run(folder: &Path) -> PathBuf {
    let copy = folder.join("run");
    crate::support::copy_tree(trained(), &copy);
    copy
}

/// The shared cohort, built with other settings.
fn rebuilt(folder: &Path, settings: &[&str]) -> PathBuf {
    let out = folder.join("rebuilt");
    let mut arguments = build_arguments(&out);
    for setting in settings {
        arguments.extend(["--set".to_owned(), (*setting).to_owned()]);
    }
    run("mtids-prep", arguments).expect_code(0);
    out
}

fn evaluate(run_folder: &Path, dataset: &Path, split: &str) -> Finished {
    let places = ["--run", text(run_folder), "--dataset", text(dataset), "--split", split];
    run("mtids-train", ["evaluate", "--bootstrap-resamples", "20"].into_iter().chain(places))
}

/// Patients of a split.
fn patients(dataset: &Path, splits: &[Split]) -> BTreeSet<String> {
    let index = Dataset::open(dataset).unwrap().index().unwrap();
    index.into_iter().filter(|row| splits.contains(&row.split)).map(|row| row.patient_key.as_str().to_owned()).collect()
}

fn json_of(run_folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(run_folder.join("evaluation.json")).unwrap()).unwrap()
}

/// Where an evaluation on another dataset than the run's leaves its files.
fn folder_on(run_folder: &Path, dataset: &Path) -> PathBuf {
    run_folder.join(format!("on-{}", Dataset::open(dataset).unwrap().manifest().digest().short()))
}

/// weecology/MillionTrees#36, TensorAuto/OpenTau#498, mahmoodlab/CLAM#269.
#[test]
fn patients_of_the_training_in_another_test_split_are_left_out_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = copy_of_run(folder.path());
    let other = rebuilt(folder.path(), &["split.seed=99"]);
    let known = patients(dataset(), &[Split::Train, Split::Validation]);
    let test = patients(&other, &[Split::Test]);
    let seen: BTreeSet<String> = test.intersection(&known).cloned().collect();
    assert!(!seen.is_empty() && seen.len() < test.len(), "{} of {} patients", seen.len(), test.len());

    let done = evaluate(&run_folder, &other, "test").expect_code(1);
    let sentence = format!("{} of {} patients of the test split were seen in training", seen.len(), test.len());
    assert!(done.stdout.trim_start().starts_with(&format!("warning: {sentence}")), "{}", done.stdout);
    assert!(done.stderr.contains(&sentence), "told before anything is computed: {}", done.stderr);
    let figures = folder_on(&run_folder, &other);
    let evaluation = json_of(&figures);
    assert_eq!(evaluation["seen"]["acquaintance"], "seen-left-out");
    let named: BTreeSet<String> =
        evaluation["seen"]["seen"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
    assert_eq!(named, seen);
    assert_eq!(evaluation["measured"]["patients"], test.len() - seen.len());
    let report = fs::read_to_string(figures.join("report.html")).unwrap();
    assert!(report.contains(&sentence));
    let predictions = fs::read_to_string(figures.join("predictions.csv")).unwrap();
    assert!(seen.iter().all(|key| !predictions.contains(key.as_str())));
    // The majority class is that of what the run was trained on.
    evaluate(&run_folder, dataset(), "test").expect_code(0);
    assert_eq!(json_of(&run_folder)["training"], evaluation["training"]);
    assert_eq!(json_of(&run_folder)["seen"]["acquaintance"], "unseen");
}

/// A run that begins with the weights of another has seen the patients of both, on its own dataset too.
#[test]
fn patients_of_the_run_that_a_run_began_from_are_left_out_of_its_own_test_split() {
    let folder = tempfile::tempdir().unwrap();
    let (run_folder, other) = (folder.path().join("run"), rebuilt(folder.path(), &["split.seed=99"]));
    let known = patients(dataset(), &[Split::Train, Split::Validation]);
    let seen: BTreeSet<String> = patients(&other, &[Split::Test]).intersection(&known).cloned().collect();
    let fit = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", "epochs=1", "--from", text(trained())];
    let places = ["--dataset", text(&other), "--run", text(&run_folder)];
    run("mtids-train", fit.into_iter().chain(places)).expect_code(0);
    evaluate(&run_folder, &other, "test").expect_code(1);
    let named: BTreeSet<String> = json_of(&run_folder)["seen"]["seen"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key.as_str().unwrap().to_owned())
        .collect();
    assert!(!seen.is_empty());
    assert_eq!(named, seen);
}

/// Each folder is for one thing: a dataset, a run, an answer.
#[test]
fn a_run_and_a_dataset_never_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = copy_of_run(folder.path());
    let before = tree(&run_folder);
    let built = run("mtids-prep", build_arguments(&run_folder)).expect_code(2);
    assert!(built.stderr.contains("holds a run (run.json)"), "{}", built.stderr);
    let predict = ["predict", "--measure-only", "--data", text(folder.path()), "--out", text(&run_folder)];
    let answered = run("mtids-train", predict).expect_code(2);
    assert!(answered.stderr.contains("holds a run (run.json)"), "{}", answered.stderr);
    assert_eq!(tree(&run_folder), before);
    let trained = run("mtids-train", ["fit", "--dataset", text(dataset()), "--run", text(dataset())]).expect_code(2);
    assert!(trained.stderr.contains("holds a dataset (manifest.json)"), "{}", trained.stderr);
}

/// OpenRLHF/OpenRLHF#1089.
#[test]
fn where_everybody_was_seen_nothing_is_measured_and_own_splits_are_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = copy_of_run(folder.path());
    // The same splits under another digest.
    let other = rebuilt(folder.path(), &["samples_per_finding=2"]);
    let refused = evaluate(&run_folder, &other, "train").expect_code(3);
    assert!(refused.stderr.contains("patients of its train split were seen in training"), "{}", refused.stderr);
    evaluate(&run_folder, &other, "test").expect_code(0);
    let own = evaluate(&run_folder, dataset(), "train").expect_code(0);
    assert!(own.stdout.contains("trained on these patients"), "{}", own.stdout);
    let page = fs::read_to_string(run_folder.join("report-train.html")).unwrap();
    assert!(page.contains("patients seen in training."));
    let of_test = fs::read_to_string(folder_on(&run_folder, &other).join("report.html")).unwrap();
    assert!(!of_test.contains("patients seen in training."), "the figures of the test split stay");
}

/// UCSD-AI4H/COVID-CT#11: one patient in several splits, under other names.
#[test]
fn another_secret_hides_no_patch_that_was_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = copy_of_run(folder.path());
    let key = folder.path().join("secret.key");
    fs::write(&key, KEY).unwrap();
    let setting = format!("pseudonym.key_file=\"{}\"", text(&key));
    let other = rebuilt(folder.path(), &["pseudonym.demo=false", &setting, "split.seed=5"]);
    assert!(patients(&other, &Split::ALL).is_disjoint(&patients(dataset(), &Split::ALL)));
    let done = evaluate(&run_folder, &other, "test");
    assert!([1, 3].contains(&done.code), "{}", done.text());
    assert!(done.code == 3 || done.stdout.contains("identical voxels"), "{}", done.text());
}

/// Runs the `mtids-prep` commands of a shared case in a folder.
fn prepare(case: &str, folder: &Path, builds: &[(&str, &[&str])]) {
    for file in ["phantom.toml", "dataset.toml", "train.toml"] {
        fs::copy(shared_data("cases-2").join(case).join(file), folder.join(file)).unwrap();
    }
    run_in(folder, "mtids-prep", &["phantom", "--config", "phantom.toml", "--out", "cohort"]).expect_code(0);
    for (out, more) in builds {
        let mut arguments = vec!["build", "--config", "dataset.toml", "--data", "cohort/dicom", "--out", out];
        arguments.extend(["--annotations", "cohort/annotations.csv", "--annotations", "cohort/masks"]);
        arguments.extend(*more);
        run_in(folder, "mtids-prep", &arguments).expect_code(0);
    }
}

fn fit(run_folder: &str, dataset: &str) -> [String; 7] {
    ["fit", "--config", "train.toml", "--dataset", dataset, "--run", run_folder].map(str::to_owned)
}

#[test]
#[ignore = "needs ../shared/data"]
fn the_shared_case_of_another_split_ends_as_demanded() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let builds: [(&str, &[&str]); 2] = [("ds1", &["--set", "split.seed=1"]), ("ds99", &["--set", "split.seed=99"])];
    prepare("train-evaluate-other-split", folder, &builds);
    let [train, test] =
        [("ds1", Split::Train), ("ds99", Split::Test)].map(|(ds, of)| patients(&folder.join(ds), &[of]));
    assert_eq!((train.intersection(&test).count(), test.len()), (7, 15), "as the case says");
    // Whom a run has seen does not depend on how long it was trained.
    let mut arguments = fit("run", "ds1").to_vec();
    arguments.extend(["--set", "epochs=2"].map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run_in(folder, "mtids-train", &arguments).expect_code(0);
    let done = run_in(folder, "mtids-train", &["evaluate", "--run", "run", "--dataset", "ds99"]).expect_code(1);
    assert!(done.stdout.trim_start().starts_with("warning: "), "{}", done.stdout);
    let named = json_of(&folder_on(&folder.join("run"), &folder.join("ds99")))["seen"]["seen"].to_string();
    assert!(train.intersection(&test).all(|key| named.contains(key.as_str())), "{named}");
}

#[test]
#[ignore = "needs ../shared/data"]
fn the_shared_case_of_two_trainings_at_once_ends_as_demanded() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare("train-two-at-once", folder, &[("ds", &[])]);
    let start = |run_folder: &str| {
        let mut command = program("mtids-train");
        command.args(fit(run_folder, "ds")).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let mut twins = [start("run"), start("run")];
    // One of them is refused at once, and the other goes on.
    let deadline = Instant::now() + Duration::from_secs(60);
    let refused = loop {
        let ended = twins.iter_mut().position(|twin| twin.try_wait().unwrap().is_some());
        if let Some(ended) = ended {
            break ended;
        }
        assert!(Instant::now() < deadline, "neither was refused");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(twins[refused].wait().unwrap().code(), Some(2));
    let survivor = &mut twins[1 - refused];
    assert!(survivor.try_wait().unwrap().is_none(), "refused while the other trains");
    assert!(survivor.wait().unwrap().success());
    assert!(start("alone").wait().unwrap().success());
    let losses = fs::read_to_string(folder.join("run/losses.jsonl")).unwrap();
    assert_eq!(losses.lines().count(), 400);
    let [run, alone] = ["run", "alone"].map(|name| {
        let mut files = tree(&folder.join(name));
        files.retain(|name, _| !name.ends_with("timings.jsonl"));
        files
    });
    assert_eq!(run, alone);
}
