//! Words and codes that no dataset has. Every check asks for those that it knows, so a row with another one would not be judged at all.
//!
//! Invariant: the words are those that `mtids-domain` and `mtids-shards` write, letter by letter: `4r` is no station, and `Test` no split.

use mtids_domain::annotation::AnnotationSource;
use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::person::{AgeBand, Sex};
use mtids_domain::repair::Repair;
use mtids_domain::taxonomy::Station;
use mtids_shards::{RowKind, Split};
use polars::prelude::{SortMultipleOptions, col, len, lit};
use strum::VariantArray;

use super::wrong_rows::WrongRows;
use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode};

/// A column that has a fixed set of values.
struct Vocabulary {
    column: &'static str,
    /// Whether every row has a value.
    is_required: bool,
    knows: fn(&str) -> bool,
}

const fn required(column: &'static str, knows: fn(&str) -> bool) -> Vocabulary {
    Vocabulary { column, is_required: true, knows }
}

const fn optional(column: &'static str, knows: fn(&str) -> bool) -> Vocabulary {
    Vocabulary { column, is_required: false, knows }
}

const COLUMNS: [Vocabulary; 11] = [
    required("kind", |word| RowKind::from_name(word).is_some()),
    required("split", |word| Split::from_name(word).is_some()),
    required("evidence", |word| Evidence::VARIANTS.iter().any(|one| one.letter() == word)),
    required("level", |word| LabelLevel::VARIANTS.iter().any(|one| one.name() == word)),
    required("label_source", is_source),
    required("measure_source", |word| ["grown", "grown+mask"].contains(&word)),
    optional("station", |word| Station::ALL.iter().any(|one| one.code() == word)),
    optional("metastasis", |word| Metastasis::ALL.iter().any(|one| one.code().to_string() == word)),
    optional("sex", |word| Sex::from_letter(word).is_some_and(|one| one.letter() == word)),
    optional("age_band", |word| AgeBand::from_name(word).is_some()),
    optional("repaired", |word| Repair::from_name(word).is_some()),
];

/// Whether a column has a fixed set of values.
pub(super) fn knows_column(name: &str) -> bool {
    COLUMNS.iter().any(|one| one.column == name)
}

/// The forms of annotations; a negative has none.
fn is_source(word: &str) -> bool {
    use AnnotationSource::{Segmentation, SegmentationWithTable, Table};
    word == "none" || [Table, Segmentation, SegmentationWithTable].iter().any(|one| one.name() == word)
}

/// Rows with a value that its column does not know, or without one that it needs; examples are the values.
pub(super) fn unknown(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let mut wrong = WrongRows::default();
    // An older layout has fewer columns.
    for Vocabulary { column, is_required, knows } in COLUMNS.into_iter().filter(|one| index.has(one.column)) {
        for value in values_of(index, column)? {
            if value.as_deref().map_or(!is_required, knows) {
                continue;
            }
            let shown = value.as_deref().map_or_else(|| "nothing".to_owned(), |value| format!("“{value}”"));
            wrong.add(format_args!("{column} {shown}"), rows_with(index, column, value.as_deref())?);
        }
    }
    wrong.issue(
        index,
        IssueCode::UnknownValue,
        ["row has", "rows have", "a value that its column does not know"],
        "other checks and the training pass over these rows: write the values as schemas/patch.json says, and build again",
    )
}

/// The values of a column, with nothing for rows without any.
fn values_of(index: &Index, column: &str) -> Result<Vec<Option<String>>, AuditError> {
    let columns = index.coded()?;
    if columns.is_text(column) {
        let nothing = columns.has_null(column)?.then_some(None);
        return Ok(nothing.into_iter().chain(columns.kept(column)?.values.iter().cloned().map(Some)).collect());
    }
    let answer = index.query_of(Rows::All, |frame| {
        frame.group_by([col(column)]).agg([len().alias("rows")]).sort([column], SortMultipleOptions::default())
    })?;
    answer.texts(column)
}

/// Numbers of the rows with this value.
fn rows_with(index: &Index, column: &str, value: Option<&str>) -> Result<Vec<u32>, AuditError> {
    let is_value = match value {
        None => col(column).is_null(),
        Some(value) if index.coded()?.is_text(column) => index.is(column, value)?,
        // A code: its column is of whole numbers.
        Some(value) => col(column).eq(lit(value.parse::<i32>().unwrap_or(i32::MIN))),
    };
    index.query_of(Rows::All, |frame| frame.filter(is_value).select([col("sample_key")]))?.codes("sample_key")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows(column: &str, word: &str) -> bool {
        (COLUMNS.iter().find(|one| one.column == column).unwrap().knows)(word)
    }

    #[test]
    fn words_are_known_letter_by_letter() {
        for (column, word) in [
            ("kind", "negative"),
            ("split", "validation"),
            ("evidence", "U"),
            ("level", "patient"),
            ("label_source", "segmentation-with-table"),
            ("label_source", "none"),
            ("measure_source", "grown+mask"),
            ("station", "3p"),
            ("station", "12-14L"),
            ("metastasis", "1"),
            ("sex", "O"),
            ("age_band", "90+"),
            ("repaired", "tilt+gaps"),
        ] {
            assert!(knows(column, word), "{column} {word}");
        }
        for (column, word) in [
            ("kind", "Finding"),
            ("split", "TEST"),
            ("split", ""),
            ("evidence", "d"),
            ("level", "Node"),
            ("label_source", "TABLE"),
            ("measure_source", "Grown+Mask"),
            ("station", "4r"),
            ("station", "12R"),
            ("station", "10R "),
            ("metastasis", "2"),
            ("metastasis", "-1"),
            ("sex", "f"),
            ("age_band", "60"),
        ] {
            assert!(!knows(column, word), "{column} {word}");
        }
    }
}
