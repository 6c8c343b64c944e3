//! The elements that a header is read from; the parser sees no other.
//!
//! Invariant: every attribute that `header`, `enhanced`, `pet` and `pixels` ask for at the top of a data set stands here. A test over real
//! files compares headers read through this list with headers read from all elements.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// In ascending order.
pub(crate) const TAGS: [Tag; 71] = [
    tags::SPECIFIC_CHARACTER_SET,
    tags::IMAGE_TYPE,
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::STUDY_DATE,
    tags::SERIES_DATE,
    tags::ACQUISITION_DATE,
    tags::ACQUISITION_DATE_TIME,
    tags::SERIES_TIME,
    tags::ACQUISITION_TIME,
    tags::CONTENT_TIME,
    tags::MODALITY,
    tags::MANUFACTURER,
    tags::INSTITUTION_NAME,
    tags::TIMEZONE_OFFSET_FROM_UTC,
    tags::STATION_NAME,
    tags::SERIES_DESCRIPTION,
    tags::MANUFACTURER_MODEL_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::PATIENT_AGE,
    tags::PATIENT_WEIGHT,
    tags::CLINICAL_TRIAL_SITE_ID,
    tags::CONTRAST_BOLUS_AGENT,
    tags::CONTRAST_BOLUS_AGENT_SEQUENCE,
    tags::SCAN_OPTIONS,
    tags::SLICE_THICKNESS,
    tags::KVP,
    tags::CONVOLUTION_KERNEL,
    tags::DECAY_CORRECTION_DATE_TIME,
    tags::DECAY_CORRECTED,
    tags::ATTENUATION_CORRECTED,
    tags::STUDY_INSTANCE_UID,
    tags::SERIES_INSTANCE_UID,
    tags::ACQUISITION_NUMBER,
    tags::INSTANCE_NUMBER,
    tags::IMAGE_POSITION_PATIENT,
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::FRAME_OF_REFERENCE_UID,
    tags::TEMPORAL_POSITION_IDENTIFIER,
    tags::NOMINAL_PERCENTAGE_OF_CARDIAC_PHASE,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::PIXEL_SPACING,
    tags::CORRECTED_IMAGE,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::PIXEL_PADDING_VALUE,
    tags::PIXEL_PADDING_RANGE_LIMIT,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::RESCALE_TYPE,
    tags::LOSSY_IMAGE_COMPRESSION,
    tags::MODALITY_LUT_SEQUENCE,
    tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE,
    tags::NUMBER_OF_TIME_SLOTS,
    tags::NUMBER_OF_TIME_SLICES,
    tags::SERIES_TYPE,
    tags::UNITS,
    tags::SUV_TYPE,
    tags::DECAY_CORRECTION,
    tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
    Tag(0x7FE0, 0x0001),
    Tag(0x7FE0, 0x0002),
];

/// Private groups that hold what SUV needs: GE's reference time, Philips' factors.
const GROUPS: [u16; 2] = [0x0009, 0x7053];

/// Whether an element of the data set is one that a header is read from.
pub(crate) fn is_read((group, element): (u16, u16)) -> bool {
    GROUPS.contains(&group) || TAGS.binary_search(&Tag(group, element)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order() {
        assert!(TAGS.windows(2).all(|pair| pair[0] < pair[1]), "{TAGS:?}");
        assert!(is_read((0x0010, 0x0020)) && is_read((0x7053, 0x1000)) && !is_read((0x0010, 0x0010)));
    }
}
