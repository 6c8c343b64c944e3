//! Evaluation: the weights that a run ended with on the held-out patients, with everything that is written about it.
//!
//! Writes `evaluation.json`, `evaluation.txt` (the table of the terminal), `predictions.csv` and `report.html` into the run folder.

use std::path::Path;
use std::sync::Arc;

use mtids_metrics::BootstrapOptions;
use mtids_models::Architecture;
use mtids_report::format::{interval, metric, signed, signed_interval};
use mtids_report::table::{Align, Table};
use mtids_runtime::atomic;
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{Dataset, Split};

use crate::calibration::Calibration;
use crate::config::ValidConfig;
use crate::coverage::Coverage;
use crate::error::TrainError;
use crate::evaluation::measure;
use crate::fusion::Fusion;
use crate::measured::Evaluation;
use crate::network::{Network, Trained, choose_device};
use crate::operating::Operating;
use crate::predict::predict;
use crate::prediction::{Prediction, write_csv};
use crate::readers::{Readers, compare, interval_lies};
use crate::report::report;
use crate::run_folder::{RunFolder, TrainedOn};
use crate::seen::SeenPatients;
use mtids_models::PredictionHead;

/// What an evaluation does otherwise than the run's record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluateOptions {
    /// Device, instead of the one on record.
    pub device: Option<String>,
    /// Resamples of the bootstrap, instead of those on record.
    pub bootstrap_resamples: Option<usize>,
}

/// What the network says about the rows of a split, beside the figures made of it.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The figures.
    pub evaluation: Evaluation,
    /// The rows, without patients that are left out.
    pub predictions: Vec<Prediction>,
}

/// Evaluates a run on a split and writes the results into its folder. Patients that the run was trained on are left out of the figures, unless
/// the split is the run's own ([`crate::seen`]).
///
/// # Errors
/// [`TrainError`] for a missing run, a dataset with other regions or patches, damaged data, or a split all of whose patients were seen.
pub fn evaluate(run: &Path, dataset: &Path, split: Split, options: &EvaluateOptions) -> Result<Evaluated, TrainError> {
    let folder = RunFolder::open(run)?;
    let config = folder.config();
    let opened = Arc::new(Dataset::open(dataset)?);
    let description = opened.manifest().description.clone();
    folder.refuse_other_patches(dataset, &description)?;
    let (seen, trained_on) = acquaintance(&folder, dataset, &opened, split)?;
    let device = choose_device(options.device.as_deref(), &config.device)?;
    let Trained { network, step, best_on_validation, weights } = Trained::load(&folder, &description, dataset, device)?;
    let uninterrupted = Interrupt::new();
    let mut predictions =
        predict(&network, &opened, split, config, &uninterrupted)?.ok_or(TrainError::Interrupted { step })?;
    predictions.retain(|row| !seen.leaves_out(&row.patient_key));
    let fusion = fusion(&network, &opened, split, config, &trained_on, &folder)?;
    let regions: Vec<String> = description.regions.regions().iter().map(|region| region.name.clone()).collect();
    let tasks: Vec<String> = network.model.tasks().tasks().iter().map(|task| task.name.clone()).collect();
    let training = trained_on.labels;
    let bootstrap = BootstrapOptions {
        resamples: options.bootstrap_resamples.unwrap_or(config.bootstrap_resamples),
        seed: config.seed,
    };
    let readers = compare(&predictions, fusion, bootstrap);
    let calibration = Calibration::read(&folder, &weights)?;
    let is_own =
        |calibration: &Calibration| split == Split::Validation && calibration.dataset == opened.manifest().digest();
    let calibration = calibration.filter(|calibration| !is_own(calibration));
    let coverage = calibration.as_ref().and_then(|one| Coverage::of(one, &predictions, bootstrap));
    let operating = calibration.as_ref().and_then(|one| Operating::of(one, &predictions, bootstrap));
    let evaluation = Evaluation {
        split,
        dataset_digest: opened.manifest().digest(),
        config_digest: folder.identity().config_digest,
        step,
        best_on_validation,
        symmetries: network.transform.averaged(),
        architecture: network.model.architecture(),
        balancer: config.balancer.method().to_owned(),
        measured: measure(&regions, &tasks, &predictions, &training, bootstrap),
        seen,
        training,
        readers,
        coverage,
        operating,
    };
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.file(name);
        atomic::write(&path, bytes).map_err(|error| TrainError::io(&path, error))
    };
    let mut json = serde_json::to_value(&evaluation).map_err(|error| TrainError::io(run, error.into()))?;
    json.sort_all_objects();
    write("evaluation.json", format!("{json:#}\n").as_bytes())?;
    let mut csv = Vec::new();
    write_csv(&mut csv, &regions, &predictions)
        .map_err(|error| TrainError::io(&folder.file("predictions.csv"), error))?;
    write("predictions.csv", &csv)?;
    write("evaluation.txt", text(&evaluation).as_bytes())?;
    write("report.html", report(&folder, &evaluation)?.as_bytes())?;
    Ok(Evaluated { evaluation, predictions })
}

