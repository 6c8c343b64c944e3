//! The build: scan → group → findings → plan → units → publish; the whole of it, a share, or only a look.
//!
//! Invariants: nothing is published before every unit is finished; the manifest is written last; a build that is killed at any moment is
//! run again and ends in the same bytes; shares may run zero, one or many times, also twice at once, and publish nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use mtids_annotations::AnnotationFiles;
use mtids_dicom::{Refused, group};
use mtids_domain::pseudonym::PseudonymSecret;
use mtids_domain::taxonomy::TAXONOMY_VERSION;
use mtids_phantom::{PATIENT_PREFIX, SCANNER_MODEL};
use mtids_report::progress::Progress;
use mtids_runtime::budget::Budget;
use mtids_runtime::digest::Digest;
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::provenance::Program;
use mtids_runtime::storage::Folder;
use mtids_shards::{DatasetDescription, Manifest, SCHEMA_VERSION, Totals};
use rayon::prelude::*;
use serde::Serialize;

use crate::clock::{Clock, Stage, StageTime};
use crate::config::BuildConfig;
use crate::error::PrepError;
use crate::plan::{Plan, Unit, plan};
use crate::publish::publish;
use crate::rows::{Receipt, Shared, finished, work};
use crate::scan::{Scan, scan};
use crate::task::Task;

/// What a build did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BuildSummary {
    /// Digest of the manifest: two datasets with the same digest are the same.
    pub dataset_digest: Digest,
    /// What became of the input.
    pub totals: Totals,
    /// Shards.
    pub shards: usize,
    /// Shards taken over from an earlier build.
    pub reused_shards: usize,
    /// Labels that sources contradict, which became unknown.
    pub contradicting_labels: u64,
    /// More files were quarantined than the policy allows.
    pub over_quarantine_limit: bool,
    /// Rows by region, status and split.
    pub counts: Vec<(String, String, String, u64)>,
    /// Where the time went.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageTime>,
}

/// What a share of a build did; nothing is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskSummary {
    /// The share.
    pub task: Task,
    /// Units of the whole build.
    pub units: usize,
    /// Units of this share.
    pub share: usize,
    /// Units of this share that were finished before.
    pub reused: usize,
}

/// What a build would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DryRun {
    /// Files found.
    pub inputs: u64,
    /// Series whose patches are wanted.
    pub series: usize,
    /// Findings in them.
    pub findings: usize,
    /// Shards that would be taken over as they are.
    pub reused_shards: usize,
    /// Shards that would be written, by split and number, and how many series each holds.
    pub written_shards: Vec<(String, u64, usize)>,
    /// Published shards that would be no longer part of the dataset.
    pub dropped_shards: Vec<String>,
    /// Files that would be skipped, by reason.
    pub skipped_by_reason: BTreeMap<String, u64>,
    /// Files that would be quarantined before their pixels are read, by reason.
    pub quarantined_by_reason: BTreeMap<String, u64>,
    /// Findings that point at no image here.
    pub unmatched_findings: u64,
}

/// Everything that is known before pixels are read.
struct Prepared {
    scanned: Scan,
    planned: Plan,
    secret: PseudonymSecret,
    description: DatasetDescription,
    clock: Clock,
}

impl Prepared {
    fn shared<'a>(&'a self, config: &'a BuildConfig, out: &'a Folder) -> Shared<'a> {
        Shared {
            out,
            config,
            description: &self.description,
            regions: &self.description.regions,
            secret: &self.secret,
            memory: Budget::new(config.memory_mib << 20),
            clock: &self.clock,
        }
    }
}

