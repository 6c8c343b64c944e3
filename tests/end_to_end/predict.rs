//! Studies become answers: the numbers of an evaluation, whatever the size of the batches, and a reason for what has no answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mtids_prep::candidates::Candidates;
use mtids_prep::config::BuildConfig;
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{Dataset, RowLabels};
use mtids_train::calibration::Calibration;
use mtids_train::prediction::Prediction;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Finished, build_arguments, check_objects, cohort, copy_tree, dataset, root, run, text, tree};

/// A run on the shared cohort, evaluated, once per test process.
fn trained() -> &'static Path {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let run_folder = folder.path().join("run");
        fit(&run_folder, 1);
        run("mtids-train", ["evaluate", "--run", text(&run_folder), "--dataset", text(dataset())]).expect_code(0);
        (folder, run_folder)
    })
    .1
}

fn fit(run_folder: &Path, seed: u64) {
    let seed = format!("seed={seed}");
    let fixed = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", "epochs=2", "--set", &seed];
    let places = ["--dataset", text(dataset()), "--run", text(run_folder)];
    run("mtids-train", fixed.into_iter().chain(places)).expect_code(0);
}

/// Arguments of a prediction for the shared cohort.
pub(crate) fn arguments(out: &Path, more: &[&str]) -> Vec<String> {
    let cohort = cohort().join("cohort");
    let (dicom, table, masks) = (cohort.join("dicom"), cohort.join("annotations.csv"), cohort.join("masks"));
    let fixed = [
        "predict",
        "--config",
        "pipelines/demo-short/dataset.toml",
        "--data",
        text(&dicom),
        "--annotations",
        text(&table),
        "--annotations",
        text(&masks),
        "--out",
        text(out),
    ];
    fixed.into_iter().chain(more.iter().copied()).map(str::to_owned).collect()
}

fn predict(out: &Path, more: &[&str]) -> Finished {
    run("mtids-train", arguments(out, more))
}

fn answer(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("prediction.json")).unwrap()).unwrap()
}

/// All nodes of an answer, by the digits of their centres.
fn nodes(answer: &Value) -> BTreeMap<String, Value> {
    let patients = answer["patients"].as_array().unwrap();
    let nodes = patients.iter().flat_map(|patient| patient["nodes"].as_array().unwrap());
    nodes.map(|node| (format!("{} {}", node["series_uid"], node["center_mm"]), node.clone())).collect()
}

fn rows_by_place() -> BTreeMap<String, RowLabels> {
    let rows = Dataset::open(dataset()).unwrap().index().unwrap();
    rows.into_iter().map(|row| (format!("{:?}", row.center_mm), row)).collect()
}

fn place(node: &Value) -> String {
    let center: [f64; 3] = serde_json::from_value(node["center_mm"].clone()).unwrap();
    format!("{center:?}")
}

#[test]
fn candidates_are_the_very_voxels_of_a_dataset() {
    let settings = fs::read_to_string(root().join("pipelines/demo-short/dataset.toml")).unwrap();
    let path = tempfile::tempdir().unwrap();
    let file = path.path().join("dataset.toml");
    fs::write(&file, settings).unwrap();
    let mut config: BuildConfig = mtids_runtime::config::load(Some(&file), &[]).unwrap();
    let cohort = cohort().join("cohort");
    config.data = Some(cohort.join("dicom"));
    config.annotations = vec![cohort.join("annotations.csv"), cohort.join("masks")];
    let description = Dataset::open(dataset()).unwrap().manifest().description.clone();
    let config = config.for_candidates(&description).unwrap();
    let interrupt = Interrupt::new();
    let candidates = Candidates::read(config, description, None, &interrupt, false).unwrap();
    let mut known = rows_by_place();
    for planned in candidates.series() {
        let cut = candidates.cut(planned, &interrupt).unwrap();
        assert_eq!((cut.rows.len(), cut.refused.len()), (planned.findings.len(), 0));
        for row in cut.rows {
            let row = row.unwrap().labels;
            let built = known.remove(&format!("{:?}", row.center_mm)).expect("the dataset has this place once");
            assert_eq!((&row.voxels_digest, &row.grown, &row.mask), (&built.voxels_digest, &built.grown, &built.mask));
        }
    }
    assert!(known.is_empty(), "rows without candidate: {known:?}");
}

