//! One file's header: what it is, whom it belongs to, where each of its slices lies. No pixels are read.
//!
//! Invariants: a file is judged by its content; [`AcquisitionFacts`] is the allow-list of attributes that may leave this crate for a
//! dataset. Units: mm, kV. `pixel_spacing` is (row step, column step), as DICOM orders it.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dicom::dictionary_std::{tags, uids};
use dicom::object::InMemDicomObject;
use mtids_domain::annotation::AnnotationTarget;
use mtids_domain::geometry::{PointMm, cross, dot, norm};
use serde::{Deserialize, Serialize};

use crate::date::day;
use crate::element::{array, first_item, integer, number, text};
use crate::enhanced;
use crate::error::{DicomError, ReasonCode};
use crate::limits::Limits;
use crate::pet::PetFacts;
use crate::pixels::{Modality, StoredAt, StoredImage, describe};
use crate::source::{Elements, Opened, guarded, open};

/// Distances of pixels that are believed, in mm: no CT or PET is finer or coarser.
const SPACING_MM: std::ops::RangeInclusive<f64> = 0.01..=50.0;
/// SOP class of label map segmentations, newer than the dictionary of some readers.
const LABEL_MAP_SEGMENTATION: &str = "1.2.840.10008.5.1.4.1.1.66.7";

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

/// Header of one slice: a single-frame CT or PET image, or one frame of an enhanced CT.
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
    /// Acquisition number.
    pub acquisition_number: Option<u32>,
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

/// What a DICOM file is to us.
#[derive(Clone, Debug, PartialEq)]
pub enum FileKind {
    /// A CT or PET slice.
    Image(Box<InstanceHeader>),
    /// The slices of an enhanced multi-frame CT, in the order of its frames; at least one.
    Frames(Vec<InstanceHeader>),
    /// A segmentation object; its findings name the series, study and frame of reference that it speaks about.
    Segmentation {
        /// The file.
        path: PathBuf,
    },
    /// An RTSTRUCT object.
    Structures {
        /// The file.
        path: PathBuf,
    },
    /// A structured report.
    Report {
        /// The file.
        path: PathBuf,
    },
    /// Any other DICOM object; skipped, not refused.
    Other {
        /// Modality, or `-`.
        modality: String,
        /// SOP class UID.
        sop_class_uid: String,
    },
}

/// Reads a header.
///
/// # Errors
/// [`DicomError::File`] with the reason why the file cannot be used.
pub fn read_header(path: &Path, limits: &Limits) -> Result<FileKind, DicomError> {
    guarded(path, || read_from(path, limits, Elements::Header))
}

fn read_from(path: &Path, limits: &Limits, elements: Elements) -> Result<FileKind, DicomError> {
    let opened = open(path, limits, elements)?;
    let object = &opened.object;
    let sop_class_uid = text(object, tags::SOP_CLASS_UID).or_else(|| opened.sop_class_uid.clone()).unwrap_or_default();
    match sop_class_uid.as_str() {
        uids::SEGMENTATION_STORAGE | LABEL_MAP_SEGMENTATION => {
            return Ok(FileKind::Segmentation { path: path.to_owned() });
        }
        uids::RT_STRUCTURE_SET_STORAGE => return Ok(FileKind::Structures { path: path.to_owned() }),
        uids::CT_IMAGE_STORAGE | uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE => {}
        uids::ENHANCED_CT_IMAGE_STORAGE | uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE => {
            return enhanced::frames(path, &opened, limits).map(FileKind::Frames);
        }
        uids::ENHANCED_PET_IMAGE_STORAGE | uids::LEGACY_CONVERTED_ENHANCED_PET_IMAGE_STORAGE => {
            let detail = "enhanced multi-frame PET is not read; convert it to single-frame PET";
            return Err(DicomError::file(path, ReasonCode::UnsupportedObject, detail));
        }
        uids::ENHANCED_SR_STORAGE | uids::COMPREHENSIVE_SR_STORAGE | uids::COMPREHENSIVE3_DSR_STORAGE => {
            return Ok(FileKind::Report { path: path.to_owned() });
        }
        _ => {
            let modality = text(object, tags::MODALITY).unwrap_or_else(|| "-".into());
            return Ok(FileKind::Other { modality, sop_class_uid });
        }
    }
    let is_pet = sop_class_uid == uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE;
    image(path, &opened, is_pet, limits).map(|header| FileKind::Image(Box::new(header)))
}

