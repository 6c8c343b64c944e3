//! The attributes that are kept, each with what becomes of its value and the reason: the whole allowlist.
//!
//! Invariants: what does not stand here is dropped, at every nesting level; every attribute that this project reads of an image, a segmentation or a
//! structure set stands here; rows are in the order of tags.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Numbers stay: DS and IS where they are numbers, binary numbers as they are.
    Number,
    /// Words of the standard stay: capitals, digits, spaces and underscores (VR CS).
    Word,
    /// A UID becomes one of the key.
    Uid,
    /// A UID of the standard stays; others are dropped.
    StandardUid,
    /// A date is shifted.
    Date,
    /// A time of the day stays.
    Time,
    /// A time of the day, or an offset from UTC, stays in a PET.
    PetTime,
    /// A date with a time is shifted by whole days.
    DateTime,
    /// Years up to 89 stay; what is above is 90.
    Age,
    /// A name that the maker of a scanner gave stays: printable ASCII of at most 64 letters.
    MakersText,
    /// A label of a finding stays if it is made of known words, and becomes one of the key if not.
    Label,
    /// Any text becomes this one.
    Fixed(&'static str),
    /// `SCOUT` where the text names a scout; otherwise it is dropped.
    ScoutName,
    /// The pseudonym of the patient.
    Patient,
    /// The value of a code whose scheme is known.
    Code,
    /// The name of a known coding scheme.
    Scheme,
    /// The meaning of a code, which becomes its value.
    Meaning,
    /// The standard wants it to be there, and lets it be empty.
    Empty,
    /// The items of a sequence are treated alike.
    Items,
}

/// Why an attribute is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It says what the object is, and what it refers to.
    Reference,
    /// Where the pixels lie.
    Geometry,
    /// How the pixels are stored, and what they mean.
    Pixels,
    /// How it was acquired: it stands in datasets, or divides a series.
    Acquisition,
    /// A factor of SUV.
    Suv,
    /// Which patient, and what is told of one.
    Patient,
    /// Segments.
    Segments,
    /// Contours.
    Structures,
    /// Codes.
    Codes,
    /// No reader needs it: the object would not be one of its class without it.
    Form,
}

