//! Suspects: flipped labels are found, a person's answers to them are applied, and predictions of a run that knows the patients are refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mtids_shards::{Dataset, RowKind, RowLabels, read_corrections};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{build_arguments_of, run, text, tree};

/// A cohort whose regions are told apart by place, and its dataset.
fn cohort() -> &'static (TempDir, PathBuf) {
    static COHORT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    COHORT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let cohort = folder.path().join("cohort");
        let phantom = ["phantom", "--config", "pipelines/demo-short/phantom.toml", "--set", "patients=48"];
        run("mtids-prep", phantom.into_iter().chain(["--out", text(&cohort)])).expect_code(0);
        let out = folder.path().join("dataset");
        run("mtids-prep", build_arguments_of(&cohort, &out)).expect_code(0);
        (folder, out)
    })
}

fn findings(dataset: &Path) -> Vec<RowLabels> {
    let rows = Dataset::open(dataset).unwrap().index().unwrap();
    rows.into_iter().filter(|row| row.kind == RowKind::Finding).collect()
}

fn suspects(dataset: &Path, out: &Path, more: &[&str]) -> crate::support::Finished {
    run("mtids-audit", ["suspects", text(dataset), "--out", text(out)].iter().chain(more))
}

/// Lines of a table without its heading, by cells.
fn lines(table: &Path) -> Vec<Vec<String>> {
    let content = fs::read_to_string(table).unwrap();
    content.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn flipped_labels_are_ranked_first_and_answers_to_them_restore_the_dataset() {
    let (folder, dataset) = cohort();
    let work = tempfile::tempdir().unwrap();
    let [table, flipped, out, restored] =
        ["corrections.csv", "flipped", "out", "restored"].map(|name| work.path().join(name));
    let regions: Vec<String> = Dataset::open(dataset)
        .unwrap()
        .manifest()
        .description
        .regions
        .regions()
        .iter()
        .map(|region| region.name.clone())
        .collect();
    // Nodes of the first and the last region, which lie far apart, change places in name.
    let far = [0, regions.len() as i8 - 1];
    let rows = findings(dataset);
    let of_far: Vec<&RowLabels> =
        rows.iter().filter(|row| row.region.is_some_and(|code| far.contains(&code))).collect();
    let planted: Vec<&RowLabels> = of_far.into_iter().step_by(7).take(8).collect();
    assert_eq!(planted.len(), 8);
    let name = |code: i8| regions[usize::try_from(code).unwrap()].as_str();
    let mut content = "finding,dimension,old,new,by,why\n".to_owned();
    for row in &planted {
        let old = row.region.unwrap();
        let new = if old == far[0] { far[1] } else { far[0] };
        content += &format!("{},region,{},{},Reader,planted\n", row.sample_key, name(old), name(new));
    }
    fs::write(&table, content).unwrap();
    let mut arguments = build_arguments_of(&folder.path().join("cohort"), &flipped);
    arguments.extend(["--corrections", text(&table)].map(str::to_owned));
    run("mtids-prep", arguments).expect_code(0);

    let said = suspects(&flipped, &out, &["--pictures", "3", "--all", "--set", "least_probability=0.1"]).expect_code(1);
    assert!(said.stdout.contains("look at them before you change a label"), "{}", said.stdout);
    let ranked = lines(&out.join("suspects.csv"));
    let keys: BTreeSet<&str> = planted.iter().map(|row| row.sample_key.as_str()).collect();
    let first = ranked.iter().filter(|line| line[0] == "region").take(10);
    let found = first.filter(|line| keys.contains(line[2].as_str())).count();
    assert!(found >= 6, "{found} of 8 planted labels are among the first 10");
    let result: Value = serde_json::from_slice(&fs::read(out.join("suspects.json")).unwrap()).unwrap();
    let dimensions = result["dimensions"].as_array().unwrap();
    let shown: u64 = dimensions.iter().map(|judged| judged["suspects"].as_u64().unwrap().min(3)).sum();
    let page = fs::read_to_string(out.join("suspects.html")).unwrap();
    assert_eq!(page.matches("<img ").count() as u64, shown, "three pictures of each dimension at most");
    assert!(shown >= 3, "{shown}");
    assert_eq!(result["dimensions"][0]["dimension"], "region");
    let [low, high] = [0, 1].map(|end| result["dimensions"][0]["noise_interval"][end].as_f64().unwrap());
    let share = 8.0 / result["dimensions"][0]["rows"].as_f64().unwrap();
    assert!(low <= share && share <= high, "{share} of the labels are wrong, not {low} to {high}");

    // The template is no answer before a person has filled it in.
    let template = out.join("corrections-template.csv");
    let build = |corrections: &Path| {
        let mut arguments = build_arguments_of(&folder.path().join("cohort"), &restored);
        arguments.extend(["--corrections", text(corrections)].map(str::to_owned));
        run("mtids-prep", arguments)
    };
    let refused = build(&template).expect_code(2).text();
    assert!(refused.contains("`by` is empty"), "{refused}");
    // Whoever looks at the nodes confirms the suggestions for planted labels, whose present labels are the flipped ones.
    let of_region = lines(&template).into_iter().filter(|line| line[1] == "region" && keys.contains(line[0].as_str()));
    let of_region: Vec<Vec<String>> = of_region.collect();
    assert!(of_region.len() >= 5, "{of_region:?}");
    // For each planted label the true region is suggested.
    for line in &of_region {
        let row = planted.iter().find(|row| row.sample_key == line[0]).unwrap();
        assert_eq!(line[3], name(row.region.unwrap()), "{line:?}");
    }
    // The annotations of this cohort have the other labels, so the filled table is given in the opposite direction.
    let filled = of_region.iter().map(|line| format!("{},region,{},{},Reader,seen again\n", line[0], line[3], line[2]));
    fs::write(&template, "finding,dimension,old,new,by,why\n".to_owned() + &filled.collect::<String>()).unwrap();
    build(&template).expect_code(0);
    assert_eq!(read_corrections(&Dataset::open(&restored).unwrap()).unwrap().len(), of_region.len());
}

#[test]
fn the_same_dataset_gives_the_same_bytes_and_probabilities_come_back_as_predictions() {
    let (_, dataset) = cohort();
    let work = tempfile::tempdir().unwrap();
    let [first, second, third] = ["a", "b", "c"].map(|name| work.path().join(name));
    let settings = ["--set", "fail_on=never", "--set", "least_probability=0.01"];
    let with = |more: &[&'static str]| [more, settings.as_slice()].concat();
    suspects(dataset, &first, &with(&["--all", "--measures"])).expect_code(0);
    suspects(dataset, &second, &with(&["--all"])).expect_code(0);
    assert_eq!(tree(&first), tree(&second));
    let table = first.join("probabilities.csv");
    // Only rows that are judged along both dimensions are predictions.
    let content = fs::read_to_string(&table).unwrap();
    let full: Vec<&str> = content.lines().filter(|line| !line.contains(",,")).collect();
    let path = work.path().join("predictions.csv");
    fs::write(&path, full.join("\n") + "\n").unwrap();
    let by_table = ["--predictions", text(&path)];
    let said = suspects(dataset, &third, &[by_table.as_slice(), settings.as_slice()].concat()).expect_code(0);
    assert!(said.stdout.contains("trained-on.json"), "{}", said.stdout);
    let cells = |out: &Path| -> BTreeSet<Vec<String>> {
        let wrong = |line: &Vec<String>| line.last().unwrap().parse::<f64>().unwrap() >= 0.01;
        let judged = |line: &Vec<String>| full.iter().any(|row| row.starts_with(&line[2]));
        // Statuses of predictions are calibrated anew, and ranks count all judged rows, of which there are fewer here.
        lines(&out.join("suspects.csv"))
            .into_iter()
            .filter(|line| line[0] == "region" && wrong(line) && judged(line))
            .map(|mut line| {
                line.remove(1);
                line
            })
            .collect()
    };
    assert!(!cells(&third).is_empty());
    assert_eq!(cells(&first), cells(&third));
}

#[test]
fn predictions_of_a_run_that_knows_the_patients_are_refused() {
    let (_, dataset) = cohort();
    let work = tempfile::tempdir().unwrap();
    let out = work.path().join("out");
    suspects(dataset, &out, &["--all", "--set", "fail_on=never"]).expect_code(0);
    let content = fs::read_to_string(out.join("probabilities.csv")).unwrap();
    let full: Vec<&str> = content.lines().filter(|line| !line.contains(",,")).collect();
    let path = work.path().join("predictions.csv");
    fs::write(&path, full.join("\n") + "\n").unwrap();
    let opened = Dataset::open(dataset).unwrap();
    let record = |patient: &str| {
        let fingerprint = &opened.manifest().pseudonym_fingerprint;
        let record = format!(
            r#"{{"pseudonym_fingerprint":"{fingerprint}","train":["{patient}"],"validation":[],"voxels":[],"labels":{{}}}}"#
        );
        fs::write(work.path().join("trained-on.json"), record).unwrap();
    };
    let patient = full[1].split(',').nth(1).unwrap();
    record(patient);
    let refused = suspects(dataset, &out, &["--predictions", text(&path)]).expect_code(3).text();
    assert!(refused.contains("1 of its patients") && refused.contains("held-out"), "{refused}");
    record("somebody-else");
    suspects(dataset, &out, &["--predictions", text(&path), "--set", "fail_on=never"]).expect_code(0);
    suspects(dataset, &out, &["--predictions", text(&path), "--measures"]).expect_code(2);
    let nowhere = work.path().join("nowhere.csv");
    assert!(suspects(dataset, &out, &["--predictions", text(&nowhere)]).expect_code(3).text().contains("nowhere.csv"));
    suspects(dataset, &out, &["--set", "folds=1"]).expect_code(2);
}
