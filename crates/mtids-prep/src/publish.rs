//! Publishing: records of all partitions become index, card and manifest.
//!
//! Invariants: everything is written under names that carry digests, so the older dataset stays whole until the manifest replaces its
//! own; what the manifest does not name did not happen; the accounts add up, or nothing is published.

use std::collections::{BTreeMap, BTreeSet};

use mtids_dicom::FileOutcome;
use mtids_runtime::storage::{Folder, Storage};
use mtids_shards::{
    CorrectionRecord, IndexRow, LAYOUT_VERSION, Manifest, QuarantineRecord, RowKind, Totals, write_corrections,
    write_file, write_index, write_quarantine,
};

use crate::accounts::Accounts;
use crate::card::card;
use crate::context::BuildContext;
use crate::croissant::croissant;
use crate::error::PrepError;
use crate::hub;
use crate::plan::Plan;
use crate::prune::{leftovers, superseded};
use crate::record::{PartitionRecord, WORK};
use crate::summary::{BuildSummary, count_rows};
use crate::synthetic::Synthetic;

/// What there is to publish.
pub(crate) struct Finished<'a> {
    /// Files of the input.
    pub(crate) inputs: u64,
    /// What became of the files that are in no partition.
    pub(crate) outcomes: &'a [FileOutcome],
    /// The plan, whose partitions are all finished.
    pub(crate) plan: &'a Plan,
    /// Records of all partitions.
    pub(crate) records: &'a [PartitionRecord],
    /// How many of them were finished before.
    pub(crate) reused: usize,
}

