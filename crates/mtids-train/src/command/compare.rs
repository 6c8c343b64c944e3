//! `mtids-train compare`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::comparison::grid::Grid;
use crate::comparison::output;
use crate::comparison::run::{CompareOptions, Places, compare};
use crate::error::TrainError;
use clap::Args;
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::task::Task;

use super::common::print;

/// Train the rows of a grid beside each other and judge their differences
///
/// Each training leaves a small record; what is on record is not trained again. Killed at any moment, the same command goes on. Several processes
/// may work on one grid, by shares or simply at the same time.
///
/// Example: mtids-train compare --grid pipelines/compare/main-small.toml --dataset realistic=out/cohorts/realistic/dataset --out out/compare
#[derive(Debug, Args)]
pub(crate) struct Compare {
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
    /// Cross-validation by patient in so many folds, from 3, in the place of the datasets' own splits
    #[arg(long, value_name = "K")]
    folds: Option<u32>,
    /// Repeat the cross-validation so often, each time with the patients dealt anew by the next seed of the grid
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u16).range(1..))]
    repeats: Option<u16>,
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

impl Compare {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let grid = Grid::load(&self.grid)?.crossed(self.folds, self.repeats.map(usize::from))?;
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
