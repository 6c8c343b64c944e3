//! The commands: each parses its options, calls the library and prints.

mod calibrate;
mod common;
mod compare;
mod evaluate;
mod export;
mod fit;
mod inspect;
mod predict;
mod track;

use clap::Subcommand;
use mtids_runtime::exit::Exit;

/// What the program does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
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
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        match self {
            Self::Fit(command) => command.run().map(|()| Exit::Done),
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
