//! What is known of a row besides its labels: size, source, scanner, person, weight, study and measures. A rebuild from the same files changes none of it.
//!
//! Invariants: numbers that differ by less than a thousandth of themselves are one, for another version may round otherwise; that a number became
//! NaN is the business of `not_finite`.

use std::collections::BTreeMap;

use mtids_report::format::counted;
use polars::prelude::{DataType, Expr, SortMultipleOptions, col, lit};

use super::keys::KEY;
use super::pairs::{Pairs, Side};
use crate::error::AuditError;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Words and flags.
const WORDS: [&str; 15] = [
    "label_source",
    "manufacturer",
    "model",
    "kernel",
    "contrast",
    "site",
    "sex",
    "age_band",
    "study_key",
    "series_key",
    "frame_of_reference_key",
    "folded_patient_key",
    "repaired",
    "measure_source",
    "pet",
];
/// Numbers.
const NUMBERS: [&str; 6] =
    ["short_axis_mm", "slice_thickness_mm", "slice_step_mm", "pixel_spacing_mm", "kvp", "weight"];
/// What names of columns of measures begin with; `measure_source` is a word.
const MEASURES: [&str; 2] = ["grown_", "mask_"];
/// So many measures with other values are named.
const MOST_NAMED: usize = 5;
/// Numbers are one where they differ by less than this share of themselves.
const ROUNDING: f64 = 1e-3;

/// Rows of both with other facts; `changed` has the columns whose values differ at all.
pub(super) fn issue(pairs: &Pairs<'_>, changed: &BTreeMap<String, u64>) -> Result<Option<AuditIssue>, AuditError> {
    let measures = changed.keys().map(String::as_str).filter(|name| is_measure(name));
    let facts = NUMBERS.into_iter().chain(WORDS).filter(|name| changed.contains_key(*name));
    let names: Vec<&str> = facts.chain(measures).collect();
    let Some(any) = names.iter().map(|name| differs(name)).reduce(Expr::or) else { return Ok(None) };
    let found = names.iter().map(|name| differs(name).alias(*name));
    let columns: Vec<Expr> = [col(KEY)].into_iter().chain(found).collect();
    let rows = pairs.beside(&names).filter(any).select(columns).sort([KEY], SortMultipleOptions::default());
    let answer = pairs.answer(rows)?;
    let count = answer.len() as u64;
    if count == 0 {
        return Ok(None);
    }
    let (mut parts, mut measures) = (Vec::new(), Vec::new());
    for name in names {
        let rows: u64 = answer.counts(name)?.into_iter().sum();
        let parts = if is_measure(name) { &mut measures } else { &mut parts };
        parts.extend((rows > 0).then(|| format!("{name}: {}", counted(rows, "row", "rows"))));
    }
    let more = measures.len().saturating_sub(MOST_NAMED);
    parts.extend(measures.into_iter().take(MOST_NAMED));
    parts.extend((more > 0).then(|| counted(more as u64, "more measure", "more measures")));
    Ok(Some(
        AuditIssue::new(
            Severity::Warning,
            IssueCode::FactsChanged,
            count,
            format!(
                "{} another size, source, scanner, person, weight, study or measure than before ({})",
                counted(count, "row has", "rows have"),
                parts.join("; ")
            ),
            "a table, a header or a setting changed: look at these columns before results of the two datasets stand beside each other",
        )
        .with_rows(answer.texts(KEY)?.into_iter().flatten()),
    ))
}

fn is_measure(name: &str) -> bool {
    MEASURES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a fact of a row of both differs.
fn differs(name: &str) -> Expr {
    let [before, after] = [Side::First, Side::Second].map(|side| side.column(name));
    if WORDS.contains(&name) {
        return before.neq_missing(after);
    }
    let [before, after] = [before, after].map(|number| number.cast(DataType::Float64));
    let is_new = before.clone().is_null().neq(after.clone().is_null());
    let apart = before.clone() - after.clone();
    let size = before.clone() * before + after.clone() * after;
    let are_apart = apart.clone().is_finite().and((apart.clone() * apart).gt(lit(ROUNDING * ROUNDING) * size));
    is_new.or(are_apart.fill_null(lit(false)))
}
