//! Corrections: an auditor's table changes labels of a rebuild, the dataset records it, the comparison shows it, and what does not fit is refused.

use std::fs;
use std::path::Path;

use mtids_domain::label::{Evidence, Metastasis};
use mtids_shards::{Dataset, RowKind, read_corrections};
use serde_json::Value;

use crate::support::{build_arguments, dataset, program, run, text};

/// Who decided, and why: words of people, which stay outside the dataset.
const BY: &str = "Reader Aardvark";
const WHY: &str = "histology of the resection";

/// Benign findings of the shared dataset.
fn benign_rows() -> Vec<String> {
    let rows = Dataset::open(dataset()).unwrap().index().unwrap();
    let is_benign = |kind, status| kind == RowKind::Finding && status == Some(Metastasis::Benign);
    let benign = rows.into_iter().filter(|row| is_benign(row.kind, row.metastasis));
    benign.map(|row| row.sample_key).collect()
}

/// One of them.
fn benign_row() -> String {
    benign_rows().swap_remove(0)
}

/// Arguments of a build with this table of corrections.
fn corrected(table: &Path, out: &Path) -> Vec<String> {
    let mut arguments = build_arguments(out);
    arguments.extend(["--corrections", text(table)].map(str::to_owned));
    arguments
}

fn write(table: &Path, line: &str) {
    fs::write(table, format!("finding,dimension,old,new,by,why\n{line},{BY},{WHY}\n")).unwrap();
}

#[test]
fn a_corrected_label_is_built_recorded_and_shown_by_a_comparison() {
    let folder = tempfile::tempdir().unwrap();
    let [table, out, audit] = ["corrections.csv", "dataset", "comparison"].map(|name| folder.path().join(name));
    let key = benign_row();
    let evidence = |out: &Path| {
        let rows = Dataset::open(out).unwrap().index().unwrap();
        rows.into_iter().find(|row| row.sample_key == key).unwrap().evidence
    };
    let before = evidence(dataset());
    let after = if before == Evidence::A { Evidence::B } else { Evidence::A };
    let line = format!("{key},metastasis,benign,metastatic");
    let said = format!("{key},evidence,{},{}", before.letter(), after.letter());
    // A line may be there twice, as where a finding has several samples.
    write(&table, &format!("{line},{BY},{WHY}\n{line},{BY},{WHY}\n{said}"));
    run("mtids-prep", corrected(&table, &out)).expect_code(0);
    let built = Dataset::open(&out).unwrap();
    let row = built.index().unwrap().into_iter().find(|row| row.sample_key == key).unwrap();
    assert_eq!((row.metastasis, row.evidence), (Some(Metastasis::Metastatic), after));
    let records = read_corrections(&built).unwrap();
    assert_eq!(
        (records.len(), records[0].dimension.as_str(), records[0].new.as_str()),
        (2, "evidence", after.letter())
    );
    assert!(records.iter().all(|record| record.sample_key == key), "{records:?}");
    assert_eq!((records[1].old.as_str(), records[1].new.as_str()), ("benign", "metastatic"));
    assert!(String::from_utf8(built.file("README.md").unwrap()).unwrap().contains("corrected by people"));
    let published = fs::read_to_string(out.join("corrections.jsonl")).unwrap();
    assert!(!published.contains("Aardvark") && !published.contains("histology"), "{published}");

    let arguments = ["compare", text(dataset()), text(&out), "--out", text(&audit), "--set", "fail_on=never"];
    run("mtids-audit", arguments).expect_code(0);
    let found: Value = serde_json::from_slice(&fs::read(audit.join("comparison.json")).unwrap()).unwrap();
    assert_eq!(found["status"]["changed"], 1, "{}", found["issues"]);
    assert_eq!(found["unexplained"], 0, "{}", found["issues"]);
    assert_eq!(found["corrections"][0]["sample_key"], key);
    assert!(fs::read_to_string(audit.join("comparison.html")).unwrap().contains(&key));

    // Without a line of its evidence, a new status does not keep that of the old one.
    write(&table, &line);
    run("mtids-prep", corrected(&table, &out)).expect_code(0);
    assert_eq!(evidence(&out), Evidence::U);

    // A build without the table takes its copy for people away.
    run("mtids-prep", build_arguments(&out)).expect_code(0);
    assert_eq!((evidence(&out), out.join("corrections.jsonl").exists()), (before, false));
}

