//! Numbers that are none, NaN and infinity, in two datasets. They count as unknown in the drift: one of them would make every mean none.
//!
//! Invariants: every column of decimal numbers is looked through; one with the same such rows in both is left out, so a dataset beside itself
//! has no issue.

use std::collections::BTreeMap;

use mtids_report::format::counted;
use polars::prelude::{DataType, Expr, col, lit};

use super::pairs::{COLUMNS_AT_A_TIME, Pairs, Side};
use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Columns with more or fewer of them than before, or with as many in other rows.
pub(super) fn issue(pairs: &Pairs<'_>, first: &Index, second: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let all = first.decimals().union(second.decimals());
    let columns: Vec<&str> = all.map(String::as_str).filter(|name| first.has(name) && second.has(name)).collect();
    let counts: Vec<(u64, u64)> = rows(first, &columns)?.into_iter().zip(rows(second, &columns)?).collect();
    let of_both = columns.iter().zip(&counts).filter(|(_, (before, after))| *before > 0 && *after > 0);
    let others = elsewhere(pairs, &of_both.map(|(name, _)| *name).collect::<Vec<_>>())?;
    let mut examples = Vec::new();
    let mut are_new = false;
    for (column, (before, after)) in columns.iter().zip(counts) {
        let elsewhere = others.get(*column).copied().unwrap_or(0);
        are_new |= after > before || elsewhere > 0;
        if before != after || elsewhere > 0 {
            let new = if elsewhere > 0 { format!(", {elsewhere} of them others than before") } else { String::new() };
            examples.push(format!("{column}: {before}, then {}{new}", counted(after, "row", "rows")));
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
            "{} other rows than before with values that are NaN or infinite, which count as unknown here",
            counted(count, "column has", "columns have")
        );
        AuditIssue::new(severity, IssueCode::NotFinite, count, message, advice).with_examples(examples)
    }))
}

/// Whether a number is none; a null is unknown, and not that.
fn is_none(number: Expr) -> Expr {
    number.cast(DataType::Float64).is_finite().not().fill_null(lit(false))
}

/// For each column, how many rows have such a number.
fn rows(index: &Index, columns: &[&str]) -> Result<Vec<u64>, AuditError> {
    let sums: Vec<Expr> = columns.iter().map(|name| is_none(col(*name)).sum().alias(*name)).collect();
    let answer = index.query_of(Rows::All, |frame| frame.select(sums))?;
    columns.iter().map(|name| Ok(answer.counts(name)?.first().copied().unwrap_or(0))).collect()
}

/// For each column, how many rows of both have such a number in the second dataset, and had none in the first.
fn elsewhere<'c>(pairs: &Pairs<'_>, columns: &[&'c str]) -> Result<BTreeMap<&'c str, u64>, AuditError> {
    let mut found = BTreeMap::new();
    for some in columns.chunks(COLUMNS_AT_A_TIME) {
        let is_new = |name: &&str| {
            let [before, after] = [Side::First, Side::Second].map(|side| is_none(side.column(name)));
            after.and(before.not()).sum().alias(*name)
        };
        let sums: Vec<Expr> = some.iter().map(is_new).collect();
        let answer = pairs.answer(pairs.beside(some).select(sums))?;
        for name in some {
            found.insert(*name, answer.counts(name)?.first().copied().unwrap_or(0));
        }
    }
    Ok(found)
}
