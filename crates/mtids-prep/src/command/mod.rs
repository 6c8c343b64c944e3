//! The commands and how their errors end.
//!
//! Invariant: an error goes to standard error with its causes, and its exit code follows `mtids_runtime::exit`.

mod build;
mod classes;
mod common;
mod diff;
mod explain;
mod fetch;
mod insert;
mod inspect;
mod phantom;
mod prune;
mod pull;
mod push;
mod verify;

use clap::{Parser, Subcommand};
use mtids_dicomweb::DicomWebError;
use mtids_phantom::PhantomError;
use mtids_prep::error::PrepError;
use mtids_report::terminal::end_with;
use mtids_runtime::exit::{Exit, code_of, exit_of};
use mtids_store::StoreError;

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
    Phantom(phantom::Phantom),
    Insert(insert::Insert),
    Fetch(fetch::Fetch),
    Inventory(inspect::Inventory),
    Probe(inspect::Probe),
    Classes(classes::Classes),
    Build(build::Build),
    Commit(build::Commit),
    Explain(explain::Explain),
    Diff(diff::Diff),
    Verify(verify::Verify),
    Push(push::Push),
    Pull(pull::Pull),
    Prune(prune::Prune),
}

/// Runs the chosen command.
pub(crate) fn run(arguments: Arguments) -> Exit {
    let result = match arguments.command {
        Command::Phantom(command) => command.run(),
        Command::Insert(command) => command.run(),
        Command::Fetch(command) => command.run(),
        Command::Inventory(command) => command.run(),
        Command::Probe(command) => command.run(),
        Command::Classes(command) => command.run(),
        Command::Build(command) => command.run(),
        Command::Commit(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Push(command) => command.run(),
        Command::Pull(command) => command.run(),
        Command::Prune(command) => command.run(),
    };
    match result {
        Ok(exit) => exit,
        Err(error) => end_with(
            error.as_ref(),
            exit_of(
                error.as_ref(),
                &[code_of::<PrepError>, code_of::<PhantomError>, code_of::<DicomWebError>, code_of::<StoreError>],
            ),
        ),
    }
}