#[test]
fn probabilities_are_those_of_an_evaluation_for_any_size_of_the_batches() {
    let folder = tempfile::tempdir().unwrap();
    let mut evaluated: BTreeMap<String, f64> = BTreeMap::new();
    for line in fs::read_to_string(trained().join("predictions.csv")).unwrap().lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        evaluated.insert(cells[0].to_owned(), cells[6].parse().unwrap());
    }
    let rows = rows_by_place();
    let calibration: Calibration =
        serde_json::from_slice(&fs::read(trained().join("calibration.json")).unwrap()).unwrap();
    let mut first: Option<BTreeMap<String, Value>> = None;
    for batch_size in ["8", "1", "7", "64"] {
        let out = folder.path().join(batch_size);
        predict(&out, &["--run", text(trained()), "--batch-size", batch_size]).expect_code(0);
        let nodes = nodes(&answer(&out));
        let (mut compared, mut measured) = (0, 0);
        for node in nodes.values() {
            let said = node["status"]["network_probability"].as_f64().unwrap();
            let number = |name: &str| node["status"][name].as_f64();
            let own = vec![1.0 - said, said];
            let row =
                Prediction { pooled: own.clone(), grown: rows[&place(node)].grown.clone(), ..Prediction::default() };
            for (name, calibrated) in [
                ("network_calibrated", Some(calibration.of_network(&own))),
                ("measures_probability", calibration.of_measures(&row)),
                ("probability", Some(calibration.metastasis(&row))),
            ] {
                let said = number(name);
                // A distribution of single precision sums up to one within 1e-7.
                let is_same = said.zip(calibrated).map_or(said == calibrated, |(a, b)| (a - b).abs() < 1e-6);
                assert!(is_same, "{name}: {said:?} is not {calibrated:?}");
            }
            measured += usize::from(number("measures_probability").is_some());
            if let Some(evaluated) = evaluated.get(&rows[&place(node)].sample_key) {
                // The table has six decimals.
                assert!((said - evaluated).abs() < 1.6e-6, "{batch_size}: {said} is not {evaluated}");
                compared += 1;
            }
        }
        assert_eq!(compared, evaluated.len());
        assert!(2 * measured > nodes.len(), "the answer joins measures in this cohort");
        let first = first.get_or_insert_with(|| nodes.clone());
        for (key, node) in &nodes {
            for number in ["probability", "region_probability", "network_probability"] {
                let (a, b) = (&node["status"][number], &first[key]["status"][number]);
                assert!((a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-6, "{number}: {a} is not {b}");
            }
            assert_eq!(node["status"]["metastatic"], first[key]["status"]["metastatic"]);
        }
    }
}

#[test]
fn a_node_has_the_same_class_in_every_output_and_sets_hold_it() {
    let folder = tempfile::tempdir().unwrap();
    let one_side = predict(folder.path(), &["--run", text(trained()), "--primary-side", "right"]).expect_code(2);
    assert!(one_side.stderr.contains("it is that of one patient"), "{}", one_side.stderr);
    let said = predict(folder.path(), &["--run", text(trained())]).expect_code(0);
    let answer = answer(folder.path());
    assert!(answer["runs"][0]["calibrated"].as_bool().unwrap(), "fit calibrates");
    assert!(said.stdout.contains("not for diagnosis") && !said.stdout.contains("N category"), "{}", said.stdout);
    let table = fs::read_to_string(folder.path().join("nodes.csv")).unwrap();
    let header: Vec<&str> = table.lines().next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|cell| *cell == name).unwrap();
    let (mut lines, mut sure, mut shown) = (table.lines().skip(1), 0, 0);
    for patient in answer["patients"].as_array().unwrap() {
        let of_patient = format!("patient {}: ", patient["patient_id"].as_str().unwrap());
        let listed = said.stdout.split("\n\n").map(str::trim).find(|part| part.starts_with(&of_patient));
        let listed = listed.unwrap_or_default();
        for node in patient["nodes"].as_array().unwrap() {
            let cells: Vec<&str> = lines.next().unwrap().split(',').collect();
            let status = &node["status"];
            let word = if status["metastatic"].as_bool().unwrap() { "metastatic" } else { "benign" };
            assert_eq!(cells[column("status")], word);
            assert_eq!(cells[column("region")], status["region"].as_str().unwrap());
            let set = status["set"].as_array().unwrap();
            let metastatic = status["probability"].as_f64().unwrap();
            // A class of more than one half is the largest, and the largest is in every set.
            if status["region_probability"].as_f64().unwrap() + metastatic.max(1.0 - metastatic) > 1.5 {
                let called = format!("{} {word}", status["region"].as_str().unwrap());
                assert!(set.iter().any(|class| *class == called), "{called} is not in {set:?}");
                sure += 1;
            }
            assert!(!set.is_empty());
            // The terminal lists the nodes of the first patients.
            let place: [f64; 3] = serde_json::from_value(node["center_mm"].clone()).unwrap();
            let place = place.map(|mm| format!("{mm:.1}")).join(", ");
            if let Some(line) = listed.lines().find(|line| line.contains(&place)) {
                let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
                let at = cells.iter().position(|cell| status["region"] == *cell).unwrap();
                assert_eq!(cells[at + 2], word, "{line}");
                assert_eq!(cells[at + 3], format!("{metastatic:.2}"), "{line}");
                shown += 1;
            }
        }
    }
    // Three planes of a node stand in its picture, which the page holds itself.
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("data:image/png;base64") && !page.contains("http:") && !page.contains("https:"));
    assert!(lines.next().is_none() && sure > 0 && shown >= 20, "{sure} sure, {shown} shown");
}

