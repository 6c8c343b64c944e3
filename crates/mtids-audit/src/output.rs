//! Where results go: into a folder beside the dataset, never into it, and without what an earlier run left there.

use std::path::{Path, PathBuf};

use mtids_runtime::atomic;
use mtids_runtime::exit::ExitError;
use mtids_shards::MANIFEST;

use crate::error::AuditError;

/// Refuses a folder for results that is a dataset's own, or lies in it: a dataset holds what its manifest names and nothing else.
///
/// # Errors
/// [`ExitError`] of wrong use, which names both folders.
pub(crate) fn refuse_inside(out: &Path, datasets: &[&Path]) -> Result<(), ExitError> {
    let place = real(out);
    for dataset in datasets {
        let local = dataset.to_str().and_then(|text| text.strip_prefix("file://")).map_or(*dataset, Path::new);
        // Of a folder without a dataset whoever opens it says so.
        let is_local = !mtids_store::is_remote(dataset) && local.join(MANIFEST).exists();
        if is_local && place.starts_with(real(local)) {
            let (out, dataset) = (out.display(), dataset.display());
            return Err(ExitError::usage(format!(
                "--out {out} lies in the dataset {dataset}, which would not be as published any more; give a folder beside it"
            )));
        }
    }
    Ok(())
}

/// A path without links as far as it exists; the rest is taken as it is written.
fn real(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let resolved = whole.ancestors().find_map(|part| {
        let rest = whole.strip_prefix(part).ok()?;
        Some(part.canonicalize().ok()?.join(rest))
    });
    resolved.unwrap_or(whole)
}

/// Writes files into a folder, each whole or not at all.
pub(crate) fn write(out: &Path, files: &[(&str, &[u8])]) -> Result<(), AuditError> {
    std::fs::create_dir_all(out).map_err(|source| AuditError::Write { path: out.to_owned(), source })?;
    for (name, content) in files {
        let path = out.join(name);
        atomic::write(&path, content).map_err(|source| AuditError::Write { path, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::exit::Exit;

    #[test]
    fn results_go_beside_a_dataset_and_never_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = folder.path().join("dataset");
        std::fs::create_dir(&dataset).unwrap();
        assert!(refuse_inside(&dataset, &[&dataset]).is_ok(), "there is no dataset yet");
        std::fs::write(dataset.join(MANIFEST), "{}").unwrap();
        let refused = |out: &Path| refuse_inside(out, &[&dataset]).err();
        let error = refused(&dataset.join("audit/new")).unwrap();
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.message.contains("beside it") && error.message.contains("audit/new"), "{error}");
        assert!(refused(&dataset).is_some() && refused(&dataset.join("../dataset/audit")).is_some());
        assert!(refused(folder.path()).is_none() && refused(&folder.path().join("dataset-audit")).is_none());
        // By a link, and by a URL of the dataset.
        #[cfg(unix)]
        {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink(&dataset, &link).unwrap();
            assert!(refused(&link.join("audit")).is_some());
        }
        let url = PathBuf::from(format!("file://{}", dataset.display()));
        assert!(refuse_inside(&dataset, &[&url]).is_err() && refuse_inside(folder.path(), &[&url]).is_ok());
        assert!(refuse_inside(&dataset, &[Path::new("s3://bucket/dataset")]).is_ok());
    }
}
