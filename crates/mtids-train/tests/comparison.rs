//! A comparison on small datasets: interrupted, shared, from records alone, and what it refuses.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod dataset;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mtids_runtime::exit::{Exit, ExitStatus};
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::task::Task;
use mtids_shards::{CrossValidation, Dataset, Split};
use mtids_train::comparison::figures::Verdict;
use mtids_train::comparison::grid::{Grid, Metric};
use mtids_train::comparison::results::Results;
use mtids_train::comparison::run::{CompareOptions, Places, compare};
use mtids_train::error::TrainError;
use mtids_train::run_folder::RunFolder;

const BASE: &str = "
epochs = 2
batch_size = 4
checkpoint_every_steps = 1
bootstrap_resamples = 50
[model.trunks.near]
size = \"tiny\"
norm = \"batch\"
[model.trunks.wide]
size = \"tiny\"
norm = \"batch\"
[inputs.near]
size = [4, 8, 8]
[inputs.wide]
size = [4, 8, 8]
";

const GRID: &str = r#"
title = "MT-IDS beside a shared bottom"
base = "base.toml"
seeds = [1, 2]
datasets = ["reported"]
delta_m_against = "shared-bottom"
primary = [
  { first = "mt-ids", second = "shared-bottom", dataset = "reported", metric = "status-auroc" },
  { first = "mt-ids", second = "ruler", dataset = "reported", metric = "status-auroc" },
]
[tuning]
dataset = "tuning"
seeds = [9]
set = ["epochs=1"]
[[rows]]
name = "mt-ids"
title = "MT-IDS"
trials = [["schedule.peak=1e-3"], ["schedule.peak=1e-2"]]
[[rows]]
name = "shared-bottom"
set = ["model.architecture=hard-sharing", "balancer.method=equal-sum"]
trials = [["schedule.peak=1e-3"], ["schedule.peak=1e-2"]]
"#;

struct Bench {
    folder: tempfile::TempDir,
    grid: Grid,
}

impl Bench {
    fn new(grid: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        dataset::two_views(&folder.path().join("reported"), "a");
        dataset::two_views(&folder.path().join("tuning"), "b");
        fs::write(folder.path().join("base.toml"), BASE).unwrap();
        fs::write(folder.path().join("grid.toml"), grid).unwrap();
        let grid = Grid::load(&folder.path().join("grid.toml")).unwrap();
        Self { folder, grid }
    }

    fn places(&self, out: &str) -> Places {
        let out = self.folder.path().join(out);
        let datasets = ["reported", "tuning"].map(|name| (name.to_owned(), self.folder.path().join(name)));
        Places { records: out.join("records"), out, datasets: datasets.into() }
    }

    fn all(&self, out: &str) -> Results {
        compare(&self.grid, &self.places(out), CompareOptions::default(), &Interrupt::new()).unwrap()
    }
}

/// Everything that must not depend on how the work was done.
fn lasting(places: &Places) -> BTreeMap<String, Vec<u8>> {
    let files = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
    };
    files(&places.out)
        .into_iter()
        .chain(files(&places.records))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .filter(|(name, _)| !name.contains("cost"))
        .collect()
}

#[test]
fn an_interrupted_comparison_and_two_shares_end_in_the_bytes_of_an_unbroken_one() {
    let bench = Bench::new(GRID);
    let unbroken = bench.all("unbroken");
    assert!(unbroken.missing.is_empty(), "{:?}", unbroken.missing);
    assert_eq!((unbroken.cells, unbroken.tuning.len()), (8, 4));
    assert_eq!(unbroken.tuning.iter().filter(|trial| trial.is_chosen).count(), 2, "one trial of each row");

    let raised = Interrupt::new();
    raised.raise();
    // A raised flag ends the comparison before a training; one that is raised in a training, after a step of it.
    let stopped = compare(&bench.grid, &bench.places("broken"), CompareOptions::default(), &raised).unwrap_err();
    assert_eq!(stopped.exit(), Exit::Interrupted);
    for _ in 0..12 {
        let interrupt = Interrupt::new();
        let started = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(120));
                interrupt.raise();
            });
            compare(&bench.grid, &bench.places("broken"), CompareOptions::default(), &interrupt)
        });
        if let Err(error) = started {
            assert_eq!(error.exit(), Exit::Interrupted, "{error}");
        }
    }
    bench.all("broken");
    assert!(lasting(&bench.places("broken")) == lasting(&bench.places("unbroken")), "an interruption changes bytes");

    std::thread::scope(|scope| {
        for index in [1, 0] {
            let bench = &bench;
            scope.spawn(move || {
                let options = CompareOptions { task: Some(Task { index, count: 2 }), ..CompareOptions::default() };
                compare(&bench.grid, &bench.places("shared"), options, &Interrupt::new()).unwrap();
            });
        }
    });
    // Whoever was last may have looked before the other was done.
    bench.all("shared");
    assert!(lasting(&bench.places("shared")) == lasting(&bench.places("unbroken")), "shares change bytes");
}

