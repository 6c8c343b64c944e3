//! `mtids-prep phantom`.

use std::path::PathBuf;

use crate::lock::refuse_product;
use clap::Args;
use mtids_phantom::{CohortSummary, PhantomConfig, generate};
use mtids_report::format::metric;
use mtids_report::progress::Progress;
use mtids_report::table::{Align, Table};
use mtids_runtime::config;
use mtids_runtime::exit::Exit;
use mtids_runtime::interrupt::Interrupt;

use super::common::{Settings, print};

/// Write a cohort of synthetic studies with known truth
///
/// Example: mtids-prep phantom --out cohort --set patients=20
#[derive(Debug, Args)]
pub(super) struct Phantom {
    /// Folder of the cohort: dicom/, masks/, annotations.csv, truth.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

impl Phantom {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let config: PhantomConfig = config::load(self.settings.config.as_deref(), &self.settings.sets)?;
        config.validate()?;
        refuse_product(&self.out)?;
        let interrupt = Interrupt::install()?;
        let progress = Progress::new("phantom studies", Some(u64::from(config.patients)), true);
        let summary = generate(&config, &self.out, &|_| progress.inc(1), &interrupt)?;
        progress.finish();
        print(&format!("{}: {}", self.out.display(), words(&summary)))?;
        Ok(Exit::Done)
    }
}

/// What an operator wants to know of a cohort: a sentence, nodes by station, and how far readers of the truth and of the voxels come.
fn words(summary: &CohortSummary) -> String {
    let list = |counts: Vec<String>| if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    let counted = |name: &str, count: usize| format!("{name} {count}");
    let mut stations = Table::new([("station", Align::Left), ("benign", Align::Right), ("metastatic", Align::Right)]);
    for (station, [benign, metastatic]) in &summary.stations {
        stations.row([station.clone(), benign.to_string(), metastatic.to_string()]);
    }
    let mut readers = Table::new([("reader of the status", Align::Left), ("AUROC of metastasis", Align::Right)]);
    for (reader, auroc) in [
        ("exact posterior given the whole patient", summary.oracle_in_patient_auroc),
        ("exact posterior given the node and its station", summary.oracle_auroc),
        ("logistic regression on its features", summary.logistic_auroc),
        ("fixed statistics of the voxels", summary.voxel_reader_true_auroc),
        ("short axis alone", summary.short_axis_auroc),
    ] {
        readers.row([reader.to_owned(), metric(auroc)]);
    }
    format!(
        "{} synthetic patients, {} nodes, {} metastatic\n  N categories: {}\n  labels as: {}\n  with PET: {}; with defects: {}\n\n{}\n{}",
        summary.patients,
        summary.nodes,
        summary.metastatic,
        list(summary.n_categories.iter().map(|(name, count)| counted(name, *count)).collect()),
        list(summary.forms.iter().map(|(form, count)| counted(form.name(), *count)).collect()),
        summary.pet,
        list(summary.defects.iter().map(|(defect, count)| counted(defect.name(), *count)).collect()),
        stations.render(),
        readers.render(),
    )
}
