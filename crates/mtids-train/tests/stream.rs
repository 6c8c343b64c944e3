//! What the stream means to a training: sampling, budgets, damage, and the stage that limits.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod dataset;

use std::fs;
use std::path::Path;

use mtids_runtime::exit::{Exit, ExitStatus};
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{Dataset, Split};
use mtids_train::config::{TrainConfig, ValidConfig};
use mtids_train::error::TrainError;
use mtids_train::evaluate::{EvaluateOptions, evaluate};
use mtids_train::fit::{FitOptions, FitSummary, fit};
use mtids_train::run_folder::RunFolder;
use serde_json::Value;

const SETTINGS: &str = "
batch_size = 4
checkpoint_every_steps = 1
bootstrap_resamples = 50
[model.trunks.near]
size = \"tiny\"
[model.trunks.wide]
size = \"tiny\"
[inputs.near]
size = [4, 8, 8]
[inputs.wide]
size = [4, 8, 8]
";

fn config(more: &str) -> ValidConfig {
    mtids_runtime::config::parse::<TrainConfig>(&format!("{more}\n{SETTINGS}")).unwrap().check().unwrap()
}

fn train(dataset: &Path, run: &Path, config: &ValidConfig, interrupt: &Interrupt) -> Result<FitSummary, TrainError> {
    fit(dataset, run, config, interrupt, &FitOptions::default())
}

/// What a run leaves behind, as bytes.
fn result(run: &Path) -> Vec<Vec<u8>> {
    let last = RunFolder::open(run).unwrap().checkpoints().latest().unwrap().unwrap();
    let logs = ["losses.jsonl", "epochs.jsonl"].map(|name| fs::read(run.join(name)).unwrap());
    logs.into_iter().chain([last.weights, last.optimizer]).collect()
}

/// Trains one step, as an interrupted run does.
fn one_step(dataset: &Path, run: &Path, config: &ValidConfig) {
    let raised = Interrupt::new();
    raised.raise();
    assert!(matches!(train(dataset, run, config, &raised), Err(TrainError::Interrupted { .. })));
}

#[test]
fn readers_and_budget_may_change_within_an_epoch_also_with_balanced_sampling() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    dataset::two_views_in_groups(&place("dataset"), "t", 2);
    for (name, sampling) in
        [("plain", ""), ("balanced", "stream.sampling = { balance = \"joint\", epoch_rows = 18 }\n")]
    {
        let with = |readers, mib| {
            config(&format!("epochs = 2\nstream.readers = {readers}\nstream.byte_budget_mib = {mib}\n{sampling}"))
        };
        let [unbroken, broken] = ["unbroken", "broken"].map(|run| place(&format!("{name}-{run}")));
        let summary = train(&place("dataset"), &unbroken, &with(1, 256), &Interrupt::new()).unwrap();
        // 13 rows: 4, 4, 5; or 18 draws: 4, 4, 4, 4, 2.
        assert_eq!(summary.steps, if sampling.is_empty() { 6 } else { 10 });
        one_step(&place("dataset"), &broken, &with(3, 2));
        one_step(&place("dataset"), &broken, &with(2, 64));
        train(&place("dataset"), &broken, &with(4, 3), &Interrupt::new()).unwrap();
        assert!(result(&broken) == result(&unbroken), "{name}: the bytes differ");
    }
}

#[test]
fn settings_that_cannot_be_are_refused_before_a_run_folder_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    dataset::two_views(&place("dataset"), "t");
    for (settings, word) in [
        ("stream.byte_budget_mib = 0", "stream.byte_budget_mib"),
        ("stream.sampling.filter.models = [\"none\"]", "stream.sampling.filter"),
        // Of 13 rows, in batches of 4.
        ("stream = { drop_last = true, sampling = { epoch_rows = 3 } }", "an epoch has 3 rows"),
    ] {
        let error = train(&place("dataset"), &place("run"), &config(settings), &Interrupt::new()).unwrap_err();
        assert!(error.to_string().contains(word) && error.exit() == Exit::Usage, "{error}");
        assert!(!place("run").join("run.json").exists());
    }
}

#[test]
fn settings_of_a_model_are_named_with_their_table_and_tasks_that_tell_nothing_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let [dataset, run] = ["dataset", "run"].map(|name| folder.path().join(name));
    dataset::two_views_in_groups(&dataset, "t", 2);
    let with =
        |settings: &str| SETTINGS.replace("[model.trunks.near]", &format!("[model]\n{settings}\n[model.trunks.near]"));
    let parsed = |settings: &str| mtids_runtime::config::parse::<TrainConfig>(&with(settings)).unwrap().check();
    let dropout = parsed("dropout = 2.0").err().unwrap().to_string();
    assert!(dropout.contains("`model.dropout`"), "{dropout}");
    let silent = parsed("tasks = [\"metastasis-per-region\"]").unwrap();
    let refused = train(&dataset, &run, &silent, &Interrupt::new()).unwrap_err();
    assert!(refused.to_string().contains("model.tasks") && refused.exit() == Exit::Usage, "{refused}");
    assert!(!run.join("config.resolved.toml").exists(), "no run was begun");
}