#[test]
fn a_cross_validation_tests_every_patient_once_and_learns_from_no_patient_that_it_tests() {
    let mut bench = Bench::new(GRID);
    bench.grid = bench.grid.clone().crossed(Some(3), Some(1)).unwrap();
    let results = bench.all("crossed");
    assert!(results.missing.is_empty(), "{:?}", results.missing);
    assert_eq!(results.cells, 3 * 2 * (2 + 1), "folds, rows, and the trials of each beside what is reported");
    assert!(results.tuning.iter().all(|trial| trial.taken_in.is_some()));
    assert_eq!(results.tuning.iter().filter_map(|trial| trial.taken_in).sum::<usize>(), 3 * 2);
    let [reported] = &results.datasets[..] else { panic!("one dataset") };
    assert_eq!((reported.nodes, reported.folds), (37, Some(3)), "training, validation and test rows are tested alike");
    let line = |name: &str| reported.lines.iter().find(|line| line.name == name).unwrap();
    assert_eq!((line("mt-ids").seeds, line("ruler").by_seed[&Metric::StatusAuroc].len()), (3, 3));
    assert_eq!(line("measures").figures[&Metric::StatusAuroc].value, 1.0, "fitted out of the fold");
    assert_eq!(results.primary[1].nodes, 19, "a ruler is judged where it reads");
    assert!(results.primary.iter().all(|claim| claim.adjusted_p.is_some()));

    let dataset = Dataset::open(&bench.folder.path().join("reported")).unwrap();
    for fold in 0..3 {
        let cell = bench.places("crossed").out.join(format!("cells/reported.mt-ids.fold-{fold}.seed-1"));
        let run = fs::read_dir(cell).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
        let trained_on = RunFolder::open(&run).unwrap().trained_on().unwrap().unwrap();
        let dealt = dataset.clone().in_fold(CrossValidation { folds: 3, fold, seed: 1 }).unwrap();
        let index = dealt.index().unwrap();
        let patients =
            |split| index.iter().filter(|row| row.split == split).map(|row| row.patient_key.clone()).collect();
        assert_eq!(
            (&trained_on.train, &trained_on.validation),
            (&patients(Split::Train), &patients(Split::Validation))
        );
        let tested: BTreeSet<_> = patients(Split::Test);
        assert!(
            !tested.is_empty() && tested.is_disjoint(&trained_on.train) && tested.is_disjoint(&trained_on.validation)
        );
    }

    let records = Places { datasets: BTreeMap::new(), ..bench.places("crossed") };
    let options = CompareOptions { records_only: true, ..CompareOptions::default() };
    let again = compare(&bench.grid, &records, options, &Interrupt::new()).unwrap();
    assert_eq!(again, results, "records alone give the same");
    let text = fs::read_to_string(records.out.join("results.md")).unwrap();
    assert!(text.contains("37 nodes of 19 patients in 3 folds"), "{text}");
    assert!(bench.grid.clone().crossed(Some(2), None).is_err());
    let plain = Bench::new(GRID).grid;
    assert!(plain.clone().crossed(None, Some(2)).is_err(), "repeats without folds");
    assert_eq!(plain.crossed(Some(3), Some(4)).unwrap().seeds, [1, 2, 3, 4]);
}

