//! The series that findings are assigned to: identity and grid, without pixels.
//!
//! Units: LPS mm; dimensions in voxels (columns, rows, slices).

use std::collections::HashMap;

use mtids_dicom::volume::SeriesGrid;
use mtids_dicom::{InstanceHeader, ReasonCode, Series};
use mtids_domain::annotation::AnnotationTarget;
use mtids_domain::geometry::{Affine, PointMm, Voxel, cross, dot, norm, subtract};

/// SOP Instance UIDs of the slices of a series, in the order of their position along the normal.
#[derive(Clone, Copy, Debug)]
pub enum SliceUids<'a> {
    /// Those of headers: nothing is copied.
    Headers(&'a [InstanceHeader]),
    /// Those of headers of a repaired series, whose slices do not lie at the indices of its grid.
    OffGrid(&'a [InstanceHeader]),
    /// A list.
    Listed(&'a [&'a str]),
}

impl<'a> SliceUids<'a> {
    /// Number of slices.
    pub fn len(&self) -> usize {
        match self {
            Self::Headers(headers) | Self::OffGrid(headers) => headers.len(),
            Self::Listed(list) => list.len(),
        }
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The UIDs, lowest slice first.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        (0..self.len()).filter_map(move |k| match self {
            Self::Headers(headers) | Self::OffGrid(headers) => {
                headers.get(k).map(|header| header.sop_instance_uid.as_str())
            }
            Self::Listed(list) => list.get(k).copied(),
        })
    }
}

/// A series with its grid, as findings are matched to it.
#[derive(Clone, Copy, Debug)]
pub struct SeriesGeometry<'a> {
    /// PatientID.
    pub patient_id: &'a str,
    /// Series Instance UID.
    pub series_uid: &'a str,
    /// Number of this volume where one series UID holds several, from 0.
    pub part: usize,
    /// Study Instance UID.
    pub study_uid: &'a str,
    /// Frame of Reference UID.
    pub frame_of_reference_uid: Option<&'a str>,
    /// From voxels to LPS mm.
    pub affine: Affine,
    /// Columns, rows, slices.
    pub dimensions: [usize; 3],
    /// Its slices.
    pub slices: SliceUids<'a>,
}

impl<'a> SeriesGeometry<'a> {
    /// Of a series whose geometry was checked ([`mtids_dicom::volume::check_geometry`] gives the grid).
    pub fn of(series: &'a Series, grid: SeriesGrid) -> Self {
        let SeriesGrid { affine, dimensions, repaired } = grid;
        let slices = match repaired {
            None => SliceUids::Headers(&series.instances),
            Some(_) => SliceUids::OffGrid(&series.instances),
        };
        Self {
            patient_id: &series.patient_id,
            series_uid: &series.series_uid,
            part: series.part,
            study_uid: &series.study_uid,
            frame_of_reference_uid: series.frame_of_reference_uid.as_deref(),
            affine,
            dimensions,
            slices,
        }
    }

    /// The place of column, row and slice of the files, in LPS mm: what people count who look at the files. Of a repaired series they are no
    /// indices of its grid; between two slices it lies between their places.
    pub fn image_to_mm(&self, Voxel([i, j, k]): Voxel) -> PointMm {
        let SliceUids::OffGrid(headers) = self.slices else { return self.affine.to_mm(Voxel([i, j, k])) };
        // Beyond the ends as far as the last two slices say. The cast saturates.
        let below = (k.floor().max(0.0) as usize).min(headers.len().saturating_sub(2));
        let (Some(low), Some(high)) = (headers.get(below), headers.get(below + 1).or(headers.get(below))) else {
            return self.affine.to_mm(Voxel([i, j, k]));
        };
        let weight = k - below as f64;
        let ([row, column], [row_step, column_step]) = (low.orientation, low.pixel_spacing);
        PointMm(std::array::from_fn(|axis| {
            let first = low.position.0[axis] * (1.0 - weight) + high.position.0[axis] * weight;
            first + i * column_step * row[axis] + j * row_step * column[axis]
        }))
    }