/// The image that a segmentation speaks about.
pub(crate) fn segmentation_target(object: &InMemDicomObject) -> AnnotationTarget {
    AnnotationTarget {
        series_uid: first_item(object, tags::REFERENCED_SERIES_SEQUENCE)
            .and_then(|item| text(item, tags::SERIES_INSTANCE_UID)),
        study_uid: text(object, tags::STUDY_INSTANCE_UID),
        frame_of_reference_uid: text(object, tags::FRAME_OF_REFERENCE_UID),
    }
}

fn image(path: &Path, opened: &Opened, is_pet: bool, limits: &Limits) -> Result<InstanceHeader, DicomError> {
    let object = &opened.object;
    let refuse = |reason, detail: &str| DicomError::file(path, reason, detail);
    refuse_unmeasured(path, &text(object, tags::IMAGE_TYPE).unwrap_or_default())?;
    let missing = |name: &str| refuse(ReasonCode::MissingGeometry, &format!("{name} is missing or malformed"));
    let plane = Plane::read(path, Some(object), Some(object))?;
    let position = PointMm(array(object, tags::IMAGE_POSITION_PATIENT).ok_or_else(|| missing("ImagePositionPatient"))?);
    let identity = Identity::read(path, object)?;
    let (pixels, at) = stored(path, opened, limits)?;
    if pixels.frames != 1 {
        let detail = format!("{} frames in an object whose class has one", pixels.frames);
        return Err(refuse(ReasonCode::InvalidImageModule, &detail));
    }
    // The class says what an image is; the modality is a text that can be missing.
    let modality = if is_pet { "PT" } else { "CT" }.into();
    let modality_lut = match Modality::read(object, pixels.layout.signed) {
        Ok(Some(found)) if is_pet || text(object, tags::RESCALE_TYPE).is_none_or(|kind| is_hu(&kind)) => found,
        Ok(Some(_)) => {
            let detail = format!("values are {}, not HU", text(object, tags::RESCALE_TYPE).unwrap_or_default());
            return Err(refuse(ReasonCode::InvalidImageModule, &detail));
        }
        Ok(None) => {
            let detail = "neither rescale nor a modality table says what a stored value means";
            return Err(refuse(ReasonCode::InvalidImageModule, detail));
        }
        Err(detail) => return Err(refuse(ReasonCode::InvalidImageModule, &detail)),
    };
    let facts = AcquisitionFacts {
        kernel: text(object, tags::CONVOLUTION_KERNEL),
        slice_thickness_mm: number(object, tags::SLICE_THICKNESS).map(|x| x as f32),
        kvp: number(object, tags::KVP).map(|x| x as f32),
        contrast: object.get(tags::CONTRAST_BOLUS_AGENT).map(|_| text(object, tags::CONTRAST_BOLUS_AGENT).is_some()),
        ..scanner(object)
    };
    let shared = SliceFacts {
        patient_id: identity.patient_id,
        study_uid: identity.study_uid,
        series_uid: identity.series_uid,
        frame_of_reference_uid: identity.frame_of_reference_uid,
        study_day: identity.study_day,
        modality,
        rows: u32::from(pixels.shape.rows),
        columns: u32::from(pixels.shape.columns),
        orientation: plane.orientation,
        pixel_spacing: plane.pixel_spacing,
        acquisition_number: integer(object, tags::ACQUISITION_NUMBER),
        lossy: lossy(object, &pixels),
        facts: Arc::new(facts),
        pixels,
    };
    Ok(InstanceHeader {
        path: path.to_owned(),
        sop_instance_uid: identity.sop_instance_uid,
        frame: 0,
        position,
        shared: Arc::new(shared),
        at,
        modality_lut,
        pet: is_pet.then(|| Arc::new(PetFacts::read(object))),
    })
}

