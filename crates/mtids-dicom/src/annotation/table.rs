//! Findings from a table: CSV or TSV with a header line.
//!
//! Columns (case does not matter): the image by `series_uid`, or `study_uid`; the place by `x_mm, y_mm, z_mm` (LPS) or by the voxel
//! `i, j, k` (column, row, slice from 0; needs `series_uid`); optionally a box `x_min_mm … z_max_mm` or `i_min … k_max`, or
//! `diameter_mm`; labels `station`, `metastasis`, `evidence`, `level`, `short_axis_mm`; `finding` is free text. Other columns are
//! ignored. Invariant: a cell that cannot be understood is an error that names file, line and column; an empty label is unknown.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use mtids_core::annotation::{Annotation, AnnotationSource, AnnotationTarget, Extent};
use mtids_core::geometry::{Affine, PointMm, Voxel};
use mtids_core::label::{Evidence, LabelLevel, Metastasis};
use mtids_core::taxonomy::Station;
use serde_json::{Value, json};

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnnotationError {
    /// The file cannot be read or is no table.
    #[error("cannot read the annotation table {path}: {detail}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// A column that is needed is not there.
    #[error("{path}: column {missing} is missing; the table has: {found}")]
    Column {
        /// The file.
        path: PathBuf,
        /// What is needed.
        missing: String,
        /// The columns that are there.
        found: String,
    },
    /// A cell that makes no sense.
    #[error("{path}, line {line}, column `{column}`: {detail}")]
    Cell {
        /// The file.
        path: PathBuf,
        /// Line, from 1, the header being line 1.
        line: u64,
        /// Column.
        column: String,
        /// Why.
        detail: String,
    },
}

/// Two corners of a box.
type Corners = ([f64; 3], [f64; 3]);

/// Where a row points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TablePosition {
    /// LPS mm, with the box where given.
    Mm(PointMm, Option<(PointMm, PointMm)>),
    /// Voxel (i, j, k) from 0, with the box where given.
    Voxel([f64; 3], Option<([f64; 3], [f64; 3])>),
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRow {
    /// The image.
    pub target: AnnotationTarget,
    /// The place.
    pub position: TablePosition,
    /// Diameter in mm.
    pub diameter_mm: Option<f64>,
    /// Free text.
    pub finding: String,
    /// Station.
    pub station: Option<Station>,
    /// Metastasis status.
    pub metastasis: Option<Metastasis>,
    /// Evidence.
    pub evidence: Evidence,
    /// Level of the status.
    pub level: LabelLevel,
    /// Short axis in mm.
    pub short_axis_mm: Option<f64>,
}

impl TableRow {
    /// The finding in mm, with voxel indices resolved by the affine of the image.
    pub fn resolve(&self, affine: &Affine) -> Annotation {
        let (center, corners) = match self.position {
            TablePosition::Mm(center, corners) => (center, corners),
            TablePosition::Voxel(center, corners) => {
                let corners = corners.map(|(low, high)| {
                    let (a, b) = (affine.to_mm(Voxel(low)).0, affine.to_mm(Voxel(high)).0);
                    let pick =
                        |choose: fn(f64, f64) -> f64| PointMm(std::array::from_fn(|axis| choose(a[axis], b[axis])));
                    (pick(f64::min), pick(f64::max))
                });
                (affine.to_mm(Voxel(center)), corners)
            }
        };
        let extent = match (corners, self.diameter_mm) {
            (Some((minimum, maximum)), _) => Extent::Box { minimum, maximum },
            (None, Some(diameter_mm)) => Extent::Sphere { diameter_mm },
            (None, None) => Extent::Point,
        };
        Annotation {
            target: self.target.clone(),
            center,
            extent,
            finding: self.finding.clone(),
            station: self.station,
            metastasis: self.metastasis,
            evidence: self.evidence,
            level: self.level,
            short_axis_mm: self.short_axis_mm,
            source: AnnotationSource::Table,
        }
    }
}

/// A table with what was left aside.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The rows, in the order of the file.
    pub rows: Vec<TableRow>,
    /// Columns that mean nothing here, in the order of the file: to be shown, since one may be a misspelt label.
    pub ignored_columns: Vec<String>,
}