/// Publishes a dataset whose partitions are all finished.
///
/// # Errors
/// [`PrepError`] naming the file; the older dataset, if there is one, stays published then.
pub(crate) fn publish(finished: &Finished<'_>, context: &BuildContext<'_>) -> Result<BuildSummary, PrepError> {
    let Finished { inputs, plan, records, .. } = *finished;
    let (dataset, config) = (context.dataset, context.config);
    let accounts = Accounts::of(finished.outcomes);
    accounts.report_refused();
    let quarantined = quarantine(&accounts, records, context);
    let mut quarantined_by_reason: BTreeMap<String, u64> = BTreeMap::new();
    for record in &quarantined {
        *quarantined_by_reason.entry(record.reason.clone()).or_default() += 1;
    }
    let mut shards: Vec<_> = records.iter().filter_map(|record| record.shard.clone()).collect();
    shards.sort_by(|a, b| a.path.cmp(&b.path));
    let index = index_rows(records);
    let labels = || index.iter().map(|row| row.labels);
    let totals = Totals {
        inputs,
        used: records.iter().map(|record| record.used_files).sum::<u64>() + accounts.used,
        skipped: accounts.skipped.values().sum(),
        quarantined: quarantined.len() as u64,
        skipped_by_reason: accounts.skipped.clone(),
        quarantined_by_reason,
        patients: labels().map(|row| &row.patient_key).collect::<BTreeSet<_>>().len() as u64,
        rows: index.len() as u64,
        negatives: labels().filter(|row| row.kind == RowKind::Negative).count() as u64,
        findings_at_border: records.iter().map(|record| record.findings_at_border).sum(),
        findings_at_invented: records.iter().map(|record| record.findings_at_invented).sum(),
        unmatched_findings: plan.unmatched_findings,
    };
    let resolved = mtids_runtime::config::to_toml(&config.published())
        .map_err(|error| PrepError::Config { key: "configuration".into(), reason: error.to_string() })?;
    // Of rows that are here: a finding at the border has none.
    let keys: BTreeSet<&str> = labels().map(|row| row.sample_key.as_str()).collect();
    let corrections: Vec<CorrectionRecord> =
        plan.corrections.iter().filter(|one| keys.contains(one.sample_key.as_str())).cloned().collect();
    let all: Vec<_> = labels().collect();
    let synthetic = Synthetic::of(labels().map(|row| row.model.as_deref()));
    let card = hub::header(&shards, totals.rows, &config.publication, synthetic)
        + &card(context.description, &totals, &all, &corrections, config, synthetic);
    let croissant = croissant(context.description, &shards, &config.publication, synthetic);
    let mut files = vec![
        write_index(dataset, &index, context.description)?,
        write_quarantine(dataset, &quarantined)?,
        write_file(dataset, "config.resolved.toml", resolved.as_bytes())?,
        write_file(dataset, "croissant.json", croissant.as_bytes())?,
        write_file(dataset, "README.md", card.as_bytes())?,
    ];
    if !corrections.is_empty() {
        files.push(write_corrections(dataset, &corrections)?);
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let manifest = Manifest {
        layout: LAYOUT_VERSION,
        description: context.description.clone(),
        pseudonym_fingerprint: context.secret.fingerprint(),
        totals: totals.clone(),
        shards,
        files,
    };
    manifest.commit(dataset)?;
    let superseded = superseded(dataset, &manifest).unwrap_or_else(|error| {
        tracing::warn!("cannot list superseded files: {error}");
        Vec::new()
    });
    // Records of the build are small, and are the next build's to use.
    let superseded = || superseded.iter().filter(|file| !file.path.starts_with(WORK));
    let share = totals.quarantined as f64 / totals.inputs.max(1) as f64;
    Ok(BuildSummary {
        dataset_digest: manifest.digest(),
        views: manifest.description.views.clone(),
        shards: manifest.shards.len(),
        reused_shards: finished.reused,
        superseded_files: superseded().count(),
        superseded_bytes: superseded().map(|file| file.bytes).sum(),
        corrected_labels: corrections.len() as u64,
        contradicting_labels: plan.contradictions,
        unplaced_stations: plan.unplaced_stations,
        lost_stations: plan.lost_stations,
        duplicate_findings: plan.duplicates,
        over_reject_limit: crate::rejects::counted(&plan.rejects) > config.max_rejects,
        rejects_by_reason: crate::rejects::by_reason(&plan.rejects),
        over_quarantine_limit: share > config.max_quarantine,
        counts: count_rows(labels())
            .into_iter()
            .map(|((region, status, split), n)| (region, status, split, n))
            .collect(),
        stages: Vec::new(),
        totals,
    })
}

/// Records of every file that was set aside, before pixels were read and while.
fn quarantine(
    accounts: &Accounts<'_>,
    records: &[PartitionRecord],
    context: &BuildContext<'_>,
) -> Vec<QuarantineRecord> {
    let (secret, same) = (context.secret, context.config.same_person());
    let early = accounts.refused.iter().map(|refused| {
        // A file is known by its place in the folder of the studies, wherever that folder lies.
        let place = refused.path.strip_prefix(context.config.studies()).unwrap_or(&refused.path);
        QuarantineRecord {
            reason: refused.reason.to_string(),
            file_key: secret.other("file", &place.to_string_lossy()),
            series_key: refused.series_uid.as_deref().map(|uid| secret.series(uid).as_str().to_owned()),
            patient_key: refused.patient_id.as_deref().map(|id| secret.patient(same.canonical(id)).as_str().to_owned()),
        }
    });
    early.chain(records.iter().flat_map(|record| record.quarantined.iter().cloned())).collect()
}

/// Rows of the index: shards in path order, rows in file order.
fn index_rows(records: &[PartitionRecord]) -> Vec<IndexRow<'_>> {
    let mut with_shard: Vec<_> =
        records.iter().filter_map(|record| record.shard.as_ref().map(|shard| (shard, &record.rows))).collect();
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

/// Removes temporary files of killed writers from the places where a build writes; to be called by who holds the dataset alone. Best effort: they
/// have no name of the dataset.
pub(crate) fn remove_leftovers(dataset: &Folder) {
    let left = leftovers(dataset).unwrap_or_default();
    for name in &left {
        if let Err(error) = dataset.remove(name) {
            tracing::warn!("cannot remove a temporary file of a killed build: {error}");
        }
    }
}
