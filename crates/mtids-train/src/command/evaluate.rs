//! `mtids-train evaluate`.

use std::path::{Path, PathBuf};

use crate::error::TrainError;
use crate::evaluate::{EvaluateOptions, Evaluated, evaluate, evaluate_folds, text};
use crate::folds::runs_in;
use crate::measured::Evaluation;
use crate::run_folder::file_of_split;
use crate::seen::Acquaintance;
use clap::{Args, ValueEnum};
use mtids_runtime::exit::Exit;
use mtids_runtime::product::resolved;
use mtids_shards::Split;

use super::common::{print, refuse_product};

/// Measure a run on held-out patients and write its report
///
/// Writes evaluation.json, predictions.csv, report.html and model-card.md into the run folder, or into a folder on-DIGEST there for a dataset that is not the run's; with --split train or validation, evaluation-train.json and so on. Patients that the run was trained on are left out of the figures and named (exit code 1); where all are, nothing is measured. The run's own training or validation split is measured with a warning.
///
/// Example: mtids-train evaluate --run run --dataset dataset
#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// Folder of the run, or of all folds of a cross-validation
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Folder or URL of the dataset
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
    /// Folder for the files [default: that of the run]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the figures as JSON
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

/// Refuses a folder with files of these names that no evaluation wrote.
fn refuse_foreign(out: &Path) -> Result<(), TrainError> {
    let is_ours = Split::ALL.iter().any(|&split| out.join(file_of_split("evaluation.json", split)).exists());
    let names = ["report.html", "predictions.csv", "model-card.md"];
    match names.into_iter().find(|name| !is_ours && out.join(name).exists()) {
        Some(name) => {
            let reason =
                format!("{} is of no evaluation, and would be replaced; give another folder", out.join(name).display());
            Err(TrainError::argument("--out", reason))
        }
        None => Ok(()),
    }
}

impl Evaluate {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        if let Some(out) = self.out.as_ref().filter(|out| resolved(out) != resolved(&self.run)) {
            refuse_product("--out", out)?;
            refuse_foreign(out)?;
        }
        let options = EvaluateOptions {
            device: self.device.clone(),
            bootstrap_resamples: self.bootstrap_resamples,
            out: self.out.clone(),
        };
        let runs = runs_in(&self.run)?;
        if runs != [self.run.clone()] {
            return self.all_folds(&runs, &options);
        }
        let Evaluated { evaluation, folder, .. } = evaluate(&self.run, &self.dataset, self.split.into(), &options)?;
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&evaluation)?))?;
        } else {
            print(&text(&evaluation))?;
            if folder != self.run {
                print(&format!("  {}\n", folder.display()))?;
            }
        }
        Ok(exit([&evaluation]))
    }

    fn all_folds(&self, runs: &[PathBuf], options: &EvaluateOptions) -> anyhow::Result<Exit> {
        if !matches!(self.split, SplitName::Test) {
            return Err(
                TrainError::argument("--split", "test: a cross-validation judges the patients of each fold").into()
            );
        }
        if self.out.is_some() {
            let reason = "for one run; a cross-validation writes into the folders of its runs";
            return Err(TrainError::argument("--out", reason).into());
        }
        let crossed = evaluate_folds(&self.run, runs, &self.dataset, options)?;
        match self.json {
            true => print(&format!("{}\n", serde_json::to_string_pretty(&crossed.folds)?))?,
            false => print(&crossed.text)?,
        }
        Ok(exit(&crossed.folds))
    }
}

fn exit<'e>(evaluations: impl IntoIterator<Item = &'e Evaluation>) -> Exit {
    let left_out = |one: &Evaluation| one.seen.acquaintance == Acquaintance::SeenLeftOut;
    if evaluations.into_iter().any(left_out) { Exit::Findings } else { Exit::Done }
}
