//! Rows of text cells become rows of a table.
//!
//! Invariant: every cell that means something is checked; errors name file, line and column.

use std::path::Path;
use std::str::FromStr;

use mtids_domain::annotation::AnnotationTarget;
use mtids_domain::geometry::PointMm;
use mtids_domain::label::Metastasis;

use crate::error::AnnotationError;
use crate::table::row::{Corners, Table, TablePosition, TableRow};

/// Columns that are read.
const COLUMNS: [&str; 32] = [
    "patient_id",
    "sop_instance_uid",
    "space",
    "index_base",
    "series_uid",
    "study_uid",
    "frame_of_reference_uid",
    "finding",
    "x_mm",
    "y_mm",
    "z_mm",
    "x_min_mm",
    "y_min_mm",
    "z_min_mm",
    "x_max_mm",
    "y_max_mm",
    "z_max_mm",
    "i",
    "j",
    "k",
    "i_min",
    "j_min",
    "k_min",
    "i_max",
    "j_max",
    "k_max",
    "diameter_mm",
    "station",
    "metastasis",
    "evidence",
    "level",
    "short_axis_mm",
];

/// A table from cells that were read elsewhere: each row has its line (or row number, for messages) and a cell for each column, empty
/// where there is none.
///
/// # Errors
/// [`AnnotationError`] naming the file and what to mend.
pub(crate) fn from_cells(
    path: &Path,
    columns: &[String],
    rows: impl IntoIterator<Item = (u64, Vec<String>)>,
) -> Result<Table, AnnotationError> {
    let columns: Vec<String> = columns.iter().map(|name| name.trim().to_lowercase()).collect();
    if columns.len() > 1000 {
        let detail = format!("{} columns; the limit is 1000", columns.len());
        return Err(AnnotationError::table(path, detail));
    }
    if let Some(twice) = columns.iter().enumerate().find_map(|(n, name)| columns[..n].contains(name).then_some(name)) {
        let detail = format!("column `{twice}` occurs twice");
        return Err(AnnotationError::table(path, detail));
    }
    let has = |name: &str| columns.iter().any(|column| column == name);
    let missing = |missing: &str| AnnotationError::Column {
        path: path.to_owned(),
        missing: missing.to_owned(),
        found: columns.join(", "),
    };
    if !["series_uid", "study_uid", "sop_instance_uid"].into_iter().any(has) {
        return Err(missing("`series_uid` (or `study_uid`, or `sop_instance_uid`)"));
    }
    let kind = match () {
        () if has("x_mm") || !["i", "j", "k"].into_iter().any(has) => Place::Mm,
        () if has("sop_instance_uid") && !has("k") => Place::Pixel,
        () => Place::Voxel,
    };
    if let Some(name) = kind.columns().iter().find(|name| !has(name)) {
        return Err(missing(&format!("`{name}`")));
    }
    if kind == Place::Voxel && !has("series_uid") {
        return Err(missing("`series_uid` (voxel indices need it)"));
    }
    let rows = rows
        .into_iter()
        .map(|(line, record)| Cells { path, line, columns: &columns, record: &record }.row(kind))
        .collect::<Result<_, _>>()?;
    let ignored_columns = columns.iter().filter(|column| !COLUMNS.contains(&column.as_str())).cloned().collect();
    Ok(Table { rows, ignored_columns })
}

/// How a table tells places.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Mm,
    Voxel,
    Pixel,
}

impl Place {
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Mm => &["x_mm", "y_mm", "z_mm"],
            Self::Voxel => &["i", "j", "k"],
            Self::Pixel => &["i", "j"],
        }
    }
}

struct Cells<'a> {
    path: &'a Path,
    line: u64,
    columns: &'a [String],
    record: &'a [String],
}

