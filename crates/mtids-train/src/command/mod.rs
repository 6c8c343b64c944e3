//! The command line of `mtids-train`: each command parses its options, calls the library and prints.
//!
//! It is a part of the library so that the program and the Python package run the same.
#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "these comments are the help of the command line, not pages"
)]

mod calibrate;
mod common;
mod compare;
mod evaluate;
mod export;
mod fit;
mod inspect;
mod predict;
mod track;

use std::ffi::OsString;

use clap::{Parser, Subcommand};
use mtids_report::terminal::program;
use mtids_runtime::exit::{Exit, code_of};

use crate::error::TrainError;

/// Train MT-IDS on a dataset, evaluate it on held-out patients, and ask it about studies. Research software, not for diagnosis.
#[derive(Debug, Parser)]
#[command(
    name = "mtids-train",
    version,
    max_term_width = 110,
    after_help = "Exit codes: 0 done, 1 done with something left out that is named, 2 usage error, 3 unusable data, 4 interrupted (run \
                  again to resume)."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The program: `arguments` are those of the process, its name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    program(Arguments::try_parse_from(arguments), &[code_of::<TrainError>], |arguments| arguments.command.run())
}

/// What the program does.
#[derive(Debug, Subcommand)]
enum Command {
    Fit(fit::Fit),
    Evaluate(evaluate::Evaluate),
    Calibrate(calibrate::Calibrate),
    Predict(predict::Predict),
    Track(track::Track),
    Inspect(inspect::Inspect),
    Export(export::Export),
    Compare(compare::Compare),
}

impl Command {
    fn run(self) -> anyhow::Result<Exit> {
        match self {
            Self::Fit(command) => command.run(),
            Self::Evaluate(command) => command.run(),
            Self::Calibrate(command) => command.run(),
            Self::Predict(command) => command.run(),
            Self::Track(command) => command.run().map(|()| Exit::Done),
            Self::Inspect(command) => command.run().map(|()| Exit::Done),
            Self::Export(command) => command.run().map(|()| Exit::Done),
            Self::Compare(command) => command.run().map(|()| Exit::Done),
        }
    }
}
