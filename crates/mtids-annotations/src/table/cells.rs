//! Rows of text cells become rows of a table.
//!
//! Invariant: every cell that means something is checked; a table with a faulty cell is refused as a whole, and its faults are listed by line
//! and column.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use mtids_domain::annotation::AnnotationTarget;
use mtids_domain::geometry::PointMm;
use mtids_domain::label::{Metastasis, is_missing};
use mtids_domain::taxonomy::{Location, StationMap, StationText};

use super::columns::{COLUMNS, NUMBERS, is_index, name_of, suggestion};
use super::row::{Corners, Table, TablePosition, TableRow, UnplacedCell};
use super::values::{Decimal, is_date, is_serial_date, number};
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
    let mut table =
        Table { rows: Vec::new(), ignored_columns: Vec::new(), suggestions: Vec::new(), unplaced: Vec::new() };
    for record in records {
        let filled = record.cells.iter().rposition(|cell| !cell.trim().is_empty()).map_or(0, |last| last + 1);
        if filled > columns.len() || record.cells.len() < columns.len() {
            faults.push(record.line, None, uneven(&record.cells, filled, columns.len()));
            continue;
        }
        let mut cells = Cells { record, at: &at, decimal, map, faults: &mut faults, unplaced: &mut table.unplaced };
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
enum Place {
    Mm,
    Voxel,
    Pixel,
}

impl Place {
    /// How a table with these columns tells places.
    fn of(path: &Path, columns: &[String]) -> Result<Self, AnnotationError> {
        let has = |name: &str| columns.iter().any(|column| column == name);
        let missing = |missing: &str| {
            let meant: Vec<String> = columns
                .iter()
                .filter(|name| !COLUMNS.contains(&name.as_str()))
                .filter_map(|name| Some(format!("`{}` by `{name}`", suggestion(name)?)))
                .collect();
            let hint = match (columns, meant.as_slice()) {
                ([one], _) if one.contains(' ') => {
                    "; is it separated by spaces? Write commas, semicolons or tabs".to_owned()
                }
                (_, []) => String::new(),
                (_, meant) => format!("; did you mean {}? Rename the column", meant.join(", ")),
            };
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
    StationText::read(cell, map).map(Some).map_err(|error| error.to_string())
}

/// Whether these names of columns are those of a table of annotations.
pub(super) fn is_table(names: &[String]) -> bool {
    let columns: Vec<String> = names.iter().map(|name| name_of(name)).collect();
    Place::of(Path::new(""), &columns).is_ok()
}

/// Faults found so far; those behind the first are only counted.
struct Faults {
    list: Vec<CellFault>,
    more: usize,
    unit: &'static str,
}

impl Faults {
    fn push(&mut self, line: u64, column: Option<&str>, detail: String) {
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

/// The cells of a row. A cell with a fault is noted and read as empty, so that the faults behind it are found too.
struct Cells<'a> {
    record: &'a Record,
    at: &'a BTreeMap<&'a str, usize>,
    decimal: Decimal,
    map: StationMap,
    faults: &'a mut Faults,
    unplaced: &'a mut Vec<UnplacedCell>,
}

impl<'a> Cells<'a> {
    /// The row; `None` where it tells no place. It is of no use where a fault was noted.
    fn row(&mut self, kind: Place) -> Option<TableRow> {
        let position = self.position(kind);
        let sop_instance_uid = self.text("sop_instance_uid");
        if kind == Place::Pixel && sop_instance_uid.is_none() {
            self.fail("sop_instance_uid", "names no slice".into());
        }
        let target = AnnotationTarget {
            patient_id: self.text("patient_id"),
            series_uid: self.text("series_uid"),
            study_uid: self.text("study_uid"),
            frame_of_reference_uid: self.text("frame_of_reference_uid"),
        };
        if target.series_uid.is_none() && target.study_uid.is_none() && sop_instance_uid.is_none() {
            let column =
                ["series_uid", "study_uid", "sop_instance_uid"].into_iter().find(|name| self.at.contains_key(name));
            let detail = "empty, and so are study_uid and sop_instance_uid: the row has no image".into();
            self.fail(column.unwrap_or("series_uid"), detail);
        }
        let metastasis = Metastasis::parse_cell(self.cell("metastasis"));
        let metastasis = self.checked("metastasis", metastasis).flatten();
        Some(TableRow {
            line: self.record.line,
            target,
            sop_instance_uid,
            diameter_mm: self.length("diameter_mm"),
            finding: self.text("finding").unwrap_or_default(),
            station: self.station(),
            metastasis,
            evidence: self.parsed("evidence").unwrap_or_default(),
            level: self.parsed("level").unwrap_or_default(),
            short_axis_mm: self.length("short_axis_mm"),
            position: position?,
        })
    }

    fn position(&mut self, kind: Place) -> Option<TablePosition> {
        match kind {
            Place::Mm => {
                let lps = self.lps();
                let corners = self.corners(["x_min_mm", "y_min_mm", "z_min_mm"], ["x_max_mm", "y_max_mm", "z_max_mm"]);
                let corners = corners.map(|(low, high)| {
                    let (a, b) = (lps(low).0, lps(high).0);
                    // RAS to LPS turns the smallest x and y into the largest.
                    let corner =
                        |extreme: fn(f64, f64) -> f64| PointMm(std::array::from_fn(|axis| extreme(a[axis], b[axis])));
                    (corner(f64::min), corner(f64::max))
                });
                Some(TablePosition::Mm(lps(self.coordinates(["x_mm", "y_mm", "z_mm"])?), corners))
            }
            Place::Voxel => {
                let base = self.index_base();
                let from_zero = |place: [f64; 3]| place.map(|index| index - base);
                let corners = self.corners(["i_min", "j_min", "k_min"], ["i_max", "j_max", "k_max"]);
                let corners = corners.map(|(low, high)| (from_zero(low), from_zero(high)));
                Some(TablePosition::Voxel(from_zero(self.coordinates(["i", "j", "k"])?), corners))
            }
            Place::Pixel => {
                let base = self.index_base();
                Some(TablePosition::Pixel(self.coordinates(["i", "j"])?.map(|index| index - base)))
            }
        }
    }

    /// The trimmed text of a cell; empty where there is no such column.
    fn cell(&self, column: &str) -> &'a str {
        let cell = self.at.get(column).and_then(|at| self.record.cells.get(*at));
        cell.map_or("", |cell| cell.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}')))
    }

    /// A cell that is not empty and no word for a missing value.
    fn filled(&self, column: &str) -> Option<&'a str> {
        Some(self.cell(column)).filter(|cell| !is_missing(cell))
    }

    fn text(&self, column: &str) -> Option<String> {
        self.filled(column).map(str::to_owned)
    }

    fn fail(&mut self, column: &str, detail: String) {
        self.faults.push(self.record.line, Some(column), detail);
    }

    /// A value, or a fault of this column.
    fn checked<T>(&mut self, column: &str, value: Result<T, impl ToString>) -> Option<T> {
        value.map_err(|detail| self.fail(column, detail.to_string())).ok()
    }

    fn parsed<T: FromStr<Err: ToString>>(&mut self, column: &str) -> Option<T> {
        let cell = self.filled(column)?;
        self.checked(column, cell.parse())
    }

    fn number(&mut self, column: &str) -> Option<f64> {
        let cell = self.filled(column)?;
        self.checked(column, number(cell, self.decimal))
    }

    fn length(&mut self, column: &str) -> Option<f64> {
        let mm = self.number(column)?;
        let detail = "a length below zero; leave the cell empty where it is not known";
        self.checked(column, if mm < 0.0 { Err(detail) } else { Ok(mm) })
    }

    fn station(&mut self) -> Option<Location> {
        let cell = self.cell("station");
        let said = self.checked("station", station_of_cell(cell, self.map)).flatten()?;
        if let Some(reason) = said.fault() {
            self.unplaced.push(UnplacedCell { line: self.record.line, text: cell.to_owned(), reason });
        }
        Some(said.location())
    }

    /// From the millimetres of this row to LPS.
    fn lps(&mut self) -> fn([f64; 3]) -> PointMm {
        match self.filled("space").map(str::to_uppercase).as_deref() {
            None | Some("LPS") => PointMm,
            Some("RAS") => |[x, y, z]| PointMm::from_ras(x, y, z),
            Some(other) => {
                self.fail("space", format!("`{other}` is not LPS or RAS"));
                PointMm
            }
        }
    }

    fn index_base(&mut self) -> f64 {
        match self.number("index_base") {
            None => 0.0,
            Some(base) if base == 0.0 || base == 1.0 => base,
            Some(other) => {
                self.fail("index_base", format!("`{other}` is not 0 or 1"));
                0.0
            }
        }
    }

    /// Coordinates that must be there; every one that is not is a fault.
    fn coordinates<const N: usize>(&mut self, columns: [&str; N]) -> Option<[f64; N]> {
        let place = columns.map(|column| {
            if self.filled(column).is_none() {
                let cell = self.cell(column);
                let found = if cell.is_empty() { String::new() } else { format!(" (`{cell}`)") };
                self.fail(
                    column,
                    format!("the coordinate is empty{found}; a finding needs a place: fill it, or delete the row"),
                );
            }
            self.number(column)
        });
        let known: Vec<f64> = place.into_iter().flatten().collect();
        known.try_into().ok()
    }

    /// A box where all six cells are given, none where all are empty.
    fn corners(&mut self, low: [&str; 3], high: [&str; 3]) -> Option<Corners> {
        if low.iter().chain(&high).all(|column| self.filled(column).is_none()) {
            return None;
        }
        let (low_corner, high_corner) = (self.coordinates(low), self.coordinates(high));
        let (low_corner, high_corner) = (low_corner?, high_corner?);
        if let Some(axis) = (0..3).find(|&axis| low_corner[axis] > high_corner[axis]) {
            self.fail(low[axis], "the smallest coordinate of the box is larger than its largest".into());
        }
        Some((low_corner, high_corner))
    }
}
