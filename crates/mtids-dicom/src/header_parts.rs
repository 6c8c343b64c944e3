//! What single-frame and enhanced images have in common: identity, plane, facts of the scanner.

use std::path::Path;
use std::sync::Arc;

use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use mtids_domain::geometry::{dot, norm};

use crate::dataset::DataSet;
use crate::date::day;
use crate::element::{array, text};
use crate::error::{DicomError, ReasonCode};
use crate::image_header::AcquisitionFacts;
use crate::limits::Limits;
use crate::origin::Origin;
use crate::pixels::description::{StoredAt, StoredImage, describe};
use crate::scout::names_scout;

/// Distances of pixels that are believed, in mm: no CT or PET is finer or coarser.
const SPACING_MM: std::ops::RangeInclusive<f64> = 0.01..=50.0;

/// Who and which: needed of every image.
pub(crate) struct Identity {
    pub(crate) sop_instance_uid: String,
    pub(crate) patient_id: Arc<str>,
    pub(crate) study_uid: Arc<str>,
    pub(crate) series_uid: Arc<str>,
    pub(crate) frame_of_reference_uid: Option<Arc<str>>,
    pub(crate) study_day: Option<i32>,
    pub(crate) origin: Arc<Origin>,
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
            origin: Arc::new(Origin::read(object)),
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
pub(crate) fn stored(path: &Path, opened: &DataSet, limits: &Limits) -> Result<(StoredImage, StoredAt), DicomError> {
    let syntax = opened.transfer_syntax.as_str();
    describe(&opened.object, syntax, opened.pixels.as_ref(), opened.deflated, opened.stamp, limits)
        .map_err(|(reason, detail)| DicomError::file(path, reason, detail))
}

/// Whether a RescaleType is that of a CT: HU, or unspecified. Dual-energy maps (Z_EFF, ED, …) are CT images too, and hold no HU.
pub(crate) fn is_hu(rescale_type: &str) -> bool {
    ["HU", "US"].iter().any(|unit| rescale_type.eq_ignore_ascii_case(unit))
}

pub(crate) fn lossy(object: &InMemDicomObject, pixels: &StoredImage) -> bool {
    // The standard writes two digits; some programs write one.
    let flag = text(object, tags::LOSSY_IMAGE_COMPRESSION);
    is_lossy(&pixels.transfer_syntax) || matches!(flag.as_deref(), Some("01" | "1"))
}

/// The facts that stand at the top of every image.
pub(crate) fn scanner(object: &InMemDicomObject) -> AcquisitionFacts {
    AcquisitionFacts {
        manufacturer: text(object, tags::MANUFACTURER),
        model: text(object, tags::MANUFACTURER_MODEL_NAME),
        ..AcquisitionFacts::default()
    }
}

/// Refuses a single-frame image that ScanOptions calls a scout.
pub(crate) fn refuse_scan_options(path: &Path, object: &InMemDicomObject) -> Result<(), DicomError> {
    match text(object, tags::SCAN_OPTIONS).filter(|options| names_scout(options)) {
        None => Ok(()),
        Some(options) => {
            let detail = format!("ScanOptions {options} means a scout image");
            Err(DicomError::file(path, ReasonCode::NotOriginal, detail))
        }
    }
}

/// Whether the name of the series is that of a scout.
pub(crate) fn named_scout(object: &InMemDicomObject) -> bool {
    text(object, tags::SERIES_DESCRIPTION).is_some_and(|description| names_scout(&description))
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
mod tests {
    use super::*;
    use dicom_core::{DataElement, PrimitiveValue, VR};

    #[test]
    fn hounsfield_units_are_known_in_any_case() {
        assert!(["HU", "hu", "US", "Hu"].into_iter().all(is_hu));
        assert!(!["Z_EFF", "ED", "MGML", "HU_MOD", ""].into_iter().any(is_hu));
    }

    #[test]
    fn a_flag_of_loss_of_one_digit_is_a_flag() {
        let flagged = |flag: &str| {
            let mut object = InMemDicomObject::new_empty();
            let flag = PrimitiveValue::from(flag);
            object.put(DataElement::new(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, flag));
            lossy(&object, &StoredImage::for_tests(4, 4))
        };
        assert_eq!(["01", "1", "1 ", "00", "0"].map(flagged), [true, true, true, false, false]);
    }
}
