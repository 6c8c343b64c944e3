//! Evaluation: the weights that a run ended with on the held-out patients, with everything that is written about it.
//!
//! Writes `evaluation.json`, `evaluation.txt` (the table of the terminal), `predictions.csv`, `report.html` and `model-card.md` into
//! the run folder; for a dataset that is not the run's, into a folder of its own there.

mod crossed;
mod output;
mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mtids_metrics::BootstrapOptions;
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{Dataset, Manifest, RowLabels, Split};

use crate::calibration::Calibration;
use crate::config::ValidConfig;
use crate::coverage::Coverage;
use crate::error::TrainError;
use crate::evaluation::measure;
use crate::folds::as_trained;
use crate::fusion::{Fusion, MeasuresReader};
use crate::measured::{Dimension, Evaluation};
use crate::network::{Network, Trained, choose_device};
use crate::operating::Operating;
use crate::predict::predict;
use crate::prediction::Prediction;
use crate::readers::compare;
use crate::reliability::bins;
use crate::run_folder::{RunFolder, TrainedOn};
use crate::seen::SeenPatients;
use crate::subgroups::Subgroups;

pub use crossed::{Crossed, evaluate_folds};
use output::Origin;
pub use text::text;

/// What an evaluation does otherwise than the run's record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluateOptions {
    /// Device, instead of the one on record.
    pub device: Option<String>,
    /// Resamples of the bootstrap, instead of those on record.
    pub bootstrap_resamples: Option<usize>,
    /// Folder for the files, in the place of that of the run.
    pub out: Option<PathBuf>,
}

/// What the network says about the rows of a split, beside the figures made of it.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The figures.
    pub evaluation: Evaluation,
    /// The rows, without patients that are left out.
    pub predictions: Vec<Prediction>,
    /// Where the files are.
    pub folder: PathBuf,
}

