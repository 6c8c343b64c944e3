//! Writes `schemas/` and the page of reason codes from the code: `cargo run -p mtids-tests --bin write-schemas` in the repository's root.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| ".".into()));
    let schemas = mtids_tests::all_schemas().into_iter().map(|(name, text)| (Path::new("schemas").join(name), text));
    let page = (PathBuf::from("docs/guide/reason-codes.md"), mtids_tests::reason_codes_page());
    for (path, text) in schemas.chain([page]) {
        let path = root.join(path);
        let folder = path.parent().unwrap_or(&root);
        if let Err(error) = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text)) {
            #[expect(clippy::print_stderr, reason = "a command-line tool speaks to its user")]
            {
                eprintln!("cannot write {}: {error}", path.display());
            }
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
