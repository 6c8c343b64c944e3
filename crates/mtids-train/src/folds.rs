//! Which patients of its dataset a run learns from: those of the splits that were built, or those of one fold of a cross-validation.
//!
//! Invariant: whatever reads the dataset of a run reads it through this module, so that no patient of the fold that is tested is learnt from.

use std::sync::Arc;

use mtids_shards::{CrossValidation, Dataset};

use crate::error::TrainError;
use crate::run_folder::RunFolder;

/// A dataset as a training reads it.
///
/// # Errors
/// [`TrainError::Dataset`] for an index that cannot be read.
pub(crate) fn in_fold(dataset: Dataset, fold: Option<CrossValidation>) -> Result<Arc<Dataset>, TrainError> {
    match fold {
        None => Ok(Arc::new(dataset)),
        Some(fold) => Ok(Arc::new(dataset.in_fold(fold)?)),
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
