//! A finding, as every annotation reader gives it.
//!
//! Purpose: tables, DICOM SEG and later formats end in one type. Units: LPS mm. Invariant: a label that the source does not
//! give is `None`; nothing here invents one.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::geometry::{Affine, PointMm, Voxel};
use crate::label::{Evidence, LabelLevel, Metastasis};
use crate::taxonomy::Location;

/// Which image an annotation speaks about. Raw identifiers: they never leave the program that reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnotationTarget {
    /// PatientID, where given.
    pub patient_id: Option<String>,
    /// SeriesInstanceUID, where given.
    pub series_uid: Option<String>,
    /// StudyInstanceUID, where given.
    pub study_uid: Option<String>,
    /// FrameOfReferenceUID, where given.
    pub frame_of_reference_uid: Option<String>,
}

/// The form of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum AnnotationSource {
    /// A row of a table (CSV, TSV).
    Table,
    /// Drawn: a mask, contour or point of DICOM SEG, RTSTRUCT or SR, a mask of NIfTI or NRRD, or a box of PASCAL VOC.
    Segmentation,
    /// A drawn finding whose labels were joined from a table.
    SegmentationWithTable,
}

impl AnnotationSource {
    /// Kebab-case name, as stored in shards.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A sparse mask on its own grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    /// Grid of the mask.
    pub affine: Affine,
    /// Set voxels `[i, j, k]`, sorted by `(k, j, i)`, without repeats.
    pub voxels: Vec<[u32; 3]>,
}

impl Mask {
    /// Mean position of the set voxels, or `None` for an empty mask.
    pub fn centroid(&self) -> Option<PointMm> {
        if self.voxels.is_empty() {
            return None;
        }
        let mut mean = [0.0; 3];
        for voxel in &self.voxels {
            for axis in 0..3 {
                mean[axis] += f64::from(voxel[axis]);
            }
        }
        Some(self.affine.to_mm(Voxel(mean.map(|sum| sum / self.voxels.len() as f64))))
    }

    /// Corners of the box of voxel centres in LPS mm (minimum, maximum per axis), or `None` for an empty mask.
    pub fn bounds(&self) -> Option<(PointMm, PointMm)> {
        let mut low = [f64::INFINITY; 3];
        let mut high = [f64::NEG_INFINITY; 3];
        for voxel in &self.voxels {
            let point = self.affine.to_mm(Voxel(voxel.map(f64::from)));
            for axis in 0..3 {
                low[axis] = low[axis].min(point.0[axis]);
                high[axis] = high[axis].max(point.0[axis]);
            }
        }
        (!self.voxels.is_empty()).then_some((PointMm(low), PointMm(high)))
    }

    /// Volume in mm³.
    pub fn volume_mm3(&self) -> f64 {
        self.affine.voxel_volume() * self.voxels.len() as f64
    }
}

/// How far a finding reaches.
#[derive(Clone, Debug, PartialEq)]
pub enum Extent {
    /// A position only.
    Point,
    /// An axis-aligned box of voxel centres.
    Box {
        /// Smallest x, y, z.
        minimum: PointMm,
        /// Largest x, y, z.
        maximum: PointMm,
    },
    /// A ball.
    Sphere {
        /// Diameter in mm.
        diameter_mm: f64,
    },
    /// The exact voxels; shared, because a segmentation and a report on it speak of one mask.
    Mask(Arc<Mask>),
}

/// A coded concept, as a source gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    /// Coding scheme, for example `SCT`.
    pub scheme: String,
    /// Code in the scheme, for example `59441001`.
    pub value: String,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.value)
    }
}

/// One finding in one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// The image it speaks about.
    pub target: AnnotationTarget,
    /// Centre of the finding.
    pub center: PointMm,
    /// How far it reaches.
    pub extent: Extent,
    /// Free name given by the source; for people, never a label.
    pub finding: String,
    /// Codes given by the source: of the kind of finding, of its site.
    pub codes: Vec<Code>,
    /// Station, or several of which it is one, where given.
    pub station: Option<Location>,
    /// Metastasis status, where known.
    pub metastasis: Option<Metastasis>,
    /// Evidence behind the status.
    pub evidence: Evidence,
    /// What the status was given for.
    pub level: LabelLevel,
    /// Short axis in mm, where the source gives it; what can be measured on a mask is not given.
    pub short_axis_mm: Option<f64>,
    /// Form of the source.
    pub source: AnnotationSource,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_knows_its_centre_bounds_and_volume() {
        let affine =
            Affine::new(PointMm::new(0.0, 0.0, 0.0), [[1.0, 0.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, 3.0]]).unwrap();
        let mask = Mask { affine, voxels: vec![[0, 0, 0], [2, 1, 1]] };
        assert_eq!(mask.centroid(), Some(PointMm::new(1.0, -1.0, 1.5)));
        assert_eq!(mask.bounds(), Some((PointMm::new(0.0, -2.0, 0.0), PointMm::new(2.0, 0.0, 3.0))));
        assert_eq!(mask.volume_mm3(), 12.0);
        assert_eq!(Mask { affine, voxels: Vec::new() }.centroid(), None);
    }
}
