//! An audit of a dataset as a user sees it: a page with pictures where they are asked for, and a list of whom to ask what.

use std::collections::BTreeSet;
use std::fs;

use mtids_shards::Dataset;

use crate::support::{dataset, root, run, text};

/// First bytes of a PNG; width and height follow from byte 16 on.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Pixels along a side of a plane.
const SIDE: u32 = 96;

#[test]
fn pictures_of_each_cell_stand_in_the_page_and_beside_it_where_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("audit");
    let report = |more: &[&str]| {
        let usual = ["report", text(dataset()), "--out", text(&out), "--set", "fail_on=never"];
        let arguments = [usual.as_slice(), more].concat();
        run("mtids-audit", arguments).expect_code(0);
        fs::read_to_string(out.join("audit.html")).unwrap()
    };
    assert!(!report(&[]).contains("data:image"), "no voxel is read unasked");
    assert!(!out.join("sheets").exists());
    fs::create_dir(out.join("sheets")).unwrap();
    fs::write(out.join("sheets").join("older-region-benign.png"), b"of an earlier audit").unwrap();
    let page = report(&["--pictures", "2"]);
    let rows = Dataset::open(dataset()).unwrap().index().unwrap();
    let cells: BTreeSet<String> = rows
        .iter()
        .filter_map(|row| Some(format!("{}-{}.png", row.region_name.as_ref()?, row.metastasis?.name())))
        .collect();
    let written: BTreeSet<String> = fs::read_dir(out.join("sheets"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(written, cells);
    assert_eq!(page.matches("data:image/png;base64,").count(), cells.len());
    for name in &written {
        let bytes = fs::read(out.join("sheets").join(name)).unwrap();
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert!(bytes.starts_with(PNG), "{name}");
        // One or two patches of three planes beside each other.
        assert!(
            [3 * SIDE, 6 * SIDE + 6].contains(&number(16)) && number(20) == SIDE,
            "{name}: {} × {}",
            number(16),
            number(20)
        );
    }
    assert_eq!(report(&["--pictures", "2"]), page, "the same each time");
}

#[test]
fn the_worklist_has_its_heading_and_names_rows_of_the_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("audit");
    // Every row is below this, so every one is asked about.
    let settings = ["--set", "fail_on=never", "--set", "lowest_tissue_hu=300.0"];
    let usual = ["report", text(dataset()), "--out", text(&out)];
    run("mtids-audit", usual.into_iter().chain(settings)).expect_code(0);
    let list = fs::read_to_string(out.join("worklist.csv")).unwrap();
    let mut lines = list.lines();
    assert!(lines.next().unwrap().starts_with("source,site,series,slice,x_mm,"), "{list}");
    let rows = Dataset::open(dataset()).unwrap().index().unwrap();
    let keys: BTreeSet<&str> = rows.iter().map(|row| row.sample_key.as_str()).collect();
    let asked: Vec<&str> = lines.filter(|line| line.contains("place-without-tissue")).collect();
    assert!(!asked.is_empty(), "{list}");
    assert!(asked.iter().all(|line| line.split(',').nth(7).is_some_and(|key| keys.contains(key))), "{list}");
}

#[test]
fn the_policies_of_the_repository_are_taken_and_differ_in_what_they_stop() {
    let folder = tempfile::tempdir().unwrap();
    let mut codes = Vec::new();
    for name in ["before-training", "pilot", "before-release"] {
        let policy = root().join(format!("pipelines/audit/{name}.toml"));
        let out = folder.path().join(name);
        let arguments = ["report", text(dataset()), "--config", text(&policy), "--out", text(&out)];
        let written: serde_json::Value = {
            codes.push(run("mtids-audit", arguments).code);
            serde_json::from_slice(&fs::read(out.join("audit.json")).unwrap()).unwrap()
        };
        assert!(written.pointer("/config/fail_on").is_some(), "{name}");
    }
    assert_eq!(codes, [0, 0, 1], "small classes stop a release");
    assert_eq!(fs::read_dir(root().join("pipelines/audit")).unwrap().count(), codes.len());
}
