//! The command line of `mtids-prep`: the commands and how their errors end.
//!
//! It is a part of the library so that the program and the Python package run the same. Invariant: an error goes to standard error with its
//! causes, and its exit code follows `mtids_runtime::exit`.
#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "these comments are the help of the command line, not pages"
)]

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

use std::ffi::OsString;

use crate::error::PrepError;
use clap::{Parser, Subcommand};
use mtids_dicomweb::DicomWebError;
use mtids_phantom::PhantomError;
use mtids_report::terminal::program;
use mtids_runtime::exit::{Exit, code_of};
use mtids_store::StoreError;

/// Convert DICOM studies and annotations to a Parquet dataset of labelled patches. Research software, not for diagnosis.
#[derive(Debug, Parser)]
#[command(
    name = "mtids-prep",
    version,
    max_term_width = 110,
    after_help = "Exit codes: 0 done, 1 done with issues, 2 usage error, 3 unusable data, 4 interrupted (run again to resume)."
)]
struct Arguments {
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

/// The program: `arguments` are those of the process, its name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let known = [code_of::<PrepError>, code_of::<PhantomError>, code_of::<DicomWebError>, code_of::<StoreError>];
    program(Arguments::try_parse_from(arguments), &known, run)
}

/// Runs the chosen command.
fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    match arguments.command {
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
    }
}