fn prepare(config: &BuildConfig, interrupt: &Interrupt, show_progress: bool) -> Result<Prepared, PrepError> {
    config.validate()?;
    let Some(data) = &config.data else {
        return Err(PrepError::Config {
            key: "data".into(),
            reason: "say where the DICOM files are (--data DIR)".into(),
        });
    };
    let secret = secret(config)?;
    let files = AnnotationFiles::read(&config.annotations, &config.limits())?;
    let progress = Progress::new("reading headers", None, show_progress);
    let clock = Clock::default();
    let started = Instant::now();
    let mut scanned = scan(data, files.paths(), &config.limits(), &|| progress.inc(1), interrupt)?;
    progress.finish();
    // All workers read headers, and wait for the last of them.
    clock.add(Stage::Headers, started.elapsed().as_secs_f64() * rayon::current_num_threads() as f64);

    let started = Instant::now();
    let grouped = group(std::mem::take(&mut scanned.headers));
    scanned.refused.extend(grouped.refused);
    for copy in grouped.duplicates {
        scanned.skip(copy, "identical-copy");
    }
    let planned = plan(&mut scanned, grouped.series, &files, config, &secret)?;
    if planned.units.is_empty() {
        report_refused(&scanned);
        return Err(PrepError::Nothing { path: data.clone(), detail: nothing(&scanned, &planned) });
    }
    refuse_public_key_for_patients(config, &planned, &scanned)?;
    clock.add(Stage::Plan, started.elapsed().as_secs_f64() * rayon::current_num_threads() as f64);
    let description = DatasetDescription {
        schema_version: SCHEMA_VERSION.into(),
        taxonomy_version: TAXONOMY_VERSION.into(),
        regions: config.region_scheme()?,
        channels: config.channels(),
        patch_views: config.patch.views,
        patch_size: config.patch.size,
        patch_spacing_mm: config.patch.spacing_mm,
        config_digest: config.digest()?,
        program: Program::new("mtids-prep", env!("CARGO_PKG_VERSION")),
    };
    Ok(Prepared { scanned, planned, secret, description, clock })
}

/// Works units off; returns their receipts and how many were finished before.
fn work_off(
    units: &[&Unit],
    shared: &Shared<'_>,
    interrupt: &Interrupt,
    show_progress: bool,
) -> Result<(Vec<Receipt>, usize), PrepError> {
    let out = shared.out;
    let series: usize = units.iter().map(|unit| unit.series.len()).sum();
    let progress = Progress::new("cutting patches", Some(series as u64), show_progress);
    let reused = AtomicUsize::new(0);
    let receipts = units
        .par_iter()
        .map(|unit| {
            if interrupt.is_raised() {
                return Err(PrepError::Interrupted);
            }
            if let Some(receipt) = finished(out, unit) {
                progress.inc(unit.series.len() as u64);
                reused.fetch_add(1, Ordering::Relaxed);
                return Ok(receipt);
            }
            // Another task may finish the same unit at the same time, and tidy up: then its receipt is as good as ours.
            work(unit, shared, &|| progress.inc(1)).or_else(|error| finished(out, unit).ok_or(error))
        })
        .collect::<Result<_, _>>()?;
    progress.finish();
    Ok((receipts, reused.into_inner()))
}

/// Builds (or completes) the dataset `out`.
///
/// # Errors
/// [`PrepError`]; nothing is published then.
pub fn build(
    config: &BuildConfig,
    out: &Path,
    interrupt: &Interrupt,
    show_progress: bool,
) -> Result<BuildSummary, PrepError> {
    let mut prepared = prepare(config, interrupt, show_progress)?;
    let units = std::mem::take(&mut prepared.planned.units);
    let out = Folder::new(out);
    let shared = prepared.shared(config, &out);
    let (receipts, reused) = work_off(&units.iter().collect::<Vec<_>>(), &shared, interrupt, show_progress)?;
    // The headers of all slices: publishing needs none of them.
    drop(units);
    publish_rows(&prepared, &receipts, &shared, reused)
}

/// Works one share of the units off and publishes nothing.
///
/// # Errors
/// [`PrepError`]; finished units stay.
pub fn build_share(
    config: &BuildConfig,
    out: &Path,
    task: Task,
    interrupt: &Interrupt,
    show_progress: bool,
) -> Result<TaskSummary, PrepError> {
    let prepared = prepare(config, interrupt, show_progress)?;
    let units = &prepared.planned.units;
    let share: Vec<&Unit> = units.iter().skip(task.index).step_by(task.count).collect();
    let out = Folder::new(out);
    let (_, reused) = work_off(&share, &prepared.shared(config, &out), interrupt, show_progress)?;
    Ok(TaskSummary { task, units: units.len(), share: share.len(), reused })
}

