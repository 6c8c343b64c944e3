//! `mtids-train`: the command line of the trainer. Thin: it parses, calls the library and turns the result into an exit code.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mtids_report::terminal::{end_with, start_log};
use mtids_runtime::config;
use mtids_runtime::exit::{Exit, code_of, exit_of};
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::task::Task;
use mtids_shards::Split;
use mtids_train::comparison::grid::Grid;
use mtids_train::comparison::output;
use mtids_train::comparison::run::{CompareOptions, Places, compare};
use mtids_train::config::TrainConfig;
use mtids_train::error::TrainError;
use mtids_train::evaluate::{EvaluateOptions, evaluate, text};
use mtids_train::fit::{FitOptions, fit};
use mtids_train::seen::Acquaintance;

/// Train MT-IDS on a dataset and evaluate it on held-out patients. Research software, not for diagnosis.
#[derive(Debug, Parser)]
#[command(
    name = "mtids-train",
    version,
    max_term_width = 110,
    after_help = "Exit codes: 0 done, 1 evaluated without patients seen in training, 2 usage error, 3 unusable data, 4 interrupted (run \
                  again to resume)."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Fit(Fit),
    Evaluate(Evaluate),
    Compare(Compare),
}

/// Train, or resume an interrupted run
///
/// The losses of a resumed run are those of an uninterrupted one.
///
/// Example: mtids-train fit --dataset dataset --run run --set epochs=20
#[derive(Debug, Args)]
struct Fit {
    /// Folder of the dataset
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
    /// Resume a run of another device; its last digits will differ from those of an unbroken run
    #[arg(long)]
    allow_device_change: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// Measure a run on held-out patients and write its report
///
/// Writes evaluation.json, predictions.csv and report.html into the run folder. Patients that the run was trained on are left out of the figures and named (exit code 1); where all are, nothing is measured.
///
/// Example: mtids-train evaluate --run run --dataset dataset
#[derive(Debug, Args)]
struct Evaluate {
    /// Folder of the run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Folder of the dataset
    #[arg(long, value_name = "DIR")]
    dataset: PathBuf,
    /// Split to measure
    #[arg(long, value_enum, default_value = "test")]
    split: SplitName,
    /// Device to compute on [default: the run's, or the CPU where this machine lacks it]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Resamples of the bootstrap [default: the run's]
    #[arg(long, value_name = "N")]
    bootstrap_resamples: Option<usize>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// Train the rows of a grid beside each other and judge their differences
///
/// Each training leaves a small record; what is on record is not trained again. Killed at any moment, the same command goes on. Several processes
/// may work on one grid, by shares or simply at the same time.
///
/// Example: mtids-train compare --grid pipelines/compare/main-small.toml --dataset realistic=out/cohorts/realistic/dataset --out out/compare
#[derive(Debug, Args)]
struct Compare {
    /// The grid (TOML)
    #[arg(long, value_name = "FILE")]
    grid: PathBuf,
    /// Folder of a dataset that the grid names; repeatable
    #[arg(long = "dataset", value_name = "NAME=DIR")]
    datasets: Vec<String>,
    /// Folder for trainings and results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folder of the records [default: records in the output folder]
    #[arg(long, value_name = "DIR")]
    records: Option<PathBuf>,
    /// Train nothing; results of what is on record
    #[arg(long, conflicts_with_all = ["task_index", "task_count", "task_from_env"])]
    records_only: bool,
    /// Do the share I of the trainings, from 0
    #[arg(long, value_name = "I", conflicts_with = "task_from_env")]
    task_index: Option<usize>,
    /// Number of shares
    #[arg(long, value_name = "N")]
    task_count: Option<usize>,
    /// Take the share from the variables of a job array (Slurm, Kubernetes)
    #[arg(long)]
    task_from_env: bool,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SplitName {
    Train,
    Validation,
    Test,
}

impl From<SplitName> for Split {
    fn from(name: SplitName) -> Self {
        match name {
            SplitName::Train => Split::Train,
            SplitName::Validation => Split::Validation,
            SplitName::Test => Split::Test,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log();
    let result = match arguments.command {
        Command::Fit(command) => command.run().map(|()| Exit::Done),
        Command::Evaluate(command) => command.run(),
        Command::Compare(command) => command.run().map(|()| Exit::Done),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => end_with(error.as_ref(), exit_of(error.as_ref(), &[code_of::<TrainError>])).into(),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

impl Fit {
    fn run(self) -> anyhow::Result<()> {
        let config = config::load::<TrainConfig>(self.config.as_deref(), &self.sets)?.check()?;
        let options = FitOptions { show_progress: true, allow_device_change: self.allow_device_change };
        let interrupt = Interrupt::install()?;
        let summary = fit(&self.dataset, &self.run, &config, &interrupt, options)?;
        if self.json {
            return print(&format!("{}\n", serde_json::to_string_pretty(&summary)?));
        }
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
            self.run.display(),
            summary.steps,
            summary.training_rows,
            summary.parameters,
            losses.join(", ")
        ))
    }
}

impl Evaluate {
    fn run(self) -> anyhow::Result<Exit> {
        let options = EvaluateOptions { device: self.device, bootstrap_resamples: self.bootstrap_resamples };
        let evaluation = evaluate(&self.run, &self.dataset, self.split.into(), &options)?.evaluation;
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&evaluation)?))?;
        } else {
            print(&text(&evaluation))?;
        }
        Ok(if evaluation.seen.acquaintance == Acquaintance::SeenLeftOut { Exit::Findings } else { Exit::Done })
    }
}

impl Compare {
    fn run(self) -> anyhow::Result<()> {
        let grid = Grid::load(&self.grid)?;
        let variable = |name: &str| std::env::var(name).ok();
        let task =
            Task::find(self.task_index, self.task_count, self.task_from_env, &variable).map_err(TrainError::from)?;
        let records = self.records.unwrap_or_else(|| self.out.join("records"));
        let places = Places { out: self.out, records, datasets: places(&self.datasets)? };
        let options = CompareOptions { task, records_only: self.records_only, show_progress: true };
        let results = compare(&grid, &places, options, &Interrupt::install()?)?;
        if self.json {
            return print(&format!("{}\n", serde_json::to_string_pretty(&results)?));
        }
        print(&output::text(&results))?;
        print(&format!("  {}\n", places.out.join("results.html").display()))
    }
}

/// `NAME=DIR` texts by name.
fn places(texts: &[String]) -> Result<BTreeMap<String, PathBuf>, TrainError> {
    let mut places = BTreeMap::new();
    for text in texts {
        let Some((name, path)) = text.split_once('=').filter(|(name, path)| !name.is_empty() && !path.is_empty())
        else {
            return Err(TrainError::argument("--dataset", format!("`{text}` is not NAME=DIR")));
        };
        if places.insert(name.to_owned(), PathBuf::from(path)).is_some() {
            return Err(TrainError::argument("--dataset", format!("`{name}` is given twice")));
        }
    }
    Ok(places)
}
