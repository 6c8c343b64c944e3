//! The command line of `mtids-audit`: it parses, calls the library, writes files and turns issues into an exit code.
//!
//! It is a part of the library so that the program and the Python package run the same.
#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "these comments are the help of the command line, not pages"
)]

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::audit::audit;
use crate::compare::config::CompareConfig;
use crate::compare::{self, compare};
use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::page::page_with_pictures;
use crate::sheets::{pictures_of, remove_old, sheets};
use crate::suspects::config::SuspectsConfig;
use crate::suspects::found::Suspect;
use crate::suspects::output::{corrections_csv, probabilities_csv, suspects_csv};
use crate::suspects::page::Pictures;
use crate::suspects::{self, suspects};
use crate::text::text;
use crate::worklist;
use clap::{Args, Parser, Subcommand};
use mtids_report::terminal::program;
use mtids_runtime::exit::{Exit, code_of};
use mtids_runtime::{atomic, config};

/// Report the labels of a dataset, and what would invalidate results. Research software, not for diagnosis.
#[derive(Debug, Parser)]
#[command(
    name = "mtids-audit",
    version,
    max_term_width = 110,
    after_help = "Exit codes: 0 done, 1 done with issues, 2 usage error, 3 unusable data."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Report(Report),
    Compare(Compare),
    Suspects(SuspectsCommand),
}

/// Count labels, look for leakage, conflicts, gaps and confounders; write audit.html, audit.json and worklist.csv
///
/// The worklist names rows whose labels are in question, by source. Answers go into a table for `mtids-prep build --corrections`.
///
/// Example: mtids-audit report dataset --out audit
#[derive(Debug, Args)]
struct Report {
    /// Folder or URL of the dataset
    dataset: PathBuf,
    /// Folder for audit.html, audit.json and worklist.csv
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change one setting, for example --set fail_on=error; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Show up to N patches of each region and status, in the page and as PNG in sheets/; this reads voxels
    #[arg(long, value_name = "N")]
    pictures: Option<usize>,
    /// Print the audit as JSON
    #[arg(long)]
    json: bool,
}

/// Compare two datasets: rows, labels, voxels and drift; write comparison.html and comparison.json
///
/// Rows are matched by their keys, so both must be built with one secret. Exit code 1 if there are issues of the severity in fail_on.
///
/// Example: mtids-audit compare dataset-old dataset-new --out comparison
#[derive(Debug, Args)]
struct Compare {
    /// Folder or URL of the first dataset
    first: PathBuf,
    /// Folder or URL of the second
    second: PathBuf,
    /// Folder for comparison.html and comparison.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change one setting, for example --set fail_on=error; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Print the comparison as JSON
    #[arg(long)]
    json: bool,
}