/// Publishes what shares have finished.
///
/// # Errors
/// [`PrepError::Unfinished`] with the number of missing units; else as [`build`].
pub fn commit(
    config: &BuildConfig,
    out: &Path,
    interrupt: &Interrupt,
    show_progress: bool,
) -> Result<BuildSummary, PrepError> {
    let mut prepared = prepare(config, interrupt, show_progress)?;
    let units = std::mem::take(&mut prepared.planned.units);
    let storage = Folder::new(out);
    let receipts: Vec<Receipt> = units.par_iter().filter_map(|unit| finished(&storage, unit)).collect();
    if receipts.len() < units.len() {
        let missing = units.len() - receipts.len();
        return Err(PrepError::Unfinished { path: out.to_owned(), missing, units: units.len() });
    }
    drop(units);
    let reused = receipts.len();
    publish_rows(&prepared, &receipts, &prepared.shared(config, &storage), reused)
}

fn publish_rows(
    prepared: &Prepared,
    receipts: &[Receipt],
    shared: &Shared<'_>,
    reused: usize,
) -> Result<BuildSummary, PrepError> {
    if receipts.iter().all(|receipt| receipt.rows.is_empty()) {
        let path = shared.config.data.clone().unwrap_or_default();
        return Err(PrepError::Nothing { path, detail: "every series with a finding was quarantined".into() });
    }
    let started = Instant::now();
    let mut summary = publish(&prepared.scanned, &prepared.planned, receipts, shared, reused)?;
    shared.clock.add(Stage::Publish, started.elapsed().as_secs_f64());
    summary.stages = shared.clock.times();
    Ok(summary)
}

/// Says what [`build`] would do, and writes nothing.
///
/// # Errors
/// As [`build`], but for pixels that are not read.
pub fn dry_run(
    config: &BuildConfig,
    out: &Path,
    interrupt: &Interrupt,
    show_progress: bool,
) -> Result<DryRun, PrepError> {
    let prepared = prepare(config, interrupt, show_progress)?;
    let (planned, scanned) = (&prepared.planned, &prepared.scanned);
    let out = Folder::new(out);
    let receipts: Vec<Option<Receipt>> = planned.units.par_iter().map(|unit| finished(&out, unit)).collect();
    let kept: BTreeSet<&str> = receipts
        .iter()
        .flatten()
        .filter_map(|receipt| receipt.shard.as_ref())
        .map(|shard| shard.path.as_str())
        .collect();
    let published = Manifest::load(&out).map(|manifest| manifest.shards).unwrap_or_default();
    let mut quarantined_by_reason: BTreeMap<String, u64> = BTreeMap::new();
    for refused in &scanned.refused {
        *quarantined_by_reason.entry(refused.reason.to_string()).or_default() += 1;
    }
    let series = || planned.units.iter().flat_map(|unit| &unit.series);
    Ok(DryRun {
        inputs: scanned.files,
        series: series().count(),
        findings: series().map(|one| one.findings.len()).sum(),
        reused_shards: receipts.iter().flatten().count(),
        written_shards: planned
            .units
            .iter()
            .zip(&receipts)
            .filter(|(_, receipt)| receipt.is_none())
            .map(|(unit, _)| (unit.split.name().to_owned(), unit.bucket, unit.series.len()))
            .collect(),
        dropped_shards: published
            .into_iter()
            .map(|shard| shard.path)
            .filter(|path| !kept.contains(path.as_str()))
            .collect(),
        skipped_by_reason: scanned.skipped.clone(),
        quarantined_by_reason,
        unmatched_findings: planned.unmatched_findings,
    })
}

