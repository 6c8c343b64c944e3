//! Building again: beside a training that reads, beside another writer, into a folder below the studies; and what `prune` removes.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use mtids_shards::{Dataset, stale_copies, verify};
use serde_json::Value;

use crate::support::{build_arguments, cohort, copy_tree, dataset, program, run, text, tree};

/// A program that was stopped (SIGSTOP) as soon as `ready` held.
pub(crate) fn stopped_when(name: &str, arguments: &[String], ready: impl Fn() -> bool) -> Child {
    let mut child = program(name).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(300);
    while !ready() {
        assert!(child.try_wait().unwrap().is_none(), "{name} ended before it could be stopped");
        assert!(Instant::now() < deadline, "{name} did not get ready");
        std::thread::sleep(Duration::from_millis(1));
    }
    signal("-STOP", &child);
    assert!(child.try_wait().unwrap().is_none(), "{name} ended before it could be stopped");
    child
}

pub(crate) fn signal(name: &str, child: &Child) {
    assert!(std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

fn count_files(folder: &Path) -> usize {
    fs::read_dir(folder).map(|entries| entries.count()).unwrap_or(0)
}

/// Arguments of a build of the shared cohort with another label in its table.
fn changed_arguments(folder: &Path, out: &Path) -> Vec<String> {
    let table = folder.join("changed.csv");
    let lines = fs::read_to_string(cohort().join("cohort/annotations.csv")).unwrap();
    fs::write(&table, lines.replacen(",benign,", ",metastatic,", 1)).unwrap();
    let mut arguments = build_arguments(out);
    let at = arguments.iter().position(|argument| argument.ends_with("annotations.csv")).unwrap();
    arguments[at] = text(&table).to_owned();
    arguments
}

#[test]
fn a_training_begun_before_a_rebuild_ends_in_the_bytes_of_an_undisturbed_one() {
    let folder = tempfile::tempdir().unwrap();
    let [out, undisturbed, disturbed] = ["dataset", "undisturbed", "disturbed"].map(|name| folder.path().join(name));
    run("mtids-prep", build_arguments(&out)).expect_code(0);
    let fit = |run_folder: &Path| -> Vec<String> {
        let config = "pipelines/demo-short/train.toml";
        ["fit", "--config", config, "--dataset", text(&out), "--run", text(run_folder)].map(str::to_owned).to_vec()
    };
    run("mtids-train", fit(&undisturbed)).expect_code(0);
    let losses = disturbed.join("losses.jsonl");
    let lines = || fs::read_to_string(&losses).map(|text| text.lines().count()).unwrap_or(0);
    let mut training = stopped_when("mtids-train", &fit(&disturbed), || lines() >= 2);
    let old = Dataset::open(&out).unwrap().manifest().digest();
    run("mtids-prep", changed_arguments(folder.path(), &out)).expect_code(0);
    assert_ne!(Dataset::open(&out).unwrap().manifest().digest(), old);
    signal("-CONT", &training);
    assert!(training.wait().unwrap().success());
    let files = |run_folder: &Path| {
        let mut files = tree(run_folder);
        files.retain(|name, _| !name.ends_with("timings.jsonl"));
        files
    };
    assert_eq!(files(&disturbed), files(&undisturbed));
}

#[test]
fn prune_removes_what_older_builds_left_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let [out, fresh] = ["dataset", "fresh"].map(|name| folder.path().join(name));
    run("mtids-prep", build_arguments(&out)).expect_code(0);
    let untouched = tree(&out);
    let none = run("mtids-prep", ["prune", text(&out)]).expect_code(0);
    assert!(none.stdout.contains("0 superseded files removed"), "{}", none.stdout);
    let rebuilt = run("mtids-prep", changed_arguments(folder.path(), &out)).expect_code(0);
    assert!(rebuilt.stdout.contains("mtids-prep prune"), "{}", rebuilt.stdout);
    run("mtids-prep", changed_arguments(folder.path(), &fresh)).expect_code(0);
    let grown = tree(&out);
    // The copies for people are renewed; everything else of the older build is still there.
    assert!(untouched.keys().all(|name| grown.contains_key(name)));
    // Files of the owner lie where shards do, and have names much like theirs.
    let of_the_owner =
        ["notes.txt", "shards/notes.parquet", "meta/old-index.parquet", "shards/part-0123456789abcdeg.bin"];
    for name in of_the_owner {
        fs::write(out.join(name), "of the owner").unwrap();
    }
    let dry: Value =
        serde_json::from_str(&run("mtids-prep", ["prune", text(&out), "--dry-run", "--json"]).expect_code(0).stdout)
            .unwrap();
    assert!(dry["files"].as_array().unwrap().len() >= 3 && dry["removed"] == false, "{dry}");
    assert_eq!(count_files(&out.join("meta")), count_files(&fresh.join("meta")) + 4, "nothing is removed yet");
    run("mtids-prep", ["prune", text(&out)]).expect_code(0);
    for name in of_the_owner {
        fs::remove_file(out.join(name)).unwrap_or_else(|error| panic!("{name} is gone: {error}"));
    }
    assert_eq!(tree(&out), tree(&fresh));
    let dataset = Dataset::open(&out).unwrap();
    assert_eq!((verify(&dataset, &|| ()), stale_copies(&dataset)), (vec![], vec![]));
    // What is kept for the next build is still of use.
    let mut again = changed_arguments(folder.path(), &out);
    again.push("--json".into());
    let summary: Value = serde_json::from_str(&run("mtids-prep", again).expect_code(0).stdout).unwrap();
    assert_eq!(summary["shards"], summary["reused_shards"]);
    run("mtids-prep", ["prune", text(folder.path())]).expect_code(3);
}

#[test]
fn a_folder_of_somebody_else_is_no_output_and_another_key_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("project");
    fs::create_dir(&out).unwrap();
    let readme = out.join("README.md");
    fs::write(&readme, "of the owner").unwrap();
    let refused = run("mtids-prep", build_arguments(&out)).expect_code(2);
    assert!(refused.stderr.contains("holds a file README.md and no dataset"), "{}", refused.stderr);
    assert_eq!((fs::read_to_string(&readme).unwrap().as_str(), count_files(&out)), ("of the owner", 1));

    fs::remove_file(&readme).unwrap();
    let with_key = |key: &str| {
        let mut command = program("mtids-prep");
        command.args(build_arguments(&out)).args(["--set", "pseudonym.demo=false"]).env("MTIDS_PSEUDONYM_KEY", key);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said.contains("was built with another key")
    };
    assert_eq!(
        ["the first key of tests", "the first key of tests", "another key of tests"].map(with_key),
        [false, false, true]
    );
}

