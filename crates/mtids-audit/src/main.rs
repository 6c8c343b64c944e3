//! `mtids-audit`: the audit. Its command line is in the library ([`mtids_audit::command`]).

use std::process::ExitCode;

fn main() -> ExitCode {
    mtids_audit::command::main(std::env::args_os()).into()
}
