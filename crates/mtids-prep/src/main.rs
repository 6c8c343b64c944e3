//! `mtids-prep`: the preprocessing program. Its command line is in the library ([`mtids_prep::command`]).

use std::process::ExitCode;

fn main() -> ExitCode {
    mtids_prep::command::main(std::env::args_os()).into()
}
