//! One file's header: what it is, and for an image its slices. No pixels are read.
//!
//! Invariant: a file is judged by its content. Units: mm, kV.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dicom_dictionary_std::{tags, uids};
use mtids_domain::geometry::PointMm;

use crate::acquisition::Acquired;
use crate::dataset::{DataSet, Elements, guarded, open};
use crate::element::{array, number, text};
use crate::enhanced::{FramesOf, frames};
use crate::error::{DicomError, ReasonCode};
use crate::header_parts::{Identity, Plane, is_hu, lossy, named_scout, refuse_scan_options, scanner, stored};
use crate::image_header::{AcquisitionFacts, InstanceHeader, SliceFacts};
use crate::image_type::refuse_unmeasured;
use crate::limits::Limits;
use crate::pet::PetFacts;
use crate::pixels::modality::{Modality, unit_of_values};

/// SOP class of label map segmentations, newer than the dictionary of some readers.
const LABEL_MAP_SEGMENTATION: &str = "1.2.840.10008.5.1.4.1.1.66.7";

/// What a DICOM file is to us.
#[derive(Clone, Debug, PartialEq)]
pub enum FileKind {
    /// A CT or PET slice.
    Image(Box<InstanceHeader>),
    /// The slices of an enhanced multi-frame CT or PET, in the order of its frames; at least one.
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

/// As [`read_header`], from all elements before the pixels: slower, with the same result. Tests compare the two.
///
/// # Errors
/// As [`read_header`].
pub fn read_header_from_all_elements(path: &Path, limits: &Limits) -> Result<FileKind, DicomError> {
    guarded(path, || read_from(path, limits, Elements::All))
}

fn read_from(path: &Path, limits: &Limits, elements: Elements) -> Result<FileKind, DicomError> {
    let opened = open(path, limits, elements)?;
    let object = &opened.object;
    let sop_class_uid = opened.class();
    match sop_class_uid.as_str() {
        uids::SEGMENTATION_STORAGE | LABEL_MAP_SEGMENTATION => {
            return Ok(FileKind::Segmentation { path: path.to_owned() });
        }
        uids::RT_STRUCTURE_SET_STORAGE => return Ok(FileKind::Structures { path: path.to_owned() }),
        uids::CT_IMAGE_STORAGE | uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE => {}
        uids::ENHANCED_CT_IMAGE_STORAGE | uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE => {
            return frames(path, &opened, limits, FramesOf::Ct).map(FileKind::Frames);
        }
        uids::ENHANCED_PET_IMAGE_STORAGE => {
            return frames(path, &opened, limits, FramesOf::Pet { converted: false }).map(FileKind::Frames);
        }
        uids::LEGACY_CONVERTED_ENHANCED_PET_IMAGE_STORAGE => {
            return frames(path, &opened, limits, FramesOf::Pet { converted: true }).map(FileKind::Frames);
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

fn image(path: &Path, opened: &DataSet, is_pet: bool, limits: &Limits) -> Result<InstanceHeader, DicomError> {
    let object = &opened.object;
    let refuse = |reason, detail: &str| DicomError::file(path, reason, detail);
    refuse_unmeasured(path, &text(object, tags::IMAGE_TYPE).unwrap_or_default())?;
    refuse_scan_options(path, object)?;
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
        Ok(Some(found)) => match unit_of_values(object).filter(|unit| !is_pet && !is_hu(unit)) {
            None => found,
            Some(unit) => {
                return Err(refuse(ReasonCode::InvalidImageModule, &format!("values are {unit}, not HU")));
            }
        },
        Ok(None) => {
            let detail = "no rescale and no modality table for stored values";
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
        origin: identity.origin,
        modality,
        rows: u32::from(pixels.shape.rows),
        columns: u32::from(pixels.shape.columns),
        orientation: plane.orientation,
        pixel_spacing: plane.pixel_spacing,
        named_scout: named_scout(object),
        image_type: text(object, tags::IMAGE_TYPE).map(Arc::from),
        cardiac_phase: number(object, tags::NOMINAL_PERCENTAGE_OF_CARDIAC_PHASE).map(|x| x as f32),
        stack: None,
        lossy: lossy(object, &pixels),
        facts: Arc::new(facts),
        pixels,
    };
    Ok(InstanceHeader {
        path: path.to_owned(),
        sop_instance_uid: identity.sop_instance_uid,
        frame: 0,
        position,
        acquired: Acquired::of_image(object),
        shared: Arc::new(shared),
        at,
        modality_lut,
        pet: is_pet.then(|| Arc::new(PetFacts::read(&[object]))),
    })
}
