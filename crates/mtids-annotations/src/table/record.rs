//! A row of text cells, how its table tells places, and the faults that were found.
//!
//! Invariant: a fault names line and column.

use std::path::Path;

use mtids_domain::label::is_missing;
use mtids_domain::taxonomy::{StationMap, StationText, half_width};

use super::columns::{COLUMNS, is_other_unit, suggestion};
use super::values::{is_date, is_serial_date};
use crate::error::{AnnotationError, CellFault};
use crate::status_sign::has_status_sign;

/// Most faults that are listed.
const MAX_FAULTS: usize = 20;

/// A row of cells.
pub(super) struct Record {
    /// Line or row in the file.
    pub(super) line: u64,
    /// Cells in the order of the columns.
    pub(super) cells: Vec<String>,
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
    pub(super) fn of(path: &Path, columns: &[String]) -> Result<Self, AnnotationError> {
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
    if is_missing(cell) || is_unknown(cell) {
        return Ok(None);
    }
    let is_serial = is_serial_date(cell);
    if is_serial || is_date(cell) {
        let form = if is_serial { " (as the number of its day)" } else { "" };
        return Err(format!(
            "`{cell}` is a date{form}: a spreadsheet makes dates of stations such as 10-11 or 1-2. Format the column as text, then type the station again"
        ));
    }
    if has_status_sign(&half_width(cell)) {
        return Err(format!(
            "`{cell}` has the sign of a status; write the station alone, and the status in the column `metastasis`"
        ));
    }
    StationText::read(cell, map).map(Some).map_err(|error| error.to_string())
}

/// Whether a cell says that nobody knows the station.
fn is_unknown(cell: &str) -> bool {
    let word = cell.trim();
    word == "?" || ["unknown", "unk"].iter().any(|unknown| word.eq_ignore_ascii_case(unknown))
}

/// Faults found so far; those behind the first are only counted.
pub(super) struct Faults {
    pub(super) list: Vec<CellFault>,
    pub(super) more: usize,
    unit: &'static str,
}

impl Faults {
    /// None yet; rows are counted by `unit`.
    pub(super) fn of_unit(unit: &'static str) -> Self {
        Self { list: Vec::new(), more: 0, unit }
    }

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

    pub(super) fn count(&self) -> usize {
        self.list.len() + self.more
    }
}