#[test]
fn corrected_labels_move_no_patient_between_splits() {
    let folder = tempfile::tempdir().unwrap();
    let [table, out, audit] = ["corrections.csv", "dataset", "comparison"].map(|name| folder.path().join(name));
    // Every second benign finding: a stratified split by the new labels would be another one.
    let keys: Vec<String> = benign_rows().into_iter().step_by(2).collect();
    let lines = keys.iter().map(|key| format!("{key},metastasis,benign,metastatic,{BY},{WHY}\n")).collect::<String>();
    fs::write(&table, format!("finding,dimension,old,new,by,why\n{lines}")).unwrap();
    run("mtids-prep", corrected(&table, &out)).expect_code(0);
    let arguments = ["compare", text(dataset()), text(&out), "--out", text(&audit), "--set", "fail_on=never"];
    run("mtids-audit", arguments).expect_code(0);
    let found: Value = serde_json::from_slice(&fs::read(audit.join("comparison.json")).unwrap()).unwrap();
    assert_eq!((&found["moved_patients"], &found["unexplained"]), (&0.into(), &0.into()), "{}", found["issues"]);
    assert_eq!(found["status"]["changed"], keys.len(), "{}", found["issues"]);
}

#[test]
fn a_correction_that_does_not_fit_is_refused_by_line_and_nothing_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let [table, out] = ["corrections.csv", "dataset"].map(|name| folder.path().join(name));
    let key = benign_row();
    for (line, expected) in [
        (format!("{key},metastasis,metastatic,benign"), "is benign, and `old` says `metastatic`"),
        ("0123,metastasis,benign,metastatic".to_owned(), "no finding here has the key"),
        (format!("{key},size,benign,metastatic"), "no dimension"),
    ] {
        write(&table, &line);
        let refused = run("mtids-prep", corrected(&table, &out)).expect_code(2);
        let said = refused.text();
        assert!(said.contains("line 2") && said.contains(expected) && said.contains("corrections.csv"), "{said}");
        assert!(!out.join("manifest.json").exists());
    }
    let lines = ["metastatic", "unknown"].map(|new| format!("{key},metastasis,benign,{new},{BY},{WHY}\n")).concat();
    fs::write(&table, format!("finding,dimension,old,new,by,why\n{lines}")).unwrap();
    let said = run("mtids-prep", corrected(&table, &out)).expect_code(2).text();
    assert!(said.contains("line 3: line 2 corrects the same label"), "{said}");
}

#[test]
fn a_comparison_fails_by_policy_and_tells_a_dataset_from_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let [out, audit] = ["other", "comparison"].map(|name| folder.path().join(name));
    let mut arguments = build_arguments(&out);
    arguments.extend(["--set", "views.near.size=[8,20,20]"].map(str::to_owned));
    run("mtids-prep", arguments).expect_code(0);
    let compare = |policy: &str| {
        let policy = format!("fail_on={policy}");
        let output = program("mtids-audit")
            .args(["compare", text(dataset()), text(&out), "--out", text(&audit), "--set", &policy])
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = compare("warning");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("[changed-voxels]"), "{said}");
    assert_eq!(compare("never").0, Some(0));
    let same = ["compare", text(dataset()), text(dataset()), "--out", text(&audit)];
    assert!(run("mtids-audit", same).expect_code(0).stdout.contains("the same dataset"));
    let nothing = ["compare", text(dataset()), text(folder.path()), "--out", text(&audit)];
    run("mtids-audit", nothing).expect_code(3);
}
