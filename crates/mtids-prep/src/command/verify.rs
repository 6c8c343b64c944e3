//! `mtids-prep verify`.

use std::path::PathBuf;

use clap::Args;
use mtids_report::progress::Progress;
use mtids_runtime::exit::Exit;
use mtids_shards::{Dataset, stale_copies, verify};
use serde_json::json;

use super::common::print;

/// Check every digest of a dataset
///
/// Exit code 1 if a file is damaged, or a copy for people is not that of the dataset. A dataset on a server is read as a whole; the local cache is not asked.
///
/// Example: mtids-prep verify dataset
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Folder or URL of the dataset
    dataset: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let dataset = Dataset::open_in(mtids_store::open(&self.dataset)?)?;
        let manifest = dataset.manifest();
        let files = manifest.shards.len() + manifest.files.len();
        let progress = Progress::new("verifying", Some(files as u64), true);
        let damage = verify(&dataset, &|| progress.inc(1));
        let stale = stale_copies(&dataset);
        progress.finish();
        if self.json {
            print(&format!(
                "{:#}\n",
                json!({ "dataset_digest": manifest.digest(), "files": files, "damage": damage, "stale_copies": stale })
            ))?;
        } else if damage.is_empty() {
            print(&format!("{files} files verified; dataset digest {}\n", manifest.digest()))?;
        } else {
            for one in &damage {
                let group = one.row_group.map(|group| format!(", row group {group}")).unwrap_or_default();
                print(&format!("damaged: {}{group}: {}\n", one.path, one.detail))?;
            }
            print("restore these files, or remove them and build the dataset again\n")?;
        }
        if !self.json && !stale.is_empty() {
            print(&format!(
                "not the published copy: {}. Programs do not read these, but people would be told of another dataset; run the same build again, or \
                 `mtids-prep prune`, to renew them\n",
                stale.join(", ")
            ))?;
        }
        Ok(if damage.is_empty() && stale.is_empty() { Exit::Done } else { Exit::Findings })
    }
}
