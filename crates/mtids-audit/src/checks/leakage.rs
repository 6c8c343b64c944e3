//! Patients in two splits, and an index that is not the published one.

use std::collections::{BTreeMap, BTreeSet};

use mtids_report::format::counted;
use mtids_shards::Manifest;
use polars::prelude::{SortMultipleOptions, col, len, lit};

use super::nobody::Nobody;
use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// A patient's rows must lie in one split.
pub(super) fn patients(index: &Index, nobody: &Nobody) -> Result<Option<AuditIssue>, AuditError> {
    let answer = index.query_of(Rows::All, |frame| {
        frame
            .group_by([col("patient_key")])
            .agg([col("split").n_unique().alias("splits")])
            .filter(col("splits").gt(lit(1)))
    })?;
    // Rows that name nobody belong together no more than any others.
    let named: Vec<bool> = answer.codes("patient_key")?.into_iter().map(|patient| !nobody.is(patient)).collect();
    let count = named.iter().filter(|is_named| **is_named).count() as u64;
    let keys =
        answer.texts("patient_key")?.into_iter().zip(named).filter(|(_, is_named)| *is_named).map(|(key, _)| key);
    Ok((count > 0).then(|| {
        AuditIssue::new(
            Severity::Error,
            IssueCode::PatientInTwoSplits,
            count,
            format!("{} patches in more than one split", counted(count, "patient has", "patients have")),
            "results on held-out patients are too optimistic; build the dataset again with a split by patient",
        )
        .with_examples(keys.flatten())
    }))
}

/// The index must count what the manifest counts; that it is the published one was checked when it was opened.
pub(super) fn index_against_manifest(index: &Index, manifest: &Manifest) -> Result<Option<AuditIssue>, AuditError> {
    let mut different = BTreeSet::new();
    let answer = index.query_of(Rows::All, |frame| {
        frame.group_by([col("shard")]).agg([len().alias("rows")]).sort(["shard"], SortMultipleOptions::default())
    })?;
    let listed: BTreeMap<String, u64> =
        answer.texts("shard")?.into_iter().flatten().zip(answer.counts("rows")?).collect();
    let published: BTreeMap<String, u64> =
        manifest.shards.iter().map(|shard| (shard.path.clone(), shard.rows)).collect();
    for shard in listed.keys().chain(published.keys()) {
        if listed.get(shard) != published.get(shard) {
            let rows = |counts: &BTreeMap<String, u64>| counts.get(shard).copied().unwrap_or(0);
            different.insert(format!("{shard}: {} rows in the index, {} published", rows(&listed), rows(&published)));
        }
    }
    Ok((!different.is_empty()).then(|| {
        AuditIssue::new(
            Severity::Error,
            IssueCode::IndexDiffersFromManifest,
            different.len() as u64,
            "the index is not the one that the manifest lists",
            "run `mtids-prep verify`; restore the dataset or build it again",
        )
        .with_examples(different)
    }))
}
