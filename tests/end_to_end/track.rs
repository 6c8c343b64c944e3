//! The logs of a run in TensorBoard.

use std::fs;

use crate::support::{dataset, program, python, root, run, text, tree};

#[test]
#[ignore = "needs Python readers (.venv)"]
fn tensorboard_reads_what_a_run_has_logged() {
    let folder = tempfile::tempdir().unwrap();
    let (run_folder, events) = (folder.path().join("run"), folder.path().join("events"));
    let fixed = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", "epochs=2"];
    let places = ["--dataset", text(dataset()), "--run", text(&run_folder)];
    run("mtids-train", fixed.into_iter().chain(places)).expect_code(0);
    let before = tree(&run_folder);
    let track = ["track", "--run", text(&run_folder), "--tensorboard", text(&events)];
    let said = run("mtids-train", track).expect_code(0);
    assert!(said.stdout.contains("steps"), "{}", said.stdout);
    assert_eq!(before, tree(&run_folder), "a run is only read");
    let script = root().join("tests/python/read_events.py");
    let output = std::process::Command::new(python()).args([&script, &events, &run_folder]).output().unwrap();
    let read = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{read}{}", String::from_utf8_lossy(&output.stderr));
    let steps = fs::read_to_string(run_folder.join("losses.jsonl")).unwrap().lines().count();
    assert!(read.contains(&format!("{steps} steps")), "{read}");
}

#[test]
fn following_ends_with_a_signal_and_a_folder_without_run_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let said = run("mtids-train", ["track", "--run", text(&missing), "--tensorboard", text(folder.path())]);
    assert!(said.expect_code(2).stderr.contains("contains no run"));
    let run_folder = folder.path().join("run");
    let fixed = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", "max_steps=2"];
    let places = ["--dataset", text(dataset()), "--run", text(&run_folder)];
    run("mtids-train", fixed.into_iter().chain(places)).expect_code(0);
    let events = folder.path().join("events");
    let track = ["track", "--run", text(&run_folder), "--tensorboard", text(&events), "--follow", "1"];
    let mut child = program("mtids-train").args(track).stdout(std::process::Stdio::null()).spawn().unwrap();
    for _ in 0..200 {
        if events.exists() && fs::read_dir(&events).unwrap().count() > 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
