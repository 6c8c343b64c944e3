//! Job arrays: shares in any order, killed, repeated, twice at once, end in the bytes of a single build; and what `--dry-run` and `diff` say.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use mtids_runtime::random::rng_for;
use rand::RngExt;
use rand::seq::SliceRandom;
use serde_json::Value;

use crate::support::{build_arguments, cohort, copy_tree, dataset, program, run, text, tree};

const TASKS: usize = 16;

/// Arguments of a build of one patient per shard, so that there are more units than tasks.
fn arguments(command: &str, out: &Path) -> Vec<String> {
    let mut arguments = build_arguments(out);
    arguments[0] = command.to_owned();
    arguments.extend(["--set", "patients_per_shard=1"].map(str::to_owned));
    arguments
}

fn start(out: &Path, task: usize) -> Child {
    let mut arguments = arguments("build", out);
    arguments.extend(["--task-from-env".into(), "--workers".into(), "1".into()]);
    // As a scheduler says it.
    program("mtids-prep")
        .args(arguments)
        .env("SLURM_ARRAY_TASK_ID", (task + 1).to_string())
        .env("SLURM_ARRAY_TASK_MIN", "1")
        .env("SLURM_ARRAY_TASK_COUNT", TASKS.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn tasks_in_any_order_killed_and_repeated_end_in_the_bytes_of_one_build() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("alone");
    run("mtids-prep", arguments("build", &alone)).expect_code(0);
    let out = folder.path().join("tasks");

    let mut random = rng_for(7, "tasks", &[]);
    let mut order: Vec<usize> = (0..TASKS).collect();
    order.shuffle(&mut random);
    // One task is started twice, and so twice at once.
    order.insert(1, order[0]);
    let mut again = Vec::new();
    for four in order.chunks(4) {
        let mut running: Vec<(usize, Child)> = four.iter().map(|&task| (task, start(&out, task))).collect();
        for (n, (task, child)) in running.iter_mut().enumerate() {
            // A third of them is killed at some moment, the doubled one not.
            if n >= 2 && random.random_bool(0.6) {
                std::thread::sleep(Duration::from_millis(random.random_range(0..60)));
                child.kill().unwrap();
                again.push(*task);
            }
            child.wait().unwrap();
        }
    }
    assert!(!again.is_empty());
    assert!(!out.join("manifest.json").exists(), "tasks publish nothing");
    // A killed task may have left a unit open; if so, commit says how many.
    let early = run("mtids-prep", arguments("commit", &out));
    if early.code != 0 {
        assert!(early.code == 3 && early.text().contains("partitions are missing"), "{}", early.text());
        assert!(!out.join("manifest.json").exists());
    }
    for task in again {
        assert!(start(&out, task).wait().unwrap().success());
    }
    run("mtids-prep", arguments("commit", &out)).expect_code(0);
    assert_eq!(tree(&out), tree(&alone));
    run("mtids-prep", ["verify", text(&out)]).expect_code(0);
    // Nothing of a killed task stays.
    let leftovers = walk(&out.join("shards")).into_iter().filter(|name| name.starts_with('.')).count();
    assert_eq!(leftovers, 0);
}

fn walk(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            names.extend(walk(&entry.path()));
        } else {
            names.push(entry.file_name().into_string().unwrap());
        }
    }
    names
}

#[test]
fn variables_of_a_scheduler_make_no_share_unless_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    let in_an_array = |arguments: Vec<String>| {
        let mut command = program("mtids-prep");
        command.args(arguments).envs([("SLURM_ARRAY_TASK_ID", "3"), ("SLURM_ARRAY_TASK_COUNT", "16")]);
        command.env("RUST_LOG", "info").output().unwrap()
    };
    let built = in_an_array(build_arguments(&out));
    assert!(built.status.success());
    assert!(String::from_utf8_lossy(&built.stderr).contains("--task-from-env"));
    assert_eq!(tree(&out), tree(dataset()), "a whole build");
    // Asked for where there are none.
    let mut asked = build_arguments(&out);
    asked.push("--task-from-env".into());
    assert!(run("mtids-prep", asked).expect_code(2).text().contains("SLURM_ARRAY_TASK_ID"));
}

#[test]
fn a_dry_run_says_what_a_change_costs_and_diff_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    let dry = |extra: &[&str]| -> Value {
        let mut arguments = build_arguments(&out);
        arguments.extend(["--dry-run", "--json"].map(str::to_owned));
        arguments.extend(extra.iter().copied().map(str::to_owned));
        serde_json::from_str(&run("mtids-prep", arguments).expect_code(0).stdout).unwrap()
    };
    let first = dry(&[]);
    assert!(!out.exists(), "a dry run writes nothing");
    assert_eq!(first["reused_shards"], 0);
    run("mtids-prep", build_arguments(&out)).expect_code(0);
    let second = dry(&[]);
    assert_eq!(second["written_shards"].as_array().unwrap().len(), 0);
    assert_eq!(second["reused_shards"], first["written_shards"].as_array().unwrap().len());

    // One label changed: one shard is written anew, and diff names the change.
    let table = fs::read_to_string(cohort().join("cohort/annotations.csv")).unwrap();
    let line = table.lines().find(|line| line.contains(",benign,")).unwrap();
    let changed = folder.path().join("changed.csv");
    fs::write(&changed, table.replacen(line, &line.replace(",benign,", ",metastatic,"), 1)).unwrap();
    let other = folder.path().join("other");
    copy_tree(&out, &other);
    let mut arguments = build_arguments(&other);
    let at = arguments.iter().position(|argument| argument.ends_with("annotations.csv")).unwrap();
    arguments[at] = text(&changed).to_owned();
    // With the stratified split a label may move patients; by hash it cannot.
    let by_hash = ["--set".to_owned(), "split.method=\"hash\"".to_owned()];
    let mut before = build_arguments(&out);
    before.extend(by_hash.clone());
    run("mtids-prep", before).expect_code(0);
    fs::remove_dir_all(&other).unwrap();
    copy_tree(&out, &other);
    arguments.extend(by_hash);
    let built = run("mtids-prep", [arguments.clone(), vec!["--json".into()]].concat()).expect_code(0);
    let summary: Value = serde_json::from_str(&built.stdout).unwrap();
    assert_eq!(summary["shards"].as_u64().unwrap() - summary["reused_shards"].as_u64().unwrap(), 1);
    let found = run("mtids-prep", ["diff", text(&out), text(&other), "--json"]).expect_code(1);
    let found: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(found["status_changes"], serde_json::json!([["benign", "metastatic", 1]]));
    assert_eq!(found["changed_columns"], serde_json::json!({ "metastasis": 1 }));
    assert_eq!((found["changed_voxels"].as_u64(), found["moved_patients"].as_u64()), (Some(0), Some(0)));
    assert_eq!(found["shards"][1], 1);
    let words = run("mtids-prep", ["diff", text(&out), text(&other)]).expect_code(1).stdout;
    assert!(words.contains("benign → metastatic"), "{words}");
    assert!(run("mtids-prep", ["diff", text(&out), text(&out)]).expect_code(0).stdout.contains("the same dataset"));
    run("mtids-prep", ["diff", text(dataset()), text(folder.path())]).expect_code(3);
}
