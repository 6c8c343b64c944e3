//! `mtids-train`: the trainer. Its command line is in the library ([`mtids_train::command`]).

use std::process::ExitCode;

fn main() -> ExitCode {
    mtids_train::command::main(std::env::args_os()).into()
}
