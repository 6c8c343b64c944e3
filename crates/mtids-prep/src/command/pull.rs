//! `mtids-prep pull`.

use std::path::PathBuf;

use crate::copy::{CopyOptions, pull};
use clap::Args;
use mtids_runtime::exit::Exit;

use super::common::print;

/// Copy a dataset from an S3 bucket or a web server into a folder
///
/// Run again, it downloads what is missing or differs; every file is checked by its digest. The folder is a dataset as one that was built there.
///
/// Example: mtids-prep pull s3://bucket/dataset dataset
#[derive(Debug, Args)]
pub(super) struct Pull {
    /// URL of the dataset, s3://bucket/prefix or https://host/path
    url: PathBuf,
    /// Folder to write
    out: PathBuf,
    /// Files at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

impl Pull {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        // What lies in a folder is cheap to read: it is always checked.
        let options = CopyOptions { parallel: usize::from(self.parallel), reverify: true, show_progress: true };
        let copied = pull(&self.url, &self.out, &options)?;
        print(&if self.json { serde_json::to_string_pretty(&copied)? + "\n" } else { copied.text() })?;
        Ok(Exit::Done)
    }
}
