//! Numbers that are none: NaN and infinity, which a comparison takes for a large number and a mean for its end.
//!
//! Invariant: every column of floating-point numbers is looked through, of findings and negatives alike. No other check judges such a number.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float64Type};
use mtids_shards::{IndexColumns, ShardError};
use rayon::prelude::*;

use super::wrong_rows::WrongRows;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode};

/// Most columns that are read at a time: each is decoded meanwhile.
const AT_ONCE: usize = 4;

/// Rows with such a number; examples are the columns.
pub(super) fn found(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let columns = index.coded()?.index();
    let is_number = |kind: &DataType| matches!(kind, DataType::Float32 | DataType::Float64);
    let fields = columns.schema().fields().iter().filter(|field| is_number(field.data_type()));
    let names: Vec<&str> = fields.map(|field| field.name().as_str()).collect();
    let mut wrong = WrongRows::default();
    for some in names.chunks(AT_ONCE) {
        let found: Result<Vec<Vec<u32>>, ShardError> = some.par_iter().map(|name| rows_of(columns, name)).collect();
        for (name, rows) in some.iter().zip(found?) {
            wrong.add(name, rows);
        }
    }
    wrong.issue(
        index,
        IssueCode::NotFinite,
        ["row has", "rows have", "a number that is NaN or infinite"],
        "a division by zero, or a missing value that was written as a number: leave what is unknown empty, and build again",
    )
}

/// Rows of a column of numbers that are not finite, in the order of the file.
fn rows_of(columns: &IndexColumns, name: &str) -> Result<Vec<u32>, ShardError> {
    let mut rows = Vec::new();
    let is_single = columns.schema().field_with_name(name).is_ok_and(|field| *field.data_type() == DataType::Float32);
    if is_single {
        columns.visit_singles(name, |row, value| rows.extend((!value.is_finite()).then_some(row)))?;
        return Ok(rows);
    }
    let arrays = columns.column(name)?;
    let values = arrays.iter().flat_map(|array| array.as_primitive::<Float64Type>());
    rows.extend(
        (0..).zip(values).filter(|(_, value)| value.is_some_and(|value| !value.is_finite())).map(|(row, _)| row),
    );
    Ok(rows)
}
