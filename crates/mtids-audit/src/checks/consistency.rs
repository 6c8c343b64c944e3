//! Facts that cannot both be true: a patient of two sexes, and a series from two scanners or of two ways of acquisition.
//!
//! Invariants: unknown contradicts nothing, nor does the sex `O`, which anonymisers write; two spellings of a name are one, see `spelling`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mtids_report::format::counted;
use mtids_shards::{NO_CODE, folded};
use polars::prelude::{Expr, LazyFrame, SortMultipleOptions, col};

use crate::by_patient::Property;
use crate::columns::KEYS;
use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Column of the sex, which older datasets lack.
const SEX: &str = "sex";
/// What the header of a series says of its scanner and of how it was made; spellings of a name are one.
const OF_SERIES: [&str; 10] = [
    "manufacturer",
    "model",
    "kernel",
    "contrast",
    "kvp",
    "slice_thickness_mm",
    "slice_step_mm",
    "pixel_spacing_mm",
    "study_key",
    "frame_of_reference_key",
];

/// Patients with rows of both sexes: two people under one id, or a slip in a header.
pub(super) fn sexes(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    if !index.has(SEX) {
        return Ok(None);
    }
    let is_either = index.is(SEX, "F")?.or(index.is(SEX, "M")?);
    let found = contradictions(index, "patient_key", SEX, |frame| frame.filter(is_either))?.into_iter();
    // A blank id names nobody, see `nobody`.
    let found: Vec<String> = found.map(|(patient, ..)| patient).filter(|patient| !patient.trim().is_empty()).collect();
    if found.is_empty() {
        return Ok(None);
    }
    let count = found.len() as u64;
    let rows = index.coded()?.index().rows_of("patient_key", found.iter().map(String::as_str))?;
    let rows = index.keys_at(rows.into_values().collect())?;
    Ok(Some(
        AuditIssue::new(
            Severity::Warning,
            IssueCode::PatientOfTwoSexes,
            count,
            format!("{} rows of both sexes", counted(count, "patient has", "patients have")),
            "two people under one id, or a slip in a header: compare names and birth dates at the source, and correct one of them",
        )
        .with_examples(found)
        .with_rows(rows),
    ))
}

/// Series whose rows name two scanners, studies, or ways of acquisition.
pub(super) fn scanners(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let firsts = index.first_rows("series_key")?;
    let mut all: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for column in OF_SERIES {
        for (series, [one, other]) in differing(index, column, &firsts)? {
            all.entry(series).or_default().push(format!("{column} {one} and {other}"));
        }
    }
    let rows: Vec<u32> = all.keys().copied().collect();
    let names = index.coded()?.index().texts_at("series_key", &rows)?;
    let named = names.into_iter().map(Option::unwrap_or_default).zip(all.values());
    let examples: Vec<String> =
        named.flat_map(|(series, found)| found.iter().map(move |what| format!("{series}: {what}"))).collect();
    if all.is_empty() {
        return Ok(None);
    }
    let count = all.len() as u64;
    Ok(Some(
        AuditIssue::new(
            Severity::Warning,
            IssueCode::SeriesOfTwoScanners,
            count,
            format!("{} two scanners, studies or ways of acquisition", counted(count, "series names", "series name")),
            "a series is one scan: headers were mixed, or two series have one UID; correct the source, and build again",
        )
        .with_examples(examples)
        .with_rows(index.keys_at(all.into_keys().collect())?),
    ))
}

/// Series by their first rows, whose rows have two known values of a column, and these values; one pass over the rows.
fn differing(index: &Index, column: &str, firsts: &[u32]) -> Result<Vec<(u32, [String; 2])>, AuditError> {
    let columns = index.coded()?;
    let mut known = vec![NO_CODE; firsts.len()];
    let mut found: BTreeMap<u32, [u32; 2]> = BTreeMap::new();
    let mut look = |row: usize, value: u32| {
        let series = firsts[row];
        if series == NO_CODE || value == NO_CODE {
            return;
        }
        let first = &mut known[series as usize];
        if *first == NO_CODE {
            *first = value;
        } else if *first != value {
            found.entry(series).or_insert([*first, value]);
        }
    };
    let show: Box<dyn Fn(u32) -> String> = if KEYS.contains(&column) {
        index.first_rows(column)?.into_iter().enumerate().for_each(|(row, value)| look(row, value));
        let rows: BTreeSet<u32> = found.values().flatten().copied().collect();
        let rows: Vec<u32> = rows.into_iter().collect();
        let texts = columns.index().texts_at(column, &rows)?;
        let names: HashMap<u32, String> =
            rows.into_iter().zip(texts.into_iter().map(Option::unwrap_or_default)).collect();
        Box::new(move |value| names.get(&value).cloned().unwrap_or_default())
    } else if index.decimals().contains(column) {
        // The bits of an unknown value are those of a number that is none, see `not_finite`.
        columns.visit_numbers(column, |row, value| look(row as usize, value.to_bits()))?;
        Box::new(|value| format!("{:?}", f32::from_bits(value)))
    } else {
        let property = Property::all(index, column)?;
        // Two spellings of a name are one.
        let mut places: HashMap<String, u32> = HashMap::new();
        let one_of: Vec<u32> =
            (0..).zip(&property.values).map(|(n, value)| *places.entry(folded(value)).or_insert(n)).collect();
        property.visit(|row, value| look(row, one_of[value]));
        Box::new(move |value| property.values.get(value as usize).cloned().unwrap_or_default())
    };
    Ok(found.into_iter().map(|(series, values)| (series, values.map(&show))).collect())
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
