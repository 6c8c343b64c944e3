//! `mtids-prep`: the command line of the preprocessing program. Thin: it parses, calls the library and turns the result into an exit code.

mod command;

use std::process::ExitCode;

use clap::Parser;
use mtids_report::terminal::start_log;

fn main() -> ExitCode {
    let arguments = command::Arguments::parse();
    start_log();
    command::run(arguments).into()
}