#[test]
fn a_calibration_of_an_earlier_version_answers_by_the_network_and_is_made_anew_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let (run_folder, out) = (folder.path().join("run"), folder.path().join("out"));
    copy_tree(trained(), &run_folder);
    let file = run_folder.join("calibration.json");
    let original = fs::read(&file).unwrap();
    let mut calibration: Value = serde_json::from_slice(&original).unwrap();
    let keys = calibration.as_object_mut().unwrap();
    keys.remove("fusion").unwrap();
    keys.remove("no_fusion").unwrap();
    fs::write(&file, calibration.to_string()).unwrap();
    let said = predict(&out, &["--run", text(&run_folder)]).expect_code(0);
    assert!(said.stderr.contains("earlier version"), "{}", said.stderr);
    let answer = answer(&out);
    assert_eq!(answer["runs"][0]["with_measures"], json!(false));
    for node in nodes(&answer).values() {
        let status = &node["status"];
        assert!(status["measures_probability"].is_null());
        let (said, of_network) = (&status["probability"], &status["network_calibrated"]);
        assert!((said.as_f64().unwrap() - of_network.as_f64().unwrap()).abs() < 1e-6);
    }
    // The same weights twice are no ensemble.
    let said = predict(&out, &["--run", text(&run_folder), "--run", text(trained())]);
    assert!(said.code != 0 && said.stderr.contains("each run of an ensemble once"), "{}", said.text());
    run("mtids-train", ["calibrate", "--run", text(&run_folder), "--dataset", text(dataset())]).expect_code(0);
    assert!(fs::read(&file).unwrap() == original, "the same calibration as that of the training");
}

#[test]
fn of_patients_that_a_calibration_was_fitted_on_nothing_calibrated_is_claimed() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("run");
    copy_tree(trained(), &run_folder);
    let evaluation = |split: &str| -> Value {
        let asked = ["evaluate", "--run", text(&run_folder), "--dataset", text(dataset()), "--split", split];
        run("mtids-train", asked).expect_code(0);
        let name = if split == "test" { "evaluation.json".to_owned() } else { format!("evaluation-{split}.json") };
        serde_json::from_slice(&fs::read(run_folder.join(name)).unwrap()).unwrap()
    };
    let claims = |evaluation: &Value| {
        let figures = ["coverage", "operating"].map(|name| !evaluation[name].is_null());
        [figures[0], figures[1], !evaluation["reliability"].as_array().unwrap().is_empty()]
    };
    assert_eq!(claims(&evaluation("test")), [true; 3]);
    // The measures were weighed on the training patients, the two answers on the validation patients.
    assert_eq!(claims(&evaluation("train")), [false; 3]);
    assert_eq!(claims(&evaluation("validation")), [false; 3]);
}

#[test]
fn several_runs_answer_as_an_ensemble_with_a_range() {
    let folder = tempfile::tempdir().unwrap();
    let second = folder.path().join("second");
    fit(&second, 2);
    let out = folder.path().join("answer");
    predict(&out, &["--run", text(trained()), "--run", text(&second)]).expect_code(0);
    let answer = answer(&out);
    assert_eq!(answer["runs"].as_array().unwrap().len(), 2);
    let number = |node: &Value, name: &str| node["status"][name].as_f64().unwrap();
    for node in nodes(&answer).values() {
        let (least, most) = (number(node, "least"), number(node, "most"));
        assert!((number(node, "probability") - (least + most) / 2.0).abs() < 1e-9);
        assert!(least < most);
    }
}

