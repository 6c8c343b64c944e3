//! A training goes on from another, takes its steps in parts, and ends in words when it diverges.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use mtids_runtime::random::rng_for;
use rand::RngExt;
use serde_json::Value;

use crate::support::{build_arguments, dataset, program, run, text, tree};

fn fit_arguments(run_folder: &Path, more: &[&str]) -> Vec<String> {
    let fixed = ["fit", "--dataset", text(dataset()), "--run", text(run_folder)];
    fixed.iter().chain(more).map(|&argument| argument.to_owned()).collect()
}

const SHORT: [&str; 2] = ["--config", "pipelines/demo-short/train.toml"];

/// Files of a run but for its seconds.
fn results(run_folder: &Path) -> std::collections::BTreeMap<String, mtids_runtime::digest::Digest> {
    let mut files = tree(run_folder);
    files.retain(|name, _| !name.ends_with("timings.jsonl"));
    files
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Starts the command again and again and kills each at a random moment; how many were killed before their end.
fn kill_at_random(arguments: &[String], times: usize, at_most: Duration, purpose: &str) -> usize {
    let mut random = rng_for(21, purpose, &[]);
    let mut killed = 0;
    for _ in 0..times {
        let mut child =
            program("mtids-train").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(at_most.mul_f64(random.random_range(0.0..1.0)));
        let _ = child.kill();
        killed += usize::from(child.wait().unwrap().code().is_none());
    }
    killed
}

#[test]
fn fifty_kills_of_a_training_in_parts_with_averages_on_a_fold_change_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let fold = folder.path().join("fold");
    let of_fold = ["--set", "split.folds=3", "--set", "split.fold=1"].map(str::to_owned);
    run("mtids-prep", build_arguments(&fold).into_iter().chain(of_fold)).expect_code(0);
    let settings = [
        "accumulate_batches=2",
        "batch_size=8",
        "average_decay=0.9",
        "keep_every_epochs=2",
        "checkpoint_every_steps=1",
    ];
    let arguments = |run_folder: &Path| -> Vec<String> {
        let fixed = ["fit", SHORT[0], SHORT[1], "--dataset", text(&fold), "--run", text(run_folder)];
        let sets = settings.iter().flat_map(|setting| ["--set", setting]);
        fixed.into_iter().chain(sets).map(str::to_owned).collect()
    };
    let evaluated = |run_folder: &Path| {
        run("mtids-train", ["evaluate", "--run", text(run_folder), "--dataset", text(&fold)]).expect_code(0);
        results(run_folder)
    };
    let unbroken = folder.path().join("unbroken");
    let started = std::time::Instant::now();
    run("mtids-train", arguments(&unbroken)).expect_code(0);
    let whole = started.elapsed();
    let expected = evaluated(&unbroken);
    let mut killed = 0;
    for round in 0..20 {
        let broken = folder.path().join(format!("broken-{round}"));
        killed += kill_at_random(&arguments(&broken), 10, whole.mul_f64(0.4), &format!("kills, round {round}"));
        run("mtids-train", arguments(&broken)).expect_code(0);
        assert_eq!(evaluated(&broken), expected);
        if killed >= 50 {
            break;
        }
    }
    assert!(killed >= 50, "{killed} trainings were killed before their end");
    let steps = lines(&unbroken.join("losses.jsonl"));
    let epochs = lines(&unbroken.join("epochs.jsonl"));
    assert_eq!(epochs.len(), 6);
    // The batches of an epoch in pairs; a step never takes batches of two epochs.
    let ends: Vec<u64> = epochs.iter().map(|epoch| epoch["step"].as_u64().unwrap()).collect();
    assert!(ends.windows(2).all(|pair| pair[1] - pair[0] == ends[0]), "{ends:?}");
    assert_eq!(steps.len() as u64, ends[5]);
    let kept = |epoch: usize| unbroken.join(format!("checkpoints/step-{:08}", ends[epoch - 1])).exists();
    assert!(kept(2) && kept(4) && kept(6) && !kept(1) && !kept(3), "the ends of every second epoch are kept");
}

