//! `mtids-prep phantom`.

use std::path::PathBuf;

use clap::Args;
use mtids_core::config;
use mtids_core::exit::Exit;
use mtids_core::interrupt::Interrupt;
use mtids_phantom::{PhantomConfig, generate};
use mtids_report::format::metric;
use mtids_report::progress::Progress;

use super::{Settings, print};

/// Write a cohort of synthetic studies with known truth.
///
/// Example: mtids-prep phantom --out cohort --set patients=20
#[derive(Debug, Args)]
pub(super) struct Phantom {
    /// Folder of the cohort: dicom/, annotations.csv, truth.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

impl Phantom {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let config: PhantomConfig = config::load(self.settings.config.as_deref(), &self.settings.sets)?;
        config.validate()?;
        let interrupt = Interrupt::install()?;
        let progress = Progress::new("phantom studies", Some(u64::from(config.patients)), true);
        let summary = generate(&config, &self.out, &|_| progress.inc(1), &interrupt)?;
        progress.finish();
        print(&format!(
            "{}: {} synthetic patients, {} nodes, {} metastatic; best possible AUROC {} (size alone {})\n",
            self.out.display(),
            summary.patients,
            summary.nodes,
            summary.metastatic,
            metric(summary.oracle_auroc),
            metric(summary.short_axis_auroc)
        ))?;
        Ok(Exit::Done)
    }
}
