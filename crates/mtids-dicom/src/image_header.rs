//! The header of one slice: whose it is, where it lies, how its pixels are stored.
//!
//! Invariant: [`AcquisitionFacts`] is the allow-list of attributes that may leave this crate for a dataset. Units: mm, kV. `pixel_spacing` is
//! (row step, column step), as DICOM orders it.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use mtids_domain::geometry::{PointMm, cross, dot, norm};
use serde::{Deserialize, Serialize};

use crate::acquisition::Acquired;
use crate::origin::Origin;
use crate::pet::PetFacts;
use crate::pixels::description::{StoredAt, StoredImage};
use crate::pixels::modality::Modality;

/// Attributes that may stand in a dataset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AcquisitionFacts {
    /// Manufacturer (0008,0070).
    pub manufacturer: Option<String>,
    /// Model name (0008,1090).
    pub model: Option<String>,
    /// Convolution kernel (0018,1210).
    pub kernel: Option<String>,
    /// Slice thickness in mm (0018,0050); a fact about the scan, never used as geometry.
    pub slice_thickness_mm: Option<f32>,
    /// Tube voltage in kV (0018,0060).
    pub kvp: Option<f32>,
    /// True when a contrast agent is named (0018,0010); `None` when the attribute is absent.
    pub contrast: Option<bool>,
}

/// Header of one slice: a single-frame CT or PET image, or one frame of an enhanced one.
///
/// Nearly all of it is said alike by every slice of a series; that part, [`SliceFacts`], is shared where it is equal
/// ([`crate::SharedFacts`]), and read as if it stood here.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceHeader {
    /// The file.
    pub path: PathBuf,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// Number of the frame in the file, from 0.
    pub frame: u32,
    /// Centre of the first pixel in LPS mm.
    pub position: PointMm,
    /// As which acquisition, and when, it was scanned.
    pub acquired: Acquired,
    /// What its neighbours say as well.
    pub shared: Arc<SliceFacts>,
    /// Where the pixels of the file lie.
    pub(crate) at: StoredAt,
    /// From stored values to those of the image; of a PET it differs from slice to slice.
    pub(crate) modality_lut: Modality,
    /// For PET: tracer and times.
    pub pet: Option<Arc<PetFacts>>,
}

/// What the slices of a series have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceFacts {
    /// PatientID.
    pub patient_id: Arc<str>,
    /// Study Instance UID.
    pub study_uid: Arc<str>,
    /// Series Instance UID.
    pub series_uid: Arc<str>,
    /// Frame of Reference UID.
    pub frame_of_reference_uid: Option<Arc<str>>,
    /// StudyDate in days since 1970-01-01; `None` where it is missing or malformed. It leaves this program as a difference only.
    pub study_day: Option<i32>,
    /// Of which patient and site.
    pub origin: Arc<Origin>,
    /// Modality, `CT` or `PT`.
    pub modality: Arc<str>,
    /// Rows of pixels.
    pub rows: u32,
    /// Columns of pixels.
    pub columns: u32,
    /// Direction of a row (towards higher columns) and of a column (towards higher rows): unit vectors.
    pub orientation: [[f64; 3]; 2],
    /// Step between rows and between columns in mm.
    pub pixel_spacing: [f64; 2],
    /// SeriesDescription names a scout.
    pub(crate) named_scout: bool,
    /// ImageType (0008,0008), or that of the frame.
    pub(crate) image_type: Option<Arc<str>>,
    /// NominalPercentageOfCardiacPhase (0020,9241).
    pub(crate) cardiac_phase: Option<f32>,
    /// StackID (0020,9056) of a frame.
    pub(crate) stack: Option<Arc<str>>,
    /// Lossy compression, by transfer syntax or by (0028,2110).
    pub lossy: bool,
    /// The allow-listed facts.
    pub facts: Arc<AcquisitionFacts>,
    /// How the pixels of the file are stored.
    pub(crate) pixels: StoredImage,
}

impl Deref for InstanceHeader {
    type Target = SliceFacts;

    fn deref(&self) -> &SliceFacts {
        &self.shared
    }
}

impl InstanceHeader {
    /// Unit normal of the slice.
    pub fn normal(&self) -> [f64; 3] {
        let normal = cross(self.orientation[0], self.orientation[1]);
        let length = norm(normal);
        normal.map(|x| x / length)
    }

    /// Transfer syntax UID.
    pub fn transfer_syntax(&self) -> &str {
        &self.pixels.transfer_syntax
    }

    /// Position along the normal in mm.
    pub fn along_normal(&self) -> f64 {
        dot(self.normal(), self.position.0)
    }
}

#[cfg(test)]
impl InstanceHeader {
    /// A slice of 4 × 4 pixels.
    pub(crate) fn for_tests() -> Self {
        let shared = SliceFacts {
            patient_id: "P".into(),
            study_uid: "1.2".into(),
            series_uid: "1.2.3".into(),
            frame_of_reference_uid: Some("1.4".into()),
            study_day: None,
            origin: Arc::default(),
            modality: "CT".into(),
            rows: 4,
            columns: 4,
            orientation: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            pixel_spacing: [0.7, 0.7],
            named_scout: false,
            image_type: None,
            cardiac_phase: None,
            stack: None,
            lossy: false,
            facts: Arc::default(),
            pixels: StoredImage::for_tests(4, 4),
        };
        Self {
            path: "1.dcm".into(),
            sop_instance_uid: "1.1".into(),
            frame: 0,
            position: PointMm::new(0.0, 0.0, 0.0),
            acquired: Acquired::default(),
            shared: Arc::new(shared),
            at: StoredAt::for_tests(),
            modality_lut: Modality::Linear { slope: 1.0, intercept: 0.0 },
            pet: None,
        }
    }

    /// The same slice with other facts.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut SliceFacts)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }
}
