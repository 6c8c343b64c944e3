//! The build: scan → plan → process partitions → publish; the whole of it, a share, or only a look.
//!
//! Invariants: nothing is published before every partition is finished; the manifest is replaced last; a build that is killed at any moment
//! is run again and ends in the same bytes; shares may run zero, one or many times, also twice at once, and publish nothing; one whole
//! build, or shares together, write into a dataset at a time.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use mtids_annotations::AnnotationFiles;
use mtids_dicom::FileOutcome;
use mtids_domain::pseudonym::PseudonymSecret;
use mtids_domain::taxonomy::TAXONOMY_VERSION;
use mtids_report::format::counted;
use mtids_report::progress::Progress;
use mtids_runtime::budget::Budget;
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::provenance::Program;
use mtids_runtime::storage::Folder;
use mtids_runtime::task::Task;
use mtids_shards::{DatasetDescription, Manifest, SCHEMA_VERSION};
use rayon::prelude::*;

use crate::accounts::Accounts;
use crate::clock::{Clock, Stage};
use crate::config::CheckedConfig;
use crate::context::BuildContext;
use crate::corrections::Corrections;
use crate::error::PrepError;
use crate::lock::{lock_alone, lock_with_others, refuse_own_input};
use crate::partition::Partition;
use crate::plan::{Plan, plan};
use crate::process::process_partition;
use crate::publish::{Finished, publish, remove_leftovers};
use crate::record::PartitionRecord;
use crate::rejects;
use crate::scan::{ScanOptions, scan};
use crate::secret::{read_secret, refuse_public_key_for_patients};
use crate::summary::{BuildSummary, DryRun, TaskSummary};
use crate::workers::run_all;

/// How a build is run. Nothing of it has an influence on the dataset.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Folder of the dataset.
    pub out: &'a Path,
    /// Where the entries of annotation sources that gave no finding are listed, outside the dataset.
    pub rejects: Option<&'a Path>,
    /// Raised when the program is to stop.
    pub interrupt: &'a Interrupt,
    /// Show progress on the terminal.
    pub show_progress: bool,
}

/// Everything that is known before pixels are read.
struct Prepared {
    inputs: u64,
    outcomes: Vec<FileOutcome>,
    plan: Plan,
    secret: PseudonymSecret,
    description: DatasetDescription,
    clock: Clock,
}

impl Prepared {
    fn context<'a>(
        &'a self,
        config: &'a CheckedConfig,
        dataset: &'a Folder,
        interrupt: &'a Interrupt,
    ) -> BuildContext<'a> {
        BuildContext {
            dataset,
            config,
            description: &self.description,
            secret: &self.secret,
            memory: Budget::new(config.memory_mib << 20),
            clock: &self.clock,
            interrupt,
        }
    }
}

/// What the rows of a dataset with these settings are.
pub fn describe(config: &CheckedConfig) -> DatasetDescription {
    DatasetDescription {
        schema_version: SCHEMA_VERSION.into(),
        taxonomy_version: TAXONOMY_VERSION.into(),
        regions: config.region_scheme().clone(),
        views: config.views().to_vec(),
        config_digest: *config.digest(),
        program: Program::new("mtids-prep", env!("CARGO_PKG_VERSION")),
    }
}

