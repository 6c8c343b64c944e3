//! Which patients of its dataset a run learns from: those of the splits that were built, or those of one fold of a cross-validation.
//!
//! A cross-validation of one setting is a folder with a run for each fold: `fold-0`, `fold-1`, …
//!
//! Invariant: whatever reads the dataset of a run reads it through this module, so that no patient of the fold that is tested is learnt from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mtids_report::format::counted;
use mtids_shards::{CrossValidation, Dataset, RowKind};

use crate::error::TrainError;
use crate::fold_folder::fold_folder;
use crate::run_folder::RunFolder;

/// A dataset as a training reads it.
///
/// # Errors
/// [`TrainError::Dataset`] for an index that cannot be read, [`TrainError::Argument`] for more folds than patients.
pub(crate) fn in_fold(dataset: Dataset, fold: Option<CrossValidation>) -> Result<Arc<Dataset>, TrainError> {
    match fold {
        None => Ok(Arc::new(dataset)),
        Some(fold) => {
            let index = dataset.index()?;
            let with_finding = index.iter().filter(|row| row.kind == RowKind::Finding);
            let patients = with_finding.map(|row| row.patient_key.as_str()).collect::<BTreeSet<_>>().len();
            if patients < fold.folds as usize {
                let reason = format!(
                    "{} folds, but {} with a finding",
                    fold.folds,
                    counted(patients as u64, "patient", "patients")
                );
                return Err(TrainError::argument("--folds (cross_validation.folds)", reason));
            }
            Ok(Arc::new(dataset.in_fold(fold)?))
        }
    }
}

/// A dataset as the run in `folder` read it, where it is the run's own. To another one the run's fold means nothing.
///
/// # Errors
/// As [`in_fold`].
pub(crate) fn as_trained(dataset: Dataset, folder: &RunFolder) -> Result<Arc<Dataset>, TrainError> {
    let is_own = folder.identity().dataset_digest == dataset.manifest().digest();
    in_fold(dataset, folder.config().cross_validation.filter(|_| is_own))
}

/// The runs that a folder stands for: itself, or those of all folds of a cross-validation.
///
/// # Errors
/// [`TrainError::Argument`] where a fold is missing or its training has not ended; an error of its run folder.
pub(crate) fn runs_in(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let first = fold_folder(folder, 0);
    if !first.is_dir() {
        return Ok(vec![folder.to_owned()]);
    }
    let config = RunFolder::open(&first)?.config().cross_validation;
    let folds = config.map_or(1, |fold| fold.folds);
    let runs: Vec<PathBuf> = (0..folds).map(|fold| fold_folder(folder, fold)).collect();
    for run in &runs {
        let lacking = match run.is_dir().then(|| RunFolder::open(run)).transpose()? {
            None => Some("it is missing".to_owned()),
            Some(folder) if folder.checkpoints().latest_state()?.is_none() => Some("it has no checkpoint".to_owned()),
            Some(folder) => folder.unfinished()?,
        };
        if let Some(lacking) = lacking {
            let reason =
                format!("not all folds are trained ({}: {lacking}); the same fit finishes them", run.display());
            return Err(TrainError::argument("--run", reason));
        }
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_folds_is_a_run() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(runs_in(folder.path()).unwrap(), [folder.path()]);
        std::fs::create_dir(fold_folder(folder.path(), 0)).unwrap();
        assert!(matches!(runs_in(folder.path()), Err(TrainError::NoRun { .. })));
        // Commands that take one run say what the folder is.
        let one = RunFolder::open(folder.path()).unwrap_err().to_string();
        assert!(one.contains("cross-validation") && one.contains("fold-0"), "{one}");
    }
}
