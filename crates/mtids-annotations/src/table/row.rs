//! A row of a table: the image it speaks of, the place, the labels.
//!
//! Units: LPS mm, or voxels (column, row, slice) from 0.

use mtids_domain::annotation::{Annotation, AnnotationSource, AnnotationTarget, Extent};
use mtids_domain::geometry::{PointMm, Voxel};
use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::taxonomy::Location;

use crate::geometry::SeriesGeometry;

/// Two corners of a box.
pub(crate) type Corners = ([f64; 3], [f64; 3]);

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
    /// Where the row stands in its file: the line of a text file from 1, the row of a sheet from 1 (its header is one of them), or the row
    /// of a Parquet file from 1.
    pub line: u64,
    /// The image.
    pub target: AnnotationTarget,
    /// A slice of the image, where given.
    pub sop_instance_uid: Option<String>,
    /// The place.
    pub position: TablePosition,
    /// Voxel (i, j, k) from 0 that the row gives beside a place in mm.
    pub voxel_beside: Option<[f64; 3]>,
    /// Diameter in mm.
    pub diameter_mm: Option<f64>,
    /// Free text.
    pub finding: String,
    /// Station, or several of which it is one.
    pub station: Option<Location>,
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
    /// The finding in mm, with voxel indices resolved by the slices of the image; `None` where the image has no such slice.
    pub fn resolve(&self, series: &SeriesGeometry<'_>) -> Option<Annotation> {
        let (center, corners) = match self.position {
            TablePosition::Mm(center, corners) => (center, corners),
            TablePosition::Voxel(center, corners) => {
                let corners = corners.map(|(low, high)| {
                    let (a, b) = (series.image_to_mm(Voxel(low)).0, series.image_to_mm(Voxel(high)).0);
                    let corner =
                        |extreme: fn(f64, f64) -> f64| PointMm(std::array::from_fn(|axis| extreme(a[axis], b[axis])));
                    (corner(f64::min), corner(f64::max))
                });
                (series.image_to_mm(Voxel(center)), corners)
            }
            TablePosition::Pixel([i, j]) => {
                let uid = self.sop_instance_uid.as_deref();
                let mut slices = series.slices.iter().enumerate().filter(|(_, slice)| Some(*slice) == uid);
                // The frames of an enhanced CT share a UID: it names none of them.
                let (k, _) = slices.next().filter(|_| slices.next().is_none())?;
                (series.image_to_mm(Voxel([i, j, k as f64])), None)
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The rows, in the order of the file.
    pub rows: Vec<TableRow>,
    /// Columns that mean nothing here, in the order of the file: to be shown, since one may be a misspelt label.
    pub ignored_columns: Vec<String>,
    /// For each of them that may be a misspelt known one: its name, and the column that it may mean.
    pub suggestions: Vec<(String, &'static str)>,
    /// Cells of `station` that have no place on the map.
    pub unplaced: Vec<UnplacedCell>,
    /// Rows, as [`TableRow::line`], whose cell of `metastasis` is a dash or `none`: unknown, and to be shown, since some write it for benign.
    pub no_status: Vec<u64>,
    /// Rows, as [`TableRow::line`], with a length of 0: not measured.
    pub no_length: Vec<u64>,
    /// Lines whose short axis is longer than their diameter.
    pub short_above_long: Vec<u64>,
    /// Lines with a length that no lymph node has, or that may be a code for unknown.
    pub huge_lengths: Vec<u64>,
    /// Lines with a length that is smaller than any node.
    pub tiny_lengths: Vec<u64>,
    /// Rows, as [`TableRow::line`], with a status and an empty `level`, where other rows say another level than the default.
    pub no_level: Vec<u64>,
    /// Rows, as [`TableRow::line`], and columns with a 0 that a formula of a workbook may have made of an empty cell.
    pub doubtful_zeros: Vec<(u64, String)>,
    /// Rows, as [`TableRow::line`], that a spreadsheet program hides.
    pub hidden: Vec<u64>,
    /// Rows, as [`TableRow::line`], with a cell that is struck through.
    pub struck: Vec<u64>,
    /// Columns whose numbers a spreadsheet program shows otherwise: the first row, the column, and the number format.
    pub odd_formats: Vec<(u64, String, String)>,
    /// Columns of lengths in mm most of whose values are so small that they may be in cm.
    pub small_lengths: Vec<&'static str>,
}

/// A cell of `station` that is understood and has no place on the map: station and region of its row are unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnplacedCell {
    /// As [`TableRow::line`].
    pub line: u64,
    /// What the cell says.
    pub text: String,
    /// Why it has no place.
    pub reason: &'static str,
}
