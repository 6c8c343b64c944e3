//! A whole training on a small dataset of two views: batch norm, measures as targets, symmetries in the evaluation.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod dataset;

use std::fs;
use std::path::Path;

use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{Split, ViewName};
use mtids_train::config::{TrainConfig, ValidConfig};
use mtids_train::error::TrainError;
use mtids_train::evaluate::{EvaluateOptions, evaluate, text};
use mtids_train::fit::{FitOptions, FitSummary, fit};
use mtids_train::measured::Evaluation;
use mtids_train::prediction::{Prediction, metastasis_probability};
use mtids_train::readers::Reader;
use mtids_train::run_folder::RunFolder;
use mtids_train::transform::Symmetries;

const SETTINGS: &str = "
epochs = 3
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

fn config(more: &str) -> ValidConfig {
    mtids_runtime::config::parse::<TrainConfig>(&format!("{more}{SETTINGS}")).unwrap().check().unwrap()
}

fn train(dataset: &Path, run: &Path, config: &ValidConfig, interrupt: &Interrupt) -> Result<FitSummary, TrainError> {
    fit(dataset, run, config, interrupt, &FitOptions::default())
}

/// What a run leaves behind, as bytes.
fn result(run: &Path) -> Vec<Vec<u8>> {
    let checkpoints = RunFolder::open(run).unwrap().checkpoints();
    let last = checkpoints.latest().unwrap().unwrap();
    let logs = ["losses.jsonl", "epochs.jsonl", "measures.json"].map(|name| fs::read(run.join(name)).unwrap());
    logs.into_iter().chain([last.weights, last.optimizer]).collect()
}

#[test]
fn a_resumed_run_of_two_views_is_an_unbroken_one_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    dataset::two_views(&place("dataset"), "t");
    let config = config("");
    let unbroken = train(&place("dataset"), &place("unbroken"), &config, &Interrupt::new()).unwrap();
    // 13 rows in batches of 4: the last row joins the third batch.
    assert_eq!((unbroken.steps, unbroken.training_rows), (9, 13));
    assert!(unbroken.last_losses.contains_key("measures"), "{:?}", unbroken.last_losses);
    assert_eq!((unbroken.best_epoch, unbroken.last_score.is_some()), (None, true), "one-cycle keeps its last weights");
    let raised = Interrupt::new();
    raised.raise();
    // A raised flag lets one step be taken; at the end of an epoch it stops the validation.
    for stopped_at in [1, 2, 3] {
        match train(&place("dataset"), &place("broken"), &config, &raised) {
            Err(TrainError::Interrupted { step }) => assert_eq!(step, stopped_at),
            other => panic!("{other:?}"),
        }
    }
    let resumed = train(&place("dataset"), &place("broken"), &config, &Interrupt::new()).unwrap();
    assert_eq!((resumed.steps, resumed.resumed_at), (9, 3));
    assert!(result(&place("broken")) == result(&place("unbroken")), "the bytes differ");
    let weights = String::from_utf8_lossy(&result(&place("broken"))[3]).into_owned();
    assert!(
        weights.contains(".running_mean") && weights.contains(".running_variance"),
        "running statistics are saved with the weights"
    );
}

#[test]
fn the_recorded_settings_are_complete_and_resume_their_run() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    dataset::two_views(&place("dataset"), "t");
    train(&place("dataset"), &place("run"), &config("max_steps = 1\n"), &Interrupt::new()).unwrap();
    let file = place("run").join("config.resolved.toml");
    let recorded: TrainConfig = mtids_runtime::config::load(Some(&file), &[]).unwrap();
    let wide = &recorded.inputs[&ViewName::try_from("wide".to_owned()).unwrap()];
    assert_eq!((wide.shift, wide.noise_hu, wide.symmetries), (Some([1, 2, 2]), Some(6.0), Some(Symmetries::None)));
    assert_eq!((recorded.test_symmetries, recorded.measures.targets.as_ref().unwrap().len()), (Some(4), 2));
    let again = train(&place("dataset"), &place("run"), &recorded.check().unwrap(), &Interrupt::new()).unwrap();
    assert_eq!((again.steps, again.resumed_at), (1, 1));
}

#[test]
fn readers_change_nothing_and_the_seed_everything() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    dataset::two_views(&place("dataset"), "t");
    let results: Vec<Vec<Vec<u8>>> =
        ["max_steps = 3\nstream.readers = 1", "max_steps = 3\nstream.readers = 5", "max_steps = 3\nseed = 9"]
            .iter()
            .enumerate()
            .map(|(n, more)| {
                let run = place(&format!("run{n}"));
                train(&place("dataset"), &run, &config(&format!("{more}\n")), &Interrupt::new()).unwrap();
                result(&run)
            })
            .collect();
    assert!(results[0] == results[1], "the number of readers changes bytes");
    assert!(results[0][3] != results[2][3], "the seed changes no weight");
}

/// Whether a card states what the run knows, and leaves the rest to the author.
fn check_card(card: &str, measured: &Evaluation) {
    for stated in [
        "7 for training, 6 for validation",
        "6 metastatic, 7 benign",
        "12 nodes of 6 patients of the test split",
        "no judged patient was trained on",
        "U none stated 12",
        &measured.dataset_digest.to_string(),
        &measured.config_digest.to_string(),
    ] {
        assert!(card.contains(stated), "{stated}: {card}");
    }
    for left in ["| 17 | ethical approval | to be filled", "| 44 | funding and role of funders | to be filled"] {
        assert!(card.contains(left), "{left}");
    }
    // Every row of a table has as many cells as its header.
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let lines: Vec<&str> = card.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[0].starts_with('|') && pair[1].starts_with('|')) {
        assert_eq!(cells(pair[0]), cells(pair[1]), "{}", pair[1]);
    }
}