/// Columns that are read.
const COLUMNS: [&str; 28] = [
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

/// Reads the rows of a table.
///
/// # Errors
/// As [`read`].
pub fn read_table(path: &Path) -> Result<Vec<TableRow>, AnnotationError> {
    read(path).map(|table| table.rows)
}

/// Reads a table.
///
/// # Errors
/// [`AnnotationError`] naming the file and what to mend.
pub fn read(path: &Path) -> Result<Table, AnnotationError> {
    let unreadable = |detail: String| AnnotationError::Unreadable { path: path.to_owned(), detail };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let first = text.lines().next().unwrap_or_default();
    let delimiter = if first.contains('\t') { b'\t' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().map_err(|error| unreadable(error.to_string()))?;
    let columns: Vec<String> = header.iter().map(str::to_lowercase).collect();
    if let Some(twice) = columns.iter().enumerate().find_map(|(n, name)| columns[..n].contains(name).then_some(name)) {
        return Err(unreadable(format!("column `{twice}` stands there twice")));
    }
    let has = |name: &str| columns.iter().any(|column| column == name);
    let missing = |missing: &str| AnnotationError::Column {
        path: path.to_owned(),
        missing: missing.to_owned(),
        found: columns.join(", "),
    };
    if !has("series_uid") && !has("study_uid") {
        return Err(missing("`series_uid` (or `study_uid`)"));
    }
    let in_voxels = ["i", "j", "k"].iter().any(|name| has(name)) && !has("x_mm");
    let place = if in_voxels { ["i", "j", "k"] } else { ["x_mm", "y_mm", "z_mm"] };
    if let Some(name) = place.iter().find(|name| !has(name)) {
        return Err(missing(&format!("`{name}`")));
    }
    if in_voxels && !has("series_uid") {
        return Err(missing("`series_uid` (voxel indices need it)"));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        rows.push(Cells { path, line, columns: &columns, record: &record }.row(in_voxels)?);
    }
    let ignored_columns = columns.iter().filter(|column| !COLUMNS.contains(&column.as_str())).cloned().collect();
    Ok(Table { rows, ignored_columns })
}

struct Cells<'a> {
    path: &'a Path,
    line: u64,
    columns: &'a [String],
    record: &'a csv::StringRecord,
}

impl Cells<'_> {
    fn row(&self, in_voxels: bool) -> Result<TableRow, AnnotationError> {
        let position = if in_voxels {
            let corners = self.corners(["i_min", "j_min", "k_min"], ["i_max", "j_max", "k_max"])?;
            TablePosition::Voxel(self.place(["i", "j", "k"])?, corners)
        } else {
            let corners = self.corners(["x_min_mm", "y_min_mm", "z_min_mm"], ["x_max_mm", "y_max_mm", "z_max_mm"])?;
            let center = PointMm(self.place(["x_mm", "y_mm", "z_mm"])?);
            TablePosition::Mm(center, corners.map(|(low, high)| (PointMm(low), PointMm(high))))
        };
        let target = AnnotationTarget {
            series_uid: self.text("series_uid"),
            study_uid: self.text("study_uid"),
            frame_of_reference_uid: self.text("frame_of_reference_uid"),
        };
        if target.series_uid.is_none() && target.study_uid.is_none() {
            return Err(self.fail("series_uid", "names no image (and study_uid is empty too)"));
        }
        let metastasis = Metastasis::parse_cell(self.cell("metastasis"))
            .map_err(|error| self.fail("metastasis", &error.to_string()))?;
        Ok(TableRow {
            target,
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
        self.columns.iter().position(|name| name == column).and_then(|at| self.record.get(at)).unwrap_or_default()
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

    fn place(&self, columns: [&str; 3]) -> Result<[f64; 3], AnnotationError> {
        let mut place = [0.0; 3];
        for (coordinate, column) in place.iter_mut().zip(columns) {
            *coordinate = self.number(column)?.ok_or_else(|| self.fail(column, "the place is empty"))?;
        }
        Ok(place)
    }

    /// A box where all six cells are given, none where all are empty.
    fn corners(&self, low: [&str; 3], high: [&str; 3]) -> Result<Option<Corners>, AnnotationError> {
        if low.iter().chain(&high).all(|column| self.cell(column).is_empty()) {
            return Ok(None);
        }
        let (low_corner, high_corner) = (self.place(low)?, self.place(high)?);
        if let Some(axis) = (0..3).find(|&axis| low_corner[axis] > high_corner[axis]) {
            return Err(self.fail(low[axis], "the smallest coordinate of the box is larger than its largest"));
        }
        Ok(Some((low_corner, high_corner)))
    }
}

/// The columns as data, for `schemas/annotation-table.json`.
pub fn schema() -> Value {
    let column = |name: &str, kind: &str, meaning: &str| json!({ "name": name, "type": kind, "meaning": meaning });
    json!({
        "title": "Annotation table",
        "format": "CSV or TSV (tab) with a header line; UTF-8; columns in any order; case of names does not matter; other columns are ignored",
        "required": "series_uid or study_uid; x_mm, y_mm, z_mm, or series_uid with i, j, k",
        "columns": [
            column("series_uid", "string", "SeriesInstanceUID of the image"),
            column("study_uid", "string", "StudyInstanceUID; the series that holds the point is taken"),
            column("frame_of_reference_uid", "string", "FrameOfReferenceUID, to tell series of a study apart"),
            column("finding", "string", "free text; never a label, never stored"),
            column("x_mm", "number", "centre, LPS mm, towards the left"),
            column("y_mm", "number", "centre, LPS mm, towards the back"),
            column("z_mm", "number", "centre, LPS mm, towards the head"),
            column("i", "number", "centre, column from 0 (instead of mm)"),
            column("j", "number", "centre, row from 0"),
            column("k", "number", "centre, slice from 0 along the normal"),
            column("x_min_mm … z_max_mm", "number", "box of voxel centres in LPS mm (six columns, optional)"),
            column("i_min … k_max", "number", "box in voxels (six columns, optional)"),
            column("diameter_mm", "number", "diameter of a round finding"),
            column("station", "string", "IASLC station in any usual spelling; empty: unknown"),
            column("metastasis", "string", "metastatic or benign (also 1/0, yes/no, positive/negative); empty or unknown: unknown"),
            column("evidence", "string", "A histology, B cytology, C PET, D size, U or empty none"),
            column("level", "string", "node (default), station or patient: what the status was given for"),
            column("short_axis_mm", "number", "short axis on the axial slice"),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<TableRow>, AnnotationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        read_table(&path)
    }

    #[test]
    fn a_row_with_labels() {
        let rows = read(
            "Series_UID,x_mm,y_mm,z_mm,station,metastasis,evidence,level,short_axis_mm,extra\n1.2,1,-2,3.5,R4,yes,b,station,11,x\n1.2,0,0,0,,,,,,\n",
        )
        .unwrap();
        assert_eq!(rows[0].position, TablePosition::Mm(PointMm::new(1.0, -2.0, 3.5), None));
        assert_eq!(rows[0].station.map(Station::code), Some("4R"));
        assert_eq!((rows[0].metastasis, rows[0].evidence), (Some(Metastasis::Metastatic), Evidence::B));
        assert_eq!((rows[1].station, rows[1].metastasis, rows[1].evidence), (None, None, Evidence::U));
    }

    #[test]
    fn unknown_columns_are_listed_and_repeated_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, "series_uid,x_mm,y_mm,z_mm,Metastatic,voxels\n1,2,3,4,1,5\n").unwrap();
        let table = super::read(&path).unwrap();
        assert_eq!(table.ignored_columns, ["metastatic", "voxels"]);
        assert_eq!(table.rows[0].metastasis, None, "a misspelt label column never labels");
        let twice = read("series_uid,x_mm,y_mm,z_mm,station,station\n1,2,3,4,7,4R\n").unwrap_err();
        assert!(twice.to_string().contains("`station` stands there twice"));
    }

    #[test]
    fn voxel_rows_resolve_through_the_affine() {
        let rows =
            read("series_uid\ti\tj\tk\ti_min\tj_min\tk_min\ti_max\tj_max\tk_max\n1\t1\t2\t3\t0\t0\t0\t2\t4\t6\n")
                .unwrap();
        let affine =
            Affine::new(PointMm::new(10.0, 0.0, 0.0), [[-1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]).unwrap();
        let annotation = rows[0].resolve(&affine);
        assert_eq!(annotation.center, PointMm::new(9.0, 4.0, 9.0));
        let expected = Extent::Box { minimum: PointMm::new(8.0, 0.0, 0.0), maximum: PointMm::new(10.0, 8.0, 18.0) };
        assert_eq!(annotation.extent, expected);
    }

    #[test]
    fn errors_name_file_line_and_column() {
        let message = |text: &str| read(text).unwrap_err().to_string();
        assert!(message("series_uid,x_mm,y_mm\n").contains("`z_mm` is missing"));
        assert!(message("x_mm,y_mm,z_mm\n").contains("series_uid"));
        let cell = message("series_uid,x_mm,y_mm,z_mm\n1,2,3,4\n1,2,oops,4\n");
        assert!(cell.contains("line 3") && cell.contains("`y_mm`"), "{cell}");
        assert!(message("series_uid,x_mm,y_mm,z_mm,metastasis\n1,2,3,4,perhaps\n").contains("`metastasis`"));
        assert!(message("series_uid,x_mm,y_mm,z_mm,station\n1,2,3,4,99\n").contains("lymph-node station"));
        assert!(read_table(Path::new("nowhere.csv")).unwrap_err().to_string().contains("nowhere.csv"));
    }
}
