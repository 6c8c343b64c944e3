//! Every point where a program writes: killed there, or failed by the disk, the same command ends in the same bytes.
//!
//! A run is repeated with the failure one point later each time, until it completes untouched; so points that are added later are tried
//! too. The programs must be built with debug assertions (`mtids_runtime::failpoint`), as `make test` builds them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mtids_runtime::digest::Digest;
use mtids_shards::{Dataset, Split, read_row_group, stale_copies, verify};
use tempfile::TempDir;

use crate::support::{Finished, copy_tree, program, run, text, tree};

/// Four patients on coarse grids, one patient a shard.
fn cohort() -> &'static Path {
    static COHORT: OnceLock<TempDir> = OnceLock::new();
    COHORT
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let mut arguments = vec!["phantom", "--out", text(folder.path())];
            for setting in ["patients=4", "dimensions=[56,56,24]", "spacing_mm=[6.0,6.0,9.5]"] {
                arguments.extend(["--set", setting]);
            }
            run("mtids-prep", arguments).expect_code(0);
            folder
        })
        .path()
}

fn build_arguments(out: &Path) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["build", "--config", "pipelines/demo-short/dataset.toml"].map(str::to_owned).to_vec();
    arguments.extend(["--data".into(), text(&cohort().join("dicom")).into()]);
    arguments.extend(["--annotations".into(), text(&cohort().join("annotations.csv")).into()]);
    arguments.extend(["--out".into(), text(out).into(), "--workers".into(), "1".into()]);
    for setting in ["patients_per_shard=1", "views={patch={size=[6,12,12],spacing_mm=[9.5,6.0,6.0]}}"] {
        arguments.extend(["--set".into(), setting.into()]);
    }
    arguments
}

/// Runs with a failure at a point; the code is −1 when the program was killed.
fn fail_at(name: &str, arguments: &[String], what: &str, point: u64) -> Finished {
    let output = program(name).args(arguments).env("MTIDS_FAILPOINT", format!("{what}:{point}")).output().unwrap();
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn hidden_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with(".writing-") {
            found.push(entry.path());
        } else if entry.file_type().unwrap().is_dir() {
            found.extend(hidden_files(&entry.path()));
        }
    }
    found
}

/// Kills the program at its first write point, its second, … until a run reaches none; after each kill the same command must end in
/// the `expected` files and leave nothing else. Returns the number of points.
pub(crate) fn kill_at_every_point(
    name: &str,
    arguments: impl Fn(&Path) -> Vec<String>,
    expected: &BTreeMap<String, Digest>,
    after_kill: impl Fn(&Path),
) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    // How long steps took is no result.
    let results = |mut files: BTreeMap<String, Digest>| {
        files.retain(|name, _| !name.ends_with("timings.jsonl"));
        files
    };
    let expected = results(expected.clone());
    let mut points = 0;
    loop {
        let out = folder.path().join(format!("killed-{points}"));
        let killed = fail_at(name, &arguments(&out), "kill", points + 1);
        if killed.code == 0 {
            return points;
        }
        assert_eq!(killed.code, -1, "{}", killed.text());
        points += 1;
        after_kill(&out);
        run(name, arguments(&out)).expect_code(0);
        assert_eq!(results(tree(&out)), expected, "killed at write point {points}");
        assert_eq!(hidden_files(&out), [] as [PathBuf; 0], "left over from a kill at write point {points}");
        std::fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn a_build_killed_at_any_write_ends_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let unbroken = folder.path().join("unbroken");
    run("mtids-prep", build_arguments(&unbroken)).expect_code(0);
    let expected = tree(&unbroken);
    let points = kill_at_every_point("mtids-prep", build_arguments, &expected, |out| {
        // Whatever is published is whole.
        if out.join("manifest.json").exists() {
            assert_eq!(verify(&Dataset::open(out).unwrap(), &|| ()), []);
        }
    });
    // Four shards and receipts, index, quarantine, configuration, card, manifest, several points each.
    assert!(points >= 40, "only {points} write points were found");
}

