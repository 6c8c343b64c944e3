//! `mtids-prep push`.

use std::path::PathBuf;

use crate::copy::{CopyOptions, push};
use clap::Args;
use mtids_runtime::exit::Exit;

use super::common::print;

/// Publish a finished dataset in an S3 bucket
///
/// Files first, the manifest last, and only if nobody else has published there meanwhile. Run again, it uploads what is missing. Credentials and endpoint come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL.
///
/// Example: mtids-prep push dataset s3://bucket/dataset
#[derive(Debug, Args)]
pub(super) struct Push {
    /// Folder of the dataset
    dataset: PathBuf,
    /// Where it is to lie, s3://bucket/prefix
    url: PathBuf,
    /// Files at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
    /// Read what lies there already, and replace what has other bytes
    #[arg(long)]
    reverify: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

impl Push {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let options =
            CopyOptions { parallel: usize::from(self.parallel), reverify: self.reverify, show_progress: true };
        let copied = push(&self.dataset, &self.url, &options)?;
        print(&if self.json { serde_json::to_string_pretty(&copied)? + "\n" } else { copied.text() })?;
        Ok(Exit::Done)
    }
}
