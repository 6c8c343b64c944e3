//! Which objects are refused: those in which a person could be shown or told in a way that no rule for attributes reaches.
//!
//! Invariant: only classes that this project reads pixels or contours of are accepted. Structured reports are refused, since their text is free.

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use crate::element::text;
use crate::error::{DicomError, ReasonCode};
use crate::image_type::not_measured;

/// SOP class of label map segmentations, newer than the dictionary of some readers.
const LABEL_MAP_SEGMENTATION: &str = "1.2.840.10008.5.1.4.1.1.66.7";

/// Classes that are accepted.
const CLASSES: [&str; 9] = [
    uids::CT_IMAGE_STORAGE,
    uids::ENHANCED_CT_IMAGE_STORAGE,
    uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE,
    uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE,
    uids::ENHANCED_PET_IMAGE_STORAGE,
    uids::LEGACY_CONVERTED_ENHANCED_PET_IMAGE_STORAGE,
    uids::SEGMENTATION_STORAGE,
    LABEL_MAP_SEGMENTATION,
    uids::RT_STRUCTURE_SET_STORAGE,
];

/// Why an object cannot be pseudonymised.
#[derive(Debug, thiserror::Error)]
pub enum DeidentifyError {
    /// It cannot be read, or says too little of itself.
    #[error(transparent)]
    Unusable(#[from] DicomError),
    /// Its pixels show text.
    #[error("{0}")]
    BurnedIn(&'static str),
    /// Its pixels are a picture of a screen, or no measurement.
    #[error("{0}")]
    Screen(&'static str),
    /// It is neither CT, PET, segmentation nor structure set.
    #[error("SOP class {0}: only CT, PET, their enhanced classes, SEG and RTSTRUCT are pseudonymised")]
    Class(String),
}

impl DeidentifyError {
    pub(super) fn unreadable(name: &std::path::Path, detail: String) -> Self {
        DicomError::file(name, ReasonCode::Unreadable, detail).into()
    }
}

/// The class of an object that is accepted.
pub(super) fn accepted_class(object: &InMemDicomObject, of_file: Option<&str>) -> Result<String, DeidentifyError> {
    let class = text(object, tags::SOP_CLASS_UID).or_else(|| of_file.map(str::to_owned)).unwrap_or_else(|| "-".into());
    if !CLASSES.contains(&class.as_str()) {
        return Err(DeidentifyError::Class(class));
    }
    if text(object, tags::BURNED_IN_ANNOTATION).is_some_and(|said| !said.eq_ignore_ascii_case("NO")) {
        return Err(DeidentifyError::BurnedIn("BurnedInAnnotation says that the pixels show text"));
    }
    if (0x6000..=0x601E).step_by(2).any(|group| {
        // Since 2004 an overlay has data of its own; older ones lie in the upper bits of the pixels, which are not changed here.
        object.get(Tag(group, 0x0102)).is_some() && object.get(Tag(group, 0x3000)).is_none()
    }) {
        return Err(DeidentifyError::BurnedIn("an overlay lies in unused bits of the pixels"));
    }
    if object.get(tags::CONVERSION_TYPE).is_some() {
        return Err(DeidentifyError::Screen("ConversionType says that it is a secondary capture"));
    }
    let image_type = text(object, tags::IMAGE_TYPE).unwrap_or_default().to_uppercase().replace(['_', '-'], " ");
    if not_measured(&image_type).is_some() || image_type.contains("SCREENSAVE") {
        return Err(DeidentifyError::Screen("ImageType says that it is a scout, reformatted, dose or screen image"));
    }
    Ok(class)
}
