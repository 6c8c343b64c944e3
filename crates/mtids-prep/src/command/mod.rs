//! The commands and how their errors end.
//!
//! Invariant: an error goes to standard error with its causes, and its exit code follows `mtids_runtime::exit`.

mod build;
mod classes;
mod common;
mod diff;
mod explain;
mod insert;
mod inspect;
mod phantom;
mod prune;
mod verify;

use clap::{Parser, Subcommand};
use mtids_phantom::PhantomError;
use mtids_prep::error::PrepError;
use mtids_report::terminal::end_with;
use mtids_runtime::exit::{Exit, code_of, exit_of};

/// Convert DICOM studies and annotations to a Parquet dataset of labelled patches. Research software, not for diagnosis.
#[derive(Debug, Parser)]
#[command(
    name = "mtids-prep",
    version,
    max_term_width = 110,
    after_help = "Exit codes: 0 done, 1 done with issues, 2 usage error, 3 unusable data, 4 interrupted (run again to resume)."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a cohort of synthetic studies with known truth
    Phantom(phantom::Phantom),
    /// Insert synthetic nodes into a copy of a real CT
    Insert(insert::Insert),
    /// List series and files of a folder, with the reason for each file that is not used
    Inventory(inspect::Inventory),
    /// Print the HU or SUV at points of the patient
    Probe(inspect::Probe),
    /// Show what names of findings become under the class rules
    Classes(classes::Classes),
    /// Build a dataset, or continue an interrupted build
    Build(build::Build),
    /// Publish a dataset that a job array has built
    Commit(build::Commit),
    /// Explain a reason code: what was found, and what to do
    Explain(explain::Explain),
    /// Compare two datasets
    Diff(diff::Diff),
    /// Check every digest of a dataset
    Verify(verify::Verify),
    /// Remove files that older builds left in a dataset
    Prune(prune::Prune),
}

/// Runs the chosen command.
pub(crate) fn run(arguments: Arguments) -> Exit {
    let result = match arguments.command {
        Command::Phantom(command) => command.run(),
        Command::Insert(command) => command.run(),
        Command::Inventory(command) => command.run(),
        Command::Probe(command) => command.run(),
        Command::Classes(command) => command.run(),
        Command::Build(command) => command.run(),
        Command::Commit(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Prune(command) => command.run(),
    };
    match result {
        Ok(exit) => exit,
        Err(error) => {
            end_with(error.as_ref(), exit_of(error.as_ref(), &[code_of::<PrepError>, code_of::<PhantomError>]))
        }
    }
}
