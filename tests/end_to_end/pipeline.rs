//! The mission once, in small: phantom studies → dataset → audit → training → evaluation; twice, with the same result.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{build_arguments, dataset, run, text, tree};

fn train(dataset: &Path, run_folder: &Path) {
    run(
        "mtids-train",
        ["fit", "--config", "pipelines/demo-short/train.toml", "--dataset", text(dataset), "--run", text(run_folder)],
    )
    .expect_code(0);
}

#[test]
fn studies_become_a_dataset_an_audit_and_an_evaluated_model() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let audited = run("mtids-audit", ["report", text(dataset()), "--out", text(&audit)]);
    assert!(matches!(audited.code, 0 | 1), "{}", audited.text());
    let page = fs::read_to_string(audit.join("audit.html")).unwrap();
    assert!(page.contains("<svg"), "the audit page has charts");
    let report: Value = serde_json::from_slice(&fs::read(audit.join("audit.json")).unwrap()).unwrap();
    assert!(report.is_object());

    let run_folder = folder.path().join("run");
    train(dataset(), &run_folder);
    let evaluated =
        run("mtids-train", ["evaluate", "--run", text(&run_folder), "--dataset", text(dataset())]).expect_code(0);
    assert!(
        evaluated.stdout.to_lowercase().contains("majority"),
        "the table names the majority class:\n{}",
        evaluated.stdout
    );
    assert!(run_folder.join("report.html").exists());
    assert!(run_folder.join("evaluation.json").exists());

    // The same command again on a finished run does nothing and says so.
    let before = tree(&run_folder);
    train(dataset(), &run_folder);
    assert_eq!(before, tree(&run_folder));

    // A second run from the same configuration has the same losses, to the last digit.
    let again = folder.path().join("again");
    train(dataset(), &again);
    let losses = fs::read_to_string(run_folder.join("losses.jsonl")).unwrap();
    assert!(losses.lines().count() >= 10);
    assert_eq!(losses, fs::read_to_string(again.join("losses.jsonl")).unwrap());
}

#[test]
fn the_same_studies_give_the_same_bytes_for_any_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    for workers in ["1", "3"] {
        let out = folder.path().join(workers);
        let mut arguments = build_arguments(&out);
        arguments.extend(["--workers".into(), workers.into()]);
        run("mtids-prep", arguments).expect_code(0);
        assert_eq!(tree(&out), tree(dataset()), "{workers} workers");
    }
}

#[test]
fn verify_names_the_damaged_shard() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    run("mtids-prep", build_arguments(&out)).expect_code(0);
    run("mtids-prep", ["verify", text(&out)]).expect_code(0);

    let shard =
        tree(&out).into_keys().find(|name| name.ends_with(".parquet") && name.starts_with("shards/train")).unwrap();
    let mut bytes = fs::read(out.join(&shard)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(out.join(&shard), bytes).unwrap();
    let verified = run("mtids-prep", ["verify", text(&out)]).expect_code(1);
    assert!(verified.text().contains(&shard), "{}", verified.text());

    // The trainer refuses to learn from it, and names it too.
    let trained = run(
        "mtids-train",
        [
            "fit",
            "--config",
            "pipelines/demo-short/train.toml",
            "--dataset",
            text(&out),
            "--run",
            text(&folder.path().join("run")),
        ],
    )
    .expect_code(3);
    assert!(trained.text().contains(&shard), "{}", trained.text());
}
