//! The mission once, in small: phantom studies → dataset → audit → training → evaluation; twice, with the same result.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{build_arguments, cohort, dataset, program, run, text, tree};

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
    assert!(run_folder.join("model-card.md").exists());
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
fn workers_directory_order_and_time_zone_do_not_change_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    // The same files, made in the opposite order: a directory lists them otherwise.
    let turned = folder.path().join("turned");
    let source = cohort().join("cohort/dicom");
    let mut files: Vec<_> = walk(&source);
    files.sort();
    for file in files.iter().rev() {
        let target = turned.join(file.strip_prefix(&source).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
    for (n, (workers, data, zone)) in [
        ("1", &source, "UTC"),
        ("2", &turned, "Pacific/Kiritimati"),
        ("8", &source, "America/Los_Angeles"),
        ("8", &turned, "UTC"),
        ("1", &turned, "Asia/Kathmandu"),
    ]
    .into_iter()
    .enumerate()
    {
        let out = folder.path().join(n.to_string());
        let mut arguments = build_arguments(&out);
        let at = arguments.iter().position(|argument| argument == "--data").unwrap();
        arguments[at + 1] = text(data).to_owned();
        arguments.extend(["--workers".into(), workers.into()]);
        // Eight workers that may hold next to nothing wait for one another.
        arguments.extend(["--set".into(), format!("memory_mib={}", if workers == "8" { 0 } else { 4096 })]);
        assert!(program("mtids-prep").args(arguments).env("TZ", zone).output().unwrap().status.success());
        assert_eq!(tree(&out), tree(dataset()), "{workers} workers, {zone}");
    }
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
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
