//! What single-frame and enhanced images have in common: identity, plane, facts of the scanner, and which images are measured.

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
            let detail = format!("image type {image_type}: {word} means a scout, reformatted or screen image");
            Err(DicomError::file(path, ReasonCode::NotOriginal, detail))
        }
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

/// The word of an image type that says that the pixels were not measured in this plane. `SECONDARY` is no such word: it stands on slices
/// that were merely recompressed or de-identified; true secondary captures have a class of their own.
pub(crate) fn not_measured(image_type: &str) -> Option<&'static str> {
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
mod tests {
    use super::*;

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
