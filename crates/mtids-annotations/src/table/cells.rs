//! Rows of text cells become rows of a table.
//!
//! Invariant: every cell that means something is checked; a table with a faulty cell is refused as a whole, and its faults are listed by line
//! and column.

use std::collections::BTreeMap;
use std::path::Path;

use mtids_domain::label::Metastasis;
use mtids_domain::taxonomy::StationMap;

use super::columns::{COLUMNS, NUMBERS, is_index, name_of, suggestion};
use super::partly_filled;
use super::record::{Faults, Place, Record};
use super::row::{Table, TableRow};
use super::row_cells::Cells;
use super::shown::Shown;
use super::values::Decimal;
use crate::error::AnnotationError;
use crate::plausible::is_huge;

/// Most columns of a table.
pub(super) const MAX_COLUMNS: usize = 1000;

/// The cells of a file, as its format gives them.
pub(super) struct RawTable {
    /// Names of the columns, as written.
    pub(super) names: Vec<String>,
    /// Rows.
    pub(super) records: Vec<Record>,
    /// What rows are counted by: `line` or `row`.
    pub(super) unit: &'static str,
    /// Numbers may have a comma for a point.
    pub(super) decimal_comma: bool,
    /// Rows, as [`Record::line`], and columns of cells whose 0 a formula may have made of an empty cell.
    pub(super) zeros: Vec<(u64, usize)>,
    /// What a spreadsheet program shows otherwise.
    pub(super) shown: Shown,
}

/// A table from the cells of a file; its stations are of `map`.
///
/// # Errors
/// [`AnnotationError`] naming the file and what to mend.
pub(super) fn from_cells(path: &Path, raw: &RawTable, map: StationMap) -> Result<Table, AnnotationError> {
    let (names, records) = (&raw.names, &raw.records);
    if names.len() > MAX_COLUMNS {
        return Err(AnnotationError::table(path, format!("{} columns; the limit is {MAX_COLUMNS}", names.len())));
    }
    let columns: Vec<String> = names.iter().map(|name| name_of(name)).collect();
    // A separator at the end of the header names no column.
    let named = columns.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
    let columns = &columns[..named];
    let mut at: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, name) in columns.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        if at.insert(name, number).is_some() {
            return Err(AnnotationError::table(path, format!("column `{name}` occurs twice")));
        }
    }
    let kind = Place::of(path, columns)?;
    let decimal = Decimal::of(numbers_of(&at, records), raw.decimal_comma);
    let mut faults = Faults::of_unit(raw.unit);
    let mut table = Table::default();
    // A sign in the column makes a dash the other sign.
    let has_plus = at
        .get("metastasis")
        .is_some_and(|at| records.iter().any(|record| record.cells.get(*at).is_some_and(|cell| cell.contains('+'))));
    for record in records {
        let filled = record.cells.iter().rposition(|cell| !cell.trim().is_empty()).map_or(0, |last| last + 1);
        if filled > columns.len() || record.cells.len() < columns.len() {
            faults.push(record.line, None, uneven(&record.cells, filled, columns.len()));
            continue;
        }
        let mut cells = Cells { record, at: &at, decimal, map, has_plus, faults: &mut faults, table: &mut table };
        let before = cells.faults.count();
        let row = cells.row(kind);
        let lengths = row.as_ref().map(|row| (row.short_axis_mm, row.diameter_mm));
        if let Some((Some(short), Some(long))) = lengths
            && short > long
        {
            table.short_above_long.push(record.line);
        }
        if row.as_ref().is_some_and(has_huge_length) {
            table.huge_lengths.push(record.line);
        }
        if row.as_ref().is_some_and(has_tiny_length) {
            table.tiny_lengths.push(record.line);
        }
        // A row that named a fault is no row.
        table.rows.extend(row.filter(|_| faults.count() == before));
    }
    partly_filled::check(kind, &at, records, &mut faults, &mut table);
    note_zeros(raw, &at, &mut faults, &mut table);
    let is_hidden = |line: &u64| raw.shown.hidden.binary_search(line).is_ok();
    table.hidden = table.rows.iter().map(|row| row.line).filter(is_hidden).collect();
    let is_struck = |line: &u64| raw.shown.struck.binary_search(line).is_ok();
    table.struck = table.rows.iter().map(|row| row.line).filter(is_struck).collect();
    let named =
        |(line, column, format): &(u64, usize, String)| Some((*line, columns.get(*column)?.clone(), format.clone()));
    table.odd_formats = raw.shown.formats.iter().filter_map(named).collect();
    if faults.count() > 0 {
        return Err(AnnotationError::Cells { path: path.to_owned(), faults: faults.list, more: faults.more });
    }
    let unknown = columns.iter().filter(|name| !COLUMNS.contains(&name.as_str()) && !is_index(name));
    table.ignored_columns = unknown.cloned().collect();
    table.suggestions =
        table.ignored_columns.iter().filter_map(|name| Some((name.clone(), suggestion(name)?))).collect();
    table.small_lengths = small_lengths(&table.rows);
    Ok(table)
}

