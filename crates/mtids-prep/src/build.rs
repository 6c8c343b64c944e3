//! The build: scan → group → findings → plan → units → commit.
//!
//! Invariants: nothing is published before every unit is finished; the manifest is written last; a build that is killed at any moment is
//! run again and ends in the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use mtids_core::atomic;
use mtids_core::digest::Digest;
use mtids_core::interrupt::Interrupt;
use mtids_core::provenance::Program;
use mtids_core::pseudonym::PseudonymSecret;
use mtids_core::taxonomy::TAXONOMY_VERSION;
use mtids_dicom::group;
use mtids_phantom::SCANNER_MODEL;
use mtids_report::progress::Progress;
use mtids_shards::{
    DatasetDescription, FileEntry, IndexRow, Manifest, QuarantineRecord, RowLabels, SCHEMA_VERSION, Totals,
    write_index, write_quarantine,
};
use rayon::prelude::*;
use serde::Serialize;

use crate::card::card;
use crate::config::BuildConfig;
use crate::error::PrepError;
use crate::plan::{Plan, plan};
use crate::rows::{Receipt, Shared, finished, receipt_path, work};
use crate::scan::{Scan, scan};
use crate::sources::Sources;

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
    config.validate()?;
    let Some(data) = &config.data else {
        return Err(PrepError::Config {
            key: "data".into(),
            reason: "say where the DICOM files are (--data DIR)".into(),
        });
    };
    let secret = secret(config)?;
    let regions = config.region_scheme()?;
    let sources = Sources::read(&config.annotations, &config.limits())?;
    let progress = Progress::new("reading headers", None, show_progress);
    let mut scanned = scan(data, sources.paths(), &config.limits(), &|| progress.inc(1), interrupt)?;
    progress.finish();

    let grouped = group(std::mem::take(&mut scanned.headers));
    scanned.refused.extend(grouped.refused);
    for copy in grouped.duplicates {
        scanned.skip(copy, "identical-copy");
    }
    let planned = plan(&mut scanned, grouped.series, &sources, config, &secret)?;
    if planned.units.is_empty() {
        report_refused(&scanned);
        return Err(PrepError::Nothing { path: data.clone(), detail: nothing(&scanned, &planned) });
    }
    refuse_public_key_for_patients(config, &planned)?;
    let description = DatasetDescription {
        schema_version: SCHEMA_VERSION.into(),
        taxonomy_version: TAXONOMY_VERSION.into(),
        regions: regions.clone(),
        channels: config.channels(),
        patch_size: config.patch.size,
        patch_spacing_mm: config.patch.spacing_mm,
        config_digest: config.digest()?,
        program: Program::new("mtids-prep", env!("CARGO_PKG_VERSION")),
    };
    std::fs::create_dir_all(out).map_err(|source| PrepError::Write { path: out.to_owned(), source })?;
    let shared = Shared { out, config, description: &description, regions: &regions, secret: &secret };
    let series: usize = planned.units.iter().map(|unit| unit.series.len()).sum();
    let progress = Progress::new("cutting patches", Some(series as u64), show_progress);
    let reused = Mutex::new(0usize);
    let receipts: Vec<Receipt> = planned
        .units
        .par_iter()
        .map(|unit| {
            if interrupt.is_raised() {
                return Err(PrepError::Interrupted);
            }
            if let Some(receipt) = finished(out, unit) {
                progress.inc(unit.series.len() as u64);
                // A poisoned lock only means that another worker panicked while counting.
                *reused.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
                return Ok(receipt);
            }
            work(unit, &shared, &|| progress.inc(1))
        })
        .collect::<Result<_, _>>()?;
    progress.finish();
    if receipts.iter().all(|receipt| receipt.rows.is_empty()) {
        return Err(PrepError::Nothing {
            path: data.clone(),
            detail: "every series with a finding was quarantined".into(),
        });
    }
    let reused_shards = *reused.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    commit(&scanned, &planned, &receipts, &shared, reused_shards)
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
fn refuse_public_key_for_patients(config: &BuildConfig, planned: &Plan) -> Result<(), PrepError> {
    let mut series = planned.units.iter().flat_map(|unit| &unit.series);
    if config.pseudonym.demo && series.any(|one| one.series.facts.model.as_deref() != Some(SCANNER_MODEL)) {
        return Err(PrepError::Config {
            key: "pseudonym.demo".into(),
            reason: "the public key is for phantoms, and this folder holds other studies; take `demo` out of the configuration and give a \
                     secret (--set pseudonym.key_file=project.key)"
                .into(),
        });
    }
    Ok(())
}

