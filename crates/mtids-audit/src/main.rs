//! `mtids-audit`: the command line of the audit. Thin: it parses, calls the library, writes two files and turns issues into an exit code.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use mtids_audit::audit::audit;
use mtids_audit::config::AuditConfig;
use mtids_audit::error::AuditError;
use mtids_audit::page::page;
use mtids_audit::text::text;
use mtids_report::terminal::{end_with, start_log};
use mtids_runtime::exit::{Exit, code_of, exit_of};
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
}

/// Count labels, look for leakage, conflicts, gaps and confounders; write audit.html and audit.json
///
/// Example: mtids-audit report dataset --out audit
#[derive(Debug, Args)]
struct Report {
    /// Folder of the dataset
    dataset: PathBuf,
    /// Folder for audit.html and audit.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change one setting, for example --set fail_on=error; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Print the audit as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log();
    let Command::Report(command) = arguments.command;
    match command.run() {
        Ok(exit) => exit.into(),
        Err(error) => end_with(error.as_ref(), exit_of(error.as_ref(), &[code_of::<AuditError>])).into(),
    }
}

impl Report {
    fn run(self) -> anyhow::Result<Exit> {
        let settings: AuditConfig = config::load(self.config.as_deref(), &self.sets)?;
        let audit = audit(&self.dataset, &settings)?;
        let json = format!("{:#}\n", serde_json::to_value(&audit)?);
        std::fs::create_dir_all(&self.out).map_err(|source| AuditError::Write { path: self.out.clone(), source })?;
        for (name, content) in [("audit.html", page(&audit)), ("audit.json", json.clone())] {
            let path = self.out.join(name);
            atomic::write(&path, content.as_bytes()).map_err(|source| AuditError::Write { path, source })?;
        }
        let shown = if self.json { json } else { text(&audit) };
        std::io::stdout().write_all(shown.as_bytes())?;
        Ok(if audit.counted_issues() > 0 { Exit::Findings } else { Exit::Done })
    }
}
