//! Answering again in the same folder: never an older answer beside a newer one, never two writers.

use std::fs;
use std::path::Path;

use mtids_runtime::lock::FolderLock;

use crate::predict::arguments;
use crate::support::{program, run, text, tree};

fn files(out: &Path) -> Vec<String> {
    tree(out).into_keys().collect()
}

#[test]
fn an_interrupted_answer_leaves_no_older_one_and_a_folder_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("answer");
    let measure = || arguments(&out, &["--measure-only"]);
    let first = run("mtids-train", measure());
    assert!(first.code <= 1, "{}", first.text());
    let whole = tree(&out);
    assert!(whole.contains_key("prediction.json") && whole.keys().any(|name| name.ends_with(".sr.dcm")), "{whole:?}");
    fs::write(out.join("notes.txt"), "of the owner").unwrap();

    let lock = FolderLock::exclusive(&out, "a test").unwrap();
    let refused = run("mtids-train", measure()).expect_code(2);
    assert!(
        refused.stderr.contains(&format!("in use by a test (process {}", std::process::id())),
        "{}",
        refused.stderr
    );
    assert_eq!(files(&out).len(), whole.len() + 1, "the refused one changed nothing");
    drop(lock);

    let killed = program("mtids-train").args(measure()).env("MTIDS_FAILPOINT", "kill:1").output().unwrap();
    assert_eq!(killed.status.code(), None, "{}", String::from_utf8_lossy(&killed.stderr));
    assert_eq!(files(&out), ["notes.txt"], "what was killed before its first file left an answer");
    assert_eq!(run("mtids-train", measure()).code, first.code);
    fs::remove_file(out.join("notes.txt")).unwrap();
    assert_eq!(tree(&out), whole, "{}", text(&out));
}
