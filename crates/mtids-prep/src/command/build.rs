//! `mtids-prep build` and `mtids-prep commit`.

use std::path::PathBuf;

use crate::build::{Run, build, build_share, commit, dry_run};
use crate::config::{BuildConfig, CheckedConfig};
use crate::error::PrepError;
use crate::rejects;
use crate::summary::{BuildSummary, DryRun, TaskSummary, view_words};
use clap::Args;
use mtids_annotations::ClassFile;
use mtids_report::format::counted;
use mtids_report::table::{Align, Table};
use mtids_runtime::config;
use mtids_runtime::exit::{Exit, ExitError};
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::task::{Task, array_variable};
use serde::Serialize;

use super::common::{MAX_WORKERS, Settings, mebibytes, pool, print};

/// Options of `build` and `commit`.
#[derive(Debug, Args)]
struct Input {
    /// Folder with DICOM files, in any layout
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Annotations: a table (CSV, TSV, Excel or Parquet, see schemas/annotation-table.json), a mask (NIfTI, NRRD),
    /// or a folder of masks or PASCAL VOC boxes; repeatable
    #[arg(long, value_name = "FILE")]
    annotations: Vec<PathBuf>,
    /// Rules that map names and codes to labels (TOML, [[class]]), before those of the configuration
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// Table of corrected labels (CSV: finding, dimension, old, new, by, why); refused where `old` does not fit
    #[arg(long, value_name = "FILE")]
    corrections: Option<PathBuf>,
    /// Folder of the dataset
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// List every annotation entry that gave no finding, as CSV with file, line, reason and cure; outside the dataset
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Worker threads; the output does not depend on it [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=MAX_WORKERS))]
    workers: Option<u16>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// Print timings per stage
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Build a dataset, or continue an interrupted build
///
/// The result of both is the same, byte for byte. As one task of a job array (--task-index and --task-count, or --task-from-env) it does its share and publishes nothing;
/// `commit` does. Only one build at a time may write into a folder.
///
/// Example: mtids-prep build --data studies --annotations nodes.csv --out dataset --set pseudonym.key_file=project.key
#[derive(Debug, Args)]
pub(super) struct Build {
    #[command(flatten)]
    input: Input,
    /// Print what would be done; write nothing but --rejects
    #[arg(long, conflicts_with_all = ["task_index", "task_count", "task_from_env"])]
    dry_run: bool,
    /// Share of this task, from 0
    #[arg(long, value_name = "I", conflicts_with = "task_from_env")]
    task_index: Option<usize>,
    /// Number of tasks
    #[arg(long, value_name = "N")]
    task_count: Option<usize>,
    /// Take the share from the scheduler: SLURM_ARRAY_TASK_ID and _COUNT, or JOB_COMPLETION_INDEX with --task-count
    #[arg(long)]
    task_from_env: bool,
}

/// Publish a dataset that a job array has built
///
/// Takes the same settings as `build`.
///
/// Example: mtids-prep commit --data studies --annotations nodes.csv --out dataset --set pseudonym.key_file=project.key
#[derive(Debug, Args)]
pub(super) struct Commit {
    #[command(flatten)]
    input: Input,
}

impl Input {
    /// The resolved configuration, checked; and whether what is written beside the dataset may be.
    fn config(&self) -> anyhow::Result<CheckedConfig> {
        let mut config: BuildConfig = config::load(self.settings.config.as_deref(), &self.settings.sets)?;
        if self.data.is_some() {
            config.data = self.data.clone();
        }
        config.annotations.extend(self.annotations.iter().cloned());
        if self.corrections.is_some() {
            config.corrections = self.corrections.clone();
        }
        if let Some(path) = &self.classes {
            let rules: ClassFile = config::load(Some(path), &[])?;
            config.classes.splice(0..0, rules.classes);
        }
        let config = config.check()?;
        if let Some(list) = &self.rejects {
            let settings_files = self.settings.config.iter().chain(&self.classes);
            rejects::check(list, &self.out, &rejects::inputs(&config, settings_files))?;
        }
        Ok(config)
    }