#[test]
fn runs_that_do_not_fit_together_are_refused_with_the_difference_named() {
    let folder = tempfile::tempdir().unwrap();
    // A copy of the run whose record of its rows says something else; the weights fit both.
    let described = |name: &str, change: &dyn Fn(&mut Value)| {
        let other = folder.path().join(name);
        copy_tree(trained(), &other);
        let file = other.join("dataset.json");
        let mut description: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        change(&mut description);
        fs::write(&file, description.to_string()).unwrap();
        other
    };
    let spacing =
        described("spacing", &|description| description["views"][0]["geometry"]["spacing_mm"] = json!([4.0, 2.5, 2.5]));
    let size = described("size", &|description| description["views"][1]["geometry"]["size"] = json!([10, 24, 24]));
    let regions = described("regions", &|description| {
        let regions = description["regions"]["regions"].as_array_mut().unwrap();
        regions.swap(0, 1);
    });
    // A run of one view, on a dataset of its own.
    let patch = folder.path().join("patch");
    let mut build = build_arguments(&folder.path().join("dataset"));
    build.extend(["--set", "views={patch={size=[8,16,16],spacing_mm=[4.0,2.0,2.0]}}"].map(str::to_owned));
    run("mtids-prep", build).expect_code(0);
    let once = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", "max_steps=1"];
    let places = ["--dataset", text(&folder.path().join("dataset")), "--run", text(&patch)].map(str::to_owned);
    run("mtids-train", once.map(str::to_owned).into_iter().chain(places)).expect_code(0);
    // A run that knows nothing of regions.
    let status = folder.path().join("status");
    let tasks = ["--set", "model.tasks=[\"metastasis\"]", "--dataset", text(dataset()), "--run", text(&status)];
    run("mtids-train", once.into_iter().chain(tasks)).expect_code(0);

    let together = "differ from those of";
    for (second, code, words) in [
        (&spacing, 3, ["spacing of view `near`", together]),
        (&size, 3, ["size of view `wide`", together]),
        (&regions, 3, ["regions", together]),
        (&patch, 3, ["views (near, wide then, patch now)", together]),
        (&status, 3, ["tasks", "region"]),
        (&folder.path().join("missing"), 2, ["missing contains no run", "fit"]),
    ] {
        // In either order, and with a third that fits; the second of them is named.
        for order in [[trained(), second, trained()], [second, trained(), trained()]] {
            let out = folder.path().join("answer");
            let runs: Vec<&str> = order.iter().flat_map(|run| ["--run", text(run)]).collect();
            let said = predict(&out, &runs).expect_code(code);
            assert!(!out.exists(), "nothing is begun");
            if order[0] == trained() {
                assert!(said.stderr.contains(text(second)), "{}", said.stderr);
                assert!(words.iter().all(|word| said.stderr.contains(word)), "{words:?}: {}", said.stderr);
            }
        }
    }
}

#[test]
fn measuring_needs_no_network_and_finds_what_a_dataset_says() {
    let folder = tempfile::tempdir().unwrap();
    let said = predict(folder.path(), &["--measure-only"]).expect_code(0);
    // What was given is repeated, and nothing is said of it.
    assert!(said.stdout.contains("given") && !said.stdout.contains("p metastatic"), "{}", said.stdout);
    let rows = rows_by_place();
    let nodes = nodes(&answer(folder.path()));
    assert_eq!(nodes.len(), rows.len());
    for node in nodes.values() {
        assert!(node["status"].is_null());
        let grown = serde_json::to_value(rows[&place(node)].grown.get(mtids_shards::Measure::ShortAxis)).unwrap();
        assert_eq!(node["grown"].get("short_axis_mm").cloned().unwrap_or(Value::Null), grown);
    }
}