#[test]
fn a_further_segment_goes_on_where_the_run_ended_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let [first, longer, again] = ["first", "longer", "again"].map(|name| folder.path().join(name));
    let two = [SHORT[0], SHORT[1], "--set", "epochs=2", "--set", "average_decay=0.9"];
    run("mtids-train", fit_arguments(&first, &two)).expect_code(0);
    let three = [SHORT[0], SHORT[1], "--set", "epochs=3", "--set", "average_decay=0.9"];
    let refused = run("mtids-train", fit_arguments(&first, &three)).expect_code(2);
    assert!(refused.stderr.contains("--extend"), "{}", refused.stderr);

    // The settings are those of the run; its schedule, for one epoch more, is a new one.
    let extend = ["--extend", text(&first), "--set", "epochs=1", "--set", "schedule.peak=0.0005"];
    run("mtids-train", fit_arguments(&longer, &extend)).expect_code(0);
    let origin = json(&longer.join("run.json"))["origin"].clone();
    let steps = lines(&first.join("losses.jsonl")).len();
    assert_eq!(
        (origin["kind"].as_str(), origin["epochs"].as_u64(), origin["step"].as_u64()),
        (Some("segment"), Some(2), Some(steps as u64))
    );
    let epochs = lines(&longer.join("epochs.jsonl"));
    assert_eq!(epochs.iter().map(|line| line["epoch"].as_u64().unwrap()).collect::<Vec<_>>(), [3]);
    let inspected = run("mtids-train", ["inspect", "--run", text(&longer)]).expect_code(0).stdout;
    assert!(inspected.contains("a further segment"), "{inspected}");
    assert!(inspected.contains("gate.joint") && inspected.contains("trained numbers"), "{inspected}");
    let said = run("mtids-train", ["inspect", "--run", text(&longer), "--json"]).expect_code(0).stdout;
    let facts: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&facts["origin"]["kind"], &facts["architecture"]), (&"segment".into(), &"MT-IDS".into()));
    // The trained numbers are those of the tensors of their shapes.
    let tensors = facts["tensors"].as_array().unwrap().iter().filter(|tensor| tensor["trained"] == true);
    let numbers = |tensor: &Value| -> u64 {
        tensor["shape"].as_array().unwrap().iter().map(|side| side.as_u64().unwrap()).product()
    };
    assert_eq!(facts["parameters"].as_u64(), Some(tensors.map(numbers).sum()));

    // Killed and resumed, with the earlier run named or not.
    let started = fit_arguments(&again, &extend);
    kill_at_random(&started, 4, Duration::from_millis(400), "kills of a segment");
    if again.join("checkpoints/latest").exists() {
        let unnamed =
            [SHORT[0], SHORT[1], "--set", "average_decay=0.9", "--set", "epochs=1", "--set", "schedule.peak=0.0005"];
        run("mtids-train", fit_arguments(&again, &unnamed)).expect_code(0);
    }
    run("mtids-train", &started).expect_code(0);
    assert_eq!(results(&again), results(&longer));

    let other = ["--extend", text(&first), "--set", "seed=9"];
    let refused = run("mtids-train", fit_arguments(&folder.path().join("other"), &other)).expect_code(2);
    assert!(refused.stderr.contains("seed") && refused.stderr.contains("--from"), "{}", refused.stderr);
}

#[test]
fn weights_of_another_run_are_taken_over_where_they_fit() {
    let folder = tempfile::tempdir().unwrap();
    let [first, same, smaller] = ["first", "same", "smaller"].map(|name| folder.path().join(name));
    run("mtids-train", fit_arguments(&first, &[SHORT[0], SHORT[1], "--set", "epochs=3"])).expect_code(0);
    let from = |more: &[&'static str]| -> Vec<&str> {
        [SHORT[0], SHORT[1], "--from", text(&first), "--set", "max_steps=1", "--set", "seed=5"]
            .iter()
            .chain(more)
            .copied()
            .collect()
    };
    run("mtids-train", fit_arguments(&same, &from(&[]))).expect_code(0);
    assert_eq!(json(&same.join("run.json"))["origin"]["kind"], "weights");
    let loss = |run: &Path| lines(&run.join("losses.jsonl"))[0]["losses"]["region"].as_f64().unwrap();
    assert!(
        loss(&same) < loss(&first),
        "the first step begins with what was learned: {} {}",
        loss(&same),
        loss(&first)
    );
    let said = run("mtids-train", fit_arguments(&smaller, &from(&["--set", "model.dbr.shared_experts=5"])));
    assert!(said.expect_code(0).stderr.contains("left at their initial values"));
    let nothing = folder.path().join("nothing");
    let refused = run("mtids-train", fit_arguments(&nothing, &["--from", text(&nothing)])).expect_code(2);
    assert!(refused.stderr.contains("contains no run"), "{}", refused.stderr);
}

#[test]
fn a_training_that_diverges_names_step_task_and_rate_and_keeps_what_was_good() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let wild = [SHORT[0], SHORT[1], "--set", "schedule.peak=1e20", "--set", "checkpoint_every_steps=1"];
    let ended = run("mtids-train", fit_arguments(&out, &wild)).expect_code(3);
    for word in ["diverged", "is not finite at step", "learning rate of", "lower schedule.peak"] {
        assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
    }
    assert!(ended.stderr.contains("task `") || ended.stderr.contains("the gradient"), "{}", ended.stderr);
    let latest = fs::read_to_string(out.join("checkpoints/latest")).unwrap();
    assert!(out.join("checkpoints").join(latest.trim()).join("weights.safetensors").exists());
}
