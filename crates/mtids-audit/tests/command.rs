//! The command line: what an earlier run left is removed, and results never go into a dataset.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use mtids_audit::command::main;
use mtids_runtime::exit::Exit;
use support::{publish, sound};

fn run(arguments: &[&str]) -> Exit {
    main(["mtids-audit"].iter().chain(arguments).map(OsString::from))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Names of the files of a folder; none where it is not there.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn tables_of_an_earlier_run_do_not_stay_and_those_of_others_do() {
    let folder = tempfile::tempdir().unwrap();
    let [dataset, out] = ["dataset", "out"].map(|name| folder.path().join(name));
    publish(&dataset, &sound());
    let report = |more: &[&str]| {
        let usual = ["report", text(&dataset), "--out", text(&out)];
        assert_eq!(run(&[&usual, more].concat()), Exit::Done);
        names(&out.join("tables"))
    };
    let csv = report(&["--tables", "csv"]);
    assert!(csv.contains("region.csv") && csv.iter().all(|name| name.ends_with(".csv")), "{csv:?}");
    std::fs::write(out.join("tables/mine.csv"), "of somebody else").unwrap();
    let parquet = report(&["--tables", "parquet"]);
    assert!(parquet.contains("region.parquet") && !parquet.contains("region.csv"), "{parquet:?}");
    assert_eq!(report(&[]), BTreeSet::from(["mine.csv".to_owned()]));
}

#[test]
fn probabilities_of_an_earlier_search_do_not_stay() {
    let folder = tempfile::tempdir().unwrap();
    let [dataset, out] = ["dataset", "out"].map(|name| folder.path().join(name));
    publish(&dataset, &sound());
    let search = |more: &[&str]| {
        let usual = ["suspects", text(&dataset), "--out", text(&out), "--set", "fail_on=never"];
        assert_eq!(run(&[&usual, more].concat()), Exit::Done);
        names(&out)
    };
    assert!(search(&["--all"]).contains("probabilities.csv"));
    let left = search(&[]);
    assert!(!left.contains("probabilities.csv") && left.contains("suspects.csv"), "{left:?}");
}

#[test]
fn results_never_go_into_a_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    publish(&first, &sound());
    publish(&second, &sound());
    let inside = second.join("audit");
    for arguments in [
        ["report", text(&second), "--out", text(&second)].as_slice(),
        &["report", text(&second), "--out", text(&inside)],
        &["compare", text(&first), text(&second), "--out", text(&inside)],
        &["compare", text(&second), text(&first), "--out", text(&inside)],
        &["suspects", text(&second), "--out", text(&inside)],
    ] {
        assert_eq!(run(arguments), Exit::Usage, "{arguments:?}");
    }
    assert!(!inside.exists() && !second.join("audit.html").exists());
}

#[test]
fn a_chance_of_nothing_is_refused_by_all_commands() {
    let folder = tempfile::tempdir().unwrap();
    let [dataset, out] = ["dataset", "out"].map(|name| folder.path().join(name));
    publish(&dataset, &sound());
    for command in [["report", text(&dataset)].as_slice(), &["compare", text(&dataset), text(&dataset)]] {
        let arguments = [command, &["--out", text(&out), "--set", "significance=0.0"]].concat();
        assert_eq!(run(&arguments), Exit::Usage, "{arguments:?}");
    }
    assert!(!out.exists());
}

/// A dataset that the program of an earlier layout wrote.
fn layout_5() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mtids-shards/tests/data/layout-5")
}

#[test]
fn a_dataset_of_an_older_layout_is_audited_compared_and_searched() {
    let folder = tempfile::tempdir().unwrap();
    let [out, changes, found] = ["out", "changes", "found"].map(|name| folder.path().join(name));
    let dataset = layout_5();
    let never = ["--set", "fail_on=never", "--tables", "csv"];
    let report = ["report", text(&dataset), "--out", text(&out), "--pictures", "2"];
    assert_eq!(run(&[&report, never.as_slice()].concat()), Exit::Done);
    let page = std::fs::read_to_string(out.join("audit.html")).unwrap();
    assert!(
        page.contains("not-checked") && !page.contains("id=\"measures\""),
        "what it lacks is told, and makes no table"
    );
    assert!(names(&out.join("tables")).contains("region-kernel.csv"));
    let same = ["compare", text(&dataset), text(&dataset), "--out", text(&changes)];
    assert_eq!(run(&[&same, never.as_slice()].concat()), Exit::Done);
    // It has places and sizes, and nothing that a model of measures needs beyond them.
    let search = ["suspects", text(&dataset), "--out", text(&found), "--pictures", "2"];
    assert!(matches!(run(&[&search, never.as_slice()].concat()), Exit::Done | Exit::Data));
}

#[test]
fn a_dataset_without_rows_has_a_page_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let [dataset, out] = ["dataset", "out"].map(|name| folder.path().join(name));
    publish(&dataset, &[]);
    let report = ["report", text(&dataset), "--out", text(&out), "--tables", "csv", "--pictures", "2"];
    assert_eq!(run(&report), Exit::Findings);
    let page = std::fs::read_to_string(out.join("audit.html")).unwrap();
    assert!(page.contains("nothing-to-learn") && page.contains("Not known of any patch."), "{page}");
    let csv = std::fs::read_to_string(out.join("tables/region.csv")).unwrap();
    assert!(csv.starts_with("region,rows,") && csv.lines().count() == 1, "{csv}");
    let other = folder.path().join("other");
    let compare = ["compare", text(&dataset), text(&dataset), "--out", text(&other)];
    // The same dataset, and nothing in it that could have been compared.
    assert_eq!(run(&compare), Exit::Findings);
}

#[test]
fn a_folder_that_is_no_dataset_is_refused_by_all_commands_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let [empty, out] = ["empty", "out"].map(|name| folder.path().join(name));
    std::fs::create_dir(&empty).unwrap();
    let missing = folder.path().join("missing");
    for place in [&empty, &missing] {
        for command in
            [["report", text(place)].as_slice(), &["compare", text(place), text(place)], &["suspects", text(place)]]
        {
            let arguments = [command, &["--out", text(&out)]].concat();
            assert_eq!(run(&arguments), Exit::Data, "{arguments:?}");
        }
    }
    assert!(!out.exists());
}