/// Who and which: needed of every image.
pub(crate) struct Identity {
    pub(crate) sop_instance_uid: String,
    pub(crate) patient_id: Arc<str>,
    pub(crate) study_uid: Arc<str>,
    pub(crate) series_uid: Arc<str>,
    pub(crate) frame_of_reference_uid: Option<Arc<str>>,
    pub(crate) study_day: Option<i32>,
}

impl Identity {
    pub(crate) fn read(path: &Path, object: &InMemDicomObject) -> Result<Self, DicomError> {
        let refuse = |reason, detail: &str| DicomError::file(path, reason, detail);
        let uid = |tag, name: &str| {
            text(object, tag).ok_or_else(|| refuse(ReasonCode::NoIdentity, &format!("{name} is missing")))
        };
        Ok(Self {
            sop_instance_uid: uid(tags::SOP_INSTANCE_UID, "SOPInstanceUID")?,
            patient_id: text(object, tags::PATIENT_ID)
                .ok_or_else(|| {
                    refuse(ReasonCode::NoPatient, "PatientID is missing, so no patient-safe split is possible")
                })?
                .into(),
            study_uid: uid(tags::STUDY_INSTANCE_UID, "StudyInstanceUID")?.into(),
            series_uid: uid(tags::SERIES_INSTANCE_UID, "SeriesInstanceUID")?.into(),
            frame_of_reference_uid: text(object, tags::FRAME_OF_REFERENCE_UID).map(Arc::from),
            study_day: text(object, tags::STUDY_DATE).and_then(|date| day(&date)),
        })
    }
}

/// How a slice lies and how far its pixels stand apart.
pub(crate) struct Plane {
    pub(crate) orientation: [[f64; 3]; 2],
    pub(crate) pixel_spacing: [f64; 2],
}

impl Plane {
    /// From the objects that hold ImageOrientationPatient and PixelSpacing: the image itself, or functional groups.
    pub(crate) fn read(
        path: &Path,
        orientation: Option<&InMemDicomObject>,
        measures: Option<&InMemDicomObject>,
    ) -> Result<Self, DicomError> {
        let missing =
            |name: &str| DicomError::file(path, ReasonCode::MissingGeometry, format!("{name} is missing or malformed"));
        let [a, b, c, d, e, f] = orientation
            .and_then(|object| array(object, tags::IMAGE_ORIENTATION_PATIENT))
            .ok_or_else(|| missing("ImageOrientationPatient"))?;
        let (Some(row), Some(column)) = (unit([a, b, c]), unit([d, e, f])) else {
            return Err(missing("ImageOrientationPatient"));
        };
        if dot(row, column).abs() > 1e-3 {
            let detail = "the row and column directions are not perpendicular";
            return Err(DicomError::file(path, ReasonCode::MissingGeometry, detail));
        }
        let pixel_spacing = measures
            .and_then(|object| array(object, tags::PIXEL_SPACING))
            .filter(|spacing: &[f64; 2]| spacing.iter().all(|step| SPACING_MM.contains(step)))
            .ok_or_else(|| missing("PixelSpacing"))?;
        Ok(Self { orientation: [row, column], pixel_spacing })
    }
}

/// How the pixels of a scanned and parsed file are stored.
pub(crate) fn stored(path: &Path, opened: &Opened, limits: &Limits) -> Result<(StoredImage, StoredAt), DicomError> {
    let syntax = opened.transfer_syntax.as_str();
    describe(&opened.object, syntax, opened.pixels.as_ref(), opened.deflated, opened.stamp, limits)
        .map_err(|(reason, detail)| DicomError::file(path, reason, detail))
}

/// Whether a RescaleType is that of a CT: HU, or unspecified. Dual-energy maps (Z_EFF, ED, …) are CT images too, and hold no HU.
pub(crate) fn is_hu(rescale_type: &str) -> bool {
    matches!(rescale_type, "HU" | "US")
}

pub(crate) fn lossy(object: &InMemDicomObject, pixels: &StoredImage) -> bool {
    is_lossy(&pixels.transfer_syntax) || text(object, tags::LOSSY_IMAGE_COMPRESSION).as_deref() == Some("01")
}