/// The table.
#[rustfmt::skip]
pub(super) const ALLOWED: &[(Tag, Keep, Why)] = &[
    (tags::IMAGE_TYPE, Keep::Word, Why::Pixels),
    (tags::SOP_CLASS_UID, Keep::StandardUid, Why::Reference),
    (tags::SOP_INSTANCE_UID, Keep::Uid, Why::Reference),
    (tags::STUDY_DATE, Keep::Date, Why::Patient),
    (tags::SERIES_DATE, Keep::Date, Why::Suv),
    (tags::ACQUISITION_DATE, Keep::Date, Why::Suv),
    (tags::CONTENT_DATE, Keep::Date, Why::Form),
    (tags::ACQUISITION_DATE_TIME, Keep::DateTime, Why::Acquisition),
    (tags::STUDY_TIME, Keep::Empty, Why::Form),
    (tags::SERIES_TIME, Keep::PetTime, Why::Suv),
    (tags::ACQUISITION_TIME, Keep::Time, Why::Acquisition),
    (tags::CONTENT_TIME, Keep::Fixed("000000"), Why::Form),
    (tags::ACCESSION_NUMBER, Keep::Empty, Why::Form),
    (tags::MODALITY, Keep::Word, Why::Reference),
    (tags::MANUFACTURER, Keep::MakersText, Why::Acquisition),
    (tags::REFERRING_PHYSICIAN_NAME, Keep::Empty, Why::Form),
    (tags::CODE_VALUE, Keep::Code, Why::Codes),
    (tags::CODING_SCHEME_DESIGNATOR, Keep::Scheme, Why::Codes),
    (tags::CODE_MEANING, Keep::Meaning, Why::Codes),
    (tags::LONG_CODE_VALUE, Keep::Code, Why::Codes),
    (tags::TIMEZONE_OFFSET_FROM_UTC, Keep::PetTime, Why::Suv),
    (tags::SERIES_DESCRIPTION, Keep::ScoutName, Why::Pixels),
    (tags::OPERATORS_NAME, Keep::Empty, Why::Form),
    (tags::MANUFACTURER_MODEL_NAME, Keep::MakersText, Why::Acquisition),
    (tags::REFERENCED_SERIES_SEQUENCE, Keep::Items, Why::Reference),
    (tags::REFERENCED_INSTANCE_SEQUENCE, Keep::Items, Why::Reference),
    (tags::REFERENCED_SOP_CLASS_UID, Keep::StandardUid, Why::Reference),
    (tags::REFERENCED_SOP_INSTANCE_UID, Keep::Uid, Why::Reference),
    (tags::REFERENCED_FRAME_NUMBER, Keep::Number, Why::Reference),
    (tags::SOURCE_IMAGE_SEQUENCE, Keep::Items, Why::Reference),
    (tags::ANATOMIC_REGION_SEQUENCE, Keep::Items, Why::Segments),
    (tags::FRAME_TYPE, Keep::Word, Why::Pixels),
    (tags::REFERENCED_IMAGE_EVIDENCE_SEQUENCE, Keep::Items, Why::Reference),
    (tags::DERIVATION_IMAGE_SEQUENCE, Keep::Items, Why::Reference),
    (tags::PIXEL_PRESENTATION, Keep::Word, Why::Form),
    (tags::VOLUMETRIC_PROPERTIES, Keep::Word, Why::Form),
    (tags::VOLUME_BASED_CALCULATION_TECHNIQUE, Keep::Word, Why::Form),
    (tags::DERIVATION_CODE_SEQUENCE, Keep::Items, Why::Form),
    (tags::PATIENT_NAME, Keep::Patient, Why::Patient),
    (tags::PATIENT_ID, Keep::Patient, Why::Patient),
    (tags::PATIENT_BIRTH_DATE, Keep::Empty, Why::Form),
    (tags::PATIENT_SEX, Keep::Word, Why::Patient),
    (tags::PATIENT_AGE, Keep::Age, Why::Patient),
    (tags::PATIENT_WEIGHT, Keep::Number, Why::Suv),
    (tags::CONTRAST_BOLUS_AGENT, Keep::Fixed("CONTRAST"), Why::Acquisition),
    (tags::CONTRAST_BOLUS_AGENT_SEQUENCE, Keep::Items, Why::Acquisition),
    (tags::BODY_PART_EXAMINED, Keep::Word, Why::Form),
    (tags::SCAN_OPTIONS, Keep::Word, Why::Pixels),
    (tags::SLICE_THICKNESS, Keep::Number, Why::Geometry),
    (tags::KVP, Keep::Number, Why::Acquisition),
    (tags::SPACING_BETWEEN_SLICES, Keep::Number, Why::Geometry),
    (tags::DEVICE_SERIAL_NUMBER, Keep::Fixed("REMOVED"), Why::Form),
    (tags::SOFTWARE_VERSIONS, Keep::Fixed("REMOVED"), Why::Form),
    (tags::RADIOPHARMACEUTICAL_START_TIME, Keep::PetTime, Why::Suv),
    (tags::RADIONUCLIDE_TOTAL_DOSE, Keep::Number, Why::Suv),
    (tags::RADIONUCLIDE_HALF_LIFE, Keep::Number, Why::Suv),
    (tags::RADIOPHARMACEUTICAL_START_DATE_TIME, Keep::DateTime, Why::Suv),
    (tags::GANTRY_DETECTOR_TILT, Keep::Number, Why::Geometry),
    (tags::COLLIMATOR_TYPE, Keep::Word, Why::Form),
    (tags::CONVOLUTION_KERNEL, Keep::MakersText, Why::Acquisition),
    (tags::ACTUAL_FRAME_DURATION, Keep::Number, Why::Form),
    (tags::PATIENT_POSITION, Keep::Word, Why::Geometry),
    (tags::FRAME_ACQUISITION_DATE_TIME, Keep::DateTime, Why::Acquisition),
    (tags::CARDIAC_SYNCHRONIZATION_SEQUENCE, Keep::Items, Why::Acquisition),
    (tags::CT_RECONSTRUCTION_SEQUENCE, Keep::Items, Why::Acquisition),
    (tags::CTX_RAY_DETAILS_SEQUENCE, Keep::Items, Why::Acquisition),
    (tags::CT_IMAGE_FRAME_TYPE_SEQUENCE, Keep::Items, Why::Pixels),
    (tags::DECAY_CORRECTION_DATE_TIME, Keep::DateTime, Why::Suv),
    (tags::PET_FRAME_TYPE_SEQUENCE, Keep::Items, Why::Pixels),
    (tags::DECAY_CORRECTED, Keep::Word, Why::Suv),
    (tags::ATTENUATION_CORRECTED, Keep::Word, Why::Suv),
    (tags::STUDY_INSTANCE_UID, Keep::Uid, Why::Reference),
    (tags::SERIES_INSTANCE_UID, Keep::Uid, Why::Reference),
    (tags::STUDY_ID, Keep::Empty, Why::Form),
    (tags::SERIES_NUMBER, Keep::Number, Why::Form),
    (tags::ACQUISITION_NUMBER, Keep::Number, Why::Acquisition),
    (tags::INSTANCE_NUMBER, Keep::Number, Why::Acquisition),
    (tags::PATIENT_ORIENTATION, Keep::Empty, Why::Form),
    (tags::IMAGE_POSITION_PATIENT, Keep::Number, Why::Geometry),
    (tags::IMAGE_ORIENTATION_PATIENT, Keep::Number, Why::Geometry),
    (tags::FRAME_OF_REFERENCE_UID, Keep::Uid, Why::Reference),
    (tags::LATERALITY, Keep::Empty, Why::Form),
    (tags::TEMPORAL_POSITION_IDENTIFIER, Keep::Number, Why::Acquisition),
    (tags::POSITION_REFERENCE_INDICATOR, Keep::Empty, Why::Form),
    (tags::SLICE_LOCATION, Keep::Number, Why::Geometry),
    (tags::STACK_ID, Keep::Number, Why::Acquisition),
    (tags::IN_STACK_POSITION_NUMBER, Keep::Number, Why::Geometry),
    (tags::FRAME_CONTENT_SEQUENCE, Keep::Items, Why::Acquisition),
    (tags::PLANE_POSITION_SEQUENCE, Keep::Items, Why::Geometry),
    (tags::PLANE_ORIENTATION_SEQUENCE, Keep::Items, Why::Geometry),
    (tags::TEMPORAL_POSITION_INDEX, Keep::Number, Why::Acquisition),
    (tags::FRAME_ACQUISITION_NUMBER, Keep::Number, Why::Acquisition),
    (tags::DIMENSION_INDEX_VALUES, Keep::Number, Why::Segments),
    (tags::DIMENSION_ORGANIZATION_UID, Keep::Uid, Why::Segments),
    (tags::DIMENSION_INDEX_POINTER, Keep::Number, Why::Segments),
    (tags::FUNCTIONAL_GROUP_POINTER, Keep::Number, Why::Segments),
    (tags::UNASSIGNED_SHARED_CONVERTED_ATTRIBUTES_SEQUENCE, Keep::Items, Why::Suv),
    (tags::UNASSIGNED_PER_FRAME_CONVERTED_ATTRIBUTES_SEQUENCE, Keep::Items, Why::Suv),
    (tags::DIMENSION_ORGANIZATION_SEQUENCE, Keep::Items, Why::Segments),
    (tags::DIMENSION_INDEX_SEQUENCE, Keep::Items, Why::Segments),
    (tags::NOMINAL_PERCENTAGE_OF_CARDIAC_PHASE, Keep::Number, Why::Acquisition),
    (tags::SAMPLES_PER_PIXEL, Keep::Number, Why::Pixels),
    (tags::PHOTOMETRIC_INTERPRETATION, Keep::Word, Why::Pixels),
    (tags::NUMBER_OF_FRAMES, Keep::Number, Why::Pixels),
    (tags::ROWS, Keep::Number, Why::Pixels),
    (tags::COLUMNS, Keep::Number, Why::Pixels),
    (tags::PIXEL_SPACING, Keep::Number, Why::Geometry),
    (tags::CORRECTED_IMAGE, Keep::Word, Why::Suv),
    (tags::BITS_ALLOCATED, Keep::Number, Why::Pixels),
    (tags::BITS_STORED, Keep::Number, Why::Pixels),
    (tags::HIGH_BIT, Keep::Number, Why::Pixels),
    (tags::PIXEL_REPRESENTATION, Keep::Number, Why::Pixels),
    (tags::PIXEL_PADDING_VALUE, Keep::Number, Why::Pixels),
    (tags::PIXEL_PADDING_RANGE_LIMIT, Keep::Number, Why::Pixels),
    (tags::BURNED_IN_ANNOTATION, Keep::Word, Why::Form),
    (tags::WINDOW_CENTER, Keep::Number, Why::Pixels),
    (tags::WINDOW_WIDTH, Keep::Number, Why::Pixels),
    (tags::RESCALE_INTERCEPT, Keep::Number, Why::Pixels),
    (tags::RESCALE_SLOPE, Keep::Number, Why::Pixels),
    (tags::RESCALE_TYPE, Keep::Word, Why::Pixels),
    (tags::LOSSY_IMAGE_COMPRESSION, Keep::Word, Why::Pixels),
    (tags::LOSSY_IMAGE_COMPRESSION_RATIO, Keep::Number, Why::Pixels),
    (tags::LOSSY_IMAGE_COMPRESSION_METHOD, Keep::Word, Why::Pixels),
    (tags::MODALITY_LUT_SEQUENCE, Keep::Items, Why::Pixels),
    (tags::LUT_DESCRIPTOR, Keep::Number, Why::Pixels),
    (tags::MODALITY_LUT_TYPE, Keep::Word, Why::Pixels),
    (tags::LUT_DATA, Keep::Number, Why::Pixels),
    (tags::PIXEL_MEASURES_SEQUENCE, Keep::Items, Why::Geometry),
    (tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, Keep::Items, Why::Pixels),
    (tags::MEASUREMENT_UNITS_CODE_SEQUENCE, Keep::Items, Why::Codes),
    (tags::REAL_WORLD_VALUE_MAPPING_SEQUENCE, Keep::Items, Why::Suv),
    (tags::REAL_WORLD_VALUE_LAST_VALUE_MAPPED, Keep::Number, Why::Suv),
    (tags::REAL_WORLD_VALUE_FIRST_VALUE_MAPPED, Keep::Number, Why::Suv),
    (tags::REAL_WORLD_VALUE_INTERCEPT, Keep::Number, Why::Suv),
    (tags::REAL_WORLD_VALUE_SLOPE, Keep::Number, Why::Suv),
    (tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, Keep::Items, Why::Form),
    (tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE, Keep::Items, Why::Suv),
    (tags::NUMBER_OF_TIME_SLOTS, Keep::Number, Why::Suv),
    (tags::NUMBER_OF_SLICES, Keep::Number, Why::Form),
    (tags::NUMBER_OF_TIME_SLICES, Keep::Number, Why::Suv),
    (tags::RADIONUCLIDE_CODE_SEQUENCE, Keep::Items, Why::Suv),
    (tags::PATIENT_ORIENTATION_CODE_SEQUENCE, Keep::Items, Why::Form),
    (tags::PATIENT_GANTRY_RELATIONSHIP_CODE_SEQUENCE, Keep::Items, Why::Form),
    (tags::SERIES_TYPE, Keep::Word, Why::Suv),
    (tags::UNITS, Keep::Word, Why::Suv),
    (tags::COUNTS_SOURCE, Keep::Word, Why::Form),
    (tags::SUV_TYPE, Keep::Word, Why::Suv),
    (tags::DECAY_CORRECTION, Keep::Word, Why::Suv),
    (tags::FRAME_REFERENCE_TIME, Keep::Number, Why::Form),
    (tags::DECAY_FACTOR, Keep::Number, Why::Suv),
    (tags::IMAGE_INDEX, Keep::Number, Why::Form),
    (tags::SEGMENTATION_TYPE, Keep::Word, Why::Segments),
    (tags::SEGMENT_SEQUENCE, Keep::Items, Why::Segments),
    (tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, Keep::Items, Why::Segments),
    (tags::SEGMENT_NUMBER, Keep::Number, Why::Segments),
    (tags::SEGMENT_LABEL, Keep::Label, Why::Segments),
    (tags::SEGMENT_ALGORITHM_TYPE, Keep::Word, Why::Segments),
    (tags::SEGMENT_IDENTIFICATION_SEQUENCE, Keep::Items, Why::Segments),
    (tags::REFERENCED_SEGMENT_NUMBER, Keep::Number, Why::Segments),
    (tags::MAXIMUM_FRACTIONAL_VALUE, Keep::Number, Why::Segments),
    (tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, Keep::Items, Why::Segments),
    (tags::SEGMENTATION_FRACTIONAL_TYPE, Keep::Word, Why::Segments),
    (tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE, Keep::Items, Why::Segments),
    (tags::TRACKING_ID, Keep::Label, Why::Segments),
    (tags::TRACKING_UID, Keep::Uid, Why::Segments),
    (tags::CONTENT_LABEL, Keep::Fixed("SEGMENTATION"), Why::Form),
    (tags::CONTENT_DESCRIPTION, Keep::Empty, Why::Form),
    (tags::CONTENT_CREATOR_NAME, Keep::Empty, Why::Form),
    (tags::STRUCTURE_SET_LABEL, Keep::Fixed("STRUCTURES"), Why::Form),
    (tags::STRUCTURE_SET_DATE, Keep::Date, Why::Form),
    (tags::STRUCTURE_SET_TIME, Keep::Empty, Why::Form),
    (tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE, Keep::Items, Why::Structures),
    (tags::RT_REFERENCED_STUDY_SEQUENCE, Keep::Items, Why::Structures),
    (tags::RT_REFERENCED_SERIES_SEQUENCE, Keep::Items, Why::Structures),
    (tags::CONTOUR_IMAGE_SEQUENCE, Keep::Items, Why::Structures),
    (tags::STRUCTURE_SET_ROI_SEQUENCE, Keep::Items, Why::Structures),
    (tags::ROI_NUMBER, Keep::Number, Why::Structures),
    (tags::REFERENCED_FRAME_OF_REFERENCE_UID, Keep::Uid, Why::Structures),
    (tags::ROI_NAME, Keep::Label, Why::Structures),
    (tags::ROI_GENERATION_ALGORITHM, Keep::Word, Why::Structures),
    (tags::ROI_CONTOUR_SEQUENCE, Keep::Items, Why::Structures),
    (tags::CONTOUR_SEQUENCE, Keep::Items, Why::Structures),
    (tags::CONTOUR_GEOMETRIC_TYPE, Keep::Word, Why::Structures),
    (tags::NUMBER_OF_CONTOUR_POINTS, Keep::Number, Why::Structures),
    (tags::CONTOUR_NUMBER, Keep::Number, Why::Structures),
    (tags::CONTOUR_DATA, Keep::Number, Why::Structures),
    (tags::RTROI_OBSERVATIONS_SEQUENCE, Keep::Items, Why::Structures),
    (tags::OBSERVATION_NUMBER, Keep::Number, Why::Structures),
    (tags::REFERENCED_ROI_NUMBER, Keep::Number, Why::Structures),
    (tags::RTROI_INTERPRETED_TYPE, Keep::Word, Why::Structures),
    (tags::ROI_INTERPRETER, Keep::Empty, Why::Form),
    (tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, Keep::Items, Why::Geometry),
    (tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, Keep::Items, Why::Geometry),
    (Tag(0x7FE0, 0x0001), Keep::Number, Why::Pixels),
    (Tag(0x7FE0, 0x0002), Keep::Number, Why::Pixels),
];

