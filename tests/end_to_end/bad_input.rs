//! Bad input: a clear error with the file and what to do, the right exit code, no panic, no half-written dataset.

use std::fs;
use std::path::Path;

use crate::support::{build_arguments, cohort, copy_tree, run, text};

fn build(data: &Path, annotations: &Path, out: &Path) -> crate::support::Finished {
    run(
        "mtids-prep",
        [
            "build",
            "--config",
            "pipelines/demo-short/dataset.toml",
            "--data",
            text(data),
            "--annotations",
            text(annotations),
            "--out",
            text(out),
        ],
    )
}

fn annotations() -> std::path::PathBuf {
    cohort().join("cohort/annotations.csv")
}

/// Every file of a tree, sorted.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn an_empty_folder_is_an_error_and_publishes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let out = folder.path().join("out");
    let refused = build(&data, &annotations(), &out).expect_code(3);
    assert!(refused.stderr.contains(text(&data)), "{}", refused.stderr);
    assert!(!out.join("manifest.json").exists());
}

#[test]
fn a_path_that_does_not_exist_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let nowhere = folder.path().join("nowhere");
    let refused = build(&nowhere, &annotations(), &out).expect_code(3);
    assert!(refused.stderr.contains(text(&nowhere)), "{}", refused.stderr);

    let refused = run("mtids-audit", ["report", text(&nowhere), "--out", text(&out)]).expect_code(3);
    assert!(refused.stderr.contains(text(&nowhere)), "{}", refused.stderr);
    let refused = run("mtids-train", ["fit", "--dataset", text(&nowhere), "--run", text(&out)]).expect_code(3);
    assert!(refused.stderr.contains(text(&nowhere)), "{}", refused.stderr);
    assert!(!out.join("manifest.json").exists());

    let missing_table = build(&cohort().join("cohort/dicom"), &nowhere, &out).expect_code(3);
    assert!(missing_table.stderr.contains(text(&nowhere)), "{}", missing_table.stderr);
}

#[test]
fn an_output_path_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    fs::write(&file, "not a folder").unwrap();
    let refused = build(&cohort().join("cohort/dicom"), &annotations(), &file.join("out")).expect_code(3);
    assert!(refused.stderr.contains(text(&file)), "{}", refused.stderr);
}

#[test]
fn a_table_with_a_missing_column_is_named_with_the_column() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("findings.csv");
    fs::write(&table, "series_uid,finding,x_mm,y_mm\n1.2.3,node,1,2\n").unwrap();
    let out = folder.path().join("out");
    let refused = build(&cohort().join("cohort/dicom"), &table, &out).expect_code(3);
    assert!(refused.stderr.contains("findings.csv"), "{}", refused.stderr);
    assert!(refused.stderr.contains("z_mm"), "{}", refused.stderr);
    assert!(!out.join("manifest.json").exists());
}

#[test]
fn bad_files_among_good_ones_are_accounted_for_and_the_policy_decides() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    copy_tree(&cohort().join("cohort/dicom"), &data);
    fs::write(data.join("notes.dcm"), "this is a text file, named as if it were DICOM\n").unwrap();
    fs::write(data.join("empty.dcm"), "").unwrap();
    // One CT slice loses its second half: its whole series must go, never a volume with a hole.
    let slice = files(&data).into_iter().filter(|path| text(path).contains("IM")).nth(5).unwrap();
    let bytes = fs::read(&slice).unwrap();
    fs::write(&slice, &bytes[..bytes.len() / 2]).unwrap();

    let out = folder.path().join("out");
    let built = build(&data, &annotations(), &out).expect_code(1);
    assert!(built.text().contains("quarantine"), "{}", built.text());
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(out.join("manifest.json")).unwrap()).unwrap();
    let totals = &manifest["totals"];
    let number = |name: &str| totals[name].as_u64().unwrap();
    assert_eq!(number("inputs"), number("used") + number("skipped") + number("quarantined"), "{totals}");
    assert_eq!(number("inputs") as usize, files(&data).len(), "every file of the tree is counted");
    assert!(number("quarantined") >= 1);

    let quarantine = fs::read_to_string(out.join("quarantine.jsonl")).unwrap();
    assert!(quarantine.contains("truncated"), "{quarantine}");
    for published in files(&out).into_iter().filter(|path| !text(path).contains("/.work/")) {
        let bytes = fs::read(&published).unwrap();
        for secret in ["notes.dcm", "empty.dcm", slice.file_stem().unwrap().to_str().unwrap(), text(&data)] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds `{secret}`", published.display());
        }
    }

    // A policy that tolerates them ends with 0.
    let mut tolerant = build_arguments(&folder.path().join("tolerant"));
    let position = tolerant.iter().position(|argument| argument == "--data").unwrap() + 1;
    tolerant[position] = text(&data).to_owned();
    tolerant.extend(["--set".into(), "max_quarantine=1.0".into()]);
    run("mtids-prep", tolerant).expect_code(0);
}

#[test]
fn a_place_in_the_lung_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let [table, out] = ["nodes.csv", "out"].map(|name| folder.path().join(name));
    let known = fs::read_to_string(annotations()).unwrap();
    let (header, first) = (known.lines().next().unwrap(), known.lines().nth(1).unwrap());
    let at = header.split(',').position(|name| name == "series_uid").unwrap();
    let series = first.split(',').nth(at).unwrap();
    fs::write(&table, format!("series_uid,x_mm,y_mm,z_mm\n{series},-85,10,0\n")).unwrap();
    let built = build(&cohort().join("cohort/dicom"), &table, &out);
    assert!(built.stderr.contains("1 row lies in air or lung (at -85.0, 10.0, 0.0 mm)"), "{}", built.stderr);
}
