//! `mtids-train fit`.

use std::path::{Path, PathBuf};

use crate::beginning::Beginning;
use crate::config::{TrainConfig, ValidConfig};
use crate::error::TrainError;
use crate::fit::{FitOptions, FitSummary, fit_among};
use crate::fold_folder::fold_folder;
use crate::run_folder::RESOLVED_CONFIGURATION;
use anyhow::Context;
use clap::Args;
use mtids_ranks::Ranks;
use mtids_report::format::counted;
use mtids_report::terminal::tell;
use mtids_runtime::config;
use mtids_runtime::exit::{Exit, code_of, describe, exit_of};
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::product::Product;
use mtids_shards::CrossValidation;

use super::common::{print, refuse_other};

/// Train, or resume an interrupted run
///
/// The losses of a resumed run are those of an uninterrupted one. A run that is complete is not trained further in its folder: --extend begins a
/// further segment of it in a new one.
///
/// Several processes train one run together when they are started by mpirun or srun and the program is built with `--features mpi`: they share each
/// batch and take the steps of one.
///
/// Example: mtids-train fit --dataset dataset --run run --set epochs=20
#[derive(Debug, Args)]
pub(crate) struct Fit {
    /// Folder or URL of the dataset
    #[arg(long, value_name = "DIR")]
    dataset: PathBuf,
    /// Folder of the run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change one setting, for example --set schedule.peak=0.001; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Train one run for each of K folds by patient, from 3, into fold-0, fold-1, … of the run folder: a cross-validation for evaluate, an ensemble for
    /// predict
    #[arg(long, value_name = "K", conflicts_with = "extend")]
    folds: Option<u32>,
    /// Begin with the weights of another run, as far as names and shapes agree
    #[arg(long, value_name = "RUN", conflicts_with = "extend")]
    from: Option<PathBuf>,
    /// Train the network of a run further on its dataset: weights, averages, moments and balancer go on, the schedule is a new one of so many
    /// epochs. Without --config, with the settings of that run
    #[arg(long, value_name = "RUN")]
    extend: Option<PathBuf>,
    /// Resume a run of another device; its last digits will differ from those of an unbroken run
    #[arg(long)]
    allow_device_change: bool,
    /// Threads that compute, in each process. Results do not depend on them. Default: one for each core that the process may use
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

impl Fit {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        // MPI ends when this is dropped, which is when every rank has come this far.
        let joined = mtids_ranks::join().map_err(TrainError::from)?;
        let ranks = joined.ranks();
        match self.train(ranks) {
            Err(error) if !ranks.is_alone() => leave(ranks, error),
            answer => answer.map(|()| Exit::Done),
        }
    }

    fn train(self, ranks: &Ranks) -> anyhow::Result<()> {
        if let Some(threads) = self.threads {
            rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads)).build_global().context("--threads")?;
        }
        let recorded = self.extend.as_ref().map(|run| run.join(RESOLVED_CONFIGURATION));
        let config = self.config.as_deref().or(recorded.as_deref());
        let config = config::load::<TrainConfig>(config, &self.sets)?;
        let runs = runs_of(&self.run, config, self.folds)?;
        refuse_other(Product::Run, "--run", &self.run)?;
        refuse_other_kind(&self.run, self.folds)?;
        let beginning = match (self.from, self.extend) {
            (Some(run), _) => Beginning::From(run),
            (None, Some(run)) => Beginning::Extend(run),
            (None, None) => Beginning::Initial,
        };
        let options = FitOptions {
            show_progress: true,
            allow_device_change: self.allow_device_change,
            calibrate: true,
            beginning,
            ..FitOptions::default()
        };
        let interrupt = Interrupt::install()?;
        for (run, config) in &runs {
            let summary = fit_among(ranks, &self.dataset, run, config, &interrupt, &options)?;
            // A starter that sees a process end before the others may end those.
            ranks.wait().map_err(TrainError::from)?;
            if !ranks.is_first() {
                continue;
            }
            match self.json {
                true => print(&format!("{}\n", serde_json::to_string_pretty(&summary)?))?,
                false => tell_of(run, &summary)?,
            }
        }
        Ok(())
    }
}

