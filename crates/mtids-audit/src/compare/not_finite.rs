//! Numbers that are none, NaN and infinity, in two datasets. They count as unknown in the drift: one of them would make every mean none.
//!
//! Invariant: columns with as many of them in both are left out, so a dataset beside itself has no issue.

use mtids_report::format::counted;
use polars::prelude::{DataType, Expr, col};

use super::drift::number_columns;
use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Columns with more or fewer of them than before.
pub(super) fn issue(first: &Index, second: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let columns = number_columns(first, second);
    let (before, after) = (rows(first, &columns)?, rows(second, &columns)?);
    let mut examples = Vec::new();
    let mut are_new = false;
    for (column, (before, after)) in columns.iter().zip(before.into_iter().zip(after)) {
        if before != after {
            are_new |= after > before;
            let rows = counted(after, "row", "rows");
            examples.push(format!("{column}: {before}, then {rows}"));
        }
    }
    let count = examples.len() as u64;
    Ok((count > 0).then(|| {
        let (severity, advice) = if are_new {
            (
                Severity::Error,
                "a division by zero, or a missing value that was written as a number: leave what is unknown empty",
            )
        } else {
            (Severity::Info, "the second dataset has fewer of them")
        };
        let message = format!(
            "{} another count of values that are NaN or infinite, which count as unknown here",
            counted(count, "column has", "columns have")
        );
        AuditIssue::new(severity, IssueCode::NotFinite, count, message, advice).with_examples(examples)
    }))
}

/// For each column, how many rows have such a number.
fn rows(index: &Index, columns: &[String]) -> Result<Vec<u64>, AuditError> {
    let is_none = |name: &String| col(name.as_str()).cast(DataType::Float64).is_finite().not();
    let sums: Vec<Expr> = columns.iter().map(|name| is_none(name).sum().alias(name.as_str())).collect();
    let answer = index.query_of(Rows::All, |frame| frame.select(sums))?;
    columns.iter().map(|name| Ok(answer.counts(name)?.first().copied().unwrap_or(0))).collect()
}