#[test]
fn a_held_batch_is_taken_at_every_step_of_an_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    dataset::two_views_in_groups(&place("dataset"), "t", 2);
    // Steps that change nothing, without dropout: each tells the loss of its own batch.
    let settings = SETTINGS.replace("[model.trunks.near]", "[model]\ndropout = 0.0\n[model.trunks.near]");
    let still = "epochs = 1\nstream.drop_last = true\nschedule.peak = 1e-30\noptimizer.weight_decay = 0.0";
    let config = mtids_runtime::config::parse::<TrainConfig>(&format!("{still}\n{settings}")).unwrap().check().unwrap();
    let losses = |name: &str, hold_batch: bool| -> Vec<Value> {
        let options = FitOptions { hold_batch, ..FitOptions::default() };
        let summary = fit(&place("dataset"), &place(name), &config, &Interrupt::new(), &options).unwrap();
        assert_eq!(summary.steps, 3);
        let lines = fs::read_to_string(place(name).join("losses.jsonl")).unwrap();
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["losses"]["region"].clone()).collect()
    };
    let (streamed, held) = (losses("streamed", false), losses("held", true));
    assert_eq!(held[0], streamed[0], "the first batch of the epoch");
    let apart = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs();
    assert!(apart(&held[1], &held[0]) < 1e-6 && apart(&held[2], &held[0]) < 1e-6, "{held:?}");
    assert!(apart(&streamed[1], &streamed[0]) > 1e-4, "{streamed:?}");
}

#[test]
fn an_evaluation_has_the_memory_that_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    dataset::two_views(&place("dataset"), "t");
    train(&place("dataset"), &place("run"), &config("epochs = 1"), &Interrupt::new()).unwrap();
    let settings = place("run").join("config.resolved.toml");
    let text = fs::read_to_string(&settings).unwrap();
    assert!(text.contains("byte_budget_mib = 256"), "{text}");
    fs::write(&settings, text.replace("byte_budget_mib = 256", "byte_budget_mib = 0")).unwrap();
    evaluate(&place("run"), &place("dataset"), Split::Test, &EvaluateOptions::default()).unwrap();
}

#[test]
fn damage_stops_a_training_or_is_skipped_and_counted_but_never_in_an_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    dataset::two_views_in_groups(&place("dataset"), "t", 2);
    let manifest = Dataset::open(&place("dataset")).unwrap().manifest().clone();
    for split in [Split::Train, Split::Test] {
        let shard = manifest.shards.iter().find(|shard| shard.split == split).unwrap();
        let path = place("dataset").join(&shard.path);
        let mut bytes = fs::read(&path).unwrap();
        bytes[shard.row_groups[1].offset as usize + 20] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let error = train(&place("dataset"), &place("stopped"), &config("epochs = 2"), &Interrupt::new()).unwrap_err();
    assert!(error.to_string().contains("row group 1") && error.exit() == Exit::Data, "{error}");
    let skipping = config("epochs = 2\nstream.on_damage = \"skip\"");
    let summary = train(&place("dataset"), &place("run"), &skipping, &Interrupt::new()).unwrap();
    assert_eq!((summary.steps, summary.skipped_rows, summary.pace.stream.rows), (6, 4, 22));
    // The count goes on with the run, whatever stopped it, and every epoch has it.
    one_step(&place("dataset"), &place("resumed"), &skipping);
    one_step(&place("dataset"), &place("resumed"), &skipping);
    for resumed_at in [2, 6] {
        let summary = train(&place("dataset"), &place("resumed"), &skipping, &Interrupt::new()).unwrap();
        assert_eq!((summary.resumed_at, summary.skipped_rows), (resumed_at, 4));
    }
    assert!(result(&place("resumed")) == result(&place("run")), "the bytes differ");
    let epochs = fs::read_to_string(place("run").join("epochs.jsonl")).unwrap();
    let counts: Vec<u64> = epochs
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["skipped_rows"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [2, 4]);
    let error = evaluate(&place("run"), &place("dataset"), Split::Test, &EvaluateOptions::default()).unwrap_err();
    assert!(error.to_string().contains("row group 1"), "{error}");
}

#[test]
fn timings_name_the_stage_that_limits() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    dataset::two_views(&place("dataset"), "t");
    let summary = train(&place("dataset"), &place("run"), &config("epochs = 2"), &Interrupt::new()).unwrap();
    let lines: Vec<Value> = fs::read_to_string(place("run").join("timings.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 6);
    assert!(lines.iter().all(|line| line["limit"].is_string() && line["waited"].as_f64().unwrap() >= 0.0), "{lines:?}");
    assert_eq!(summary.pace.stream.rows, 26);
    assert!(summary.pace.limit().is_some() && summary.pace.sentence().unwrap().contains("limited by"));
    let again = train(&place("dataset"), &place("run"), &config("epochs = 2"), &Interrupt::new()).unwrap();
    assert_eq!(again.pace.sentence(), None, "no step, no pace");
}
