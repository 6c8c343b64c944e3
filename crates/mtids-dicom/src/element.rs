//! Reading single attributes without surprises: missing, empty and malformed values are all `None`.
//!
//! Invariant: text is trimmed of spaces and NULs, and short; numbers are finite, and as many as there are; bytes of unknown VR (implicit
//! private elements) are taken for the text that they hold.

use dicom_core::dictionary::DataDictionary;
use dicom_core::{PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;
use mtids_domain::annotation::Code;

/// Longest text that is taken: no attribute that is read here has a longer one, and it may be copied for each of many frames.
const MAX_TEXT: usize = 1024;

/// Text of an attribute, trimmed; `None` where missing, empty or longer than any that is meant.
pub fn text(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    text_of(object.get(tag)?)
}

/// Text of an element, trimmed.
pub(crate) fn text_of(element: &InMemElement) -> Option<String> {
    let value = match element.value().primitive()? {
        PrimitiveValue::U8(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => element.to_str().ok()?.into_owned(),
    };
    let trimmed = trimmed(&value);
    (!trimmed.is_empty() && trimmed.len() <= MAX_TEXT).then(|| trimmed.to_owned())
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\0')
}

/// All numbers of an attribute; `None` where missing or malformed.
pub fn numbers(object: &InMemDicomObject, tag: Tag) -> Option<Vec<f64>> {
    let element = object.get(tag)?;
    let values = match element.value().primitive()? {
        // A long list: the length of explicit text ends at 64 KiB, and what is longer is written as UN (PS3.5 6.2.2, CP-1066).
        PrimitiveValue::U8(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let parsed = trimmed(&text).split('\\').map(|number| number.trim().parse().ok());
            parsed.collect::<Option<Vec<f64>>>()?
        }
        _ => element.value().to_multi_float64().ok()?,
    };
    values.iter().all(|value| value.is_finite()).then_some(values)
}

/// Exactly `N` numbers.
pub fn array<const N: usize>(object: &InMemDicomObject, tag: Tag) -> Option<[f64; N]> {
    numbers(object, tag)?.try_into().ok()
}

/// The first number.
pub fn number(object: &InMemDicomObject, tag: Tag) -> Option<f64> {
    numbers(object, tag)?.first().copied()
}

/// An unsigned integer.
pub fn integer(object: &InMemDicomObject, tag: Tag) -> Option<u32> {
    let element = object.get(tag)?;
    match unknown_bytes(element) {
        Some(bytes) => integers_of_bytes(tag, bytes)?.first().copied(),
        None => element.to_int::<u32>().ok(),
    }
}

/// All unsigned integers of an attribute; `None` where missing or malformed.
pub fn integers(object: &InMemDicomObject, tag: Tag) -> Option<Vec<u32>> {
    let element = object.get(tag)?;
    match unknown_bytes(element) {
        Some(bytes) => integers_of_bytes(tag, bytes),
        None => element.to_multi_int::<u32>().ok(),
    }
}

/// A signed or unsigned 16-bit value as it lies in memory, widened; for pixel values whose VR depends on the pixel sign.
pub(crate) fn pixel_value(object: &InMemDicomObject, tag: Tag) -> Option<i64> {
    let element = object.get(tag)?;
    match unknown_bytes(element) {
        Some(&[low, high]) => Some(u16::from_le_bytes([low, high]).into()),
        Some(_) => None,
        None => element.to_int::<i64>().ok(),
    }
}

/// The bytes of an element whose writer did not know its VR: the library would take the first of them for its number.
fn unknown_bytes(element: &InMemElement) -> Option<&[u8]> {
    match element.value().primitive()? {
        PrimitiveValue::U8(bytes) if element.vr() == VR::UN => Some(bytes),
        _ => None,
    }
}

/// Integers as the VR of the dictionary has them. Bytes of unknown VR are in little endian but for the retired big-endian syntax, where nobody knows.
fn integers_of_bytes(tag: Tag, bytes: &[u8]) -> Option<Vec<u32>> {
    let vr = StandardDataDictionary.by_tag(tag)?.vr.relaxed();
    match vr {
        VR::IS => {
            let text = String::from_utf8_lossy(bytes);
            trimmed(&text).split('\\').map(|number| number.trim().parse().ok()).collect()
        }
        VR::UL => bytes.chunks(4).map(|four| Some(u32::from_le_bytes(four.try_into().ok()?))).collect(),
        VR::US => bytes.chunks(2).map(|two| Some(u16::from_le_bytes(two.try_into().ok()?).into())).collect(),
        _ => None,
    }
}

/// The items of a sequence; empty where missing.
pub fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.get(tag).and_then(|element| element.items()).unwrap_or_default()
}

/// The first item of a sequence.
pub fn first_item(object: &InMemDicomObject, tag: Tag) -> Option<&InMemDicomObject> {
    items(object, tag).first()
}

/// The coded concept of an item of a code sequence.
pub fn code(item: &InMemDicomObject) -> Option<Code> {
    let value = text(item, tags::CODE_VALUE).or_else(|| text(item, tags::LONG_CODE_VALUE))?;
    Some(Code { scheme: text(item, tags::CODING_SCHEME_DESIGNATOR)?, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::{DataElement, VR};

    fn unknown(bytes: &[u8]) -> InMemDicomObject {
        let mut object = InMemDicomObject::new_empty();
        object.put(DataElement::new(tags::CONTOUR_DATA, VR::UN, PrimitiveValue::U8(bytes.into())));
        object
    }

    #[test]
    fn numbers_of_unknown_vr_are_read_however_many_there_are() {
        let list = (0..30_000).map(|n| format!("{n}.5")).collect::<Vec<_>>().join("\\") + " ";
        let found = numbers(&unknown(list.as_bytes()), tags::CONTOUR_DATA).unwrap();
        assert_eq!((found.len(), found.last()), (30_000, Some(&29_999.5)));
        assert_eq!(numbers(&unknown(b"1\\two"), tags::CONTOUR_DATA), None);
        assert_eq!(numbers(&unknown(b""), tags::CONTOUR_DATA), None);
        assert_eq!(text(&unknown(list.as_bytes()), tags::CONTOUR_DATA), None, "no text that is meant is so long");
    }
}