/// What a dataset holds, read as programs read it.
fn content(out: &Path) -> (Digest, Vec<String>) {
    let dataset = Dataset::open(out).unwrap();
    assert_eq!(verify(&dataset, &|| ()), []);
    let mut samples = Vec::new();
    for split in Split::ALL {
        for shard in dataset.shards(split) {
            for group in 0..dataset.manifest().shards[shard].row_groups.len() {
                let rows = read_row_group(&dataset, shard, group).unwrap().labels;
                samples.extend(rows.into_iter().map(|row| format!("{row:?}")));
            }
        }
    }
    let index: Vec<String> = dataset.index().unwrap().into_iter().map(|row| format!("{row:?}")).collect();
    samples.sort();
    let mut sorted = index;
    sorted.sort();
    assert_eq!(sorted, samples, "the index is that of the shards");
    (dataset.manifest().digest(), samples)
}

/// Arguments of a build with another label in the table.
fn changed_arguments(table: &Path, out: &Path) -> Vec<String> {
    let mut arguments = build_arguments(out);
    let at = arguments.iter().position(|argument| argument.ends_with("annotations.csv")).unwrap();
    arguments[at] = text(table).to_owned();
    arguments
}

#[test]
fn a_rebuild_killed_at_any_write_leaves_the_old_dataset_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("changed.csv");
    let lines = std::fs::read_to_string(cohort().join("annotations.csv")).unwrap();
    std::fs::write(&table, lines.replacen(",benign,", ",metastatic,", 1)).unwrap();
    let [old, new, out] = ["old", "new", "out"].map(|name| folder.path().join(name));
    run("mtids-prep", build_arguments(&old)).expect_code(0);
    run("mtids-prep", changed_arguments(&table, &new)).expect_code(0);
    let (before, after) = (content(&old), content(&new));
    assert_ne!(before.0, after.0);
    let expected = tree(&new);
    let (mut points, mut left_old, mut left_new) = (0, 0, 0);
    loop {
        copy_tree(&old, &out);
        let killed = fail_at("mtids-prep", &changed_arguments(&table, &out), "kill", points + 1);
        if killed.code == 0 {
            break;
        }
        assert_eq!(killed.code, -1, "{}", killed.text());
        points += 1;
        let found = content(&out);
        assert!(found == before || found == after, "a mixture after a kill at write point {points}");
        left_old += usize::from(found == before);
        left_new += usize::from(found == after);
        // Copies for people are written behind the manifest, and a finding until then.
        let is_stale = !stale_copies(&Dataset::open(&out).unwrap()).is_empty();
        run("mtids-prep", ["verify", text(&out)]).expect_code(i32::from(is_stale));
        run("mtids-prep", changed_arguments(&table, &out)).expect_code(0);
        assert_eq!(content(&out), after, "killed at write point {points}, then run again");
        assert_eq!(stale_copies(&Dataset::open(&out).unwrap()), [] as [&str; 0]);
        assert_eq!(hidden_files(&out), [] as [PathBuf; 0], "left over from a kill at write point {points}");
        mtids_prep::prune::prune(&out, false).unwrap();
        assert_eq!(tree(&out), expected, "killed at write point {points}, run again, pruned");
        std::fs::remove_dir_all(&out).unwrap();
    }
    // A shard and its record, four files, the manifest, and the copies of those that differ.
    assert!(points >= 35 && left_old >= 25 && left_new >= 5, "{points}: {left_old} old, {left_new} new");
}

