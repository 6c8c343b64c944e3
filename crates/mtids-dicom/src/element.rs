//! Reading single attributes without surprises: missing, empty and malformed values are all `None`.
//!
//! Invariant: text is trimmed of spaces and NULs; numbers are finite.

use dicom::core::Tag;
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;
use mtids_core::annotation::Code;

/// Text of an attribute, trimmed; `None` where missing or empty.
pub(crate) fn text(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let value = object.get(tag)?.to_str().ok()?;
    let trimmed = value.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// All numbers of an attribute; `None` where missing or malformed.
pub(crate) fn numbers(object: &InMemDicomObject, tag: Tag) -> Option<Vec<f64>> {
    let values = object.get(tag)?.value().to_multi_float64().ok()?;
    values.iter().all(|value| value.is_finite()).then_some(values)
}

/// Exactly `N` numbers.
pub(crate) fn array<const N: usize>(object: &InMemDicomObject, tag: Tag) -> Option<[f64; N]> {
    numbers(object, tag)?.try_into().ok()
}

/// The first number.
pub(crate) fn number(object: &InMemDicomObject, tag: Tag) -> Option<f64> {
    numbers(object, tag)?.first().copied()
}

/// An unsigned integer.
pub(crate) fn integer(object: &InMemDicomObject, tag: Tag) -> Option<u32> {
    object.get(tag)?.to_int::<u32>().ok()
}

/// All unsigned integers of an attribute; `None` where missing or malformed.
pub(crate) fn integers(object: &InMemDicomObject, tag: Tag) -> Option<Vec<u32>> {
    object.get(tag)?.to_multi_int::<u32>().ok()
}

/// A signed or unsigned 16-bit value as it lies in memory, widened; for pixel values whose VR depends on the pixel sign.
pub(crate) fn pixel_value(object: &InMemDicomObject, tag: Tag) -> Option<i64> {
    object.get(tag)?.to_int::<i64>().ok()
}

/// The items of a sequence; empty where missing.
pub(crate) fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.get(tag).and_then(|element| element.items()).unwrap_or_default()
}

/// The first item of a sequence.
pub(crate) fn first_item(object: &InMemDicomObject, tag: Tag) -> Option<&InMemDicomObject> {
    items(object, tag).first()
}

/// The coded concept of an item of a code sequence.
pub(crate) fn code(item: &InMemDicomObject) -> Option<Code> {
    let value = text(item, tags::CODE_VALUE).or_else(|| text(item, tags::LONG_CODE_VALUE))?;
    Some(Code { scheme: text(item, tags::CODING_SCHEME_DESIGNATOR)?, value })
}