#[test]
fn one_writer_a_folder_and_a_dead_one_leaves_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    let mut arguments = build_arguments(&out);
    arguments.extend(["--workers", "1"].map(str::to_owned));
    let partitions = out.join(".work/partitions");
    let mut first = stopped_when("mtids-prep", &arguments, || count_files(&partitions) >= 1);
    let holder = format!("mtids-prep build (process {}", first.id());
    let share: Vec<String> =
        [build_arguments(&out), ["--task-index", "0", "--task-count", "2"].map(str::to_owned).to_vec()].concat();
    let mut commit = build_arguments(&out);
    commit[0] = "commit".into();
    for refused in [build_arguments(&out), share.clone(), commit.clone()] {
        let failed = run("mtids-prep", refused).expect_code(2);
        assert!(failed.stderr.contains(&holder), "{}", failed.stderr);
    }
    first.kill().unwrap();
    first.wait().unwrap();
    run("mtids-prep", build_arguments(&out)).expect_code(0);
    assert_eq!(tree(&out), tree(dataset()));

    // Shares go together, and keep whole builds out.
    let out = folder.path().join("shares");
    let share = |index: &str| -> Vec<String> {
        let mut arguments = build_arguments(&out);
        let task = ["--workers", "1", "--set", "patients_per_shard=1", "--task-count", "2", "--task-index", index];
        arguments.extend(task.map(str::to_owned));
        arguments
    };
    let partitions = out.join(".work/partitions");
    let mut first = stopped_when("mtids-prep", &share("0"), || count_files(&partitions) >= 1);
    run("mtids-prep", share("1")).expect_code(0);
    let failed = run("mtids-prep", build_arguments(&out)).expect_code(2);
    assert!(failed.stderr.contains("is in use by mtids-prep build, task"), "{}", failed.stderr);
    signal("-CONT", &first);
    assert!(first.wait().unwrap().success());
    let mut commit = build_arguments(&out);
    commit[0] = "commit".into();
    commit.extend(["--set", "patients_per_shard=1"].map(str::to_owned));
    run("mtids-prep", commit).expect_code(0);
}

#[test]
fn a_dataset_below_the_studies_is_no_input() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("studies");
    copy_tree(&cohort().join("cohort/dicom"), &data);
    // An older dataset lies there, too.
    copy_tree(dataset(), &data.join("old/dataset"));
    let out = data.join("results/new");
    let mut arguments = build_arguments(&out);
    let at = arguments.iter().position(|argument| argument == "--data").unwrap();
    arguments[at + 1] = text(&data).to_owned();
    let first = run("mtids-prep", &arguments).expect_code(0);
    assert_eq!(first.stderr.matches("is not input").count(), 2, "{}", first.stderr);
    let published = tree(&out);
    assert_eq!(published, tree(dataset()), "as if it lay elsewhere");
    run("mtids-prep", &arguments).expect_code(0);
    assert_eq!(tree(&out), published, "the same command, the same bytes");
    let inventory = run("mtids-prep", ["inventory", text(&data)]).expect_code(0);
    assert!(!inventory.stdout.contains("parquet"), "{}", inventory.stdout);

    let at = arguments.iter().position(|argument| argument == "--out").unwrap();
    arguments[at + 1] = text(&data).to_owned();
    let refused = run("mtids-prep", &arguments).expect_code(2);
    assert!(refused.stderr.contains("--out"), "{}", refused.stderr);
}
