//! Where a comparison finds and leaves its files.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where things are.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Folder of the comparison: its runs and results.
    pub out: PathBuf,
    /// Folder of the records; they may be committed.
    pub records: PathBuf,
    /// Folders of the datasets by name.
    pub datasets: BTreeMap<String, PathBuf>,
}