fn prepare(config: &CheckedConfig, run: &Run<'_>) -> Result<Prepared, PrepError> {
    let Run { out, interrupt, .. } = *run;
    let secret = read_secret(&config.pseudonym)?;
    let limits = config.limits();
    let files = AnnotationFiles::read(&config.annotations, &limits, config.station_map)?;
    // Before any image is read, as the annotations are.
    let corrections =
        config.corrections.as_deref().map(|path| Corrections::read(path, config.region_scheme())).transpose()?;
    let clock = Clock::default();
    // All workers read headers, and wait for the last of them.
    let threads = rayon::current_num_threads() as f64;
    let progress = Progress::new("reading headers", None, run.show_progress);
    let started = Instant::now();
    let options = ScanOptions { tables: files.paths(), out: Some(out), limits: &limits };
    let (scanned, mut outcomes) = scan(config.studies(), &options, &|| progress.inc(1), interrupt)?;
    progress.finish();
    clock.add(Stage::Headers, started.elapsed().as_secs_f64() * threads);

    let started = Instant::now();
    let inputs = scanned.files;
    let (plan, planned) = plan(scanned, &files, corrections.as_ref(), config, &secret, interrupt)?;
    outcomes.extend(planned);
    rejects::report(&plan.rejects);
    if let Some(path) = run.rejects {
        rejects::write(path, out, &plan.rejects)?;
    }
    let accounts = Accounts::of(&outcomes);
    if plan.partitions.is_empty() {
        accounts.report_refused();
        let advice = if config.annotations.is_empty() { NO_ANNOTATIONS } else { EMPTY_ANNOTATIONS };
        let detail = explain_without_findings(inputs, &accounts, plan.unmatched_findings, advice);
        return Err(PrepError::Nothing { path: config.studies().to_owned(), detail });
    }
    if config.pseudonym.demo {
        refuse_public_key_for_patients(&plan, &accounts)?;
    }
    clock.add(Stage::Plan, started.elapsed().as_secs_f64() * threads);
    let description = describe(config);
    Ok(Prepared { inputs, outcomes, plan, secret, description, clock })
}

/// Processes partitions; returns their records and how many were finished before.
fn process_all(
    partitions: &[&Partition],
    context: &BuildContext<'_>,
    show_progress: bool,
) -> Result<(Vec<PartitionRecord>, usize), PrepError> {
    let series: usize = partitions.iter().map(|partition| partition.series.len()).sum();
    let progress = Progress::new("cutting patches", Some(series as u64), show_progress);
    let reused = AtomicUsize::new(0);
    let records = run_all(partitions, rayon::current_num_threads(), |partition| {
        context.check_interrupt()?;
        if let Some(record) = PartitionRecord::load_finished(context.dataset, partition) {
            progress.inc(partition.series.len() as u64);
            reused.fetch_add(1, Ordering::Relaxed);
            return Ok(record);
        }
        process_partition(partition, context, &|| progress.inc(1))
    })?;
    progress.finish();
    Ok((records, reused.into_inner()))
}

/// Builds (or completes) the dataset of `run`.
///
/// # Errors
/// [`PrepError`]; the older dataset, if there is one, stays published then.
pub fn build(config: &CheckedConfig, run: &Run<'_>) -> Result<BuildSummary, PrepError> {
    let Run { out, interrupt, .. } = *run;
    refuse_own_input(config.studies(), out)?;
    let lock = lock_alone(out, "mtids-prep build")?;
    let mut prepared = prepare(config, run)?;
    warn_of_another_key(out, &prepared.secret);
    let partitions = std::mem::take(&mut prepared.plan.partitions);
    let dataset = Folder::new(out);
    let context = prepared.context(config, &dataset, interrupt);
    let (records, reused) = process_all(&partitions.iter().collect::<Vec<_>>(), &context, run.show_progress)?;
    // The headers of all slices: publishing needs none of them.
    drop(partitions);
    let summary = publish_records(&prepared, &records, reused, &context)?;
    // Without a lock, what looks left behind may belong to another writer.
    if lock.unsupported().is_none() {
        remove_leftovers(&dataset);
    }
    Ok(summary)
}

/// Says that a dataset is replaced by one of another key: no row, patient or split of it is known again.
fn warn_of_another_key(out: &Path, secret: &PseudonymSecret) {
    let published = Manifest::load(&Folder::new(out)).map(|manifest| manifest.pseudonym_fingerprint);
    if published.is_ok_and(|published| published != secret.fingerprint()) {
        tracing::warn!(
            "the dataset in {} was built with another key: all pseudonyms and splits change, so runs on it have seen patients of the new test split",
            out.display()
        );
    }
}