    /// Columns and rows of its slices as the files have them, and the distance of these in mm: the grid of a repaired series has others.
    pub(crate) fn image_sides(&self) -> ([usize; 2], [f64; 2]) {
        if let SliceUids::OffGrid([header, ..]) = self.slices {
            let [between_rows, between_columns] = header.pixel_spacing;
            return ([header.columns as usize, header.rows as usize], [between_columns, between_rows]);
        }
        let ([columns, rows, _], [across, down, _]) = (self.dimensions, self.affine.spacing());
        ([columns, rows], [across, down])
    }

    /// The name of the volume: the UID, with the number of the volume where it is not the first.
    pub fn name(&self) -> String {
        match self.part {
            0 => self.series_uid.to_owned(),
            part => format!("{}#{part}", self.series_uid),
        }
    }

    /// Whether a place lies in its voxels.
    pub fn holds(&self, point: PointMm) -> bool {
        self.affine.to_voxel(point).nearest(self.dimensions).is_some()
    }

    /// Distance from a place to the nearest voxel centre's cell, mm; 0 inside.
    pub(crate) fn distance_to(&self, point: PointMm) -> f64 {
        let voxel = self.affine.to_voxel(point).0;
        let clamped: [f64; 3] = std::array::from_fn(|axis| voxel[axis].clamp(0.0, self.dimensions[axis] as f64 - 1.0));
        if self.holds(point) { 0.0 } else { self.affine.to_mm(Voxel(clamped)).distance(point) }
    }

    /// Unit normal of its slices.
    pub(crate) fn normal(&self) -> [f64; 3] {
        let [origin, right, down] =
            [[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]].map(|at| self.affine.to_mm(Voxel(at)).0);
        let normal = cross(subtract(right, origin), subtract(down, origin));
        let length = norm(normal);
        normal.map(|x| x / length)
    }

    /// Heights of its slices along the normal, mm, in their order, where the files have them.
    pub(crate) fn heights(&self) -> Vec<f64> {
        let normal = self.normal();
        (0..self.slices.len()).map(|k| dot(self.image_to_mm(Voxel([0.0, 0.0, k as f64])).0, normal)).collect()
    }

    /// Heights of its slices along the normal, mm, by SOP Instance UID; without UIDs of several slices, which frames of one object share.
    pub(crate) fn slice_heights(&self) -> HashMap<&'a str, f64> {
        let (mut heights, mut shared) = (HashMap::new(), Vec::new());
        for (uid, height) in self.slices.iter().zip(self.heights()) {
            if heights.insert(uid, height).is_some() {
                shared.push(uid);
            }
        }
        for uid in shared {
            heights.remove(uid);
        }
        heights
    }

    /// Numbers of its slices of a SOP Instance UID; of an object of frames that of the frame, counted from 1, where one is named.
    pub(crate) fn slices_of(&self, uid: &str, frame: Option<u32>) -> Vec<usize> {
        match self.slices {
            SliceUids::Headers(headers) | SliceUids::OffGrid(headers) => {
                // Frames of a header count from 0.
                let is_frame =
                    |header: &InstanceHeader| frame.is_none_or(|number| header.frame.checked_add(1) == Some(number));
                let is_meant = |header: &InstanceHeader| header.sop_instance_uid == uid && is_frame(header);
                headers.iter().enumerate().filter(|(_, header)| is_meant(header)).map(|(k, _)| k).collect()
            }
            SliceUids::Listed(list) => {
                let named: Vec<usize> =
                    list.iter().enumerate().filter(|(_, known)| **known == uid).map(|(k, _)| k).collect();
                // A list does not say which frame a slice is.
                if named.len() == 1 && frame.is_some_and(|number| number != 1) { Vec::new() } else { named }
            }
        }
    }

    /// How its slices lie in their plane.
    pub(crate) fn in_plane(&self) -> InPlane {
        let corner = |i: usize, j: usize| self.affine.to_mm(Voxel([i as f64, j as f64, 0.0]));
        let [columns, rows, _] = self.dimensions;
        InPlane::of_corners(
            [columns, rows],
            [corner(0, 0), corner(columns.saturating_sub(1), 0), corner(0, rows.saturating_sub(1))],
        )
    }

    /// The eight corners of the grid (centres of the outermost voxels) in LPS mm.
    pub(crate) fn corners(&self) -> [PointMm; 8] {
        grid_corners(&self.affine, self.dimensions)
    }

    /// Whether an annotation names this series, by its UID or by its study.
    pub(crate) fn is_target(&self, target: &AnnotationTarget) -> bool {
        match (&target.series_uid, &target.study_uid) {
            (Some(uid), _) => uid == self.series_uid,
            (None, Some(uid)) => {
                uid == self.study_uid
                    && (target.frame_of_reference_uid.is_none()
                        || target.frame_of_reference_uid.as_deref() == self.frame_of_reference_uid)
            }
            (None, None) => false,
        }
    }
}

