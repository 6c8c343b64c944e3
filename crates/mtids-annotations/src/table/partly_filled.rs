//! Columns that change what a row means, and that are filled in some rows only.
//!
//! Purpose: people fill `space`, `index_base` or `level` in the first row, and mean all rows by it. Invariants: where the default would be another
//! place than the filled rows say, an empty cell is a fault; where it would be another level, it is told. A column whose filled cells say the
//! default changes nothing.

use std::collections::BTreeMap;

use mtids_domain::label::is_missing;

use super::record::{Faults, Place, Record};
use super::row::Table;

/// Notes empty cells of `space` and `index_base` as faults, and rows with a status and an empty `level` in the table.
pub(super) fn check(
    kind: Place,
    at: &BTreeMap<&str, usize>,
    records: &[Record],
    faults: &mut Faults,
    table: &mut Table,
) {
    let (column, is_other): (&str, fn(&str) -> bool) = match kind {
        Place::Mm => ("space", |cell| cell.eq_ignore_ascii_case("RAS")),
        Place::Voxel | Place::Pixel => ("index_base", |cell| cell.parse() == Ok(1.0)),
    };
    let (lines, filled) = empty_beside(column, is_other, at, records);
    for record in lines {
        let detail =
            format!("empty, while other rows have `{filled}`, and it would be read otherwise; fill it in every row");
        faults.push(record.line, Some(column), detail);
    }
    let is_not_default = |cell: &str| !cell.eq_ignore_ascii_case("node");
    let has_status = |record: &&Record| !is_missing(cell_of(record, "metastasis", at));
    let (lines, _) = empty_beside("level", is_not_default, at, records);
    table.no_level = lines.into_iter().filter(has_status).map(|record| record.line).collect();
}

/// The rows whose cell of a column is empty, where that of another row is filled with something else than the default; and what that is.
fn empty_beside<'a>(
    column: &str,
    is_other: impl Fn(&str) -> bool,
    at: &BTreeMap<&str, usize>,
    records: &'a [Record],
) -> (Vec<&'a Record>, &'a str) {
    let cells = || records.iter().map(|record| (record, cell_of(record, column, at)));
    match cells().find(|(_, cell)| !is_missing(cell) && is_other(cell)) {
        Some((_, filled)) => {
            let is_row = |record: &Record| record.cells.iter().any(|cell| !cell.trim().is_empty());
            (
                cells().filter(|(record, cell)| is_missing(cell) && is_row(record)).map(|(record, _)| record).collect(),
                filled,
            )
        }
        None => (Vec::new(), ""),
    }
}

/// The trimmed text of a cell; empty where there is no such column.
fn cell_of<'a>(record: &'a Record, column: &str, at: &BTreeMap<&str, usize>) -> &'a str {
    at.get(column).and_then(|at| record.cells.get(*at)).map_or("", |cell| cell.trim())
}