/// Evaluates a run on a split and writes the results, into its folder unless asked otherwise. Patients that the run was trained on are left out of the figures, unless
/// the split is the run's own ([`crate::seen`]).
///
/// # Errors
/// [`TrainError`] for a missing run, a dataset with other regions or patches, damaged data, or a split all of whose patients were seen.
pub fn evaluate(run: &Path, dataset: &Path, split: Split, options: &EvaluateOptions) -> Result<Evaluated, TrainError> {
    let folder = RunFolder::open(run)?;
    let config = folder.config();
    let opened = as_trained(mtids_store::open_dataset(dataset)?, &folder)?;
    let description = opened.manifest().description.clone();
    folder.refuse_other_patches(dataset, &description)?;
    let index = opened.index()?;
    let (seen, recorded) = acquaintance(&folder, dataset, opened.manifest(), &index, split)?;
    let is_recorded = recorded.is_some();
    // Without a record, the dataset at hand is the only one whose majority class is known.
    let trained_on = recorded.unwrap_or_else(|| TrainedOn::of(opened.manifest(), &index));
    let device = choose_device(options.device.as_deref(), &config.device)?;
    let Trained { network, step, best_on_validation, weights } = Trained::load(&folder, &description, dataset, device)?;
    let uninterrupted = Interrupt::new();
    let mut predictions =
        predict(&network, &opened, split, config, &uninterrupted)?.ok_or(TrainError::Interrupted { step })?;
    predictions.retain(|row| !seen.leaves_out(&row.patient_key));
    let regions: Vec<String> = description.regions.regions().iter().map(|region| region.name.clone()).collect();
    let tasks: Vec<String> = network.model.tasks().tasks().iter().map(|task| task.name.clone()).collect();
    let untold = Dimension::untold(network.model.tasks());
    let training = trained_on.labels.clone();
    let bootstrap = BootstrapOptions {
        resamples: options.bootstrap_resamples.unwrap_or(config.bootstrap_resamples),
        seed: config.seed,
    };
    let calibration = Calibration::read(&folder, &weights)?;
    let is_own = |calibration: &Calibration| calibration.dataset == opened.manifest().digest();
    // The run's own fusion is the answer that is judged, on any dataset; where nobody tried one, one is fitted for the table.
    let fusion = match calibration.as_ref().filter(|one| one.tried_fusion() && split == Split::Test) {
        Some(Calibration { fusion: Some(fusion), .. }) => Ok(fusion.clone()),
        Some(calibration) if is_own(calibration) => Err(calibration.no_fusion.clone()),
        _ => fusion(&network, &opened, &index, split, config, &trained_on, &folder)?,
    };
    let readers = compare(&predictions, fusion, bootstrap);
    // Nothing is claimed of patients that any part of it was fitted on.
    let saw = |one: &Calibration| {
        is_own(one) && (split == Split::Validation || split == Split::Train && one.fusion.is_some())
    };
    let calibration = calibration.filter(|calibration| !saw(calibration));
    let coverage = calibration.as_ref().and_then(|one| Coverage::of(one, &predictions, bootstrap));
    let operating = calibration.as_ref().and_then(|one| Operating::of(one, &predictions, bootstrap));
    let reliability = calibration.as_ref().map(|one| bins(one, &predictions, bootstrap)).unwrap_or_default();
    let subgroups = Subgroups::of(&regions, &predictions, calibration.as_ref(), bootstrap);
    let evaluation = Evaluation {
        split,
        fold: config.cross_validation.filter(|_| opened.deal_digest().is_some()),
        dataset_digest: opened.manifest().digest(),
        config_digest: folder.identity().config_digest,
        step,
        best_on_validation,
        symmetries: network.transform.averaged(),
        architecture: network.model.architecture(),
        balancer: config.balancer.method().to_owned(),
        measured: measure(&regions, &tasks, &untold, &predictions, &training, bootstrap),
        seen,
        training,
        readers,
        coverage,
        operating,
        reliability,
        subgroups,
    };
    let origin = Origin {
        out: options.out.as_deref(),
        folder: &folder,
        weights: &weights,
        trained_on: Some(&trained_on).filter(|_| is_recorded),
        calibration: calibration.as_ref(),
        dataset: &opened,
        index: &index,
    };
    let folder = output::write(&origin, &evaluation, &predictions)?;
    Ok(Evaluated { evaluation, predictions, folder })
}

/// The fusion of network and measures: the measures weighed on the training patients of the dataset, both answers on its validation patients whom
/// the run was not trained on. Otherwise why there is none.
fn fusion(
    network: &Network,
    dataset: &Arc<Dataset>,
    index: &[RowLabels],
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
    let reader = match MeasuresReader::of_training(index) {
        Ok(reader) => reader,
        Err(reason) => return Ok(Err(reason)),
    };
    let uninterrupted = Interrupt::new();
    let mut rows = predict(network, dataset, Split::Validation, config, &uninterrupted)?.unwrap_or_default();
    let manifest = dataset.manifest();
    if folder.identity().dataset_digest != manifest.digest() {
        let seen =
            SeenPatients::find(Some(trained_on), &manifest.pseudonym_fingerprint, false, Split::Validation, index);
        rows.retain(|row| !seen.leaves_out(&row.patient_key));
    }
    let taught = trained_on.taught(index);
    rows.retain(|row| !taught.contains(row.patient_key.as_str()));
    Ok(Fusion::fit(reader, &rows))
}

/// Which patients of the split the run has seen, and what it was trained on where that is on record; told to the user before anything is computed.
fn acquaintance(
    folder: &RunFolder,
    path: &Path,
    manifest: &Manifest,
    index: &[RowLabels],
    split: Split,
) -> Result<(SeenPatients, Option<TrainedOn>), TrainError> {
    let own = folder.identity().dataset_digest == manifest.digest();
    // The record comes first, on the run's own dataset too: it also names whom a run had seen that this one began from.
    let recorded = folder.trained_on()?.or_else(|| own.then(|| TrainedOn::of(manifest, index)));
    let seen = SeenPatients::find(recorded.as_ref(), &manifest.pseudonym_fingerprint, own, split, index);
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
    Ok((seen, recorded))
}
