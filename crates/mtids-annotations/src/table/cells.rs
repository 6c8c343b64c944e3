//! Rows of text cells become rows of a table.
//!
//! Invariant: every cell that means something is checked; a table with a faulty cell is refused as a whole, and its faults are listed by line
//! and column.

use std::collections::BTreeMap;
use std::path::Path;

use mtids_domain::label::is_missing;
use mtids_domain::taxonomy::{StationMap, StationText};

use super::columns::{COLUMNS, NUMBERS, is_index, is_other_unit, name_of, suggestion};
use super::row::Table;
use super::row_cells::Cells;
use super::values::{Decimal, is_date, is_serial_date};
use crate::error::{AnnotationError, CellFault};

/// Most faults that are listed.
const MAX_FAULTS: usize = 20;

/// Most columns of a table.
pub(super) const MAX_COLUMNS: usize = 1000;

/// A row of cells.
pub(super) struct Record {
    /// Line or row in the file.
    pub(super) line: u64,
    /// Cells in the order of the columns.
    pub(super) cells: Vec<String>,
}

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
    let mut faults = Faults { list: Vec::new(), more: 0, unit: raw.unit };
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
        let (unplaced, no_status) = (&mut table.unplaced, &mut table.no_status);
        let mut cells = Cells { record, at: &at, decimal, map, has_plus, faults: &mut faults, unplaced, no_status };
        let before = cells.faults.count();
        let row = cells.row(kind);
        // A row that named a fault is no row.
        table.rows.extend(row.filter(|_| faults.count() == before));
    }
    if faults.count() > 0 {
        return Err(AnnotationError::Cells { path: path.to_owned(), faults: faults.list, more: faults.more });
    }
    let unknown = columns.iter().filter(|name| !COLUMNS.contains(&name.as_str()) && !is_index(name));
    table.ignored_columns = unknown.cloned().collect();
    table.suggestions =
        table.ignored_columns.iter().filter_map(|name| Some((name.clone(), suggestion(name)?))).collect();
    Ok(table)
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

/// How a table tells places.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Mm,
    Voxel,
    Pixel,
}

impl Place {
    /// How a table with these columns tells places.
    fn of(path: &Path, columns: &[String]) -> Result<Self, AnnotationError> {
        let has = |name: &str| columns.iter().any(|column| column == name);
        let missing = |missing: &str| {
            let suggested = columns.iter().filter(|name| !COLUMNS.contains(&name.as_str()));
            let suggested = suggested.filter_map(|name| Some((name, suggestion(name)?)));
            let (units, names): (Vec<_>, Vec<_>) = suggested.partition(|(name, meant)| is_other_unit(name, meant));
            let meant: Vec<String> = names.iter().map(|(name, meant)| format!("`{meant}` by `{name}`")).collect();
            let converted: Vec<String> = units.iter().map(|(name, meant)| format!("`{name}` to `{meant}`")).collect();
            let mut hint = match (columns, meant.as_slice()) {
                ([one], _) if one.contains(' ') => {
                    "; is it separated by spaces? Write commas, semicolons or tabs".to_owned()
                }
                (_, []) => String::new(),
                (_, meant) => format!("; did you mean {}? Rename the column", meant.join(", ")),
            };
            if !converted.is_empty() {
                hint.push_str(&format!("; convert the values to mm, and rename {}", converted.join(", ")));
            }
            let found = columns.join(", ");
            AnnotationError::Column { path: path.to_owned(), missing: missing.to_owned(), found, hint }
        };
        if !["series_uid", "study_uid", "sop_instance_uid"].into_iter().any(has) {
            return Err(missing("`series_uid` (or `study_uid`, or `sop_instance_uid`)"));
        }
        let kind = match () {
            () if has("x_mm") || !["i", "j", "k"].into_iter().any(has) => Self::Mm,
            () if has("sop_instance_uid") && !has("k") => Self::Pixel,
            () => Self::Voxel,
        };
        if let Some(name) = kind.columns().iter().find(|name| !has(name)) {
            return Err(missing(&format!("`{name}`")));
        }
        if kind == Self::Voxel && !has("series_uid") {
            return Err(missing("`series_uid` (voxel indices need it)"));
        }
        Ok(kind)
    }

    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Mm => &["x_mm", "y_mm", "z_mm"],
            Self::Voxel => &["i", "j", "k"],
            Self::Pixel => &["i", "j"],
        }
    }
}

/// What a cell of `station` says; `None` where it is empty.
///
/// # Errors
/// A sentence: what was found, and what to do.
pub fn station_of_cell(cell: &str, map: StationMap) -> Result<Option<StationText>, String> {
    if is_missing(cell) {
        return Ok(None);
    }
    let is_serial = is_serial_date(cell);
    if is_serial || is_date(cell) {
        let form = if is_serial { " (as the number of its day)" } else { "" };
        return Err(format!(
            "`{cell}` is a date{form}: a spreadsheet makes dates of stations such as 10-11 or 1-2. Format the column as text, then type the station again"
        ));
    }
    if has_sign(cell) {
        return Err(format!(
            "`{cell}` has the sign of a status; write the station alone, and the status in the column `metastasis`"
        ));
    }
    StationText::read(cell, map).map(Some).map_err(|error| error.to_string())
}

/// Whether a plus or minus ends a cell, or stands in brackets alone: `10L+`, `4R (-)`.
fn has_sign(cell: &str) -> bool {
    let is_sign = |c: char| matches!(c, '+' | '-' | '\u{2010}'..='\u{2015}' | '\u{2212}');
    let signs: Vec<char> = cell.chars().filter(|c| !c.is_whitespace()).collect();
    signs.last().is_some_and(|last| is_sign(*last))
        || signs.windows(3).any(|three| matches!(three, ['(' | '[', sign, ')' | ']'] if is_sign(*sign)))
}

/// Whether these names of columns are those of a table of annotations.
pub(super) fn is_table(names: &[String]) -> bool {
    let columns: Vec<String> = names.iter().map(|name| name_of(name)).collect();
    Place::of(Path::new(""), &columns).is_ok()
}

/// Faults found so far; those behind the first are only counted.
pub(super) struct Faults {
    list: Vec<CellFault>,
    more: usize,
    unit: &'static str,
}

impl Faults {
    /// Whether rows are counted as lines of text.
    pub(super) fn is_text(&self) -> bool {
        self.unit == "line"
    }

    pub(super) fn push(&mut self, line: u64, column: Option<&str>, detail: String) {
        if self.list.len() < MAX_FAULTS {
            self.list.push(CellFault { unit: self.unit, line, column: column.map(str::to_owned), detail });
        } else {
            self.more += 1;
        }
    }

    fn count(&self) -> usize {
        self.list.len() + self.more
    }
}