    fn run<'a>(&'a self, interrupt: &'a Interrupt) -> Run<'a> {
        Run { out: &self.out, rejects: self.rejects.as_deref(), interrupt, show_progress: true }
    }

    /// The threads to work on.
    fn pool(&self) -> Result<rayon::ThreadPool, ExitError> {
        pool(self.workers.map(usize::from))
    }

    /// Prints a result as JSON or in words.
    fn show<T: Serialize>(&self, result: &T, words: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        if self.json { print(&format!("{}\n", serde_json::to_string_pretty(result)?)) } else { print(&words(result)) }
    }

    fn published(&self, summary: BuildSummary) -> anyhow::Result<Exit> {
        let mut summary = summary;
        if !self.timings {
            summary.stages.clear();
        }
        self.show(&summary, |summary| text(summary, &self.out.display().to_string()))?;
        let has_issues = summary.over_quarantine_limit || summary.over_reject_limit;
        Ok(if has_issues { Exit::Findings } else { Exit::Done })
    }
}

impl Build {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let config = self.input.config()?;
        let variable = |name: &str| std::env::var(name).ok();
        let task =
            Task::find(self.task_index, self.task_count, self.task_from_env, &variable).map_err(PrepError::from)?;
        if let (None, Some(name)) = (task, array_variable(&variable)) {
            tracing::info!(
                "{name} is set, but this is a whole build; --task-from-env makes it a share of the job array"
            );
        }
        let interrupt = Interrupt::install()?;
        let pool = self.input.pool()?;
        let run = self.input.run(&interrupt);
        if self.dry_run {
            let plan = pool.install(|| dry_run(&config, &run))?;
            self.input.show(&plan, dry_words)?;
            return Ok(Exit::Done);
        }
        if let Some(task) = task {
            let done = pool.install(|| build_share(&config, task, &run))?;
            self.input.show(&done, task_words)?;
            return Ok(Exit::Done);
        }
        let summary = pool.install(|| build(&config, &run))?;
        self.input.published(summary)
    }
}

impl Commit {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let config = self.input.config()?;
        let interrupt = Interrupt::install()?;
        let summary = self.input.pool()?.install(|| commit(&config, &self.input.run(&interrupt)))?;
        self.input.published(summary)
    }
}

fn task_words(done: &TaskSummary) -> String {
    format!(
        "  task {} of {}: {} of {} partitions, {} already done; `mtids-prep commit` publishes\n",
        done.task.index, done.task.count, done.share, done.partitions, done.reused
    )
}

