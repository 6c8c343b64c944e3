//! A training by several ranks, over threads, beside the training by one.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod dataset;

use std::fs;
use std::path::Path;

use mtids_ranks::{Ranks, RanksError, threads};
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{Dataset, Split};
use mtids_train::config::{TrainConfig, ValidConfig};
use mtids_train::error::TrainError;
use mtids_train::fit::{FitOptions, FitSummary, fit_among};
use mtids_train::run_folder::RunFolder;
use serde_json::Value;

/// 13 rows: batches of 5, 5 and 3, of which four ranks leave one without a row.
const SETTINGS: &str = "
epochs = 3
batch_size = 5
checkpoint_every_steps = 2
average_decay = 0.9
device = \"cpu\"
[model]
dropout = 0.1
[model.trunks.near]
size = \"tiny\"
norm = \"batch\"
[model.trunks.wide]
size = \"tiny\"
norm = \"batch\"
[inputs.near]
size = [4, 8, 8]
[inputs.wide]
size = [4, 8, 8]
";

fn config(more: &str) -> ValidConfig {
    mtids_runtime::config::parse::<TrainConfig>(&format!("{more}\n{SETTINGS}")).unwrap().check().unwrap()
}

type Outcome = Result<FitSummary, TrainError>;

fn train(ranks: &Ranks, dataset: &Path, run: &Path, config: &ValidConfig, interrupt: &Interrupt) -> Outcome {
    fit_among(ranks, dataset, run, config, interrupt, &FitOptions::default())
}

/// What the ranks answer.
fn by(ranks: usize, dataset: &Path, run: &Path, config: &ValidConfig) -> Vec<Outcome> {
    threads::run(ranks, |ranks| train(ranks, dataset, run, config, &Interrupt::new()))
}

/// Every number of the lines of a log.
fn numbers(run: &Path, name: &str) -> Vec<f64> {
    fn collect(value: &Value, numbers: &mut Vec<f64>) {
        match value {
            Value::Object(map) => map.values().for_each(|value| collect(value, numbers)),
            Value::Array(list) => list.iter().for_each(|value| collect(value, numbers)),
            Value::Number(number) => numbers.push(number.as_f64().unwrap()),
            Value::Null => numbers.push(-1.0),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for line in fs::read_to_string(run.join(name)).unwrap().lines() {
        collect(&serde_json::from_str(line).unwrap(), &mut found);
    }
    found
}

/// What a run leaves behind, as bytes.
fn result(run: &Path) -> Vec<Vec<u8>> {
    let last = RunFolder::open(run).unwrap().checkpoints().latest().unwrap().unwrap();
    let logs = ["losses.jsonl", "epochs.jsonl"].map(|name| fs::read(run.join(name)).unwrap());
    logs.into_iter().chain([last.weights, last.optimizer, last.average.unwrap()]).collect()
}

fn agree(one: &Path, other: &Path, what: &str) {
    for log in ["losses.jsonl", "epochs.jsonl"] {
        let (one, other) = (numbers(one, log), numbers(other, log));
        assert_eq!(one.len(), other.len(), "{what}: {log}");
        let apart = one.iter().zip(&other).map(|(a, b)| (a - b).abs() / a.abs().max(1.0)).fold(0.0, f64::max);
        assert!(apart <= 1e-5, "{what}: {log} differs by {apart:e}");
    }
}

#[test]
fn ranks_train_what_one_process_trains_and_go_on_with_what_others_began() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let dataset = place("dataset");
    dataset::two_views_in_groups(&dataset, "t", 2);
    for (name, more) in [
        ("boundary", "scope = \"boundary\"\nbalancer = { method = \"dd-gb\" }"),
        ("exact", "scope = \"exact\"\nbalancer = { method = \"famo\" }"),
        ("drop", "scope = \"boundary\"\naccumulate_batches = 2\nbalancer = { method = \"graddrop\" }"),
    ] {
        let config = config(more);
        let run = |ranks: &str| place(&format!("{name}-{ranks}"));
        train(&Ranks::alone(), &dataset, &run("alone"), &config, &Interrupt::new()).unwrap();
        for ranks in [2, 4] {
            let of = ranks.to_string();
            by(ranks, &dataset, &run(&of), &config).into_iter().for_each(|outcome| drop(outcome.unwrap()));
            agree(&run("alone"), &run(&of), &format!("{name}, {ranks} ranks"));
        }
        by(4, &dataset, &run("again"), &config).into_iter().for_each(|outcome| drop(outcome.unwrap()));
        assert!(result(&run("4")) == result(&run("again")), "{name}: the same ranks give the same bytes");
        // Begun by two of which one hears of a signal, gone on with by four, ended by one.
        for outcome in threads::run(2, |ranks| {
            let interrupt = Interrupt::new();
            if ranks.rank() == 1 {
                interrupt.raise();
            }
            train(ranks, &dataset, &run("changed"), &config, &interrupt)
        }) {
            assert!(matches!(outcome, Err(TrainError::Interrupted { step: 1 })), "{outcome:?}");
        }
        for outcome in threads::run(4, |ranks| {
            let interrupt = Interrupt::new();
            interrupt.raise();
            train(ranks, &dataset, &run("changed"), &config, &interrupt)
        }) {
            assert!(matches!(outcome, Err(TrainError::Interrupted { step: 2 })), "{outcome:?}");
        }
        train(&Ranks::alone(), &dataset, &run("changed"), &config, &Interrupt::new()).unwrap();
        agree(&run("alone"), &run("changed"), &format!("{name}, 2, 4 and 1 ranks"));
    }
}

#[test]
fn a_network_with_terms_of_its_own_is_validated_by_one_rank_of_two() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let dataset = place("dataset");
    dataset::two_views_in_groups(&dataset, "t", 2);
    let settings = SETTINGS.replace("[model]", "[model]\narchitecture = \"dselect-k\"");
    let config = mtids_runtime::config::parse::<TrainConfig>(&settings).unwrap().check().unwrap();
    train(&Ranks::alone(), &dataset, &place("alone"), &config, &Interrupt::new()).unwrap();
    by(2, &dataset, &place("two"), &config).into_iter().for_each(|outcome| drop(outcome.unwrap()));
    agree(&place("alone"), &place("two"), "dselect-k");
}

