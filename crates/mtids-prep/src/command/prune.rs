//! `mtids-prep prune`.

use std::path::PathBuf;

use crate::prune::prune;
use clap::Args;
use mtids_report::format::counted;
use mtids_runtime::exit::Exit;
use serde_json::json;

use super::common::{mebibytes, print};

/// Remove files that older builds left in a dataset
///
/// A rebuild keeps the files of the older dataset, because a training that began before it still reads them. Prune when no such
/// training runs any more.
///
/// Example: mtids-prep prune dataset --dry-run
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Folder of the dataset
    dataset: PathBuf,
    /// List the files and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Prune {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let found = prune(&self.dataset, self.dry_run)?;
        let size = found.iter().map(|file| file.bytes).sum();
        if self.json {
            print(&format!("{:#}\n", json!({ "removed": !self.dry_run, "files": found, "bytes": size })))?;
            return Ok(Exit::Done);
        }
        for file in &found {
            print(&format!("  {}\n", file.path))?;
        }
        let count = counted(found.len() as u64, "superseded file", "superseded files");
        let what = if self.dry_run { "would be removed" } else { "removed" };
        print(&format!("  {count} {what}, {}\n", mebibytes(size)))?;
        Ok(Exit::Done)
    }
}
