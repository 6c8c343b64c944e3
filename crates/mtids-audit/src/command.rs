//! The command line of `mtids-audit`: it parses, calls the library, writes files and turns issues into an exit code.
//!
//! It is a part of the library so that the program and the Python package run the same.
#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "these comments are the help of the command line, not pages"
)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::audit::audit_opened;
use crate::compare::config::CompareConfig;
use crate::compare::{self, compare};
use crate::config::AuditConfig;
use crate::error::AuditError;
use crate::issue_rows::IssueRows;
use crate::opened::Opened;
use crate::output::{refuse_inside, write};
use crate::page::page_with_rows;
use crate::sheets::{is_sheet, pictures_of, remove_old, sheets};
use crate::suspects::config::SuspectsConfig;
use crate::suspects::found::Suspect;
use crate::suspects::output::{corrections_csv, probabilities_csv};
use crate::suspects::page::{Pictures, is_picture};
use crate::suspects::{self, suspects};
use crate::tables::{self, Form, Table};
use crate::text::text;
use crate::worklist;
use clap::{Args, Parser, Subcommand};
use mtids_report::terminal::program;
use mtids_runtime::config;
use mtids_runtime::exit::{Exit, code_of};
use mtids_runtime::memory::keep_freed;
use serde::de::DeserializeOwned;

/// The table of probabilities, which `suspects --all` writes.
const PROBABILITIES: &str = "probabilities.csv";

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

/// What all commands take.
#[derive(Debug, Args)]
struct Common {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change one setting, for example --set fail_on=error; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Write every table as a file of its own too, into tables/
    #[arg(long, value_enum, value_name = "FORM")]
    tables: Option<Form>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Common {
    fn settings<T: DeserializeOwned>(&self) -> Result<T, config::ConfigError> {
        config::load(self.config.as_deref(), &self.sets)
    }

    /// Writes the result and its tables, and prints it as JSON or in words. Tables of an earlier run are removed.
    fn finish(
        &self,
        out: &Path,
        files: &[(&str, &[u8])],
        tables: &[Table],
        json: &str,
        words: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        write(out, files)?;
        let folder = out.join("tables");
        let forms = [Form::Csv, Form::Parquet];
        let ours: BTreeSet<String> = tables.iter().flat_map(|table| forms.map(|form| table.file_name(form))).collect();
        remove_old(&folder, |name| ours.contains(name))?;
        if let Some(form) = self.tables {
            for table in tables {
                let bytes = table.bytes(form).map_err(anyhow::Error::from_boxed)?;
                write(&folder, &[(&table.file_name(form), &bytes)])?;
            }
        }
        let shown = if self.json { json.to_owned() } else { words() };
        Ok(std::io::stdout().write_all(shown.as_bytes())?)
    }
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
    #[command(flatten)]
    common: Common,
    /// Show up to N patches of each region and status, in the page and as PNG in sheets/; this reads voxels
    #[arg(long, value_name = "N")]
    pictures: Option<usize>,
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
    #[command(flatten)]
    common: Common,
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
    #[command(flatten)]
    common: Common,
    /// Show the first N suspects of each dimension, in the page and as PNG in pictures/; this reads voxels
    #[arg(long, value_name = "N")]
    pictures: Option<usize>,
    /// List every judged row in suspects.csv, and write the probabilities to probabilities.csv
    #[arg(long)]
    all: bool,
}

/// The program: `arguments` are those of the process, its name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    // Columns come and go by the hundred.
    keep_freed();
    program(Arguments::try_parse_from(arguments), &[code_of::<AuditError>], |arguments| match arguments.command {
        Command::Report(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::Suspects(command) => command.run(),
    })
}

impl Report {
    fn run(self) -> anyhow::Result<Exit> {
        let settings: AuditConfig = self.common.settings()?;
        // Before the index is hashed, which takes seconds for a large one.
        settings.validate()?;
        refuse_inside(&self.out, &[&self.dataset])?;
        let opened = Opened::new(&self.dataset)?;
        let audit = audit_opened(&opened, &settings)?;
        let json = format!("{:#}\n", serde_json::to_value(&audit)?);
        let asked = worklist::csv(&worklist::worklist(&opened, &audit)?)?;
        let sheets = self.pictures.map_or(Ok(Vec::new()), |most| sheets(&opened, most))?;
        let page = page_with_rows(&audit, &IssueRows::of(&opened, &audit)?, &sheets);
        let files: [(&str, &[u8]); 3] =
            [("audit.html", page.as_bytes()), ("audit.json", json.as_bytes()), ("worklist.csv", &asked)];
        let folder = self.out.join("sheets");
        remove_old(&folder, is_sheet)?;
        for sheet in &sheets {
            write(&folder, &[(&sheet.file_name(), &sheet.picture.png()?)])?;
        }
        self.common.finish(&self.out, &files, &tables::of_audit(&audit), &json, || text(&audit))?;
        Ok(exit(audit.counted_issues()))
    }
}

impl Compare {
    fn run(self) -> anyhow::Result<Exit> {
        let settings: CompareConfig = self.common.settings()?;
        settings.validate()?;
        refuse_inside(&self.out, &[&self.first, &self.second])?;
        let found = compare(&self.first, &self.second, &settings)?;
        let json = format!("{:#}\n", serde_json::to_value(&found)?);
        let page = compare::page::page(&found);
        let files: [(&str, &[u8]); 2] = [("comparison.html", page.as_bytes()), ("comparison.json", json.as_bytes())];
        let words = || compare::text::text(&found);
        self.common.finish(&self.out, &files, &tables::of_comparison(&found), &json, words)?;
        Ok(exit(found.counted_issues()))
    }
}

impl SuspectsCommand {
    fn run(self) -> anyhow::Result<Exit> {
        let settings: SuspectsConfig = self.common.settings()?;
        settings.validate()?;
        refuse_inside(&self.out, &[&self.dataset])?;
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
        let of_suspects = tables::of_suspects(&listed);
        let table = of_suspects.bytes(Form::Csv).map_err(anyhow::Error::from_boxed)?;
        let template = corrections_csv(&wrong)?;
        let mut files: Vec<(&str, &[u8])> = vec![
            ("suspects.html", page.as_bytes()),
            ("suspects.json", json.as_bytes()),
            ("suspects.csv", &table),
            ("corrections-template.csv", &template),
        ];
        let probabilities = if self.all { probabilities_csv(&found, &listed)? } else { Vec::new() };
        if self.all {
            files.push((PROBABILITIES, &probabilities));
        } else {
            // Those of an earlier run would stand beside suspects that they do not belong to.
            remove_old(&self.out, |name| name == PROBABILITIES)?;
        }
        let folder = self.out.join("pictures");
        remove_old(&folder, is_picture)?;
        for (name, picture) in pictures.files(&wrong) {
            write(&folder, &[(&name, &picture.png()?)])?;
        }
        let words = || suspects::output::text(&found.suspects);
        self.common.finish(&self.out, &files, &[of_suspects], &json, words)?;
        Ok(exit(usize::from(found.suspects.counts())))
    }
}

fn exit(counted_issues: usize) -> Exit {
    if counted_issues > 0 { Exit::Findings } else { Exit::Done }
}