impl Cells<'_> {
    fn row(&self, kind: Place) -> Result<TableRow, AnnotationError> {
        let position = match kind {
            Place::Mm => {
                let lps = self.lps()?;
                let corners = self
                    .corners(["x_min_mm", "y_min_mm", "z_min_mm"], ["x_max_mm", "y_max_mm", "z_max_mm"])?
                    .map(|(low, high)| {
                        let (a, b) = (lps(low).0, lps(high).0);
                        // RAS to LPS turns the smallest x and y into the largest.
                        let corner = |extreme: fn(f64, f64) -> f64| {
                            PointMm(std::array::from_fn(|axis| extreme(a[axis], b[axis])))
                        };
                        (corner(f64::min), corner(f64::max))
                    });
                TablePosition::Mm(lps(self.coordinates(["x_mm", "y_mm", "z_mm"])?), corners)
            }
            Place::Voxel => {
                let base = self.index_base()?;
                let from_zero = |place: [f64; 3]| place.map(|index| index - base);
                let corners = self.corners(["i_min", "j_min", "k_min"], ["i_max", "j_max", "k_max"])?;
                let corners = corners.map(|(low, high)| (from_zero(low), from_zero(high)));
                TablePosition::Voxel(from_zero(self.coordinates(["i", "j", "k"])?), corners)
            }
            Place::Pixel => {
                let base = self.index_base()?;
                TablePosition::Pixel(self.coordinates(["i", "j"])?.map(|index| index - base))
            }
        };
        let sop_instance_uid = self.text("sop_instance_uid");
        if kind == Place::Pixel && sop_instance_uid.is_none() {
            return Err(self.fail("sop_instance_uid", "names no slice"));
        }
        let target = AnnotationTarget {
            patient_id: self.text("patient_id"),
            series_uid: self.text("series_uid"),
            study_uid: self.text("study_uid"),
            frame_of_reference_uid: self.text("frame_of_reference_uid"),
        };
        if target.series_uid.is_none() && target.study_uid.is_none() && sop_instance_uid.is_none() {
            return Err(
                self.fail("series_uid", "empty, and so are study_uid and sop_instance_uid: the row has no image")
            );
        }
        let metastasis = Metastasis::parse_cell(self.cell("metastasis"))
            .map_err(|error| self.fail("metastasis", &error.to_string()))?;
        Ok(TableRow {
            line: self.line,
            target,
            sop_instance_uid,
            position,
            diameter_mm: self.number("diameter_mm")?,
            finding: self.text("finding").unwrap_or_default(),
            station: self.parsed("station")?,
            metastasis,
            evidence: self.parsed("evidence")?.unwrap_or_default(),
            level: self.parsed("level")?.unwrap_or_default(),
            short_axis_mm: self.number("short_axis_mm")?,
        })
    }

    fn cell(&self, column: &str) -> &str {
        self.columns
            .iter()
            .position(|name| name == column)
            .and_then(|at| self.record.get(at))
            .map_or("", |cell| cell.trim())
    }

    fn text(&self, column: &str) -> Option<String> {
        let cell = self.cell(column);
        (!cell.is_empty()).then(|| cell.to_owned())
    }

    fn fail(&self, column: &str, detail: &str) -> AnnotationError {
        AnnotationError::Cell {
            path: self.path.to_owned(),
            line: self.line,
            column: column.to_owned(),
            detail: detail.to_owned(),
        }
    }

    fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, column: &str) -> Result<Option<T>, AnnotationError> {
        self.text(column)
            .map(|cell| cell.parse().map_err(|error: T::Err| self.fail(column, &error.to_string())))
            .transpose()
    }

    fn number(&self, column: &str) -> Result<Option<f64>, AnnotationError> {
        let number: Option<f64> = self.parsed(column)?;
        match number {
            Some(number) if !number.is_finite() => Err(self.fail(column, "not a finite number")),
            number => Ok(number),
        }
    }

    /// From the millimetres of this row to LPS.
    fn lps(&self) -> Result<fn([f64; 3]) -> PointMm, AnnotationError> {
        match self.cell("space").to_uppercase().as_str() {
            "" | "LPS" => Ok(PointMm),
            "RAS" => Ok(|[x, y, z]| PointMm::from_ras(x, y, z)),
            other => Err(self.fail("space", &format!("`{other}` is not LPS or RAS"))),
        }
    }

    fn index_base(&self) -> Result<f64, AnnotationError> {
        match self.cell("index_base") {
            "" | "0" => Ok(0.0),
            "1" => Ok(1.0),
            other => Err(self.fail("index_base", &format!("`{other}` is not 0 or 1"))),
        }
    }

    fn coordinates<const N: usize>(&self, columns: [&str; N]) -> Result<[f64; N], AnnotationError> {
        let mut place = [0.0; N];
        for (coordinate, column) in place.iter_mut().zip(columns) {
            *coordinate = self.number(column)?.ok_or_else(|| self.fail(column, "the coordinate is empty"))?;
        }
        Ok(place)
    }

    /// A box where all six cells are given, none where all are empty.
    fn corners(&self, low: [&str; 3], high: [&str; 3]) -> Result<Option<Corners>, AnnotationError> {
        if low.iter().chain(&high).all(|column| self.cell(column).is_empty()) {
            return Ok(None);
        }
        let (low_corner, high_corner) = (self.coordinates(low)?, self.coordinates(high)?);
        if let Some(axis) = (0..3).find(|&axis| low_corner[axis] > high_corner[axis]) {
            return Err(self.fail(low[axis], "the smallest coordinate of the box is larger than its largest"));
        }
        Ok(Some((low_corner, high_corner)))
    }
}
