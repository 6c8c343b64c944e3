//! Rows that know each other: patients in two splits, copies, and an index that is not the published one.

use std::collections::{BTreeMap, BTreeSet};

use mtids_shards::Manifest;
use polars::prelude::{JoinArgs, JoinType, SortMultipleOptions, col, len, lit};

use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// A patient's rows must lie in one split.
pub(super) fn patients(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let answer = index.query_of(Rows::All, |frame| {
        frame
            .group_by([col("patient_key")])
            .agg([col("split").n_unique().alias("splits")])
            .filter(col("splits").gt(lit(1)))
    })?;
    let count = answer.len() as u64;
    let keys = answer.texts("patient_key")?;
    Ok((count > 0).then(|| {
        AuditIssue::new(
            Severity::Error,
            IssueCode::PatientInTwoSplits,
            count,
            format!("{count} patients have patches in more than one split"),
            "results on held-out patients are too optimistic; build the dataset again with a split by patient",
        )
        .with_examples(keys.into_iter().flatten())
    }))
}

/// Keys must be unique; so should voxels be.
pub(super) fn duplicates(index: &Index) -> Result<Vec<AuditIssue>, AuditError> {
    let mut issues = Vec::new();
    let twice = |key: &'static str| {
        index.query_of(Rows::All, move |frame| {
            frame
                .group_by([col(key)])
                .agg([
                    len().alias("copies"),
                    col("split").n_unique().alias("splits"),
                    col("patient_key").n_unique().alias("patients"),
                    col("sample_key").min().alias("sample"),
                ])
                .filter(col("copies").gt(lit(1)))
        })
    };
    let answer = twice("sample_key")?;
    if answer.len() > 0 {
        issues.push(
            AuditIssue::new(
                Severity::Error,
                IssueCode::DuplicateSample,
                answer.len() as u64,
                format!("{} sample keys occur in more than one row", answer.len()),
                "sample keys must be unique; the dataset was not written by mtids-prep, or was changed",
            )
            .with_examples(answer.texts("sample_key")?.into_iter().flatten()),
        );
    }
    let answer = twice("voxels_digest")?;
    let (splits, patients, digests) =
        (answer.counts("splits")?, answer.counts("patients")?, answer.texts("voxels_digest")?);
    let across = |n: &usize| splits[*n] > 1 || patients[*n] > 1;
    let (leaking, inside): (Vec<usize>, Vec<usize>) = (0..answer.len()).partition(across);
    let rows = rows_of_copies(index)?;
    for (severity, copies, place, advice) in [
        (
            Severity::Error,
            leaking,
            "of different patients or splits",
            "one person with two IDs, or a study exported twice: merge the patients and build again",
        ),
        (Severity::Warning, inside, "of one patient", "a node annotated twice counts twice; remove one annotation"),
    ] {
        if !copies.is_empty() {
            let firsts = answer.texts("sample")?;
            let digests = copies.iter().filter_map(|&n| digests[n].as_deref());
            issues.push(
                AuditIssue::new(
                    severity,
                    IssueCode::DuplicateVoxels,
                    copies.len() as u64,
                    format!("{} patches {place} have identical voxels", copies.len()),
                    advice,
                )
                .with_examples(copies.iter().filter_map(|&n| firsts[n].clone()))
                .with_rows(digests.flat_map(|digest| rows.get(digest).into_iter().flatten().cloned())),
            );
        }
    }
    Ok(issues)
}

/// Keys of the rows whose voxels occur more than once, by the digest of the voxels.
fn rows_of_copies(index: &Index) -> Result<BTreeMap<String, Vec<String>>, AuditError> {
    let answer = index.query_of(Rows::All, |frame| {
        let copied = frame
            .clone()
            .group_by([col("voxels_digest")])
            .agg([len().alias("copies")])
            .filter(col("copies").gt(lit(1)));
        let joined = frame.select([col("voxels_digest"), col("sample_key")]).join(
            copied,
            [col("voxels_digest")],
            [col("voxels_digest")],
            JoinArgs::new(JoinType::Inner),
        );
        joined.sort(["voxels_digest", "sample_key"], SortMultipleOptions::default())
    })?;
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (digest, key) in answer.texts("voxels_digest")?.into_iter().flatten().zip(answer.texts("sample_key")?) {
        rows.entry(digest).or_default().extend(key);
    }
    Ok(rows)
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