#[test]
fn a_full_or_failing_disk_is_named_and_nothing_is_half_published() {
    let folder = tempfile::tempdir().unwrap();
    for (what, words) in [("enospc", "no space left"), ("eio", "input/output error")] {
        for point in [1, 4, 7, 13, 22, 31, 38] {
            let out = folder.path().join(format!("{what}-{point}"));
            let failed = fail_at("mtids-prep", &build_arguments(&out), what, point).expect_code(3);
            assert!(failed.stderr.contains(words) && failed.stderr.contains(text(&out)), "{}", failed.stderr);
            assert!(!out.join("manifest.json").exists(), "{what} at point {point}");
            run("mtids-prep", build_arguments(&out)).expect_code(0);
        }
    }
}

/// Arguments of a short training.
fn fit_arguments(dataset: &Path, run_folder: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = ["fit", "--config", "pipelines/demo-short/train.toml"].map(str::to_owned).to_vec();
    arguments.extend(["--dataset".into(), text(dataset).into(), "--run".into(), text(run_folder).into()]);
    for setting in ["max_steps=4", "batch_size=4", "checkpoint_every_steps=2", "model.backbone.pool_grid=1"] {
        arguments.extend(["--set".into(), setting.into()]);
    }
    arguments
}

#[test]
fn a_training_killed_at_any_kind_of_write_ends_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = folder.path().join("dataset");
    run("mtids-prep", build_arguments(&dataset)).expect_code(0);
    let unbroken = folder.path().join("unbroken");
    run("mtids-train", fit_arguments(&dataset, &unbroken)).expect_code(0);
    let arguments = |run_folder: &Path| fit_arguments(&dataset, run_folder);
    let points = kill_at_every_point("mtids-train", arguments, &tree(&unbroken), |_| ());
    assert!(points >= 30, "only {points} write points were found");
}

#[test]
fn a_full_disk_stops_every_command_of_a_training_with_the_file_named_and_the_same_command_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let [dataset, unbroken] = ["dataset", "unbroken"].map(|name| folder.path().join(name));
    run("mtids-prep", build_arguments(&dataset)).expect_code(0);
    run("mtids-train", fit_arguments(&dataset, &unbroken)).expect_code(0);
    let results = |folder: &Path| {
        let mut files = tree(folder);
        files.retain(|name, _| !name.ends_with("timings.jsonl"));
        files
    };
    // The folder of each command's results, and how it is filled.
    let (dicom, table) = (cohort().join("dicom"), cohort().join("annotations.csv"));
    type Arguments<'a> = Box<dyn Fn(&Path) -> Vec<String> + 'a>;
    let all = |named: &[&str]| named.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    let of_run = ["--run", text(&unbroken)];
    let commands: [(&str, u64, Arguments<'_>); 3] = [
        ("fit", 5, Box::new(|out| fit_arguments(&dataset, out))),
        ("predict", 9, {
            let candidates = ["--data", text(&dicom), "--annotations", text(&table)];
            Box::new(move |out| all(&[&["predict"], &of_run[..], &candidates, &["--out", text(out)]].concat()))
        }),
        ("export", 3, Box::new(|out| all(&[&["export"], &of_run[..], &["--safetensors", text(out)]].concat()))),
    ];
    for (name, apart, arguments) in commands {
        let whole = folder.path().join(format!("whole-{name}"));
        run("mtids-train", arguments(&whole)).expect_code(0);
        let mut failures = 0;
        for point in (1..).step_by(apart as usize) {
            let out = folder.path().join(format!("{name}-{point}"));
            let failed = fail_at("mtids-train", &arguments(&out), "enospc", point);
            if failed.code == 0 {
                break;
            }
            failures += 1;
            let is_named = failed.stderr.contains("no space left") && failed.stderr.contains(text(&out));
            assert!(failed.code == 3 && is_named, "{name}, point {point}: {}", failed.text());
            run("mtids-train", arguments(&out)).expect_code(0);
            assert_eq!(results(&out), results(&whole), "{name}, run again after a full disk at point {point}");
            assert_eq!(hidden_files(&out), [] as [PathBuf; 0]);
        }
        assert!(failures >= 3, "{name}: only {failures} points were tried");
    }
}
