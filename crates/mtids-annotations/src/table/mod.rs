//! Findings from a table: CSV, TSV, or any other rows of text cells with a header (Parquet, through [`from_cells`]).
//!
//! Columns (case does not matter): the image by `series_uid`, `study_uid` or `sop_instance_uid`; the place by `x_mm, y_mm, z_mm` (LPS, or
//! RAS where `space` says so), by the voxel `i, j, k` (column, row, slice; from 0, or from 1 where `index_base` says so; needs
//! `series_uid`), or by the pixel `i, j` of the slice `sop_instance_uid`; optionally a box `x_min_mm … z_max_mm` or `i_min … k_max`, or
//! `diameter_mm`; labels `station`, `metastasis`, `evidence`, `level`, `short_axis_mm`; `finding` is free text. Other columns are
//! ignored. Invariant: a cell that cannot be understood is an error that names file, line and column; an empty label is unknown.

mod read;

use std::path::PathBuf;

use mtids_domain::annotation::{Annotation, AnnotationSource, AnnotationTarget, Extent};
use mtids_domain::geometry::{Affine, PointMm, Voxel};
use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::taxonomy::Station;
use serde_json::{Value, json};

use crate::header::InstanceHeader;
use crate::series::Series;

pub use read::{from_cells, read, read_table};

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
    Voxel([f64; 3], Option<Corners>),
    /// Pixel (i, j) from 0 of the slice that [`TableRow::sop_instance_uid`] names.
    Pixel([f64; 2]),
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRow {
    /// The image.
    pub target: AnnotationTarget,
    /// A slice of the image, where given.
    pub sop_instance_uid: Option<String>,
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
    /// The finding in mm, with voxel indices resolved by the grid of the image; `None` where the image has no such slice.
    pub fn resolve(&self, series: &Series, affine: &Affine) -> Option<Annotation> {
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
            TablePosition::Pixel([i, j]) => {
                let is_slice = |slice: &InstanceHeader| Some(&slice.sop_instance_uid) == self.sop_instance_uid.as_ref();
                let mut slices = series.instances.iter().enumerate().filter(|(_, slice)| is_slice(slice));
                // The frames of an enhanced CT share a UID: it names none of them.
                let (k, _) = slices.next().filter(|_| slices.next().is_none())?;
                (affine.to_mm(Voxel([i, j, k as f64])), None)
            }
        };
        let extent = match (corners, self.diameter_mm) {
            (Some((minimum, maximum)), _) => Extent::Box { minimum, maximum },
            (None, Some(diameter_mm)) => Extent::Sphere { diameter_mm },
            (None, None) => Extent::Point,
        };
        Some(Annotation {
            target: self.target.clone(),
            center,
            extent,
            finding: self.finding.clone(),
            codes: Vec::new(),
            station: self.station,
            metastasis: self.metastasis,
            evidence: self.evidence,
            level: self.level,
            short_axis_mm: self.short_axis_mm,
            source: AnnotationSource::Table,
        })
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

/// The columns as data, for `schemas/annotation-table.json`.
pub fn schema() -> Value {
    let column = |name: &str, kind: &str, meaning: &str| json!({ "name": name, "type": kind, "meaning": meaning });
    json!({
        "title": "Annotation table",
        "format": "CSV or TSV (tab) with a header line, UTF-8, or Parquet; columns in any order; case of names does not matter; other columns are ignored",
        "required": "series_uid, study_uid or sop_instance_uid; x_mm, y_mm, z_mm, or series_uid with i, j, k, or sop_instance_uid with i, j",
        "columns": [
            column("series_uid", "string", "SeriesInstanceUID of the image"),
            column("study_uid", "string", "StudyInstanceUID; the series that holds the point is taken"),
            column("sop_instance_uid", "string", "SOPInstanceUID of a slice; with i and j, a pixel of it"),
            column("space", "string", "LPS (default) or RAS: what the mm of this row mean"),
            column("index_base", "integer", "0 (default) or 1: where i, j and k of this row begin"),
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