/// Columns whose 0 says something.
const MEANT_ZEROS: [&str; 7] = ["metastasis", "x_mm", "y_mm", "z_mm", "i", "j", "k"];

/// Notes zeros that a formula may have made of an empty cell. In a column of words such a 0 is none of them.
fn note_zeros(raw: &RawTable, at: &BTreeMap<&str, usize>, faults: &mut Faults, table: &mut Table) {
    let is_word =
        |cell: &str| matches!(Metastasis::parse_cell(cell), Ok(Some(_))) && cell.trim().parse::<f64>().is_err();
    let column_of = |column: &usize| at.iter().find(|(_, number)| *number == column).map(|(name, _)| *name);
    let has_words = at.get("metastasis").is_some_and(|number| {
        raw.records.iter().any(|record| record.cells.get(*number).is_some_and(|cell| is_word(cell)))
    });
    for (line, column) in &raw.zeros {
        // Rows stand in ascending order.
        let is_row = raw.records.binary_search_by_key(line, |record| record.line).is_ok();
        match column_of(column).filter(|name| is_row && MEANT_ZEROS.contains(name)) {
            Some("metastasis") if has_words => {
                let detail = "a formula gives 0 beside statuses in words: it hands on an empty cell; let the formula give an empty text, or write \
                              the status";
                faults.push(*line, Some("metastasis"), detail.into());
            }
            Some(name) => table.doubtful_zeros.push((*line, name.to_owned())),
            None => {}
        }
    }
}

/// Most nodes of a table are larger than this, mm.
const SMALL_MM: f64 = 3.0;

fn has_tiny_length(row: &TableRow) -> bool {
    [row.short_axis_mm, row.diameter_mm].into_iter().flatten().any(|mm| mm < crate::plausible::TINY_MM)
}

/// Diameters that stand for unknown in many tables.
const CODES_MM: [f64; 3] = [77.0, 88.0, 99.0];

fn has_huge_length(row: &TableRow) -> bool {
    is_huge(row.short_axis_mm, row.diameter_mm) || row.diameter_mm.is_some_and(|mm| CODES_MM.contains(&mm))
}

type Length = fn(&TableRow) -> Option<f64>;

/// The columns of lengths whose values may be in cm.
fn small_lengths(rows: &[TableRow]) -> Vec<&'static str> {
    let columns: [(&str, Length); 2] =
        [("short_axis_mm", |row| row.short_axis_mm), ("diameter_mm", |row| row.diameter_mm)];
    let are_small = |length: Length| {
        let lengths: Vec<f64> = rows.iter().filter_map(length).collect();
        let small = lengths.iter().filter(|mm| **mm < SMALL_MM).count();
        2 * small > lengths.len()
    };
    columns.into_iter().filter(|(_, length)| are_small(*length)).map(|(column, _)| column).collect()
}

/// A sentence about a row with more or fewer cells than the header.
fn uneven(cells: &[String], filled: usize, columns: usize) -> String {
    let hint = match cells {
        _ if cells.iter().any(|cell| cell.contains(['\n', '\r'])) => "a quotation mark may not be closed",
        _ if cells.len() == columns + 1 && filled > columns => {
            "R's write.table writes a name of each row without header: use write.csv with row.names=FALSE; or a cell holds a separator and needs quotes"
        }
        _ if filled > columns => "a cell may hold a separator and need quotes",
        _ => "the line may be cut off; write a separator for each empty cell",
    };
    let found = if filled > columns { filled } else { cells.len() };
    format!("{found} cells, and the header names {columns} columns; {hint}")
}

/// The cells of columns of numbers.
fn numbers_of<'a>(at: &BTreeMap<&str, usize>, records: &'a [Record]) -> impl Iterator<Item = &'a str> {
    let columns: Vec<usize> = NUMBERS.iter().filter_map(|name| at.get(name).copied()).collect();
    records.iter().flat_map(move |record| {
        let cells: Vec<&str> =
            columns.iter().filter_map(|column| record.cells.get(*column)).map(String::as_str).collect();
        cells
    })
}

/// Whether these names of columns are those of a table of annotations.
pub(super) fn is_table(names: &[String]) -> bool {
    let columns: Vec<String> = names.iter().map(|name| name_of(name)).collect();
    Place::of(Path::new(""), &columns).is_ok()
}
