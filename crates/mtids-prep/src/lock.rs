//! Where a build may write, and who may write there: one whole build, commit or prune alone, or the shares of a job array together.

use std::path::Path;

use mtids_runtime::lock::FolderLock;
use mtids_runtime::product::{Product, refusal_of_any, resolved};

use mtids_shards::{INDEX, MANIFEST};

use crate::error::PrepError;
use crate::record::WORK;

/// Plain names under which a build writes copies of a dataset's files.
pub(crate) const PLAIN_NAMES: [&str; 6] =
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
        _ => refuse_no_place(dataset, "--out"),
    }
}

/// Refuses a folder in which a dataset would replace what is not its own: of a run or an answer, inside a product, or with files of somebody else.
/// `argument` names it.
///
/// # Errors
/// [`PrepError::Config`] for such a folder.
pub(crate) fn refuse_no_place(dataset: &Path, argument: &str) -> Result<(), PrepError> {
    match Product::Dataset.place_refusal(dataset) {
        Some(reason) => Err(PrepError::Config { key: argument.into(), reason }),
        None => refuse_foreign(dataset, argument),
    }
}

/// Refuses a folder for studies that is a dataset, a run or an answer, or lies inside one.
///
/// # Errors
/// [`PrepError::Config`] for such a folder.
pub(crate) fn refuse_product(studies: &Path) -> Result<(), PrepError> {
    let refused = |reason| Err(PrepError::Config { key: "--out".into(), reason });
    refusal_of_any(studies).map_or(Ok(()), refused)
}

/// Refuses a folder for studies below the one that they are made of, which would hold them together from then on.
///
/// # Errors
/// [`PrepError::Config`] for such a folder.
pub(crate) fn refuse_below(studies: &Path, out: &Path) -> Result<(), PrepError> {
    match (resolved(studies), resolved(out)) {
        (Some(studies), Some(place)) if place.starts_with(&studies) => Err(PrepError::Config {
            key: "--out".into(),
            reason: format!("{} lies in the folder of --data; give a folder outside of it", out.display()),
        }),
        _ => Ok(()),
    }
}

/// Refuses a folder without a dataset, begun or whole, that holds files under the plain names of one: a build would replace them.
fn refuse_foreign(dataset: &Path, argument: &str) -> Result<(), PrepError> {
    if dataset.join(MANIFEST).exists() || dataset.join(WORK).exists() {
        return Ok(());
    }
    let foreign = PLAIN_NAMES.into_iter().find(|name| dataset.join(name).exists());
    foreign.map_or(Ok(()), |name| {
        Err(PrepError::Config {
            key: argument.into(),
            reason: format!(
                "{} holds a file {name} and no dataset, and this command would replace it; give another folder",
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn refused(result: Result<(), PrepError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_dataset_replaces_nothing_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        refuse_no_place(&out, "OUT").unwrap();
        fs::create_dir_all(out.join("shards")).unwrap();
        fs::write(out.join("README.md"), "my thesis").unwrap();
        assert!(refused(refuse_no_place(&out, "OUT")).contains("`OUT`"));
        fs::write(out.join(MANIFEST), "{}").unwrap();
        refuse_no_place(&out, "OUT").unwrap();
        let inside = out.join("shards/mine");
        assert!(refused(refuse_no_place(&inside, "--out")).contains("lies inside a dataset"));
        assert!(refused(refuse_own_input(folder.path(), &inside)).contains("lies inside a dataset"));
        for place in [&inside, &out] {
            assert!(refused(refuse_product(place)).contains("a dataset"));
        }
        fs::remove_file(out.join("README.md")).unwrap();
        fs::write(out.join("run.json"), "{}").unwrap();
        assert!(refused(refuse_no_place(&out, "OUT")).contains("a run"));
    }

    #[test]
    fn studies_are_not_made_among_those_they_come_from() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        for below in [data.clone(), data.join("x/y"), folder.path().join("data/../data/x")] {
            assert!(refused(refuse_below(&data, &below)).contains("--data"));
        }
        refuse_below(&data, &folder.path().join("data-2")).unwrap();
        refuse_below(&data, folder.path()).unwrap();
    }
}
