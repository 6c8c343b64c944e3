//! `mtids-prep build`.

use std::path::PathBuf;

use clap::Args;
use mtids_core::config;
use mtids_core::exit::Exit;
use mtids_core::interrupt::Interrupt;
use mtids_prep::build::{BuildSummary, build};
use mtids_prep::classes::ClassFile;
use mtids_prep::config::BuildConfig;
use mtids_report::format::counted;
use mtids_report::table::{Align, Table};

use super::{Settings, pool, print};

/// Build a dataset, or complete one that was interrupted: the same command, the same bytes.
///
/// Example: mtids-prep build --data studies --annotations nodes.csv --out dataset --set pseudonym.key_file=project.key
#[derive(Debug, Args)]
pub(super) struct Build {
    /// Folder with DICOM files, in any layout
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Findings: a table (CSV, TSV or Parquet, see schemas/annotation-table.json), a mask (NIfTI, NRRD),
    /// or a folder of PASCAL VOC boxes; repeatable
    #[arg(long, value_name = "FILE")]
    annotations: Vec<PathBuf>,
    /// What names and codes of findings mean: rules (TOML, [[class]]) that go before those of the configuration
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// Folder of the dataset
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Worker threads; the bytes do not depend on it [default: one per processor]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Build {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let mut config: BuildConfig = config::load(self.settings.config.as_deref(), &self.settings.sets)?;
        if self.data.is_some() {
            config.data = self.data;
        }
        config.annotations.extend(self.annotations);
        if let Some(path) = &self.classes {
            let rules: ClassFile = config::load(Some(path), &[])?;
            config.classes.splice(0..0, rules.classes);
        }
        let interrupt = Interrupt::install()?;
        let pool = pool(self.workers)?;
        let summary = pool.install(|| build(&config, &self.out, &interrupt, true))?;
        if self.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&summary)?))?;
        } else {
            print(&text(&summary, &self.out.display().to_string()))?;
        }
        Ok(if summary.over_quarantine_limit { Exit::Findings } else { Exit::Done })
    }
}

fn text(summary: &BuildSummary, out: &str) -> String {
    let totals = &summary.totals;
    let mut table = Table::new([
        ("region", Align::Left),
        ("status", Align::Left),
        ("train", Align::Right),
        ("validation", Align::Right),
        ("test", Align::Right),
    ]);
    let pairs: std::collections::BTreeSet<(&str, &str)> =
        summary.counts.iter().map(|(region, status, _, _)| (region.as_str(), status.as_str())).collect();
    for (region, status) in pairs {
        let count = |split: &str| {
            let of = summary.counts.iter().find(|(r, s, p, _)| r == region && s == status && p == split);
            of.map_or(0, |(_, _, _, n)| *n).to_string()
        };
        table.row([region.to_owned(), status.to_owned(), count("train"), count("validation"), count("test")]);
    }
    let mut text = format!(
        "\n{}\n  {} of {} in {} ({} taken over)\n  {}: {} used, {} skipped, {} quarantined\n",
        table.render(),
        counted(totals.rows, "patch", "patches"),
        counted(totals.patients, "patient", "patients"),
        counted(summary.shards as u64, "shard", "shards"),
        summary.reused_shards,
        counted(totals.inputs, "file", "files"),
        totals.used,
        totals.skipped,
        totals.quarantined
    );
    for (reason, count) in &totals.quarantined_by_reason {
        text.push_str(&format!("    quarantined: {count} {reason}\n"));
    }
    if totals.unmatched_findings > 0 {
        text.push_str(&format!("  {} findings point at no image here\n", totals.unmatched_findings));
    }
    if summary.contradicting_labels > 0 {
        text.push_str(&format!("  {} labels contradict each other and became unknown\n", summary.contradicting_labels));
    }
    if summary.over_quarantine_limit {
        text.push_str("  more was quarantined than max_quarantine allows: exit code 1 (see quarantine.jsonl; file names are in the log above)\n");
    }
    text.push_str(&format!("  dataset {out}, digest {}\n", summary.dataset_digest.short()));
    text
}