/// Rank rows whose region or status is likely wrong; write suspects.html, suspects.json, suspects.csv and a template of corrections
///
/// Probabilities come from predictions of runs for held-out patients, or from models of place and measures, fitted to other patients. Copy
/// corrections-template.csv, fill in who decided and why, and give it to `mtids-prep build --corrections`.
///
/// Example: mtids-audit suspects dataset --out suspects --pictures 24
#[derive(Debug, Args)]
#[command(name = "suspects")]
struct SuspectsCommand {
    /// Folder or URL of the dataset
    dataset: PathBuf,
    /// Folder for the page and the tables
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Predictions of a run for held-out patients: predictions.csv of its folder; repeatable, one for each fold
    #[arg(long, value_name = "FILE")]
    predictions: Vec<PathBuf>,
    /// Judge by models of place and measures; the default without --predictions
    #[arg(long, conflicts_with = "predictions")]
    measures: bool,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change one setting, for example --set least_probability=0.7; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Show the first N suspects of each dimension in the page; this reads voxels
    #[arg(long, value_name = "N")]
    pictures: Option<usize>,
    /// List every judged row in suspects.csv, and write the probabilities to probabilities.csv
    #[arg(long)]
    all: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The program: `arguments` are those of the process, its name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    program(Arguments::try_parse_from(arguments), &[code_of::<AuditError>], |arguments| match arguments.command {
        Command::Report(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::Suspects(command) => command.run(),
    })
}

impl Report {
    fn run(self) -> anyhow::Result<Exit> {
        let settings: AuditConfig = config::load(self.config.as_deref(), &self.sets)?;
        let audit = audit(&self.dataset, &settings)?;
        let json = format!("{:#}\n", serde_json::to_value(&audit)?);
        let asked = worklist::csv(&worklist::worklist(&self.dataset, &audit)?)?;
        let sheets = self.pictures.map_or(Ok(Vec::new()), |most| sheets(&self.dataset, most))?;
        let page = page_with_pictures(&audit, &sheets);
        let files: [(&str, &[u8]); 3] =
            [("audit.html", page.as_bytes()), ("audit.json", json.as_bytes()), ("worklist.csv", &asked)];
        write(&self.out, &files)?;
        let folder = self.out.join("sheets");
        remove_old(&folder)?;
        for sheet in &sheets {
            write(&folder, &[(&sheet.file_name(), &sheet.picture.png()?)])?;
        }
        show(self.json, &json, || text(&audit))?;
        Ok(exit(audit.counted_issues()))
    }
}

impl Compare {
    fn run(self) -> anyhow::Result<Exit> {
        let settings: CompareConfig = config::load(self.config.as_deref(), &self.sets)?;
        let found = compare(&self.first, &self.second, &settings)?;
        let json = format!("{:#}\n", serde_json::to_value(&found)?);
        let page = compare::page::page(&found);
        write(&self.out, &[("comparison.html", page.as_bytes()), ("comparison.json", json.as_bytes())])?;
        show(self.json, &json, || compare::text::text(&found))?;
        Ok(exit(found.counted_issues()))
    }
}

impl SuspectsCommand {
    fn run(self) -> anyhow::Result<Exit> {
        let settings: SuspectsConfig = config::load(self.config.as_deref(), &self.sets)?;
        let found = suspects(&self.dataset, &self.predictions, &settings)?;
        let json = format!("{:#}\n", serde_json::to_value(&found.suspects)?);
        let listed = found.details(&self.dataset, self.all)?;
        let least = settings.least_probability;
        let wrong: Vec<Suspect> = listed.iter().filter(|one| one.p_wrong >= least).cloned().collect();
        let pictures = match self.pictures {
            Some(most) => {
                let first = wrong.iter().filter(|one| one.rank <= most as u64).map(|one| one.finding.as_str());
                let (of_rows, field_mm) = pictures_of(&self.dataset, &first.collect::<Vec<_>>())?;
                Pictures { most: most as u64, of_rows, field_mm }
            }
            None => Pictures::default(),
        };
        let page = suspects::page::page(&found.suspects, &pictures);
        let (table, template) = (suspects_csv(&listed)?, corrections_csv(&wrong)?);
        let mut files: Vec<(&str, &[u8])> = vec![
            ("suspects.html", page.as_bytes()),
            ("suspects.json", json.as_bytes()),
            ("suspects.csv", &table),
            ("corrections-template.csv", &template),
        ];
        let probabilities = if self.all { probabilities_csv(&found, &listed)? } else { Vec::new() };
        if self.all {
            files.push(("probabilities.csv", &probabilities));
        }
        write(&self.out, &files)?;
        show(self.json, &json, || suspects::output::text(&found.suspects))?;
        Ok(exit(usize::from(found.suspects.counts())))
    }
}

/// Writes files into a folder, each whole or not at all.
fn write(out: &Path, files: &[(&str, &[u8])]) -> Result<(), AuditError> {
    std::fs::create_dir_all(out).map_err(|source| AuditError::Write { path: out.to_owned(), source })?;
    for (name, content) in files {
        let path = out.join(name);
        atomic::write(&path, content).map_err(|source| AuditError::Write { path, source })?;
    }
    Ok(())
}

/// Prints JSON, or words.
fn show(as_json: bool, json: &str, words: impl FnOnce() -> String) -> std::io::Result<()> {
    let shown = if as_json { json.to_owned() } else { words() };
    std::io::stdout().write_all(shown.as_bytes())
}

fn exit(counted_issues: usize) -> Exit {
    if counted_issues > 0 { Exit::Findings } else { Exit::Done }
}
