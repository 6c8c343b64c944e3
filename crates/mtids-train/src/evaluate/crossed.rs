//! A cross-validation: the runs of all folds, each on the patients that it has not seen.
//!
//! Invariants: a figure is the mean over the folds, for logits of different networks are not ranked together; its interval allows for training sets
//! that overlap. The table of predictions has each patient once, answered by the run that did not see the patient.

use std::path::Path;

use mtids_metrics::{Confusion, auroc, corrected_mean};
use mtids_report::format::{interval, metric};
use mtids_report::table::{Align, Table};
use mtids_runtime::atomic;
use mtids_shards::Split;

use super::{EvaluateOptions, Evaluated, evaluate};
use crate::error::TrainError;
use crate::measured::{Dimension, Evaluation};
use crate::prediction::{Prediction, metastasis_probability, write_csv};
use crate::run_folder::RunFolder;

/// The folds of a cross-validation, evaluated.
#[derive(Clone, Debug)]
pub struct Crossed {
    /// Each fold.
    pub folds: Vec<Evaluation>,
    /// What the terminal shows.
    pub text: String,
}

fn status_auroc(rows: &[Prediction]) -> Option<f64> {
    let pairs = rows.iter().filter_map(|row| Some((metastasis_probability(&row.pooled), row.metastasis? == 1)));
    auroc(&pairs.collect::<Vec<_>>())
}

/// The short axis on the nodes that have one.
fn ruler(rows: &[Prediction]) -> Option<f64> {
    let pairs = rows.iter().filter_map(|row| Some((row.short_axis_mm?, row.metastasis? == 1)));
    auroc(&pairs.collect::<Vec<_>>())
}

fn accuracy(rows: &[Prediction], dimension: Dimension, classes: usize) -> Option<f64> {
    let pairs = rows.iter().filter_map(|row| Some((dimension.truth(row)?, dimension.call(&row.pooled))));
    Confusion::from_pairs(classes, pairs).accuracy()
}

/// A figure of the predictions of a fold.
type Figure<'f> = dyn Fn(&[Prediction]) -> Option<f64> + 'f;

fn table(folds: &[Evaluated]) -> String {
    let regions = folds.first().map_or(0, |fold| fold.evaluation.measured.regions.len());
    let test_to_train = 1.0 / (folds.len().saturating_sub(2).max(1)) as f64;
    let figures: [(&str, &Figure<'_>); 4] = [
        ("status AUROC", &status_auroc),
        ("status AUROC, short axis", &ruler),
        ("region accuracy", &|rows| accuracy(rows, Dimension::Region, regions)),
        ("joint accuracy", &|rows| accuracy(rows, Dimension::Joint, 2 * regions)),
    ];
    let mut table = Table::new([
        ("figure", Align::Left),
        ("mean", Align::Right),
        ("95 % interval", Align::Right),
        ("folds", Align::Right),
    ]);
    for (title, figure) in figures {
        let values: Vec<f64> = folds.iter().filter_map(|fold| figure(&fold.predictions)).collect();
        let Some(effect) = corrected_mean(&values, test_to_train) else { continue };
        let bounds = (effect.interval.low.max(0.0), effect.interval.high.min(1.0));
        table.row([title, &metric(Some(effect.value)), &interval(Some(bounds)), &values.len().to_string()]);
    }
    if table.is_empty() { String::new() } else { table.render() }
}

fn refuse_other_dataset(runs: &[impl AsRef<Path>], dataset: &Path) -> Result<(), TrainError> {
    let digest = mtids_store::open_dataset(dataset)?.manifest().digest();
    for run in runs.iter().map(AsRef::as_ref) {
        if RunFolder::open(run)?.identity().dataset_digest != digest {
            let run = run.display();
            let reason = format!("{run} is a fold of another dataset; judge that run alone: evaluate --run {run}");
            return Err(TrainError::Mismatch { path: dataset.to_owned(), reason });
        }
    }
    Ok(())
}

/// Evaluates the run of every fold on its test patients, and writes `predictions.csv` (all patients) and `evaluation.txt` into `folder`.
///
/// # Errors
/// As [`evaluate`]; [`TrainError::Mismatch`] for another dataset than that of the folds, of whose patients no fold says who has not seen them.
pub fn evaluate_folds(
    folder: &Path,
    runs: &[impl AsRef<Path>],
    dataset: &Path,
    options: &EvaluateOptions,
) -> Result<Crossed, TrainError> {
    refuse_other_dataset(runs, dataset)?;
    let folds = runs
        .iter()
        .map(|run| evaluate(run.as_ref(), dataset, Split::Test, options))
        .collect::<Result<Vec<Evaluated>, _>>()?;
    let (nodes, patients) = folds.iter().fold((0, 0), |(nodes, patients), fold| {
        (nodes + fold.evaluation.measured.samples, patients + fold.evaluation.measured.patients)
    });
    let text = format!(
        "\n  {} folds, {nodes} patches of {patients} patients, each judged by the run that has not seen the patient\n\n{}\
         \n  Intervals are widened because training sets overlap (Nadeau and Bengio 2003). Research software, not for diagnosis.\n",
        folds.len(),
        table(&folds)
    );
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        atomic::write(&path, bytes).map_err(|error| TrainError::io(&path, error))
    };
    let rows: Vec<Prediction> = folds.iter().flat_map(|fold| fold.predictions.iter().cloned()).collect();
    let regions = folds.first().map(|fold| fold.evaluation.measured.regions.clone()).unwrap_or_default();
    let mut csv = Vec::new();
    write_csv(&mut csv, &regions, &rows).map_err(|error| TrainError::io(&folder.join("predictions.csv"), error))?;
    write("predictions.csv", &csv)?;
    write("evaluation.txt", text.as_bytes())?;
    Ok(Crossed { folds: folds.into_iter().map(|fold| fold.evaluation).collect(), text })
}