/// Refuses a cross-validation in the folder of a run, and a run in that of a cross-validation: whoever reads the folder would take one for the other.
fn refuse_other_kind(run: &Path, folds: Option<u32>) -> Result<(), TrainError> {
    let holds = |folder: &Path| folder.join(Product::Run.file()).exists();
    match folds {
        Some(_) if holds(run) => Err(TrainError::argument(
            "--folds",
            format!("{} holds a run without folds; give another folder", run.display()),
        )),
        None if holds(&fold_folder(run, 0)) => Err(TrainError::argument(
            "--run",
            format!(
                "{} holds a cross-validation; add --folds K to go on with it, or give another folder",
                run.display()
            ),
        )),
        _ => Ok(()),
    }
}

/// The runs of a training with their settings: one, or one for each fold.
fn runs_of(run: &Path, config: TrainConfig, folds: Option<u32>) -> Result<Vec<(PathBuf, ValidConfig)>, TrainError> {
    let Some(folds) = folds else { return Ok(vec![(run.to_owned(), config.check()?)]) };
    let seed = config.cross_validation.unwrap_or_default().seed;
    let of_fold = |fold| {
        let cross_validation = Some(CrossValidation { folds, fold, seed });
        let config = TrainConfig { cross_validation, ..config.clone() };
        Ok((fold_folder(run, fold), config.check()?))
    };
    // One fold at least, so that a number that is refused is refused by its check.
    (0..folds.max(1)).map(of_fold).collect()
}

/// What a training has come to.
fn tell_of(run: &Path, summary: &FitSummary) -> anyhow::Result<()> {
    let start = match summary.resumed_at {
        0 => String::new(),
        at if at == summary.steps => " (already complete)".to_owned(),
        at => format!(" (resumed at step {at})"),
    };
    let best = match (summary.best_epoch, summary.best_score, summary.last_score) {
        (Some(epoch), Some(score), _) => format!("best epoch {epoch}, validation macro-F1 {score:.3}"),
        (_, _, Some(score)) => format!("last weights, validation macro-F1 {score:.3}"),
        _ => "last weights; no labels for validation".to_owned(),
    };
    let losses: Vec<String> = summary
        .last_losses
        .iter()
        .map(|(task, loss)| format!("{task} {}", loss.map_or_else(|| "–".to_owned(), |loss| format!("{loss:.3}"))))
        .collect();
    print(&format!(
        "{}: {} steps{start} on {} patches, {} parameters; last losses: {}; {best}\n",
        run.display(),
        summary.steps,
        summary.training_rows,
        summary.parameters,
        losses.join(", ")
    ))?;
    if let Some(sentence) = summary.pace.sentence() {
        print(&format!("{}: {sentence}\n", run.display()))?;
    }
    if summary.skipped_rows > 0 {
        let rows = counted(summary.skipped_rows, "row", "rows");
        print(&format!("{}: trained without {rows} of damaged row groups, counted in each epoch\n", run.display()))?;
    }
    match &summary.not_calibrated {
        Some(reason) => print(&format!("{}: not calibrated: {reason}\n", run.display())),
        None => Ok(()),
    }
}

/// Ends one of several ranks with an error. What all ranks end with is said by the first, once it has written what it had to; what one rank ends with
/// alone it says itself, and ends the others, which would wait for it for ever.
fn leave(ranks: &Ranks, error: anyhow::Error) -> anyhow::Result<Exit> {
    let exit = exit_of(error.as_ref(), &[code_of::<TrainError>]);
    let is_of_all = error.downcast_ref().is_some_and(TrainError::is_of_all_ranks);
    if !is_of_all {
        tell(&format!("error: rank {} of {}: {}", ranks.rank(), ranks.size(), describe(error.as_ref())));
        ranks.abort(exit as u8);
        return Ok(exit);
    }
    if ranks.is_first() {
        tell(&format!("error: {}", describe(error.as_ref())));
    }
    ranks.wait().map_err(TrainError::from)?;
    Ok(exit)
}