fn secret(config: &BuildConfig) -> Result<PseudonymSecret, PrepError> {
    if config.pseudonym.demo {
        return Ok(PseudonymSecret::from_bytes(b"public key of the mtids phantoms, no secret")?);
    }
    if let Some(path) = &config.pseudonym.key_file {
        return Ok(PseudonymSecret::from_file(path)?);
    }
    match std::env::var("MTIDS_PSEUDONYM_KEY") {
        Ok(text) => Ok(PseudonymSecret::from_bytes(text.as_bytes())?),
        Err(_) => Err(PrepError::Config {
            key: "pseudonym.key_file".into(),
            reason: "identities are replaced by keyed pseudonyms, and no key is given. Make one outside the dataset and keep it for the \
                     whole project: head -c 32 /dev/urandom | base64 > project.key; then --set pseudonym.key_file=project.key, or put it \
                     into the environment variable MTIDS_PSEUDONYM_KEY"
                .into(),
        }),
    }
}

/// The public key hides nobody: anybody could compute the pseudonym of a known identifier.
fn refuse_public_key_for_patients(config: &BuildConfig, planned: &Plan, scanned: &Scan) -> Result<(), PrepError> {
    let mut series = planned.units.iter().flat_map(|unit| &unit.series);
    // Refused files are named in the quarantine, under pseudonyms of their patients.
    let mut refused = scanned.refused.iter().filter_map(|refused| refused.patient_id.as_deref());
    if config.pseudonym.demo
        && (series.any(|one| one.series.facts.model.as_deref() != Some(SCANNER_MODEL))
            || refused.any(|id| !id.starts_with(PATIENT_PREFIX)))
    {
        return Err(PrepError::Config {
            key: "pseudonym.demo".into(),
            reason: "the public key is for phantoms, and this folder holds other studies; take `demo` out of the configuration and give a \
                     secret (--set pseudonym.key_file=project.key)"
                .into(),
        });
    }
    Ok(())
}

/// Tells the operator, on the log only, which files were refused: files of one folder and series with the same fault are one line with the
/// first of them. The quarantine lists them all.
pub(crate) fn report_refused(scanned: &Scan) {
    for group in scanned.refused.chunk_by(alike) {
        let [first, others @ ..] = group else { continue };
        let (file, reason) = (first.path.display(), first.reason.as_str());
        match others.len() {
            0 => tracing::warn!(%file, reason, "{}", first.detail),
            more => tracing::warn!(%file, more_alike = more, reason, "{}", first.detail),
        }
    }
}

fn alike(a: &Refused, b: &Refused) -> bool {
    let same_fault = (&a.series_uid, a.reason, &a.detail) == (&b.series_uid, b.reason, &b.detail);
    same_fault && a.path.parent() == b.path.parent()
}

fn nothing(scanned: &Scan, planned: &Plan) -> String {
    if scanned.files == 0 {
        return "the folder is empty; point --data at a folder with DICOM files".into();
    }
    let mut reasons: BTreeMap<&str, u64> =
        scanned.skipped.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    for refused in &scanned.refused {
        *reasons.entry(refused.reason.as_str()).or_default() += 1;
    }
    let list: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    format!(
        "{} files ({}), {} findings without image; no CT series with a finding. Give a table with --annotations, or see \
         `mtids-prep inventory`",
        scanned.files,
        list.join(", "),
        planned.unmatched_findings
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_dicom::ReasonCode;

    #[test]
    fn files_of_one_folder_and_series_with_the_same_fault_are_one_line() {
        let refused = |path: &str, series: Option<&str>, detail: &str| Refused {
            path: path.into(),
            series_uid: series.map(str::to_owned),
            patient_id: None,
            reason: ReasonCode::Truncated,
            detail: detail.into(),
        };
        let all = [
            refused("a/1.dcm", Some("1.2"), "gap"),
            refused("a/2.dcm", Some("1.2"), "gap"),
            refused("a/3.dcm", Some("1.2"), "short"),
            refused("a/4.dcm", Some("1.3"), "short"),
            refused("a/5.dcm", None, "empty"),
            refused("a/6.dcm", None, "empty"),
            refused("b/7.dcm", None, "empty"),
        ];
        let sizes: Vec<usize> = all.chunk_by(alike).map(<[Refused]>::len).collect();
        assert_eq!(sizes, [2, 1, 1, 2, 1]);
    }
}