/// Processes one share of the partitions and publishes nothing.
///
/// # Errors
/// [`PrepError`]; finished partitions stay.
pub fn build_share(config: &CheckedConfig, task: Task, run: &Run<'_>) -> Result<TaskSummary, PrepError> {
    let Run { out, interrupt, .. } = *run;
    refuse_own_input(config.studies(), out)?;
    let _lock = lock_with_others(out, &format!("mtids-prep build, task {} of {}", task.index, task.count))?;
    let prepared = prepare(config, run)?;
    let partitions = &prepared.plan.partitions;
    let share: Vec<&Partition> = partitions.iter().skip(task.index).step_by(task.count).collect();
    let dataset = Folder::new(out);
    let (_, reused) = process_all(&share, &prepared.context(config, &dataset, interrupt), run.show_progress)?;
    Ok(TaskSummary { task, partitions: partitions.len(), share: share.len(), reused })
}

/// Publishes what shares have finished.
///
/// # Errors
/// [`PrepError::Unfinished`] with the number of missing partitions; else as [`build`].
pub fn commit(config: &CheckedConfig, run: &Run<'_>) -> Result<BuildSummary, PrepError> {
    let Run { out, interrupt, .. } = *run;
    refuse_own_input(config.studies(), out)?;
    let lock = lock_alone(out, "mtids-prep commit")?;
    let mut prepared = prepare(config, run)?;
    warn_of_another_key(out, &prepared.secret);
    let partitions = std::mem::take(&mut prepared.plan.partitions);
    let dataset = Folder::new(out);
    let records: Vec<PartitionRecord> =
        partitions.par_iter().filter_map(|partition| PartitionRecord::load_finished(&dataset, partition)).collect();
    if records.len() < partitions.len() {
        let missing = partitions.len() - records.len();
        return Err(PrepError::Unfinished { path: out.to_owned(), missing, partitions: partitions.len() });
    }
    drop(partitions);
    let context = prepared.context(config, &dataset, interrupt);
    let summary = publish_records(&prepared, &records, records.len(), &context)?;
    if lock.unsupported().is_none() {
        remove_leftovers(&dataset);
    }
    Ok(summary)
}

fn publish_records(
    prepared: &Prepared,
    records: &[PartitionRecord],
    reused: usize,
    context: &BuildContext<'_>,
) -> Result<BuildSummary, PrepError> {
    if records.iter().all(|record| record.rows.is_empty()) {
        let path = context.config.studies().to_owned();
        return Err(PrepError::Nothing { path, detail: explain_no_row(records) });
    }
    let started = Instant::now();
    let Prepared { inputs, outcomes, plan, .. } = prepared;
    let mut summary = publish(&Finished { inputs: *inputs, outcomes, plan, records, reused }, context)?;
    context.clock.add(Stage::Publish, started.elapsed().as_secs_f64());
    summary.stages = context.clock.times();
    Ok(summary)
}

/// Says what [`build`] would do, and writes nothing.
///
/// # Errors
/// As [`build`], but for pixels that are not read.
pub fn dry_run(config: &CheckedConfig, run: &Run<'_>) -> Result<DryRun, PrepError> {
    let out = run.out;
    refuse_own_input(config.studies(), out)?;
    let prepared = prepare(config, run)?;
    let (plan, accounts) = (&prepared.plan, Accounts::of(&prepared.outcomes));
    let dataset = Folder::new(out);
    let records: Vec<Option<PartitionRecord>> =
        plan.partitions.par_iter().map(|partition| PartitionRecord::load_finished(&dataset, partition)).collect();
    let kept: BTreeSet<&str> =
        records.iter().flatten().filter_map(|record| record.shard.as_ref()).map(|shard| shard.path.as_str()).collect();
    let published = Manifest::load(&dataset).map(|manifest| manifest.shards).unwrap_or_default();
    let series = || plan.partitions.iter().flat_map(|partition| &partition.series);
    Ok(DryRun {
        inputs: prepared.inputs,
        views: config.views().to_vec(),
        series: series().count(),
        findings: series().map(|one| one.findings.len()).sum(),
        reused_shards: records.iter().flatten().count(),
        written_shards: plan
            .partitions
            .iter()
            .zip(&records)
            .filter(|(_, record)| record.is_none())
            .map(|(partition, _)| (partition.split.name().to_owned(), partition.bucket, partition.series.len()))
            .collect(),
        dropped_shards: published
            .into_iter()
            .map(|shard| shard.path)
            .filter(|path| !kept.contains(path.as_str()))
            .collect(),
        quarantined_by_reason: accounts.refused_by_reason(),
        skipped_by_reason: accounts.skipped,
        rejects_by_reason: rejects::by_reason(&plan.rejects),
    })
}