fn dry_words(plan: &DryRun) -> String {
    let mut text = format!(
        "  {}: {} with {}\n  {}\n  {} would be written, {} reused\n",
        counted(plan.inputs, "file", "files"),
        counted(plan.series as u64, "series", "series"),
        counted(plan.findings as u64, "finding", "findings"),
        view_words(&plan.views),
        counted(plan.written_shards.len() as u64, "shard", "shards"),
        plan.reused_shards,
    );
    // A first build writes everything; a list helps where little changes.
    if plan.written_shards.len() <= 20 {
        for (split, bucket, series) in &plan.written_shards {
            text.push_str(&format!("    write: {split}, number {bucket}, {series} series\n"));
        }
    }
    match plan.dropped_shards.len() {
        0 => {}
        1..=20 => plan.dropped_shards.iter().for_each(|path| text.push_str(&format!("    drop: {path}\n"))),
        many => text.push_str(&format!("    drop: {many} published shards\n")),
    }
    for (what, reasons) in [("skipped", &plan.skipped_by_reason), ("quarantined", &plan.quarantined_by_reason)] {
        for (reason, count) in reasons {
            text.push_str(&format!("    {what}: {count} {reason}\n"));
        }
    }
    for (reason, count) in &plan.rejects_by_reason {
        text.push_str(&format!(
            "    rejected: {} {reason}\n",
            counted(*count, "annotation entry", "annotation entries")
        ));
    }
    text + "  nothing was written; pixels were not read, so more may be quarantined\n"
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
        "\n{}\n  {} of {} in {} ({} reused)\n  {}\n  {}: {} used, {} skipped, {} quarantined\n",
        table.render(),
        counted(totals.rows, "row", "rows"),
        counted(totals.patients, "patient", "patients"),
        counted(summary.shards as u64, "shard", "shards"),
        summary.reused_shards,
        view_words(&summary.views),
        counted(totals.inputs, "file", "files"),
        totals.used,
        totals.skipped,
        totals.quarantined
    );
    for (reason, count) in &totals.quarantined_by_reason {
        text.push_str(&format!("    quarantined: {count} {reason}\n"));
    }
    for (reason, count) in &summary.rejects_by_reason {
        text.push_str(&format!(
            "    rejected: {} {reason}\n",
            counted(*count, "annotation entry", "annotation entries")
        ));
    }
    if summary.duplicate_findings > 0 {
        let count = counted(summary.duplicate_findings, "finding", "findings");
        text.push_str(&format!("  {count} given twice by one source, merged\n"));
    }
    if totals.findings_at_border > 0 {
        let count = counted(totals.findings_at_border, "finding", "findings");
        text.push_str(&format!("  {count} left out, too near the border of the scanned field (max_pad_fraction)\n"));
    }
    if totals.findings_at_invented > 0 {
        let count = counted(totals.findings_at_invented, "finding", "findings");
        text.push_str(&format!("  {count} left out, a view touches voxels that nobody measured (reading.repair)\n"));
    }
    if summary.corrected_labels > 0 {
        let count = counted(summary.corrected_labels, "label", "labels");
        text.push_str(&format!("  {count} of rows corrected by the table of corrections (corrections.jsonl)\n"));
    }
    if summary.contradicting_labels > 0 {
        text.push_str(&format!("  {} conflicting labels set to unknown\n", summary.contradicting_labels));
    }
    if summary.unplaced_stations > 0 {
        let count = counted(summary.unplaced_stations, "finding", "findings");
        text.push_str(&format!(
            "  {count} with stations of several regions or of another map: station and region unknown (`mtids-prep classes --test FILE`)\n"
        ));
    }
    if summary.lost_stations > 0 {
        let count = counted(summary.lost_stations, "finding", "findings");
        text.push_str(&format!(
            "  {count} with a station in the name that is not understood: unknown (names in the log; `mtids-prep classes --test FILE`)\n"
        ));
    }
    if summary.over_quarantine_limit {
        text.push_str("  more files quarantined than max_quarantine allows: exit code 1 (quarantine.jsonl; file names in the log above)\n");
    }
    if summary.over_reject_limit {
        text.push_str(
            "  more annotation entries rejected than max_rejects allows: exit code 1 (--rejects FILE lists them)\n",
        );
    }
    if summary.superseded_files > 0 {
        let count = counted(summary.superseded_files as u64, "file", "files");
        let size = mebibytes(summary.superseded_bytes);
        text.push_str(&format!(
            "  {count} of older builds ({size}) kept for readers; `mtids-prep prune {out}` removes them\n"
        ));
    }
    text.push_str(&format!("  dataset {out}, digest {}\n", summary.dataset_digest.short()));
    if !summary.stages.is_empty() {
        let mut table =
            Table::new([("stage", Align::Left), ("seconds of all workers", Align::Right), ("share", Align::Right)]);
        for one in &summary.stages {
            let (seconds, share) = (format!("{:.2}", one.seconds), format!("{:.0} %", 100.0 * one.share));
            table.row([one.stage.to_owned(), seconds, share]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    text
}
