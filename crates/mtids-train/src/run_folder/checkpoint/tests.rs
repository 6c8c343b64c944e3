//! Tests of checkpoints: what survives, what is removed, and what is damaged.

use super::*;
use crate::run_folder::keep::Best;
use serde_json::json;

fn state(step: u64) -> TrainingState {
    TrainingState {
        step,
        epoch: 1,
        next_batch: 2,
        stream: None,
        skipped_rows: 0,
        balancer: json!({"log_norms": [0.1, 1.0 / 3.0]}),
        best: None,
        regular: true,
    }
}

fn kept(run: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(run.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn round_trip_keeps_every_bit() {
    let run = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of_run(run.path(), Keep::default());
    assert!(checkpoints.latest().unwrap().is_none());
    let written = TrainingState { best: Some(Best { step: 7, epoch: 1, score: 0.1 + 0.2 }), ..state(7) };
    checkpoints.save(b"weights", b"moments", None, &written).unwrap();
    let read = checkpoints.latest().unwrap().unwrap();
    assert_eq!((read.weights.as_slice(), read.optimizer.as_slice()), (&b"weights"[..], &b"moments"[..]));
    assert_eq!(read.state, written);
    assert_eq!((read.average, checkpoints.best().unwrap().unwrap().state.step), (None, 7));
    checkpoints.save(b"w", b"o", Some(b"averages"), &state(8)).unwrap();
    assert_eq!(checkpoints.latest().unwrap().unwrap().average.as_deref(), Some(&b"averages"[..]));
}

#[test]
fn two_newest_and_the_best_are_kept_and_irregular_ones_disappear() {
    let run = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of_run(run.path(), Keep::default());
    let best = Some(Best { step: 1, epoch: 1, score: 0.5 });
    for step in 1..=4 {
        checkpoints.save(b"w", b"o", None, &TrainingState { best, ..state(step) }).unwrap();
    }
    assert_eq!(kept(run.path()), ["best", "latest", "step-00000001", "step-00000003", "step-00000004"]);
    checkpoints.save(b"w", b"o", None, &TrainingState { best, regular: false, ..state(5) }).unwrap();
    assert_eq!(checkpoints.latest().unwrap().unwrap().state.step, 5);
    assert_eq!(kept(run.path()).len(), 6);
    checkpoints.save(b"w", b"o", None, &TrainingState { best, ..state(6) }).unwrap();
    assert_eq!(kept(run.path()), ["best", "latest", "step-00000001", "step-00000004", "step-00000006"]);
}

#[test]
fn more_are_kept_where_asked_for_and_less_when_it_is_asked_no_more() {
    let run = tempfile::tempdir().unwrap();
    let kept_steps = || kept(run.path()).into_iter().filter_map(|name| step_of(&name)).collect::<Vec<_>>();
    let keep = Keep { newest: 1, every_epochs: Some(2) };
    // Two steps an epoch, and a checkpoint at each.
    for step in 1..=9 {
        let written = TrainingState { epoch: step / 2, next_batch: step % 2, ..state(step) };
        Checkpoints::of_run(run.path(), keep).save(b"w", b"o", None, &written).unwrap();
    }
    assert_eq!(kept_steps(), [4, 8, 9]);
    let last = TrainingState { epoch: 5, next_batch: 0, ..state(10) };
    Checkpoints::of_run(run.path(), Keep { newest: 3, every_epochs: None }).save(b"w", b"o", None, &last).unwrap();
    assert_eq!(kept_steps(), [8, 9, 10]);
}

#[test]
fn what_lies_after_the_state_is_removed() {
    let run = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of_run(run.path(), Keep::default());
    checkpoints.save(b"w", b"o", None, &state(3)).unwrap();
    // As if killed between publishing step 6 and moving `latest`, and while writing step 9.
    checkpoints.save(b"w", b"o", None, &state(6)).unwrap();
    checkpoints.point("latest", 3).unwrap();
    fs::create_dir(run.path().join("checkpoints/.writing-step-00000009")).unwrap();
    // As if killed while step 2 was removed.
    fs::create_dir(run.path().join("checkpoints/.removing-step-00000002")).unwrap();
    fs::write(run.path().join("checkpoints/.removing-step-00000002").join(WEIGHTS), b"w").unwrap();
    let latest = checkpoints.latest().unwrap().unwrap();
    checkpoints.tidy(&latest.state).unwrap();
    assert_eq!(kept(run.path()), ["latest", "step-00000003"]);
}

#[test]
fn damage_is_named() {
    let run = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of_run(run.path(), Keep::default());
    let folder = checkpoints.save(b"weights", b"o", None, &state(3)).unwrap();
    fs::write(folder.join(WEIGHTS), b"weightz").unwrap();
    let error = checkpoints.latest().unwrap_err().to_string();
    assert!(error.contains(WEIGHTS), "{error}");
}

#[test]
fn a_damaged_or_lost_newest_checkpoint_leaves_the_one_before_it() {
    let run = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of_run(run.path(), Keep { newest: 3, every_epochs: None });
    assert!(checkpoints.resumable().unwrap().is_none());
    for step in [4, 8, 12] {
        checkpoints.save(b"weights", b"moments", None, &state(step)).unwrap();
    }
    let resumed = || checkpoints.resumable().map(|found| found.map(|one| one.state.step));
    let damage = |step: u64, file: &str| fs::write(checkpoints.folder.join(folder_name(step)).join(file), "x").unwrap();
    assert_eq!(resumed().unwrap(), Some(12));
    damage(12, WEIGHTS);
    assert!(checkpoints.latest().is_err());
    assert_eq!(resumed().unwrap(), Some(8));
    // Without the pointer the newest whole one counts, never the beginning.
    fs::remove_file(checkpoints.folder.join("latest")).unwrap();
    assert_eq!(resumed().unwrap(), Some(8));
    damage(8, STATE);
    assert_eq!(resumed().unwrap(), Some(4));
    damage(4, OPTIMIZER);
    assert!(resumed().unwrap_err().to_string().contains("digest"), "where none is whole, the newest one's fault");
}

#[test]
fn a_best_checkpoint_that_is_gone_leaves_none_rather_than_another() {
    let run = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of_run(run.path(), Keep { newest: 3, every_epochs: None });
    let best = |step: u64| Some(Best { step, epoch: 0, score: 0.9 });
    checkpoints.save(b"best", b"o", None, &TrainingState { best: best(4), ..state(4) }).unwrap();
    let later = TrainingState { best: best(4), ..state(8) };
    checkpoints.save(b"later", b"o", None, &later).unwrap();
    checkpoints.tidy(&later).unwrap();
    assert_eq!(checkpoints.best().unwrap().map(|one| one.state.step), Some(4));
    fs::remove_dir_all(checkpoints.folder.join(folder_name(4))).unwrap();
    checkpoints.tidy(&later).unwrap();
    assert!(checkpoints.best().unwrap().is_none());
    assert_eq!(checkpoints.latest().unwrap().map(|one| one.state.step), Some(8));
}