/// Tells the operator, on the log only, which files were refused.
fn report_refused(scanned: &Scan) {
    for refused in &scanned.refused {
        tracing::warn!(file = %refused.path.display(), reason = refused.reason.as_str(), "{}", refused.detail);
    }
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

fn commit(
    scanned: &Scan,
    planned: &Plan,
    receipts: &[Receipt],
    shared: &Shared<'_>,
    reused_shards: usize,
) -> Result<BuildSummary, PrepError> {
    let out = shared.out;
    report_refused(scanned);
    let key = |text: Option<&String>, make: &dyn Fn(&str) -> String| text.map(|text| make(text));
    let mut quarantined: Vec<QuarantineRecord> = scanned
        .refused
        .iter()
        .map(|refused| QuarantineRecord {
            reason: refused.reason.to_string(),
            file_key: shared.file_key(&refused.path),
            series_key: key(refused.series_uid.as_ref(), &|uid| shared.secret.series(uid).as_str().to_owned()),
            patient_key: key(refused.patient_id.as_ref(), &|id| shared.secret.patient(id).as_str().to_owned()),
        })
        .collect();
    quarantined.extend(receipts.iter().flat_map(|receipt| receipt.quarantined.iter().cloned()));
    let mut quarantined_by_reason: BTreeMap<String, u64> = BTreeMap::new();
    for record in &quarantined {
        *quarantined_by_reason.entry(record.reason.clone()).or_default() += 1;
    }
    let mut shards: Vec<_> = receipts.iter().filter_map(|receipt| receipt.shard.clone()).collect();
    shards.sort_by(|a, b| a.path.cmp(&b.path));
    let index = index_rows(receipts);
    let labels: Vec<RowLabels> = index.iter().map(|row| row.labels.clone()).collect();
    let totals = Totals {
        inputs: scanned.files,
        used: receipts.iter().map(|receipt| receipt.used_files).sum::<u64>() + planned.used_objects + scanned.tables,
        skipped: scanned.skipped.values().sum(),
        quarantined: quarantined.len() as u64,
        skipped_by_reason: scanned.skipped.clone(),
        quarantined_by_reason,
        patients: labels.iter().map(|row| &row.patient_key).collect::<BTreeSet<_>>().len() as u64,
        rows: labels.len() as u64,
        unmatched_findings: planned.unmatched_findings,
    };
    let resolved = mtids_core::config::to_toml(&shared.config.published())
        .map_err(|error| PrepError::Config { key: "configuration".into(), reason: error.to_string() })?;
    let mut files = vec![
        write_index(out, &index, shared.description)?,
        write_quarantine(out, &quarantined)?,
        write_text(out, "config.resolved.toml", &resolved)?,
        write_text(out, "README.md", &card(shared.description, &totals, &labels, shared.config))?,
    ];
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let manifest = Manifest {
        description: shared.description.clone(),
        pseudonym_fingerprint: shared.secret.fingerprint(),
        totals: totals.clone(),
        shards,
        files,
    };
    manifest.commit(out)?;
    remove_stale(out, &manifest, receipts);
    let share = totals.quarantined as f64 / totals.inputs.max(1) as f64;
    Ok(BuildSummary {
        dataset_digest: manifest.digest(),
        shards: manifest.shards.len(),
        reused_shards,
        contradicting_labels: planned.contradictions,
        over_quarantine_limit: share > shared.config.max_quarantine,
        counts: crate::rows::counts(&labels)
            .into_iter()
            .map(|((region, status, split), n)| (region, status, split, n))
            .collect(),
        totals,
    })
}

/// Rows of the index: shards in path order, rows in file order.
fn index_rows(receipts: &[Receipt]) -> Vec<IndexRow> {
    let mut with_shard: Vec<_> =
        receipts.iter().filter_map(|receipt| receipt.shard.as_ref().map(|shard| (shard, &receipt.rows))).collect();
    with_shard.sort_by(|a, b| a.0.path.cmp(&b.0.path));
    let mut index = Vec::new();
    for (shard, rows) in with_shard {
        let mut rows = rows.iter();
        for (row_group, group) in shard.row_groups.iter().enumerate() {
            for (row, labels) in rows.by_ref().take(group.rows as usize).enumerate() {
                index.push(IndexRow {
                    labels: labels.clone(),
                    shard: shard.path.clone(),
                    row_group: row_group as i64,
                    row: row as i64,
                });
            }
        }
    }
    index
}

fn write_text(out: &Path, name: &str, text: &str) -> Result<FileEntry, PrepError> {
    let path = out.join(name);
    atomic::write(&path, text.as_bytes()).map_err(|source| PrepError::Write { path, source })?;
    Ok(FileEntry { path: name.into(), bytes: text.len() as u64, digest: Digest::of_bytes(text.as_bytes()) })
}

/// Removes shards and receipts that no longer belong to the dataset, and temporary files of killed builds. Best effort: what
/// stays behind is not in the manifest, so it did not happen.
fn remove_stale(out: &Path, manifest: &Manifest, receipts: &[Receipt]) {
    let shards: BTreeSet<PathBuf> = manifest.shards.iter().map(|shard| out.join(&shard.path)).collect();
    let receipts: BTreeSet<PathBuf> = receipts.iter().map(|receipt| receipt_path(out, &receipt.key)).collect();
    for (folder, keep) in [(out.join("shards"), &shards), (out.join(".work/receipts"), &receipts)] {
        for entry in walkdir::WalkDir::new(folder).into_iter().flatten() {
            if entry.file_type().is_file()
                && !keep.contains(entry.path())
                && let Err(error) = std::fs::remove_file(entry.path())
            {
                tracing::warn!(file = %entry.path().display(), "a stale file stays: {error}");
            }
        }
    }
    if let Err(error) = atomic::remove_leftovers(out) {
        tracing::warn!(folder = %out.display(), "temporary files of a killed build stay: {error}");
    }
}