/// The fusion of network and measures, fitted on the validation patients of the dataset whom the run was not trained on; otherwise why there is
/// none.
fn fusion(
    network: &Network,
    dataset: &Arc<Dataset>,
    split: Split,
    config: &ValidConfig,
    trained_on: &TrainedOn,
    folder: &RunFolder,
) -> Result<Result<Fusion, String>, TrainError> {
    if split != Split::Test {
        return Ok(Err(format!("it is for the test split, and this is the {} split", split.name())));
    }
    if dataset.shards(Split::Validation).next().is_none() {
        return Ok(Err("the dataset has no validation split to fit it on".to_owned()));
    }
    let uninterrupted = Interrupt::new();
    let mut rows = predict(network, dataset, Split::Validation, config, &uninterrupted)?.unwrap_or_default();
    let manifest = dataset.manifest();
    if folder.identity().dataset_digest != manifest.digest() {
        let seen = SeenPatients::find(
            Some(trained_on),
            &manifest.pseudonym_fingerprint,
            false,
            Split::Validation,
            &dataset.index()?,
        );
        rows.retain(|row| !seen.leaves_out(&row.patient_key));
    }
    Ok(Fusion::fit(&rows))
}

/// Which patients of the split the run has seen, and what it was trained on; told to the user before anything is computed.
fn acquaintance(
    folder: &RunFolder,
    path: &Path,
    dataset: &Dataset,
    split: Split,
) -> Result<(SeenPatients, TrainedOn), TrainError> {
    let (manifest, index) = (dataset.manifest(), dataset.index()?);
    let own = folder.identity().dataset_digest == manifest.digest();
    // The run's own dataset says the same as its record.
    let recorded = if own { Some(TrainedOn::of(manifest, &index)) } else { folder.trained_on()? };
    let seen = SeenPatients::find(recorded.as_ref(), &manifest.pseudonym_fingerprint, own, split, &index);
    if seen.leaves_nobody() {
        return Err(TrainError::AllSeen {
            path: path.to_owned(),
            split: split.name(),
            patients: seen.patients_of_split,
            run: folder.path().to_owned(),
        });
    }
    if !seen.sentence.is_empty() {
        tracing::warn!("{}", seen.sentence);
    }
    // Without a record, the dataset at hand is the only one whose majority class is known.
    Ok((seen, recorded.unwrap_or_else(|| TrainedOn::of(manifest, &index))))
}

