//! Types of the columns of an index beside those that `mtids-shards` writes.
//!
//! Purpose: a number that was stored as text would be taken for the code of a text, and every check would judge codes. Invariants: kinds are
//! compared and not widths, so an index that another library wrote again is understood; older layouts have fewer columns, of the same types; a
//! column that no layout has is not judged.

use std::collections::BTreeSet;
use std::path::Path;

use arrow::datatypes::{DataType, Field, Schema};
use mtids_shards::labels_batch;

use crate::error::AuditError;

/// What a column holds, whatever its width.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Whole,
    Decimal,
    Truth,
}

impl Kind {
    /// The kind of a type that is read.
    fn of(kind: &DataType) -> Option<Self> {
        match kind {
            DataType::Utf8 => Some(Self::Text),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Some(Self::Whole),
            DataType::Float32 | DataType::Float64 => Some(Self::Decimal),
            DataType::Boolean => Some(Self::Truth),
            _ => None,
        }
    }
}

/// Columns of an index as they are written: those of its rows, then where each row lies. `path` is for messages.
///
/// # Errors
/// [`AuditError::Index`] for what Arrow refuses, which the table of columns rules out.
pub(crate) fn written(path: &Path) -> Result<Vec<Field>, AuditError> {
    let batch =
        labels_batch(&[]).map_err(|error| AuditError::Index { path: path.to_owned(), detail: error.to_string() })?;
    let mut fields: Vec<Field> = batch.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new("shard", DataType::Utf8, false));
    fields.extend(["row_group", "row"].map(|name| Field::new(name, DataType::Int64, false)));
    Ok(fields)
}

/// Refuses an index with a column of another kind than is written.
///
/// # Errors
/// [`AuditError::Index`], which names the file, the columns, and the types that they have and should have.
pub(crate) fn check(found: &Schema, path: &Path) -> Result<(), AuditError> {
    let wrong: Vec<String> = written(path)?
        .iter()
        .filter_map(|field| {
            let (name, expected) = (field.name(), field.data_type());
            let found = found.field_with_name(name).ok()?.data_type();
            (!is_read_as(found, expected)).then(|| format!("column `{name}` has type {found} instead of {expected}"))
        })
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(AuditError::Index { path: path.to_owned(), detail: wrong.join(", ") })
}

/// Whether a column of the type `found` holds what one of the type `expected` does. Whole numbers are numbers.
fn is_read_as(found: &DataType, expected: &DataType) -> bool {
    match (Kind::of(found), Kind::of(expected)) {
        (Some(Kind::Whole), Some(Kind::Decimal)) => true,
        (found, expected) => found.is_some() && found == expected,
    }
}

/// Names of the columns whose numbers may be NaN or infinite.
pub(crate) fn decimals(schema: &Schema) -> BTreeSet<String> {
    let is_decimal = |field: &&std::sync::Arc<Field>| Kind::of(field.data_type()) == Some(Kind::Decimal);
    schema.fields().iter().filter(is_decimal).map(|field| field.name().clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, kind: DataType) -> Result<(), String> {
        let schema = Schema::new(vec![Field::new(name, kind, true)]);
        check(&schema, Path::new("index")).map_err(|error| error.to_string())
    }

    #[test]
    fn other_widths_are_read_and_other_kinds_are_refused_by_name() {
        for (name, kind) in [
            ("metastasis", DataType::Int64),
            ("region", DataType::Int16),
            ("kvp", DataType::Float64),
            ("weight", DataType::Int32),
            ("site", DataType::Utf8),
            ("of another program", DataType::Date32),
        ] {
            assert_eq!(checked(name, kind), Ok(()), "{name}");
        }
        for (name, kind, words) in [
            ("kvp", DataType::Utf8, "column `kvp` has type Utf8 instead of Float32"),
            ("metastasis", DataType::Float64, "column `metastasis` has type Float64 instead of Int8"),
            ("site", DataType::Int32, "column `site` has type Int32 instead of Utf8"),
            ("contrast", DataType::Int8, "column `contrast` has type Int8 instead of Boolean"),
            ("row", DataType::Utf8, "column `row` has type Utf8 instead of Int64"),
            ("grown_mean_hu", DataType::Utf8, "column `grown_mean_hu` has type Utf8 instead of Float32"),
        ] {
            let said = checked(name, kind).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn the_columns_of_decimal_numbers_are_known() {
        let schema = Schema::new(written(Path::new("index")).unwrap());
        let found = decimals(&schema);
        for (name, is_decimal) in [("weight", true), ("center_z_mm", true), ("study_day", false), ("site", false)] {
            assert_eq!(found.contains(name), is_decimal, "{name}");
        }
    }
}
