//! The contract: `schemas/` equals the code, and other people's readers open the shards.

use std::fs;
use std::process::Command;

use mtids_shards::Dataset;

use crate::support::{copy_tree, dataset, program, python, root, run, text, tree, views_arguments};

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
fn the_page_of_reason_codes_equals_what_the_program_explains() {
    let page = fs::read_to_string(root().join("docs/guide/reason-codes.md")).unwrap_or_default();
    assert_eq!(page, mtids_tests::reason_codes_page(), "docs/guide/reason-codes.md is out of date: run `make schemas`");
    let explained = run("mtids-prep", ["explain", "missing-slices"]).expect_code(0).stdout;
    assert!(
        explained.starts_with("missing-slices (quarantined)\n") && explained.contains("reading.repair"),
        "{explained}"
    );
    assert_eq!(run("mtids-prep", ["explain", "not-dicom"]).expect_code(0).stdout.matches("not-dicom (").count(), 2);
    assert!(run("mtids-prep", ["explain", "no-such-code"]).expect_code(2).stderr.contains("lists all codes"));
}

#[test]
fn an_edited_index_stops_training_audit_and_diff_and_an_edited_copy_none_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let [out, run_folder, audit] = ["dataset", "run", "audit"].map(|name| folder.path().join(name));
    copy_tree(dataset(), &out);
    let config = ["--config", "pipelines/demo-short/train.toml", "--set", "max_steps=1"];
    let fit = [["fit", "--dataset", text(&out), "--run", text(&run_folder)].as_slice(), &config].concat();
    let report = ["report", text(&out), "--out", text(&audit), "--set", "fail_on=never"];
    let evaluate = ["evaluate", "--run", text(&run_folder), "--dataset", text(&out)];

    // The copy for people: programs read the file that the manifest names.
    fs::write(out.join("index.parquet"), "edited").unwrap();
    run("mtids-train", &fit).expect_code(0);
    assert!(run("mtids-prep", ["verify", text(&out)]).expect_code(1).stdout.contains("index.parquet"));

    let index = Dataset::open(&out).unwrap().manifest().file("index.parquet").unwrap().path.clone();
    let mut bytes = fs::read(out.join(&index)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(out.join(&index), bytes).unwrap();
    let other = folder.path().join("other");
    let fit = [["fit", "--dataset", text(&out), "--run", text(&other)].as_slice(), &config].concat();
    for (program, arguments) in [
        ("mtids-train", fit.as_slice()),
        ("mtids-train", evaluate.as_slice()),
        ("mtids-audit", report.as_slice()),
        ("mtids-prep", ["diff", text(&out), text(dataset())].as_slice()),
    ] {
        let refused = run(program, arguments).expect_code(3);
        assert!(refused.stderr.contains(&index) && refused.stderr.contains("mtids-prep build"), "{}", refused.stderr);
    }
}

#[test]
#[ignore = "needs Python readers (.venv)"]
fn pyarrow_duckdb_and_polars_open_a_shard_with_the_documented_columns() {
    let schema = root().join("schemas/patch.json");
    read_by_python("read_dataset.py", [text(dataset()), text(&schema)]);
}

/// Runs a script of `tests/python`, which fails where a reader disagrees.
fn read_by_python<'a>(script: &str, arguments: impl IntoIterator<Item = &'a str>) {
    let output = Command::new(python()).arg(root().join("tests/python").join(script)).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[ignore = "needs Python readers (.venv)"]
fn pyarrow_polars_duckdb_and_datasets_read_the_same_voxels_of_every_view() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    run("mtids-prep", views_arguments(&out)).expect_code(0);
    read_by_python("open_views.py", [text(&out)]);
}

#[test]
#[ignore = "needs Python readers (.venv)"]
fn the_hub_and_a_catalogue_read_the_published_shards_and_no_older_ones() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    let older = views_arguments(&out).into_iter().chain(["--set", "split.seed=99"].map(str::to_owned));
    run("mtids-prep", older).expect_code(0);
    run("mtids-prep", views_arguments(&out)).expect_code(0);
    let shards = tree(&out).keys().filter(|name| name.starts_with("shards/")).count();
    assert!(shards > Dataset::open(&out).unwrap().manifest().shards.len(), "no older shard to confuse a reader");
    read_by_python("read_hub.py", [text(&out)]);
    let before = tree(&out);
    let publication = [
        "publication.license=CC-BY-4.0",
        "publication.url=https://example.org/nodes",
        "publication.date_published=2026-11-28",
        "publication.version=1.0.0",
        "publication.cite_as=@misc{nodes}",
        "publication.creators=[{name=\"Example Hospital\", is_organization=true}]",
    ];
    let named =
        views_arguments(&out).into_iter().chain(publication.into_iter().flat_map(|set| ["--set".into(), set.into()]));
    run("mtids-prep", named).expect_code(0);
    let is_shard = |name: &&String| name.starts_with("shards/");
    assert!(tree(&out).keys().filter(is_shard).eq(before.keys().filter(is_shard)), "a licence changes no row");
    read_by_python("read_hub.py", [text(&out)]);
}

#[test]
#[ignore = "needs Python readers (.venv)"]
fn recipes_of_the_audit_cookbook_answer_alike_in_polars_and_duckdb() {
    // Built with the tests of the workspace.
    let in_rust = program("examples/cookbook");
    read_by_python("cookbook.py", [text(dataset()), in_rust.get_program().to_str().unwrap()]);
}
