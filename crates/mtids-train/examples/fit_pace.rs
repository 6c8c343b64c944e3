//! `make bench-fit`: patches a second of a training that streams its shards, beside the same training on a batch that is held in memory.
//!
//! Arguments: a dataset, a file of settings, steps of a training, rounds. A round is one training of each kind, in turns, in one process. Only
//! steps and their waiting for batches count, so the start of a training and its looks at the validation patients do not. The first round warms the
//! page cache and the thread pool, and is not counted.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::path::Path;

use anyhow::{Context, Result};
use mtids_runtime::config::load;
use mtids_runtime::interrupt::Interrupt;
use mtids_train::config::{TrainConfig, ValidConfig};
use mtids_train::fit::{FitOptions, fit};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dataset, settings, steps, rounds] = &arguments[..] else {
        anyhow::bail!("usage: fit_pace DATASET SETTINGS STEPS ROUNDS");
    };
    let (steps, rounds) = (steps.parse::<u64>()?, rounds.parse::<usize>()?);
    // Every batch is a full one, as the one that is held.
    let config =
        TrainConfig { max_steps: Some(steps), ..load(Some(Path::new(settings)), &["stream.drop_last=true".into()])? };
    let config = config.check()?;
    let mut ratios = Vec::new();
    for round in 0..=rounds {
        // Who comes first changes from round to round.
        let kinds = if round % 2 == 0 { [false, true] } else { [true, false] };
        let mut paces = [0.0; 2];
        for hold_batch in kinds {
            paces[usize::from(hold_batch)] = patches_per_second(Path::new(dataset), &config, steps, hold_batch)?;
        }
        let [streamed, held] = paces;
        println!(
            "round {round}: streamed {streamed:.2}, held {held:.2} patches a second, ratio {:.4}",
            streamed / held
        );
        if round > 0 {
            ratios.push(streamed / held);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let [least, most] = [ratios.first(), ratios.last()].map(|ratio| ratio.copied().unwrap_or(f64::NAN));
    let median = ratios.get(ratios.len() / 2).context("no round")?;
    println!("ratio over {rounds} rounds: median {median:.4}, least {least:.4}, most {most:.4}");
    Ok(())
}

fn patches_per_second(dataset: &Path, config: &ValidConfig, steps: u64, hold_batch: bool) -> Result<f64> {
    let run = tempfile::tempdir()?;
    let options = FitOptions { hold_batch, ..FitOptions::default() };
    let summary = fit(dataset, run.path(), config, &Interrupt::new(), &options)?;
    anyhow::ensure!(summary.steps == steps, "the settings allow {} steps only", summary.steps);
    let patches = (steps * config.accumulate_batches as u64) as f64 * config.batch_size as f64;
    Ok(patches / (summary.pace.stepped + summary.pace.waited))
}
