//! The series that findings are assigned to: identity and grid, without pixels.
//!
//! Units: LPS mm; dimensions in voxels (columns, rows, slices).

use mtids_dicom::{InstanceHeader, Series};
use mtids_domain::annotation::AnnotationTarget;
use mtids_domain::geometry::{Affine, PointMm, Voxel};

/// SOP Instance UIDs of the slices of a series, in the order of their position along the normal.
#[derive(Clone, Copy, Debug)]
pub enum SliceUids<'a> {
    /// Those of headers: nothing is copied.
    Headers(&'a [InstanceHeader]),
    /// A list.
    Listed(&'a [&'a str]),
}

impl<'a> SliceUids<'a> {
    /// Number of slices.
    pub fn len(&self) -> usize {
        match self {
            Self::Headers(headers) => headers.len(),
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
            Self::Headers(headers) => headers.get(k).map(|header| header.sop_instance_uid.as_str()),
            Self::Listed(list) => list.get(k).copied(),
        })
    }
}

/// A series with its grid, as findings are matched to it.
#[derive(Clone, Copy, Debug)]
pub struct SeriesGeometry<'a> {
    /// Series Instance UID.
    pub series_uid: &'a str,
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
    /// Of a series whose geometry was checked ([`mtids_dicom::volume::check_geometry`] gives the affine).
    pub fn of(series: &'a Series, affine: Affine) -> Self {
        let first = series.instances.first();
        Self {
            series_uid: &series.series_uid,
            study_uid: &series.study_uid,
            frame_of_reference_uid: series.frame_of_reference_uid.as_deref(),
            affine,
            dimensions: first
                .map_or([0; 3], |first| [first.columns as usize, first.rows as usize, series.instances.len()]),
            slices: SliceUids::Headers(&series.instances),
        }
    }

    /// Whether a place lies in its voxels.
    pub fn holds(&self, point: PointMm) -> bool {
        self.affine.to_voxel(point).nearest(self.dimensions).is_some()
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

/// The eight corners of a grid (centres of the outermost voxels) in LPS mm.
pub(crate) fn grid_corners(affine: &Affine, dimensions: [usize; 3]) -> [PointMm; 8] {
    std::array::from_fn(|n| {
        let index = |axis: usize| if n >> axis & 1 == 1 { dimensions[axis] as f64 - 1.0 } else { 0.0 };
        affine.to_mm(Voxel(std::array::from_fn(index)))
    })
}