#[test]
fn what_has_no_answer_has_a_reason_and_is_never_n0() {
    let folder = tempfile::tempdir().unwrap();
    let dicom = cohort().join("cohort/dicom");
    // No candidate at all: no answer, and no category.
    let out = folder.path().join("none");
    let arguments = |table: &Path, out: &Path| {
        let named =
            ["--run", text(trained()), "--data", text(&dicom), "--annotations", text(table), "--out", text(out)];
        // The segments, contours and reports beside the scans are candidates too.
        let alone = ["read_segmentations=false", "read_reports=false"].map(|setting| ["--set", setting]);
        let side = ["--primary-side", "left"];
        let all = ["predict"].into_iter().chain(named).chain(alone.into_iter().flatten()).chain(side);
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    let table = fs::read_to_string(cohort().join("cohort/annotations.csv")).unwrap();
    let (header, first) = (table.lines().next().unwrap(), table.lines().nth(1).unwrap());
    let empty = folder.path().join("empty.csv");
    fs::write(&empty, format!("{header}\n")).unwrap();
    let said = run("mtids-train", arguments(&empty, &out));
    assert!(said.code == 3 && !said.text().contains("N0"), "{}: {}", said.code, said.text());
    // A candidate outside of every scan beside one inside.
    let columns: Vec<&str> = header.split(',').collect();
    let x = columns.iter().position(|name| *name == "x_mm").expect("the table has points");
    let mut cells: Vec<String> = first.split(',').map(str::to_owned).collect();
    cells[x] = "5000".into();
    let outside = folder.path().join("outside.csv");
    fs::write(&outside, format!("{header}\n{first}\n{}\n", cells.join(","))).unwrap();
    let out = folder.path().join("outside");
    let said = run("mtids-train", arguments(&outside, &out)).expect_code(1);
    let answer = answer(&out);
    assert_eq!(nodes(&answer).len(), 1, "{}", said.text());
    assert!(said.stdout.contains("rejected: 1 entry"), "{}", said.stdout);
    assert_eq!(answer["candidates_rejected"].as_object().unwrap().len(), 1);
    // What was rejected may be metastatic, so it keeps the category open.
    let nodal = &answer["patients"][0]["nodal"];
    let possible: Vec<&str> = nodal["possible"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!(possible.last(), Some(&"N3"), "{nodal}");
    assert!(nodal["category"].as_str().unwrap().contains("N3"), "{nodal}");
    let silent = answer["patients_without_candidate"].as_array().unwrap().len();
    assert!(silent >= 20 && said.stdout.contains("no candidate, so nothing is said"), "{silent}: {}", said.stdout);
    // A run that does not exist, and wrong settings.
    let said = predict(&folder.path().join("x"), &["--run", "no-such-run"]).expect_code(2);
    assert!(said.stderr.contains("no-such-run"), "{}", said.stderr);
    let said = predict(&folder.path().join("x"), &["--run", text(trained()), "--primary-side", "up"]).expect_code(2);
    assert!(said.stderr.contains("--primary-side"), "{}", said.stderr);
}

#[test]
fn a_damaged_study_is_named_and_the_others_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    predict(&whole, &["--run", text(trained()), "--no-dicom"]).expect_code(0);
    let (whole, cohort) = (answer(&whole), cohort().join("cohort"));
    let data = folder.path().join("dicom");
    let first = whole["patients"][0]["patient_id"].as_str().unwrap();
    for file in tree(&cohort.join("dicom")).into_keys() {
        let to = data.join(&file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let bytes = fs::read(cohort.join("dicom").join(&file)).unwrap();
        let is_cut = file.contains(first) && file.ends_with("IM0007.dcm");
        fs::write(to, &bytes[..if is_cut { bytes.len() / 2 } else { bytes.len() }]).unwrap();
    }
    let out = folder.path().join("damaged");
    let more = ["--run", text(trained()), "--no-dicom", "--data", text(&data)];
    let mut arguments = arguments(&out, &more);
    let at = arguments.iter().position(|argument| argument == "--data").unwrap();
    arguments.drain(at..at + 2);
    let said = run("mtids-train", arguments).expect_code(1);
    let damaged = answer(&out);
    assert!(damaged["files_refused"].as_object().unwrap().contains_key("truncated"), "{}", said.text());
    let (all, left) = (nodes(&whole), nodes(&damaged));
    assert!(left.len() < all.len() && !left.is_empty());
    assert!(left.iter().all(|(key, node)| all[key]["status"] == node["status"]));
    assert!(damaged["patients"].as_array().unwrap().iter().all(|patient| patient["patient_id"] != first));
}

#[test]
fn an_answer_is_the_same_bytes_twice_and_lies_beside_the_studies_unharmed() {
    let folder = tempfile::tempdir().unwrap();
    let before = tree(&cohort().join("cohort"));
    for name in ["a", "b"] {
        predict(&folder.path().join(name), &["--run", text(trained())]).expect_code(0);
    }
    assert_eq!(tree(&folder.path().join("a")), tree(&folder.path().join("b")));
    assert_eq!(before, tree(&cohort().join("cohort")), "studies are only read");
}

#[test]
#[ignore = "needs dciodvfy and dsrdump, Python readers (.venv)"]
fn other_readers_accept_the_objects_and_find_the_classes_of_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    predict(folder.path(), &["--run", text(trained())]).expect_code(0);
    let answer = answer(folder.path());
    let series: std::collections::BTreeSet<String> =
        nodes(&answer).values().map(|node| node["series_uid"].to_string()).collect();
    let reports = check_objects(folder.path());
    assert_eq!(reports, series.len());
}
