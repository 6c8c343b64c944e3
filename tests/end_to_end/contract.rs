//! The contract: `schemas/` equals the code, and other people's readers open the shards.

use std::fs;
use std::process::Command;

use crate::support::{dataset, python, root, text};

#[test]
fn schemas_folder_equals_the_code() {
    let expected = mtids_tests::all_schemas();
    let folder = root().join("schemas");
    for (name, text) in &expected {
        let found = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert_eq!(&found, text, "schemas/{name} is out of date: run `make schemas`");
    }
    let known = |name: &str| name == "README.md" || expected.contains_key(name);
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known(&name), "schemas/{name} belongs to no code: remove it");
    }
}

#[test]
#[ignore = "needs Python readers (.venv)"]
fn pyarrow_duckdb_and_polars_open_a_shard_with_the_documented_columns() {
    let python = python();
    let output = Command::new(python)
        .arg(root().join("tests/python/read_dataset.py"))
        .arg(text(dataset()))
        .arg(root().join("schemas/patch.json"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
