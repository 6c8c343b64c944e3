//! Where a build may write, and who may write there: one whole build, commit or prune alone, or the shares of a job array together.

use std::path::Path;

use mtids_runtime::lock::FolderLock;
use mtids_runtime::product::Product;

use mtids_shards::{INDEX, MANIFEST};

use crate::error::PrepError;
use crate::record::WORK;

/// Plain names under which a build writes copies of a dataset's files.
const PLAIN_NAMES: [&str; 6] =
    [INDEX, "README.md", "croissant.json", "config.resolved.toml", "quarantine.jsonl", "corrections.jsonl"];

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
            None => refuse_foreign(dataset),
        },
    }
}

/// Refuses a folder without a dataset, begun or whole, that holds files under the plain names of one: a build would replace them.
fn refuse_foreign(dataset: &Path) -> Result<(), PrepError> {
    if dataset.join(MANIFEST).exists() || dataset.join(WORK).exists() {
        return Ok(());
    }
    let foreign = PLAIN_NAMES.into_iter().find(|name| dataset.join(name).exists());
    foreign.map_or(Ok(()), |name| {
        Err(PrepError::Config {
            key: "--out".into(),
            reason: format!(
                "{} holds a file {name} and no dataset, and a build would replace it; give another folder",
                dataset.display()
            ),
        })
    })
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
