//! Where the run of a fold lies in the folder of a cross-validation.

use std::path::{Path, PathBuf};

/// Folder of one fold.
pub(crate) fn fold_folder(run: &Path, fold: u32) -> PathBuf {
    run.join(format!("fold-{fold}"))
}
