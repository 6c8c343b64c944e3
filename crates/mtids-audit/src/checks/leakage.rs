//! Patients in two splits, and an index that is not the published one.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use mtids_report::format::counted;
use mtids_shards::Manifest;
use polars::prelude::{SortMultipleOptions, col, len, lit};

use super::nobody::{Nobody, PATIENT};
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
    let found: HashSet<u32> = answer.codes("patient_key")?.into_iter().filter(|&patient| !nobody.is(patient)).collect();
    if found.is_empty() {
        return Ok(None);
    }
    let count = found.len() as u64;
    // The number of a patient is the first row.
    let mut firsts: Vec<u32> = found.iter().copied().collect();
    firsts.sort_unstable();
    let keys = index.coded()?.index().texts_at(PATIENT, &firsts)?;
    let rows = (0..).zip(index.first_rows(PATIENT)?).filter(|(_, first)| found.contains(first)).map(|(row, _)| row);
    Ok(Some(
        AuditIssue::new(
            Severity::Error,
            IssueCode::PatientInTwoSplits,
            count,
            format!("{} patches in more than one split", counted(count, "patient has", "patients have")),
            "results on held-out patients are too optimistic; build the dataset again with a split by patient",
        )
        .with_examples(keys.into_iter().flatten())
        .with_rows(index.keys_at(rows.collect())?),
    ))
}

/// The index must count what the manifest counts; that it is the published one was checked when it was opened.
pub(super) fn index_against_manifest(
    index: &Index,
    manifest: &Manifest,
    nobody: &Nobody,
) -> Result<Option<AuditIssue>, AuditError> {
    let mut different = BTreeSet::new();
    let is_negative = index.is("kind", "negative")?;
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
    let of_shards: BTreeMap<&str, &str> =
        manifest.shards.iter().map(|shard| (shard.path.as_str(), shard.split.name())).collect();
    let splits =
        index.query_of(Rows::All, |frame| frame.group_by([col("shard"), col("split")]).agg([len().alias("rows")]))?;
    let (shards, splits, rows) = (splits.texts("shard")?, splits.texts("split")?, splits.counts("rows")?);
    for ((shard, split), rows) in shards.into_iter().flatten().zip(splits).zip(rows) {
        let split = split.unwrap_or_else(|| "none".to_owned());
        if of_shards.get(shard.as_str()).is_some_and(|published| *published != split) {
            different.insert(format!(
                "{shard}: {rows} rows of {split} in the index, {} published",
                of_shards[shard.as_str()]
            ));
        }
    }
    let sums = index.query_of(Rows::All, |frame| {
        let negatives = is_negative.sum().alias("negatives");
        frame.select([len().alias("rows"), negatives])
    })?;
    let count = |name: &str| Ok::<u64, AuditError>(sums.counts(name)?.first().copied().unwrap_or(0));
    let firsts = index.first_rows(PATIENT)?;
    let patients = (0..).zip(firsts).filter(|(row, first)| row == first && !nobody.is(*first)).count() as u64;
    let totals = &manifest.totals;
    for (name, here, total) in [
        ("rows", count("rows")?, totals.rows),
        ("patients", patients, totals.patients),
        ("negatives", count("negatives")?, totals.negatives),
    ] {
        if here != total {
            different.insert(format!("{here} {name} in the index, {total} in the totals"));
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
