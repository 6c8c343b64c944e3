//! `mtids-train inspect`.

use std::path::PathBuf;

use crate::inspect::{inspect, text};
use clap::Args;

use super::common::print;

/// Show what a run is: origin, tasks, views, parameters
///
/// The dataset is not needed.
///
/// Example: mtids-train inspect --run run
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Folder of the run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// List every tensor with its shape
    #[arg(long)]
    all: bool,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let inspection = inspect(&self.run)?;
        if self.json {
            return print(&format!("{}\n", serde_json::to_string_pretty(&inspection)?));
        }
        print(&text(&inspection, self.all))
    }
}
