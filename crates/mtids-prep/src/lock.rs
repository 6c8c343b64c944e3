//! Where a build may write, and who may write there: one whole build, commit or prune alone, or the shares of a job array together.

use std::path::Path;

use mtids_runtime::lock::FolderLock;

use crate::error::PrepError;

/// Refuses to build a dataset in the very folder of its studies: the next build would read it as input.
///
/// # Errors
/// [`PrepError::Config`] where both are one folder.
pub(crate) fn refuse_own_input(studies: &Path, dataset: &Path) -> Result<(), PrepError> {
    match (studies.canonicalize(), dataset.canonicalize()) {
        (Ok(studies), Ok(dataset)) if studies == dataset => Err(PrepError::Config {
            key: "--out".into(),
            reason: format!("{} is the data folder; set --out to another folder", dataset.display()),
        }),
        _ => Ok(()),
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
