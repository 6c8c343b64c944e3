//! Publishing: receipts of all units become index, card and manifest.
//!
//! Invariants: everything is written under names that carry digests, so the older dataset stays whole until the manifest replaces its
//! own; what the manifest does not name did not happen; the accounts add up, or nothing is published.

use std::collections::{BTreeMap, BTreeSet};

use mtids_runtime::atomic;
use mtids_runtime::storage::Storage;
use mtids_shards::{
    IndexRow, LAYOUT_VERSION, Manifest, QuarantineRecord, RowKind, Totals, write_file, write_index, write_quarantine,
};

use crate::build::{BuildSummary, report_refused};
use crate::card::card;
use crate::error::PrepError;
use crate::plan::Plan;
use crate::prune::superseded;
use crate::rows::{Receipt, Shared, WORK};
use crate::scan::Scan;

/// Publishes a dataset whose units are all finished.
///
/// # Errors
/// [`PrepError`] naming the file; nothing is published then.
pub(crate) fn publish(
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
    let labels = || index.iter().map(|row| row.labels);
    let totals = Totals {
        inputs: scanned.files,
        used: receipts.iter().map(|receipt| receipt.used_files).sum::<u64>() + planned.used_objects + scanned.tables,
        skipped: scanned.skipped.values().sum(),
        quarantined: quarantined.len() as u64,
        skipped_by_reason: scanned.skipped.clone(),
        quarantined_by_reason,
        patients: labels().map(|row| &row.patient_key).collect::<BTreeSet<_>>().len() as u64,
        rows: index.len() as u64,
        negatives: labels().filter(|row| row.kind == RowKind::Negative).count() as u64,
        findings_at_border: receipts.iter().map(|receipt| receipt.findings_at_border).sum(),
        unmatched_findings: planned.unmatched_findings,
    };
    let resolved = mtids_runtime::config::to_toml(&shared.config.published())
        .map_err(|error| PrepError::Config { key: "configuration".into(), reason: error.to_string() })?;
    let card = card(shared.description, &totals, &labels().collect::<Vec<_>>(), shared.config);
    let mut files = vec![
        write_index(out, &index, shared.description)?,
        write_quarantine(out, &quarantined)?,
        write_file(out, "config.resolved.toml", resolved.as_bytes())?,
        write_file(out, "README.md", card.as_bytes())?,
    ];
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let manifest = Manifest {
        layout: LAYOUT_VERSION,
        description: shared.description.clone(),
        pseudonym_fingerprint: shared.secret.fingerprint(),
        totals: totals.clone(),
        shards,
        files,
    };
    manifest.commit(out)?;
    let superseded = superseded(out, &manifest).unwrap_or_else(|error| {
        tracing::warn!("files of older datasets cannot be listed: {error}");
        Vec::new()
    });
    // Records of the build are small, and are the next build's to use.
    let superseded = || superseded.iter().filter(|file| !file.path.starts_with(WORK));
    let share = totals.quarantined as f64 / totals.inputs.max(1) as f64;
    Ok(BuildSummary {
        dataset_digest: manifest.digest(),
        shards: manifest.shards.len(),
        reused_shards,
        superseded_files: superseded().count(),
        superseded_bytes: superseded().map(|file| file.bytes).sum(),
        contradicting_labels: planned.contradictions,
        over_quarantine_limit: share > shared.config.max_quarantine,
        counts: crate::rows::counts(labels())
            .into_iter()
            .map(|((region, status, split), n)| (region, status, split, n))
            .collect(),
        stages: Vec::new(),
        totals,
    })
}

/// Rows of the index: shards in path order, rows in file order.
fn index_rows(receipts: &[Receipt]) -> Vec<IndexRow<'_>> {
    let mut with_shard: Vec<_> =
        receipts.iter().filter_map(|receipt| receipt.shard.as_ref().map(|shard| (shard, &receipt.rows))).collect();
    with_shard.sort_by(|a, b| a.0.path.cmp(&b.0.path));
    let mut index = Vec::new();
    for (shard, rows) in with_shard {
        let mut rows = rows.iter();
        for (row_group, group) in shard.row_groups.iter().enumerate() {
            for (row, labels) in rows.by_ref().take(group.rows as usize).enumerate() {
                index.push(IndexRow { labels, shard: &shard.path, row_group: row_group as i64, row: row as i64 });
            }
        }
    }
    index
}

/// Removes temporary files of killed writers; to be called by who holds the dataset alone. Best effort: they have no name of the dataset.
pub(crate) fn remove_leftovers(out: &dyn Storage) {
    let names = out.list("").unwrap_or_default();
    let is_leftover = |name: &&String| name.rsplit('/').next().is_some_and(|file| file.starts_with(atomic::PREFIX));
    for name in names.iter().filter(is_leftover) {
        if let Err(error) = out.remove(name) {
            tracing::warn!("a temporary file of a killed build stays: {error}");
        }
    }
}