/// How the slices of a series lie in their plane: what two series have in common whose masks could be taken for one another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InPlane {
    /// Columns, rows.
    sides: [usize; 2],
    /// Centres of the pixels (0, 0), (last, 0) and (0, last), without their part along the normal, LPS mm.
    corners: [PointMm; 3],
}

impl InPlane {
    /// Of a slice.
    pub fn of(header: &InstanceHeader) -> Self {
        let [columns, rows] = [header.columns as usize, header.rows as usize];
        let along = |axis: usize, side: usize, step: f64| {
            let steps = step * side.saturating_sub(1) as f64;
            PointMm(std::array::from_fn(|n| header.position.0[n] + steps * header.orientation[axis][n]))
        };
        let [between_rows, between_columns] = header.pixel_spacing;
        Self::of_corners(
            [columns, rows],
            [header.position, along(0, columns, between_columns), along(1, rows, between_rows)],
        )
    }

    fn of_corners(sides: [usize; 2], corners: [PointMm; 3]) -> Self {
        let [origin, right, down] = corners.map(|corner| corner.0);
        let normal = cross(subtract(right, origin), subtract(down, origin));
        let length = norm(normal);
        let normal = if length > 0.0 { normal.map(|x| x / length) } else { [0.0; 3] };
        let flat = |corner: [f64; 3]| {
            let height = dot(corner, normal);
            PointMm(std::array::from_fn(|axis| corner[axis] - height * normal[axis]))
        };
        Self { sides, corners: [origin, right, down].map(flat) }
    }

    /// Whether two slices lie alike, within a tenth of a pixel.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let pixel = self.corners[0].distance(self.corners[1]) / self.sides[0].saturating_sub(1).max(1) as f64;
        self.sides == other.sides && self.corners.iter().zip(&other.corners).all(|(a, b)| a.distance(*b) <= 0.1 * pixel)
    }
}

/// An image of the data folder that cannot be used. Annotations that speak of it must not slip to another image.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedImage {
    /// PatientID.
    pub patient_id: String,
    /// Study Instance UID.
    pub study_uid: String,
    /// Series Instance UID. Where a series holds several volumes, another one may be usable.
    pub series_uid: String,
    /// SOP Instance UIDs of its slices that could be read.
    pub slices: Vec<String>,
    /// How its slices lie; `None` where no header could be used.
    pub in_plane: Option<InPlane>,
    /// Why it was refused.
    pub reason: ReasonCode,
}

/// What findings are assigned to.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    /// Series that can be used.
    pub usable: &'a [SeriesGeometry<'a>],
    /// Images that cannot, so that no annotation of theirs slips to another one.
    pub refused: &'a [RefusedImage],
    /// Files that could not be read at all: each may be of an image that nobody knows.
    pub unread_files: u64,
}

/// The eight corners of a grid (centres of the outermost voxels) in LPS mm.
pub(crate) fn grid_corners(affine: &Affine, dimensions: [usize; 3]) -> [PointMm; 8] {
    std::array::from_fn(|n| {
        let index = |axis: usize| if n >> axis & 1 == 1 { dimensions[axis] as f64 - 1.0 } else { 0.0 };
        affine.to_mm(Voxel(std::array::from_fn(index)))
    })
}
