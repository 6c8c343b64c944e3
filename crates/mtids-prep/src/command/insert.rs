//! `mtids-prep insert`.

use std::path::PathBuf;

use crate::error::PrepError;
use crate::lock::{refuse_below, refuse_product};
use crate::scan::{ScanOptions, scan};
use clap::Args;
use mtids_dicom::{Limits, Series, check_series, group};
use mtids_phantom::{InsertConfig, insert};
use mtids_runtime::config;
use mtids_runtime::exit::{Exit, ExitError};
use mtids_runtime::interrupt::Interrupt;

use super::common::{Settings, pool, print};

/// Insert synthetic nodes into a copy of a real CT
///
/// They test a model on real surroundings. The copy has no identifier of its source, and every header marks it as synthetic.
///
/// Example: mtids-prep insert --data study --out inserted --set nodes=8
#[derive(Debug, Args)]
pub(super) struct Insert {
    /// Folder with one CT series (or several, with --series)
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// SeriesInstanceUID of the CT to use
    #[arg(long, value_name = "UID")]
    series: Option<String>,
    /// Folder to write: dicom/, annotations.csv, truth.json; must be empty or missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

impl Insert {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let config: InsertConfig = config::load(self.settings.config.as_deref(), &self.settings.sets)?;
        refuse_product(&self.out)?;
        refuse_below(&self.data, &self.out)?;
        let limits = Limits::default();
        let pool = pool(None)?;
        let options = ScanOptions { tables: &[], out: None, limits: &limits };
        let (mut scanned, _) = pool.install(|| scan(&self.data, &options, &|| {}, &Interrupt::new()))?;
        let grouped = group(std::mem::take(&mut scanned.headers));
        let usable: Vec<&Series> =
            grouped.series.iter().filter(|one| *one.modality == *"CT" && check_series(one, &limits).is_ok()).collect();
        let wanted = |one: &&&Series| self.series.as_ref().is_none_or(|uid| one.name() == *uid);
        let chosen: Vec<&&Series> = usable.iter().filter(wanted).collect();
        let series = match chosen.as_slice() {
            [one] => one,
            [] => {
                let detail =
                    "no usable CT series, or none with this UID; `mtids-prep inventory` lists the reasons".into();
                return Err(PrepError::Nothing { path: self.data, detail }.into());
            }
            several => {
                let names: Vec<String> = several.iter().map(|one| one.name()).collect();
                return Err(ExitError::usage(format!("choose one with --series: {}", names.join(", "))).into());
            }
        };
        let summary = pool.install(|| insert(series, &limits, &config, &self.out))?;
        print(&format!(
            "{}: {} of {} synthetic nodes inserted\n",
            self.out.display(),
            summary.nodes.len(),
            summary.wanted
        ))?;
        if summary.nodes.len() < summary.wanted {
            print("  no more room in the mediastinal fat of this image\n")?;
        }
        Ok(Exit::Done)
    }
}
