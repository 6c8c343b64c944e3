//! The calibration of a run: made on the validation patients of its dataset, kept in its folder.
//!
//! Invariant: a file is used for the weights that it names, and for no others.

use std::path::Path;
use std::sync::Arc;

use mtids_runtime::atomic;
use mtids_runtime::digest::Digest;
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{Dataset, Split};

use super::Calibration;
use crate::error::TrainError;
use crate::folds::as_trained;
use crate::fusion::MeasuresReader;
use crate::measured::Dimension;
use crate::network::{Trained, choose_device};
use crate::predict::predict;
use crate::run_folder::RunFolder;

/// File in the run folder.
const FILE: &str = "calibration.json";

impl Calibration {
    /// Reads the calibration of a run; `None` where it has none for these weights.
    ///
    /// # Errors
    /// [`TrainError::Io`], or [`TrainError::Mismatch`] for a file that cannot be used.
    pub fn read(folder: &RunFolder, weights: &Digest) -> Result<Option<Self>, TrainError> {
        let file = folder.file(FILE);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TrainError::io(&file, error)),
        };
        let unusable = |what: String| TrainError::Mismatch {
            reason: format!(
                "is damaged or of another version of this program ({what}); make it again with `mtids-train calibrate --run {}`",
                folder.path().display()
            ),
            path: file.clone(),
        };
        let read: Self = serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        match read.out_of_range() {
            Some(key) => Err(unusable(format!("`{key}` is out of its range"))),
            None => Ok((read.weights == *weights).then_some(read)),
        }
    }

    fn write(&self, folder: &RunFolder) -> Result<(), TrainError> {
        let file = folder.file(FILE);
        let mut json = serde_json::to_vec_pretty(self).map_err(|error| TrainError::io(&file, error.into()))?;
        json.push(b'\n');
        atomic::write(&file, &json).map_err(|error| TrainError::io(&file, error))
    }
}

/// Calibrates the weights of a run on the validation patients of its own dataset, and writes the result into its folder. What is there for these
/// weights already is kept, unless an older version made it, which knew no fusion. The inner result says in words why there is none.
///
/// # Errors
/// [`TrainError`] for a missing run, another dataset than the run's, or damaged data.
pub fn calibrate(
    run: &Path,
    dataset: &Path,
    device: Option<&str>,
    interrupt: &Interrupt,
) -> Result<Result<Calibration, String>, TrainError> {
    let folder = RunFolder::open(run)?;
    let opened = as_trained(mtids_store::open_dataset(dataset)?, &folder)?;
    let manifest = opened.manifest();
    folder.refuse_other_patches(dataset, &manifest.description)?;
    if manifest.digest() != folder.identity().dataset_digest {
        return Err(TrainError::Mismatch {
            path: dataset.to_owned(),
            reason: format!(
                "{} was trained on another dataset, so it is not known whom of these patients it has seen; calibrate with its own",
                run.display()
            ),
        });
    }
    calibrate_opened(&folder, &opened, dataset, device, interrupt)
}

/// As [`calibrate`], with the dataset of the run at hand: at the end of a training, when another may lie in its place.
pub(crate) fn calibrate_opened(
    folder: &RunFolder,
    opened: &Arc<Dataset>,
    path: &Path,
    device: Option<&str>,
    interrupt: &Interrupt,
) -> Result<Result<Calibration, String>, TrainError> {
    let manifest = opened.manifest();
    let device = choose_device(device, &folder.config().device)?;
    let trained = Trained::load(folder, &manifest.description, path, device)?;
    // One that cannot be used is made again.
    if let Ok(Some(calibration)) = Calibration::read(folder, &trained.weights)
        && calibration.tried_fusion()
    {
        return Ok(Ok(calibration));
    }
    if let Some(untold) = Dimension::untold(trained.network.model.tasks()).last() {
        let what = if *untold == Dimension::Region { "region" } else { "status" };
        return Ok(Err(format!("no task of the run tells the {what}")));
    }
    if opened.shards(Split::Validation).next().is_none() {
        return Ok(Err("the dataset has no validation split".to_owned()));
    }
    let mut predictions = predict(&trained.network, opened, Split::Validation, folder.config(), interrupt)?
        .ok_or(TrainError::Interrupted { step: trained.step })?;
    // A run that this one began from may have learnt some of them by heart.
    let all = predictions.len();
    let index = opened.index()?;
    if let Some(trained_on) = folder.trained_on()? {
        let taught = trained_on.taught(&index);
        predictions.retain(|row| !taught.contains(row.patient_key.as_str()));
    }
    let taught = all - predictions.len();
    let reader = MeasuresReader::of_training(&index);
    let chose_epoch = trained.best_on_validation;
    let fitted = Calibration::fit(&predictions, reader, trained.weights, manifest.digest(), chose_epoch);
    let fitted = fitted.map_err(|reason| match taught {
        0 => reason,
        _ => format!("{reason}; {taught} nodes are left out, whose patients the run before this one was trained on"),
    });
    if let Ok(calibration) = &fitted {
        calibration.write(folder)?;
    }
    Ok(fitted)
}