#[test]
fn records_alone_give_the_results_and_those_of_other_settings_are_not_used() {
    let bench = Bench::new(GRID);
    let trained = bench.all("out");
    let claim = &trained.primary[0];
    assert!(claim.effect.is_some() && claim.adjusted_p.is_some(), "{claim:?}");
    assert_eq!((claim.nodes, claim.patients), (12, 6));
    assert_eq!(trained.primary[1].nodes, 6, "the annotation gives the short axis of every other row");
    let lines = &trained.datasets[0].lines;
    let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
    let readers = ["ruler", "grown-ruler", "measures"];
    let rows = ["mt-ids", "shared-bottom", "mt-ids+measures", "shared-bottom+measures"];
    let ensembles = rows.map(|row| format!("{row}+ensemble"));
    let ensembles: Vec<&str> = ensembles.iter().map(String::as_str).collect();
    assert_eq!(names, [&rows[..], &ensembles, &readers].concat());
    assert_eq!(lines[1].delta_m, Some(0.0));
    assert!(lines.iter().all(|line| line.figures.contains_key(&Metric::StatusAuroc)), "{lines:?}");
    for record in fs::read_dir(bench.places("out").records).unwrap() {
        let text = fs::read_to_string(record.unwrap().path()).unwrap();
        assert!(!text.contains("test-") && !text.contains("st-p"), "no key of a sample or patient: {text}");
    }

    let alone = Places { datasets: BTreeMap::new(), ..bench.places("out") };
    let records_only = CompareOptions { records_only: true, ..CompareOptions::default() };
    let alone = compare(&bench.grid, &alone, records_only, &Interrupt::new()).unwrap();
    assert_eq!(alone, trained);

    let (record, aside) =
        (bench.places("out").records.join("reported.mt-ids.seed-2.json"), bench.folder.path().join("aside"));
    fs::rename(&record, &aside).unwrap();
    let fewer = compare(&bench.grid, &bench.places("out"), records_only, &Interrupt::new()).unwrap();
    assert_eq!((fewer.primary[0].verdict, fewer.primary[0].adjusted_p), (Verdict::Provisional, None));
    assert!(fewer.primary[0].effect.is_some(), "shown, but not judged");
    fs::rename(&aside, &record).unwrap();

    let mut longer = bench.grid.clone();
    longer.rows[1].set.push("clip_norm=1.0".into());
    let other = compare(&longer, &bench.places("out"), records_only, &Interrupt::new()).unwrap();
    assert_eq!(other.missing.len(), 4, "two trials and two seeds of the changed row: {:?}", other.missing);
    assert_eq!(other.primary[0].verdict, Verdict::Open);
    let page = fs::read_to_string(bench.places("out").out.join("results.html")).unwrap();
    assert!(page.contains("4 of 8 trainings are missing"), "{page}");
}

#[test]
fn records_stay_of_use_when_a_later_program_builds_the_same_rows() {
    let bench = Bench::new(GRID);
    let places = bench.places("out");
    let before = (bench.all("out"), lasting(&places));
    let built_again = |name: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let path = bench.folder.path().join(name).join("manifest.json");
        let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    };
    // The end of each shard names the program too.
    let by_a_later_program = |manifest: &mut serde_json::Value| {
        manifest["description"]["program"]["version"] = "9.9.9".into();
        for shard in manifest["shards"].as_array_mut().unwrap() {
            shard["digest"] = "0".repeat(64).into();
            shard["footer_digest"] = "1".repeat(64).into();
        }
    };
    fs::remove_dir_all(places.out.join("cells")).unwrap();
    let first = fs::read(bench.folder.path().join("reported/manifest.json")).unwrap();
    for name in ["reported", "tuning"] {
        built_again(name, &by_a_later_program);
    }
    assert_eq!((bench.all("out"), lasting(&places)), before);
    assert!(!places.out.join("cells").exists(), "nothing is trained again");

    // A training that was begun on the first of two equal datasets is no hindrance with the second: it has a run of its own.
    let record = places.records.join("reported.mt-ids.seed-1.json");
    fs::remove_file(&record).unwrap();
    fs::write(bench.folder.path().join("reported/manifest.json"), &first).unwrap();
    assert_eq!((bench.all("out"), lasting(&places)), before);
    fs::remove_file(&record).unwrap();
    built_again("reported", &|manifest| manifest["description"]["program"]["version"] = "9.9.9".into());
    assert_eq!((bench.all("out"), lasting(&places)), before);

    // Rows of another form are other rows, though the files of the shards are these.
    built_again("reported", &|manifest| manifest["description"]["taxonomy_version"] = "9".into());
    let options = CompareOptions { records_only: true, ..CompareOptions::default() };
    let refused = compare(&bench.grid, &places, options, &Interrupt::new()).unwrap_err().to_string();
    assert!(refused.contains("is not the dataset whose records are in"), "{refused}");
}

#[test]
fn what_cannot_be_compared_is_refused_before_any_training() {
    let bench = Bench::new(GRID);
    let refusal = |grid: &Grid, places: &Places| -> TrainError {
        compare(grid, places, CompareOptions::default(), &Interrupt::new()).unwrap_err()
    };
    let mut places = bench.places("out");
    places.datasets.remove("tuning");
    let missing = refusal(&bench.grid, &places);
    assert!(missing.to_string().contains("tuning=DIR"), "{missing}");
    places.datasets.insert("tuning".into(), bench.folder.path().join("reported"));
    let twin = refusal(&bench.grid, &places);
    assert!(twin.to_string().contains("reported as `reported`"), "{twin}");
    let mut stranger = bench.places("out");
    stranger.datasets.insert("other".into(), bench.folder.path().join("reported"));
    assert!(refusal(&bench.grid, &stranger).to_string().contains("`other`"));
    let mut wrong = bench.grid.clone();
    wrong.rows[1].trials[1] = vec!["schedule.peek=1.0".into()];
    let wrong = refusal(&wrong, &bench.places("out"));
    assert!(wrong.to_string().contains("peek") && wrong.exit() == Exit::Usage, "{wrong}");
    assert!(!bench.places("out").out.join("cells").exists(), "nothing was begun");
}