/// What an operator is told where series with findings gave no row.
fn explain_no_row(records: &[PartitionRecord]) -> String {
    let sum = |of: fn(&PartitionRecord) -> u64| records.iter().map(of).sum::<u64>();
    let quarantined = sum(|record| record.quarantined.len() as u64);
    let reasons = [
        (quarantined, "files of series with an annotation were quarantined (the log says why)"),
        (
            sum(|record| record.findings_at_border),
            "findings lie at the border of the scanned field (`max_pad_fraction`)",
        ),
        (
            sum(|record| record.findings_at_invented),
            "findings have a view that touches voxels which nobody measured (`reading.repair` put them in)",
        ),
    ];
    let stated: Vec<String> =
        reasons.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    format!("no finding gave a row: {}", stated.join("; "))
}

/// What to do where no annotations were given.
const NO_ANNOTATIONS: &str =
    "no CT series with a finding. Give a table with --annotations, or see `mtids-prep inventory`";

/// What is meant where those that were given hold no finding.
const EMPTY_ANNOTATIONS: &str =
    "no CT series with a finding, and --annotations gave none: a table without rows? See the warnings above";

/// What an operator is told where no series with a finding was found.
pub(crate) fn explain_nothing(inputs: u64, accounts: &Accounts<'_>, unmatched_findings: u64) -> String {
    explain_without_findings(inputs, accounts, unmatched_findings, NO_ANNOTATIONS)
}

/// As above; `advice` is given where no finding was read at all.
fn explain_without_findings(
    inputs: u64,
    accounts: &Accounts<'_>,
    unmatched_findings: u64,
    advice: &'static str,
) -> String {
    if inputs == 0 {
        return "the folder is empty; set --data to a folder with DICOM files".into();
    }
    let mut reasons = accounts.skipped.clone();
    for (reason, count) in accounts.refused_by_reason() {
        *reasons.entry(reason).or_default() += count;
    }
    let list: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let advice = match unmatched_findings {
        0 => advice,
        1 => {
            "1 finding without image, so no CT series has one. The warnings above say why; `mtids-prep inventory` lists the series"
        }
        _ => "no finding has an image. The warnings above say why; `mtids-prep inventory` lists the series",
    };
    let findings = counted(unmatched_findings, "finding", "findings");
    format!("{inputs} files ({}), {findings} without image; {advice}", list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::digest::Digest;
    use mtids_shards::QuarantineRecord;

    #[test]
    fn where_no_row_came_out_each_reason_is_counted() {
        let record = |quarantined: usize, findings_at_border, findings_at_invented| PartitionRecord {
            key: Digest::of_bytes(b"key"),
            shard: None,
            rows: Vec::new(),
            used_files: 0,
            findings_at_border,
            findings_at_invented,
            quarantined: vec![
                QuarantineRecord {
                    reason: "missing-slices".into(),
                    file_key: String::new(),
                    series_key: None,
                    patient_key: None,
                };
                quarantined
            ],
        };
        let said = explain_no_row(&[record(0, 1, 2), record(0, 0, 1)]);
        assert!(said.contains("1 findings lie at the border") && said.contains("3 findings have a view"), "{said}");
        assert!(!said.contains("quarantined"), "{said}");
        assert!(explain_no_row(&[record(16, 0, 0)]).contains("16 files of series with an annotation were quarantined"));
    }
}
