//! Writes `schemas/` from the code: `cargo run -p mtids-tests --bin write-schemas -- schemas`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "schemas".into()));
    for (name, text) in mtids_tests::all_schemas() {
        if let Err(error) = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join(&name), text)) {
            #[expect(clippy::print_stderr, reason = "a command-line tool speaks to its user")]
            {
                eprintln!("cannot write {}: {error}", folder.join(&name).display());
            }
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