/// The readers of the status side by side, and what their differences mean.
fn readers_text(readers: &Readers) -> String {
    let mut table = Table::new([
        ("reader of the status", Align::Left),
        ("AUROC", Align::Right),
        ("95 % interval", Align::Right),
        ("n samples", Align::Right),
        ("n patients", Align::Right),
    ]);
    for figure in &readers.figures {
        table.row([
            figure.reader.title().to_owned(),
            metric(figure.auroc),
            interval(figure.interval.as_ref().map(|bounds| (bounds.low, bounds.high))),
            figure.samples.to_string(),
            figure.patients.to_string(),
        ]);
    }
    if table.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}", table.render());
    text.push_str(&differences_text(readers));
    match &readers.fusion {
        Some(fusion) => text.push_str(&format!(
            "  network + measures: a logistic model, fitted on {} samples of {} validation patients\n",
            fusion.samples, fusion.patients
        )),
        None => text.push_str(&format!("  no network + measures: {}\n", readers.no_fusion)),
    }
    text
}

/// One row for each pair of readers; what is not claimed says why below the table.
fn differences_text(readers: &Readers) -> String {
    let mut table = Table::new([
        ("difference on the same samples", Align::Left),
        ("AUROC", Align::Right),
        ("95 % interval", Align::Right),
        ("n samples", Align::Right),
        ("n patients", Align::Right),
        ("interval lies", Align::Left),
    ]);
    let mut silent = String::new();
    for comparison in &readers.comparisons {
        let Some(difference) = &comparison.difference else {
            silent.push_str(&format!("  {}\n", comparison.sentence));
            continue;
        };
        table.row([
            format!("{} − {}", comparison.first.title(), comparison.second.title()),
            signed(Some(difference.value)),
            signed_interval(difference.interval.as_ref().map(|bounds| (bounds.low, bounds.high))),
            comparison.samples.to_string(),
            comparison.patients.to_string(),
            interval_lies(difference).to_owned(),
        ]);
    }
    let table = if table.is_empty() { String::new() } else { format!("\n{}", table.render()) };
    table + &silent
}

/// The table of the terminal: the main figures beside the majority class.
pub fn text(evaluation: &Evaluation) -> String {
    let measured = &evaluation.measured;
    let mut table = Table::new([
        ("dimension", Align::Left),
        ("metric", Align::Left),
        (evaluation.architecture.title(), Align::Right),
        ("95 % interval", Align::Right),
        ("majority class", Align::Right),
        ("n samples", Align::Right),
        ("n patients", Align::Right),
    ]);
    let pooled = measured.heads.iter().find(|head| head.head == PredictionHead::Pooled);
    for figure in pooled.map(|head| head.figures.as_slice()).unwrap_or_default() {
        if matches!(figure.metric, "accuracy" | "macro-F1" | "AUROC" | "sensitivity" | "specificity") {
            table.row([
                figure.dimension.name().to_owned(),
                figure.metric.to_owned(),
                metric(figure.value),
                interval(figure.interval.as_ref().map(|bounds| (bounds.low, bounds.high))),
                metric(figure.majority),
                figure.samples.to_string(),
                figure.patients.to_string(),
            ]);
        }
    }
    let mut text = String::new();
    if !evaluation.seen.sentence.is_empty() {
        text.push_str(&format!("\n  warning: {}\n", evaluation.seen.sentence));
    }
    text.push_str(&format!(
        "\n  {} split, {} patches of {} patients\n",
        evaluation.split.name(),
        measured.samples,
        measured.patients
    ));
    if !table.is_empty() {
        text.push('\n');
        text.push_str(&table.render());
    }
    for claim in measured.claims.iter().filter(|claim| !claim.claimed) {
        text.push_str(&format!("  {}\n", claim.sentence));
    }
    text.push_str(&readers_text(&evaluation.readers));
    if let Some(coverage) = &evaluation.coverage {
        text.push('\n');
        coverage.sentences().iter().for_each(|sentence| text.push_str(&format!("  {sentence}\n")));
    }
    if let Some(operating) = &evaluation.operating {
        text.push_str(&format!("\n{}", operating.text()));
    }
    let what = match evaluation.architecture {
        Architecture::MtIds => "A reconstruction of MT-IDS from its abstract.".to_owned(),
        baseline => format!("{}, a baseline for MT-IDS.", baseline.title()),
    };
    text.push_str(&format!("\n  {what} Research software, not for diagnosis.\n"));
    text
}
