//! Rows that lack a value which every row has. Null meets no condition, so every other check passes over them.
//!
//! Invariants: what may be unknown is not asked for; columns of words are the business of `vocabulary`, and the patient that of `nobody`. A
//! column that the file itself declares complete is not read, so an index of `mtids-prep` costs nothing.

use arrow::array::Array;
use arrow::datatypes::Field;
use mtids_shards::{IndexColumns, ShardError};

use super::wrong_rows::WrongRows;
use super::{nobody, vocabulary};
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode};
use crate::kinds;

/// Rows without such a value, of findings and negatives alike; examples are the columns.
pub(super) fn found(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let columns = index.coded()?.index();
    let may_lack = |name: &str| columns.schema().field_with_name(name).is_ok_and(Field::is_nullable);
    let is_judged_elsewhere = |name: &str| name == nobody::PATIENT || vocabulary::knows_column(name);
    let mut wrong = WrongRows::default();
    for field in kinds::written(columns.path())?.iter().filter(|field| !field.is_nullable()) {
        let name = field.name();
        if may_lack(name) && !is_judged_elsewhere(name) {
            wrong.add(name, rows_without(columns, name)?);
        }
    }
    wrong.issue(
        index,
        IssueCode::MissingValue,
        ["row lacks", "rows lack", "a value that every row has"],
        "checks and the training pass over these rows, or count them as something else: write the values, and build again",
    )
}

/// Rows of a column that are null, in the order of the file.
fn rows_without(columns: &IndexColumns, name: &str) -> Result<Vec<u32>, ShardError> {
    let (mut rows, mut first) = (Vec::new(), 0);
    for array in columns.column(name)? {
        rows.extend((first..).zip(0..array.len()).filter(|(_, place)| array.is_null(*place)).map(|(row, _)| row));
        first += array.len() as u32;
    }
    Ok(rows)
}
