//! Where a build may write, and who may write there: one whole build, commit or prune alone, or the shares of a job array together.

use std::path::Path;

use mtids_runtime::lock::FolderLock;
use mtids_runtime::product::Product;

use crate::error::PrepError;

/// Refuses to build a dataset in the very folder of its studies, which the next build would read as input, or in that of a run or an answer.
///
/// # Errors
/// [`PrepError::Config`] for such a folder.
pub(crate) fn refuse_own_input(studies: &Path, dataset: &Path) -> Result<(), PrepError> {
    match (studies.canonicalize(), dataset.canonicalize()) {
        (Ok(studies), Ok(dataset)) if studies == dataset => Err(PrepError::Config {
            key: "--out".into(),
            reason: format!("{} is the data folder; set --out to another folder", dataset.display()),
        }),
        _ => match Product::Dataset.refusal(dataset) {
            Some(reason) => Err(PrepError::Config { key: "--out".into(), reason }),
            None => Ok(()),
        },
    }
}

/// Locks `dataset` against every other writer.
///
/// # Errors
/// [`PrepError::Lock`] at once while another process holds it.
pub(crate) fn lock_alone(dataset: &Path, purpose: &str) -> Result<FolderLock, PrepError> {
    Ok(reported(FolderLock::exclusive(dataset, purpose)?))
}

/// Locks `dataset` against whole builds, commits and prunes, together with other shares.
///
/// # Errors
/// [`PrepError::Lock`] at once while another process holds it alone.
pub(crate) fn lock_with_others(dataset: &Path, purpose: &str) -> Result<FolderLock, PrepError> {
    Ok(reported(FolderLock::shared(dataset, purpose)?))
}

/// Tells the operator where the file system has no locks; the work goes on.
fn reported(lock: FolderLock) -> FolderLock {
    if let Some(reason) = lock.unsupported() {
        tracing::warn!(
            "this file system has no locks ({reason}): make sure that no other process writes into the dataset"
        );
    }
    lock
}