#[test]
fn ranks_that_would_not_train_the_same_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    dataset::two_views_in_groups(&place("dataset"), "t", 2);
    for outcome in threads::run(3, |ranks| {
        let config = config(if ranks.rank() == 2 { "seed = 5" } else { "" });
        train(ranks, &place("dataset"), &place("run"), &config, &Interrupt::new())
    }) {
        assert!(matches!(outcome, Err(TrainError::Ranks(RanksError::Differs { rank: 2, .. }))), "{outcome:?}");
    }
    assert!(!place("run").join("run.json").exists());
    let [first, ..] = &by(6, &place("dataset"), &place("run"), &config(""))[..] else { panic!() };
    let refused = first.as_ref().unwrap_err().to_string();
    assert!(refused.contains("6 ranks, 5 rows"), "{refused}");
}

#[test]
fn the_others_end_when_a_rank_is_lost_and_the_last_checkpoint_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let config = config("stream.shuffle_row_groups = 1\nbalancer = { method = \"dd-gb\" }");
    for copy in ["dataset", "damaged"] {
        dataset::two_views_in_groups(&place(copy), "t", 2);
    }
    let (intact, damaged) = (place("dataset"), place("damaged"));
    train(&Ranks::alone(), &intact, &place("alone"), &config, &Interrupt::new()).unwrap();
    // Each row group of the second rank's copy in turn.
    let manifest = Dataset::open(&damaged).unwrap().manifest().clone();
    let shard = manifest.shards.iter().find(|shard| shard.split == Split::Train).unwrap();
    let path = damaged.join(&shard.path);
    let sound = fs::read(&path).unwrap();
    let steps: Vec<u64> = (0..shard.row_groups.len())
        .map(|group| {
            let mut bytes = sound.clone();
            bytes[shard.row_groups[group].offset as usize + 20] ^= 1;
            fs::write(&path, bytes).unwrap();
            let run = place(&format!("lost-{group}"));
            let outcomes = threads::run(2, |ranks| {
                let dataset = if ranks.is_first() { &intact } else { &damaged };
                train(ranks, dataset, &run, &config, &Interrupt::new())
            });
            let own = outcomes[1].as_ref().unwrap_err().to_string();
            assert!(own.contains(&format!("row group {group}")), "{own}");
            let told = outcomes[0].as_ref().unwrap_err().to_string();
            assert!(told.contains("rank 1 has ended"), "{told}");
            let last = RunFolder::open(&run).unwrap().checkpoints().latest().unwrap();
            // One process goes on from there.
            train(&Ranks::alone(), &intact, &run, &config, &Interrupt::new()).unwrap();
            agree(&place("alone"), &run, "after a lost rank");
            last.map_or(0, |last| last.state.step)
        })
        .collect();
    assert!(steps.contains(&2) && steps.contains(&0), "the step of the last checkpoint, by row group: {steps:?}");
}