/// Sections of the page of an evaluation that needs no calibration.
const SECTIONS: [&str; 12] = [
    "result",
    "figures",
    "confusion",
    "regions",
    "readers",
    "subgroups",
    "failures",
    "training",
    "balancing",
    "gates",
    "origin",
    "card",
];

#[test]
fn an_evaluation_stands_beside_a_ruler_and_averages_over_symmetries() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    dataset::two_views(&place("dataset"), "t");
    train(&place("dataset"), &place("run"), &config("max_steps = 3\n"), &Interrupt::new()).unwrap();
    let evaluated = evaluate(&place("run"), &place("dataset"), Split::Test, &EvaluateOptions::default()).unwrap();
    let (measured, predictions) = (evaluated.evaluation, evaluated.predictions);
    assert_eq!((measured.symmetries, measured.best_on_validation, measured.step), (4, false, 3));
    let readers: Vec<(Reader, usize)> =
        measured.readers.figures.iter().map(|figure| (figure.reader, figure.samples)).collect();
    // The annotation gives the short axis of every other row.
    let expected = [
        (Reader::Network, 12),
        (Reader::Ruler, 6),
        (Reader::GrownRuler, 12),
        (Reader::Measures, 12),
        (Reader::Fusion, 12),
    ];
    assert_eq!(readers, expected);
    let grown = measured.readers.comparisons.iter().find(|pair| pair.second == Reader::GrownRuler).unwrap();
    assert!(grown.sentence.contains("on the same 12 samples of 6 patients"), "{}", grown.sentence);
    assert!(text(&measured).contains("short axis (grown region)"), "{}", text(&measured));
    let page = fs::read_to_string(place("run").join("report.html")).unwrap();
    assert!(page.contains("network + measures") && page.contains("Beside a ruler"));
    for section in SECTIONS {
        assert!(page.contains(&format!("id=\"{section}\"")), "no section {section}");
    }
    // Both views of every node that is called wrong: there are six of either status, and as many places.
    let is_wrong = |row: &&Prediction| row.metastasis != Some(usize::from(metastasis_probability(&row.pooled) >= 0.5));
    assert_eq!(page.matches("data:image/png;base64").count(), 2 * predictions.iter().filter(is_wrong).count());
    assert!(page.contains("of one group, not stated"), "no scanner is stated");
    assert!(!page.contains("http:") && !page.contains("https:"), "it stands alone");
    assert_eq!(page.matches("<script").count(), 1, "its own");
    check_card(&fs::read_to_string(place("run").join("model-card.md")).unwrap(), &measured);
    assert!(page.contains("Model card") && page.contains("Reporting items"));
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(place("run").join("evaluation.json")).unwrap()).unwrap();
    assert_eq!(json.pointer("/readers/figures/1/reader").unwrap(), "ruler");
    // The run's own validation patients are no place for a fusion that was fitted on them.
    let own =
        evaluate(&place("run"), &place("dataset"), Split::Validation, &EvaluateOptions::default()).unwrap().evaluation;
    assert!(own.readers.fusion.is_none() && own.readers.no_fusion.contains("test split"));
}

#[test]
fn other_schedules_keep_their_best_epoch_and_measures_may_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    dataset::two_views(&place("dataset"), "t");
    let settings = config("schedule.kind = \"cosine\"\nmeasures.targets = []\nvalidate_every = 2\n");
    let summary = train(&place("dataset"), &place("run"), &settings, &Interrupt::new()).unwrap();
    assert!(summary.best_epoch.is_some_and(|epoch| [2, 3].contains(&epoch)), "{summary:?}");
    assert!(!summary.last_losses.contains_key("measures"));
    let epochs = fs::read_to_string(place("run").join("epochs.jsonl")).unwrap();
    let looked: Vec<bool> = epochs.lines().map(|line| !line.contains("\"validation_score\":null")).collect();
    assert_eq!(looked, [false, true, true], "every second epoch, and the last: {epochs}");
}

#[test]
fn inputs_that_the_dataset_lacks_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    dataset::two_views(&folder.path().join("dataset"), "t");
    for (more, key) in [
        ("inputs.far.noise_hu = 1.0\n", "inputs.far"),
        ("crop.noise_hu = 1.0\n", "crop"),
        ("inputs.wide.size = [9, 8, 8]\n", "inputs.wide.size"),
        ("test_symmetries = 16\ninputs.near.symmetries = \"flips\"\n", "test_symmetries"),
        ("measures.targets = [\"suv_max\"]\n", "measures.targets"),
    ] {
        let trunks = "[model.trunks.near]\nsize = \"tiny\"\n[model.trunks.wide]\nsize = \"tiny\"\n";
        let config: TrainConfig = mtids_runtime::config::parse(&format!("{more}{trunks}")).unwrap();
        let run = folder.path().join("run");
        let error = train(&folder.path().join("dataset"), &run, &config.check().unwrap(), &Interrupt::new());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(&format!("`{key}`")), "{key}: {error}");
        assert!(!run.join("run.json").exists(), "nothing is begun");
    }
}
