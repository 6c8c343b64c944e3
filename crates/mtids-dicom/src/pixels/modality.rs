//! The modality transform: from stored values to the unit of the image (HU for CT, activity for PET).
//!
//! Source: PS3.3 C.11.1. Invariant: a slope of zero, a table without entries and numbers that are not finite never get in.

use std::sync::Arc;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::element::{array, first_item, number, pixel_value, text};

/// The modality transform of one slice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Modality {
    /// value = slope · stored + intercept.
    Linear {
        /// RescaleSlope, never 0.
        slope: f64,
        /// RescaleIntercept.
        intercept: f64,
    },
    /// A table (Modality LUT Sequence); stored values before the first and behind the last entry take those.
    Table {
        /// Stored value of the first entry.
        first: i64,
        /// Values, at least one.
        values: Arc<[i32]>,
    },
}

impl Modality {
    /// The transform of an image or of the functional group `object`; `None` where it says nothing.
    ///
    /// # Errors
    /// A sentence for a transform that cannot be meant.
    pub(crate) fn read(object: &InMemDicomObject, signed: bool) -> Result<Option<Self>, String> {
        if let Some(item) = first_item(object, tags::MODALITY_LUT_SEQUENCE) {
            return table(item, signed).map(Some);
        }
        Self::rescale(object)
    }

    /// Slope and intercept of an image or of the functional group `object`; `None` where neither is there.
    ///
    /// # Errors
    /// A sentence for a number that is missing, malformed or zero.
    pub(crate) fn rescale(object: &InMemDicomObject) -> Result<Option<Self>, String> {
        let has = |tag| object.get(tag).is_some();
        if !has(tags::RESCALE_SLOPE) && !has(tags::RESCALE_INTERCEPT) {
            return Ok(None);
        }
        let need = |tag, name: &str| number(object, tag).ok_or_else(|| format!("{name} is missing or malformed"));
        let slope = need(tags::RESCALE_SLOPE, "RescaleSlope")?;
        let intercept = need(tags::RESCALE_INTERCEPT, "RescaleIntercept")?;
        if slope == 0.0 {
            return Err("RescaleSlope is zero".into());
        }
        Ok(Some(Self::Linear { slope, intercept }))
    }

    /// The value of a stored one.
    pub(crate) fn value(&self, stored: i64) -> f64 {
        match self {
            Self::Linear { slope, intercept } => stored as f64 * slope + intercept,
            Self::Table { first, values } => {
                let at = (stored - first).clamp(0, values.len() as i64 - 1);
                f64::from(values[at as usize])
            }
        }
    }
}

/// The unit that the transform of an image gives: that of its table, else that of its rescale; `None` where none is stated.
pub(crate) fn unit_of_values(object: &InMemDicomObject) -> Option<String> {
    match first_item(object, tags::MODALITY_LUT_SEQUENCE) {
        Some(item) => text(item, tags::MODALITY_LUT_TYPE),
        None => text(object, tags::RESCALE_TYPE),
    }
}

fn table(item: &InMemDicomObject, signed: bool) -> Result<Modality, String> {
    let [entries, first, bits] = descriptor(item).ok_or("LUTDescriptor of the modality table is missing")?;
    // 65536 does not fit the 16 bits of the descriptor and is written as 0.
    let entries = if entries == 0 { 1 << 16 } else { entries as usize };
    let first = if signed { i64::from(first as u16 as i16) } else { i64::from(first as u16) };
    if !(8..=16).contains(&bits) {
        return Err(format!("the modality table has entries of {bits} bits"));
    }
    let data = item.get(tags::LUT_DATA).and_then(|element| element.to_multi_int::<i32>().ok());
    let values: Vec<i32> = data.unwrap_or_default().into_iter().map(|value| value & 0xFFFF).collect();
    if values.len() < entries {
        return Err(format!("the modality table has {} of its {entries} entries", values.len()));
    }
    Ok(Modality::Table { first, values: values[..entries].into() })
}

/// Number of entries, first stored value, bits of an entry; VR US or SS.
fn descriptor(item: &InMemDicomObject) -> Option<[i64; 3]> {
    let numbers: [f64; 3] = array(item, tags::LUT_DESCRIPTOR)?;
    pixel_value(item, tags::LUT_DESCRIPTOR)?;
    Some(numbers.map(|x| x as i64 & 0xFFFF))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::{DataElement, PrimitiveValue, VR};
    use dicom_object::InMemDicomObject;

    fn with_table(descriptor: [u16; 3], data: &[u16]) -> InMemDicomObject {
        let mut item = InMemDicomObject::new_empty();
        item.put(DataElement::new(tags::LUT_DESCRIPTOR, VR::US, PrimitiveValue::U16(descriptor.to_vec().into())));
        item.put(DataElement::new(tags::LUT_DATA, VR::US, PrimitiveValue::U16(data.iter().copied().collect())));
        let mut object = InMemDicomObject::new_empty();
        object.put(DataElement::new(
            tags::MODALITY_LUT_SEQUENCE,
            VR::SQ,
            dicom_core::value::DataSetSequence::from(vec![item]),
        ));
        object
    }

    #[test]
    fn a_table_states_its_own_unit() {
        let mut object = with_table([1, 0, 16], &[1]);
        object.put(DataElement::new(tags::RESCALE_TYPE, VR::LO, PrimitiveValue::from("HU")));
        assert_eq!(unit_of_values(&object), None, "the rescale is not applied");
        let mut item = first_item(&object, tags::MODALITY_LUT_SEQUENCE).unwrap().clone();
        item.put(DataElement::new(tags::MODALITY_LUT_TYPE, VR::LO, PrimitiveValue::from("OD")));
        let items = dicom_core::value::DataSetSequence::from(vec![item]);
        object.put(DataElement::new(tags::MODALITY_LUT_SEQUENCE, VR::SQ, items));
        assert_eq!(unit_of_values(&object).as_deref(), Some("OD"));
    }

    #[test]
    fn a_table_is_held_at_its_ends() {
        let modality = Modality::read(&with_table([3, 65534, 16], &[10, 20, 40]), true).unwrap().unwrap();
        assert_eq!([-5, -2, -1, 0, 9].map(|stored| modality.value(stored)), [10.0, 10.0, 20.0, 40.0, 40.0]);
        assert!(Modality::read(&with_table([4, 0, 16], &[1, 2, 3]), false).unwrap_err().contains("3 of its 4"));
        assert!(Modality::read(&with_table([1, 0, 3], &[1]), false).unwrap_err().contains("3 bits"));
    }
}
