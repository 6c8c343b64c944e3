//! `kill -9` at any moment, then the same command again: the same bytes, the same losses.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use mtids_runtime::random::rng_for;
use rand::RngExt;

use crate::support::{build_arguments, dataset, program, run, text, tree};

/// Starts a program and kills it with SIGKILL as soon as `ready` holds; true if it was killed before its own end.
fn kill_when(name: &str, arguments: &[String], ready: impl Fn() -> bool) -> bool {
    let mut child: Child = program(name).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(300);
    while !ready() && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "{name} neither got ready nor ended");
        std::thread::sleep(Duration::from_millis(1));
    }
    // `Child::kill` sends SIGKILL; a program that has just ended by itself reports no signal.
    let _ = child.kill();
    child.wait().unwrap().code().is_none()
}

fn count_files(folder: &Path) -> usize {
    fs::read_dir(folder).map(|entries| entries.count()).unwrap_or(0)
}

#[test]
fn a_killed_build_ends_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    let arguments = build_arguments(&out);
    let receipts = out.join(".work/partitions");
    let mut killed = 0;
    // One worker, so that units appear one after the other; a kill before the first, and after each of several.
    let mut slow = arguments.clone();
    slow.extend(["--workers".into(), "1".into()]);
    for units in 0..4 {
        killed += usize::from(kill_when("mtids-prep", &slow, || count_files(&receipts) >= units));
        assert!(!out.join("manifest.json").exists(), "nothing is published before the end");
    }
    assert!(killed >= 3, "the builds were killed, not finished: {killed} of 4");
    run("mtids-prep", arguments).expect_code(0);
    assert_eq!(tree(&out), tree(dataset()));
}

#[test]
fn a_damaged_receipt_or_shard_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    let arguments = build_arguments(&out);
    run("mtids-prep", &arguments).expect_code(0);
    let expected = tree(&out);
    let mut files: Vec<_> =
        fs::read_dir(out.join(".work/partitions")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut random = rng_for(13, "damage", &[]);
    for (n, path) in files.iter().enumerate() {
        let mut bytes = fs::read(path).unwrap();
        // A flipped bit (in a label, a digest, a name), a torn end, nothing at all: as a power cut or a bad disk leaves them.
        match n % 3 {
            0 => bytes.truncate(random.random_range(0..bytes.len())),
            1 => bytes.clear(),
            _ => {
                let at = random.random_range(0..bytes.len());
                bytes[at] ^= 1 << random.random_range(0..8);
            }
        }
        fs::write(path, bytes).unwrap();
    }
    run("mtids-prep", &arguments).expect_code(0);
    assert_eq!(tree(&out), expected);
}

#[test]
fn two_hundred_kills_at_random_moments_change_no_byte() {
    let mut random = rng_for(11, "kills", &[]);
    let mut killed = 0;
    while killed < 200 {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("dataset");
        for _ in 0..10 {
            let mut arguments = build_arguments(&out);
            arguments.extend(["--workers".into(), "1".into()]);
            let mut child =
                program("mtids-prep").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(random.random_range(0..120_000)));
            let _ = child.kill();
            killed += usize::from(child.wait().unwrap().code().is_none());
        }
        run("mtids-prep", build_arguments(&out)).expect_code(0);
        assert_eq!(tree(&out), tree(dataset()));
    }
}

#[test]
fn a_killed_training_ends_in_the_same_losses_and_weights() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = |run_folder: &Path| -> Vec<String> {
        ["fit", "--config", "pipelines/demo-short/train.toml", "--dataset", text(dataset()), "--run", text(run_folder)]
            .map(str::to_owned)
            .to_vec()
    };
    let unbroken = folder.path().join("unbroken");
    run("mtids-train", arguments(&unbroken)).expect_code(0);
    let steps = fs::read_to_string(unbroken.join("losses.jsonl")).unwrap().lines().count();

    let broken = folder.path().join("broken");
    let lines = || fs::read_to_string(broken.join("losses.jsonl")).map(|text| text.lines().count()).unwrap_or(0);
    let mut killed = 0;
    for part in 1..4 {
        killed += usize::from(kill_when("mtids-train", &arguments(&broken), || lines() > part * steps / 4));
    }
    assert!(killed >= 2, "the trainings were killed, not finished: {killed} of 3");
    run("mtids-train", arguments(&broken)).expect_code(0);

    let files = |run_folder: &Path| {
        let mut files = tree(run_folder);
        files.retain(|name, _| !name.ends_with("timings.jsonl"));
        files
    };
    assert_eq!(files(&broken), files(&unbroken));
}

#[test]
fn a_training_stopped_by_sigterm_says_so_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let arguments =
        ["fit", "--config", "pipelines/demo-short/train.toml", "--dataset", text(dataset()), "--run", text(&out)];
    let mut child = program("mtids-train").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while fs::read_to_string(out.join("losses.jsonl")).map(|text| text.lines().count()).unwrap_or(0) < 3 {
        assert!(child.try_wait().unwrap().is_none(), "ended before it could be stopped");
        std::thread::sleep(Duration::from_millis(5));
    }
    let killed = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(4));
    run("mtids-train", arguments).expect_code(0);
}
