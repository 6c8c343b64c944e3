//! The cells of one row become a row of a table.
//!
//! Invariant: a cell that cannot be understood is a fault of its column; the cells behind it are read all the same, so that one look at the
//! table shows all faults.

use std::collections::BTreeMap;
use std::str::FromStr;

use mtids_domain::annotation::AnnotationTarget;
use mtids_domain::geometry::PointMm;
use mtids_domain::label::{Metastasis, is_missing};
use mtids_domain::taxonomy::{Location, StationMap};

use super::columns::COLUMNS;
use super::record::{Faults, Place, Record, station_of_cell};
use super::row::{Corners, Table, TablePosition, TableRow, UnplacedCell};
use super::values::{Decimal, number};
use crate::plausible::MOST_MM;

/// The cells of a row. A cell with a fault is noted and read as empty, so that the faults behind it are found too.
pub(super) struct Cells<'a> {
    pub(super) record: &'a Record,
    pub(super) at: &'a BTreeMap<&'a str, usize>,
    pub(super) decimal: Decimal,
    pub(super) map: StationMap,
    /// A cell of `metastasis` has a plus.
    pub(super) has_plus: bool,
    pub(super) faults: &'a mut Faults,
    /// Takes what is left aside, and not the row.
    pub(super) table: &'a mut Table,
}

impl<'a> Cells<'a> {
    /// The row; `None` where it tells no place. It is of no use where a fault was noted.
    pub(super) fn row(&mut self, kind: Place) -> Option<TableRow> {
        if self.has_broken_cells() {
            return None;
        }
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
        let metastasis = self.metastasis();
        Some(TableRow {
            line: self.record.line,
            target,
            sop_instance_uid,
            voxel_beside: if kind == Place::Mm { self.voxel_beside() } else { None },
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

    /// Notes the cells of a text that hold a line break: a quotation mark has swallowed the end of the line. Free text may have lines.
    fn has_broken_cells(&mut self) -> bool {
        let is_broken = |column: &str| self.cell(column).contains(['\n', '\r']);
        let known = self.at.keys().filter(|column| **column != "finding" && COLUMNS.contains(*column));
        let broken: Vec<&str> = match self.faults.is_text() {
            true => known.copied().filter(|column| is_broken(column)).collect(),
            false => Vec::new(),
        };
        for column in &broken {
            self.fail(column, "the cell has several lines; a quotation mark may not be closed, or is none".into());
        }
        !broken.is_empty()
    }

    /// The status. A dash says as little as an empty cell, and some write it for benign.
    fn metastasis(&mut self) -> Option<Metastasis> {
        let cell = self.cell("metastasis");
        let is_dash = matches!(cell, "-" | "--" | "–" | "—");
        if is_dash && self.has_plus {
            let detail = format!(
                "`{cell}` in a column with `+` may mean benign or unknown; write N- or benign, or leave the cell empty"
            );
            self.fail("metastasis", detail);
            return None;
        }
        if is_dash || cell.eq_ignore_ascii_case("none") {
            self.table.no_status.push(self.record.line);
        }
        self.checked("metastasis", Metastasis::parse_cell(cell)).flatten()
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
                self.no_space();
                let base = self.index_base();
                let from_zero = |place: [f64; 3]| place.map(|index| index - base);
                let corners = self.corners(["i_min", "j_min", "k_min"], ["i_max", "j_max", "k_max"]);
                let corners = corners.map(|(low, high)| (from_zero(low), from_zero(high)));
                Some(TablePosition::Voxel(from_zero(self.coordinates(["i", "j", "k"])?), corners))
            }
            Place::Pixel => {
                self.no_space();
                let base = self.index_base();
                Some(TablePosition::Pixel(self.coordinates(["i", "j"])?.map(|index| index - base)))
            }
        }
    }

    /// The columns i, j, k of a row that has a place in mm. They only show mistakes, so a cell that is no number is none.
    fn voxel_beside(&mut self) -> Option<[f64; 3]> {
        let base = self.index_base();
        let [i, j, k] = ["i", "j", "k"].map(|column| number(self.filled(column)?, self.decimal).ok());
        Some([i? - base, j? - base, k? - base])
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

    /// A length. Programs write 0 where nobody measured.
    fn length(&mut self, column: &str) -> Option<f64> {
        let mm = self.number(column)?;
        if mm == 0.0 {
            let line = self.record.line;
            if self.table.no_length.last() != Some(&line) {
                self.table.no_length.push(line);
            }
            return None;
        }
        let fault = match mm {
            ..0.0 => Some("a length below zero; leave the cell empty where it is not known".to_owned()),
            _ if mm > MOST_MM => {
                Some(format!("{mm} mm is longer than any lymph node ({MOST_MM} mm); is it another unit?"))
            }
            _ => None,
        };
        self.checked(column, fault.map_or(Ok(mm), Err))
    }

    fn station(&mut self) -> Option<Location> {
        let cell = self.cell("station");
        let said = self.checked("station", station_of_cell(cell, self.map)).flatten()?;
        if let Some(reason) = said.fault() {
            self.table.unplaced.push(UnplacedCell { line: self.record.line, text: cell.to_owned(), reason });
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

    /// Indices are those of the stored image, whatever its axes are called; another space would be another place.
    fn no_space(&mut self) {
        if let Some(space) = self.filled("space").filter(|space| !space.eq_ignore_ascii_case("LPS")) {
            self.fail("space", format!("`{space}` beside voxel indices, which count columns, rows and slices of the stored image; leave it empty"));
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