/// The facts that stand at the top of every image.
pub(crate) fn scanner(object: &InMemDicomObject) -> AcquisitionFacts {
    AcquisitionFacts {
        manufacturer: text(object, tags::MANUFACTURER),
        model: text(object, tags::MANUFACTURER_MODEL_NAME),
        ..AcquisitionFacts::default()
    }
}

pub(crate) fn refuse_unmeasured(path: &Path, image_type: &str) -> Result<(), DicomError> {
    let image_type = image_type.to_uppercase();
    match not_measured(&image_type) {
        None => Ok(()),
        Some(word) => {
            let detail =
                format!("image type {image_type}: {word} marks a scout, reformat or screen, not a measured image");
            Err(DicomError::file(path, ReasonCode::NotOriginal, detail))
        }
    }
}

/// The word of an image type that says that the pixels were not measured in this plane. `SECONDARY` is no such word: it stands on slices
/// that were merely recompressed or de-identified; true secondary captures have a class of their own.
fn not_measured(image_type: &str) -> Option<&'static str> {
    let anywhere = ["LOCALIZER", "SCREEN SAVE", "DOSE", "REFORMATTED", "PROJECTION", "TOPOGRAM", "SCOUT"];
    let whole = ["MPR", "MIP", "MINIP", "VRT"];
    let mut words = image_type.split(|c: char| !c.is_ascii_alphanumeric());
    anywhere
        .into_iter()
        .find(|word| image_type.contains(word))
        .or_else(|| words.find_map(|word| whole.into_iter().find(|&name| name == word)))
}

fn unit(vector: [f64; 3]) -> Option<[f64; 3]> {
    let length = norm(vector);
    (length.is_finite() && length > 0.5).then(|| vector.map(|x| x / length))
}

fn is_lossy(transfer_syntax: &str) -> bool {
    matches!(
        transfer_syntax,
        uids::JPEG_BASELINE8_BIT
            | uids::JPEG_EXTENDED12_BIT
            | uids::JPEGLS_NEAR_LOSSLESS
            | uids::JPEG2000
            | uids::HTJ2K
            | uids::JPEGXL
            | uids::JPEGXLJPEG_RECOMPRESSION
    )
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
            modality: "CT".into(),
            rows: 4,
            columns: 4,
            orientation: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            pixel_spacing: [0.7, 0.7],
            acquisition_number: None,
            lossy: false,
            facts: Arc::default(),
            pixels: StoredImage::for_tests(4, 4),
        };
        Self {
            path: "1.dcm".into(),
            sop_instance_uid: "1.1".into(),
            frame: 0,
            position: PointMm::new(0.0, 0.0, 0.0),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listed_elements_give_the_header_that_all_elements_give() {
        let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
        let mut folders = vec![data.to_owned()];
        let mut images = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let limits = Limits::default();
                let (listed, all) =
                    (read_from(&path, &limits, Elements::Header), read_from(&path, &limits, Elements::All));
                images += usize::from(matches!(listed, Ok(FileKind::Image(_) | FileKind::Frames(_))));
                assert_eq!(listed.as_ref().ok(), all.as_ref().ok(), "{}", path.display());
                assert_eq!(listed.err().map(|e| e.reason()), all.err().map(|e| e.reason()), "{}", path.display());
            }
        }
        assert!(images > 200 || !data.exists(), "{images}");
    }

    #[test]
    fn scouts_and_reformats_are_told_from_recompressed_slices() {
        for image_type in
            ["ORIGINAL\\PRIMARY\\LOCALIZER", "DERIVED\\SECONDARY\\AXIAL\\CT_SOM5 MPR", "DERIVED\\SECONDARY\\MIP"]
        {
            assert!(not_measured(image_type).is_some(), "{image_type}");
        }
        for image_type in [
            "ORIGINAL\\PRIMARY\\AXIAL",
            "DERIVED\\SECONDARY\\AXIAL\\COMPRESSED",
            "DERIVED\\PRIMARY",
            "ORIGINAL\\PRIMARY\\MIPX",
            "",
        ] {
            assert_eq!(not_measured(image_type), None, "{image_type}");
        }
    }
}
