//! `mtids-train`: the command line of the trainer. Thin: it parses, calls the library and turns the result into an exit code.

mod command;

use std::process::ExitCode;

use clap::Parser;
use mtids_report::terminal::{end_with, start_log};
use mtids_runtime::exit::{code_of, exit_of};
use mtids_train::error::TrainError;

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
    command: command::Command,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log();
    match arguments.command.run() {
        Ok(exit) => exit.into(),
        Err(error) => end_with(error.as_ref(), exit_of(error.as_ref(), &[code_of::<TrainError>])).into(),
    }
}
