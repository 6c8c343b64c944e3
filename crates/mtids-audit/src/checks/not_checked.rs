//! Checks that could not be made, because the column that they ask is not there or has no value.
//!
//! Purpose: that nothing was found must not look as if nothing were wrong. Invariants: one value makes a column known; a dataset without rows
//! is not judged, for the audit says that already.

use mtids_report::format::counted;
use polars::prelude::col;

use crate::columns::KEYS;
use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Rows that are looked at before a whole column of keys is.
const FIRST: usize = 1000;
/// Columns that a dataset may lack, and the check that each of them decides.
const ASKED: [(&str, IssueCode); 9] = [
    ("near_hash", IssueCode::NearCopies),
    ("folded_patient_key", IssueCode::IdsDifferBySpelling),
    ("site", IssueCode::SiteOnlyClass),
    ("sex", IssueCode::PatientOfTwoSexes),
    ("short_axis_mm", IssueCode::SizeConfounder),
    ("midline_offset_mm", IssueCode::SideAgainstMidline),
    ("grown_shell_0_3_hu", IssueCode::PlaceWithoutTissue),
    ("grown_deviation_hu", IssueCode::ConstantTissue),
    ("grown_aorta_hu", IssueCode::ImplausibleBlood),
];

/// One note that names the columns and their checks.
pub(super) fn found(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    if index.coded()?.index().rows() == 0 {
        return Ok(None);
    }
    let mut unknown = Vec::new();
    for (column, code) in ASKED {
        if !has_value(index, column)? {
            unknown.push(format!("`{column}` ({})", code.name()));
        }
    }
    let count = unknown.len() as u64;
    Ok((count > 0).then(|| {
        let columns = counted(count, "column has", "columns have");
        AuditIssue::new(
            Severity::Info,
            IssueCode::NotChecked,
            count,
            format!("{columns} no value, so checks were not made: {}", unknown.join(", ")),
            "that these checks found nothing says nothing: build again with this program, and with these facts where they are known",
        )
    }))
}

/// Whether any row has a value.
fn has_value(index: &Index, column: &str) -> Result<bool, AuditError> {
    if !index.has(column) {
        return Ok(false);
    }
    let columns = index.coded()?;
    if !columns.is_text(column) {
        let answer = index.query_of(Rows::All, |frame| frame.select([col(column).count().alias("known")]))?;
        return Ok(answer.counts("known")?.first().is_some_and(|known| *known > 0));
    }
    if !KEYS.contains(&column) {
        return Ok(!columns.kept(column)?.values.is_empty());
    }
    let first: Vec<u32> = (0..columns.index().rows().min(FIRST) as u32).collect();
    let mut has_value = columns.index().texts_at(column, &first)?.iter().any(Option::is_some);
    if !has_value {
        columns.index().visit_column(column, |_, _| has_value = true)?;
    }
    Ok(has_value)
}