/// What becomes of an attribute; `None` where it is dropped.
pub(super) fn rule(tag: Tag) -> Option<Keep> {
    ALLOWED.binary_search_by_key(&tag, |row| row.0).ok().map(|place| ALLOWED[place].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header_tags;

    #[test]
    fn the_table_is_in_order_and_has_no_private_group() {
        for pair in ALLOWED.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} {}", pair[0].0, pair[1].0);
        }
        assert!(ALLOWED.iter().all(|(tag, _, _)| tag.0 % 2 == 0 && ![0x50, 0x60].contains(&(tag.0 >> 8))));
    }

    #[test]
    fn all_that_a_header_is_read_from_is_kept() {
        // Texts are written in ASCII, so no character set has to be named. The others name a hospital.
        let left = header_tags::TAGS.iter().filter(|tag| rule(**tag).is_none()).collect::<Vec<_>>();
        let named = [&tags::INSTITUTION_NAME, &tags::STATION_NAME, &tags::CLINICAL_TRIAL_SITE_ID];
        assert_eq!(left, [&tags::SPECIFIC_CHARACTER_SET].into_iter().chain(named).collect::<Vec<_>>());
    }

    /// Read for columns of audits where a build asks for them, and never let through: they name a hospital, or its scanner.
    const DROPPED: [&str; 3] = ["INSTITUTION_NAME", "STATION_NAME", "CLINICAL_TRIAL_SITE_ID"];

    #[test]
    fn every_tag_in_the_sources_of_the_readers_is_kept() {
        let sources = [
            include_str!("../header.rs"),
            include_str!("../header_parts.rs"),
            include_str!("../origin.rs"),
            include_str!("../enhanced.rs"),
            include_str!("../acquisition.rs"),
            include_str!("../pet/facts.rs"),
            include_str!("../pet/enhanced.rs"),
            include_str!("../pixels/description.rs"),
            include_str!("../pixels/modality.rs"),
            include_str!("../functional.rs"),
            include_str!("../../../mtids-annotations/src/segmentation/mod.rs"),
            include_str!("../../../mtids-annotations/src/segmentation/frames.rs"),
            include_str!("../../../mtids-annotations/src/structures/read.rs"),
        ];
        let table = include_str!("allowed.rs");
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let mut seen = 0;
        for source in sources {
            let code = source.split("#[cfg(test)]").next().unwrap();
            for rest in code.split("tags::").skip(1) {
                let name: String = rest.chars().take_while(|&c| is_name(c)).collect();
                if !name.is_empty() && name != "PIXEL_DATA" && !DROPPED.contains(&name.as_str()) {
                    seen += 1;
                    assert!(table.contains(&format!("(tags::{name}, Keep")), "{name} is read and not kept");
                }
            }
        }
        assert!(seen > 100, "only {seen} tags were found in the sources");
    }
}
