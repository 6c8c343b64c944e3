//! Elements that all our objects share.

use crate::answer::MAKER;
use crate::write::identity::StudyIdentity;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR, dicom_value};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

/// Puts text.
pub(crate) fn put(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

/// Puts an unsigned short.
pub(crate) fn put_short(object: &mut InMemDicomObject, tag: Tag, value: u16) {
    object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
}

/// Puts an integer as text.
pub(crate) fn put_number(object: &mut InMemDicomObject, tag: Tag, value: u32) {
    put(object, tag, VR::IS, &value.to_string());
}

/// Puts the tag of another attribute.
pub(crate) fn put_tag(object: &mut InMemDicomObject, tag: Tag, value: Tag) {
    object.put(DataElement::new(tag, VR::AT, PrimitiveValue::from(value)));
}

/// Puts decimal strings.
pub(crate) fn put_decimals(object: &mut InMemDicomObject, tag: Tag, values: &[f64]) {
    let strings: Vec<String> = values.iter().map(|&value| decimal(value)).collect();
    object.put(DataElement::new(tag, VR::DS, PrimitiveValue::Strs(strings.into())));
}

/// Puts doubles.
pub(crate) fn put_doubles(object: &mut InMemDicomObject, tag: Tag, values: &[f64]) {
    object.put(DataElement::new(tag, VR::FD, PrimitiveValue::F64(values.iter().copied().collect())));
}

/// Puts floats.
pub(crate) fn put_floats(object: &mut InMemDicomObject, tag: Tag, values: &[f64]) {
    let floats = values.iter().map(|&value| value as f32).collect();
    object.put(DataElement::new(tag, VR::FL, PrimitiveValue::F32(floats)));
}

/// Puts a sequence.
pub(crate) fn put_items(object: &mut InMemDicomObject, tag: Tag, items: Vec<InMemDicomObject>) {
    object.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
}

/// A number in at most 16 characters, as a DS value must be.
pub(crate) fn decimal(value: f64) -> String {
    let plain = format!("{value}");
    if plain.len() <= 16 {
        return plain;
    }
    (0..=14)
        .rev()
        .map(|digits| format!("{value:.digits$}"))
        .find(|text| text.len() <= 16)
        // A tiny number would lose its digits, or become 0.
        .filter(|text| text.parse::<f64>().is_ok_and(|back| (back - value).abs() <= 1e-7 * value.abs()))
        .unwrap_or_else(|| format!("{value:.9e}"))
}

/// A coded concept as a sequence item.
pub(crate) fn code(value: &str, scheme: &str, meaning: &str) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    put(&mut item, tags::CODE_VALUE, VR::SH, value);
    put(&mut item, tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme);
    put(&mut item, tags::CODE_MEANING, VR::LO, meaning);
    item
}

/// A reference to an instance as a sequence item.
pub(crate) fn reference(class: &str, instance: &str) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    put(&mut item, tags::REFERENCED_SOP_CLASS_UID, VR::UI, class);
    put(&mut item, tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance);
    item
}

/// What the values of DimensionIndexValues count, in their order.
pub(crate) fn dimension_index(organisation: &str, pointer: Tag, group: Tag) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    put(&mut item, tags::DIMENSION_ORGANIZATION_UID, VR::UI, organisation);
    put_tag(&mut item, tags::DIMENSION_INDEX_POINTER, pointer);
    put_tag(&mut item, tags::FUNCTIONAL_GROUP_POINTER, group);
    item
}

/// Patient, study and general series modules.
pub(crate) fn put_identity(object: &mut InMemDicomObject, identity: &StudyIdentity, series_uid: &str, modality: &str) {
    put(object, tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
    put(object, tags::PATIENT_NAME, VR::PN, &identity.patient_name);
    put(object, tags::PATIENT_ID, VR::LO, &identity.patient_id);
    put(object, tags::PATIENT_BIRTH_DATE, VR::DA, &identity.birth_date);
    put(object, tags::PATIENT_SEX, VR::CS, &identity.sex);
    put(object, tags::STUDY_INSTANCE_UID, VR::UI, &identity.study_uid);
    put(object, tags::STUDY_DATE, VR::DA, &identity.study_date);
    put(object, tags::STUDY_TIME, VR::TM, &identity.study_time);
    put(object, tags::STUDY_ID, VR::SH, &identity.study_id);
    put(object, tags::ACCESSION_NUMBER, VR::SH, &identity.accession_number);
    put(object, tags::REFERRING_PHYSICIAN_NAME, VR::PN, &identity.referring_physician);
    put(object, tags::SERIES_INSTANCE_UID, VR::UI, series_uid);
    put(object, tags::FRAME_OF_REFERENCE_UID, VR::UI, &identity.frame_of_reference_uid);
    put(object, tags::POSITION_REFERENCE_INDICATOR, VR::LO, "");
    put(object, tags::MODALITY, VR::CS, modality);
    // No laterality: the chest has two sides.
    put(object, tags::BODY_PART_EXAMINED, VR::CS, "CHEST");
}

/// The program that made a derived object.
pub(crate) fn put_equipment(object: &mut InMemDicomObject) {
    put(object, tags::MANUFACTURER, VR::LO, MAKER);
    put(object, tags::MANUFACTURER_MODEL_NAME, VR::LO, MAKER);
    put_equipment_identity(object);
}

/// Which piece of equipment, and in which version: required of derived and of enhanced objects.
pub(crate) fn put_equipment_identity(object: &mut InMemDicomObject) {
    put(object, tags::DEVICE_SERIAL_NUMBER, VR::LO, "0");
    put(object, tags::SOFTWARE_VERSIONS, VR::LO, "0.1");
}

/// Unsigned 16-bit pixel data.
pub(crate) fn put_words(object: &mut InMemDicomObject, words: Vec<u16>) {
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words.into())));
}

/// Pixel data as bytes.
pub(crate) fn put_bytes(object: &mut InMemDicomObject, mut bytes: Vec<u8>) {
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(bytes.into())));
}

/// A list of unsigned integers as UL values.
pub(crate) fn put_longs(object: &mut InMemDicomObject, tag: Tag, values: &[u32]) {
    object.put(DataElement::new(tag, VR::UL, PrimitiveValue::U32(values.iter().copied().collect())));
}

/// Acquisition date and time, fixed to noon.
pub(crate) fn put_series_time(object: &mut InMemDicomObject, identity: &StudyIdentity) {
    for (date, time) in [(tags::SERIES_DATE, tags::SERIES_TIME), (tags::CONTENT_DATE, tags::CONTENT_TIME)] {
        put(object, date, VR::DA, &identity.study_date);
        object.put(DataElement::new(time, VR::TM, dicom_value!(Str, "120000")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_fit_and_keep_their_value() {
        for value in [0.0, -123.4375, 1.0 / 3.0, -0.000123456789123, 1e-9, 123456789.123456] {
            let text = decimal(value);
            assert!(text.len() <= 16, "{text}");
            let back: f64 = text.parse().unwrap();
            assert!((back - value).abs() <= 1e-9 * value.abs().max(1.0), "{value} became {text}");
        }
    }
}
