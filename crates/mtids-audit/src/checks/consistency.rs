//! Facts that cannot both be true: a patient of two sexes, and a series from two scanners.
//!
//! Invariants: unknown contradicts nothing, nor does the sex `O`, which anonymisers write; two spellings of a name are one, see `spelling`.

use std::collections::BTreeSet;

use mtids_report::format::counted;
use mtids_shards::folded;
use polars::prelude::{Expr, LazyFrame, SortMultipleOptions, col};

use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Column of the sex, which older datasets lack.
const SEX: &str = "sex";
/// What the header of a series says of its scanner.
const OF_SCANNER: [&str; 2] = ["manufacturer", "model"];

/// Patients with rows of both sexes: two people under one id, or a slip in a header.
pub(super) fn sexes(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    if !index.has(SEX) {
        return Ok(None);
    }
    let is_either = index.is(SEX, "F")?.or(index.is(SEX, "M")?);
    let found = contradictions(index, "patient_key", SEX, |frame| frame.filter(is_either))?.into_iter();
    // A blank id names nobody, see `nobody`.
    let found: Vec<String> = found.map(|(patient, ..)| patient).filter(|patient| !patient.trim().is_empty()).collect();
    let count = found.len() as u64;
    Ok((count > 0).then(|| {
        AuditIssue::new(
            Severity::Warning,
            IssueCode::PatientOfTwoSexes,
            count,
            format!("{} rows of both sexes", counted(count, "patient has", "patients have")),
            "two people under one id, or a slip in a header: compare names and birth dates at the source, and correct one of them",
        )
        .with_examples(found)
    }))
}

/// Series whose rows name two manufacturers or two models.
pub(super) fn scanners(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let (mut all, mut examples) = (BTreeSet::new(), Vec::new());
    for column in OF_SCANNER {
        for (series, one, other) in contradictions(index, "series_key", column, |frame| frame)? {
            if folded(&one) != folded(&other) {
                examples.push(format!("{series}: {one} and {other}"));
                all.insert(series);
            }
        }
    }
    let count = all.len() as u64;
    Ok((count > 0).then(|| {
        AuditIssue::new(
            Severity::Warning,
            IssueCode::SeriesOfTwoScanners,
            count,
            format!("{} two manufacturers or models", counted(count, "series names", "series name")),
            "a series comes from one scanner: headers were mixed, or two series have one UID; correct the source, and build again",
        )
        .with_examples(examples)
    }))
}

/// Groups of rows with more than one known value of a column of text: the group, its first and its last value.
fn contradictions(
    index: &Index,
    group: &str,
    column: &str,
    kept: impl FnOnce(LazyFrame) -> LazyFrame,
) -> Result<Vec<(String, String, String)>, AuditError> {
    let (first, last): (Expr, Expr) = (col(column).min().alias("first"), col(column).max().alias("last"));
    let answer = index.query_of(Rows::All, |frame| {
        let known = kept(frame).filter(col(group).is_not_null().and(col(column).is_not_null()));
        let groups = known.group_by([col(group)]).agg([first, last]).filter(col("first").lt(col("last")));
        groups.sort([group], SortMultipleOptions::default())
    })?;
    let values = answer.texts_of("first", column)?.into_iter().zip(answer.texts_of("last", column)?);
    let found = answer.texts(group)?.into_iter().zip(values);
    Ok(found.filter_map(|(group, (first, last))| Some((group?, first?, last?))).collect())
}
