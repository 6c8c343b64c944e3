//! What a content item is called and says.

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_dicom::element::{code, first_item, text};

/// Longest text of a report that is looked at for a status: findings in full sentences say what is not there, too.
const LONGEST_STATUS: usize = 64;

/// Whether the name of a content item is one of these concepts.
pub(super) fn is(item: &InMemDicomObject, concepts: &[(&str, &str)]) -> bool {
    let name = first_item(item, tags::CONCEPT_NAME_CODE_SEQUENCE).and_then(code);
    name.is_some_and(|name| concepts.contains(&(name.scheme.as_str(), name.value.as_str())))
}

/// The meaning of the code of an item, or its text.
pub(super) fn said(item: &InMemDicomObject) -> Option<String> {
    let meaning = first_item(item, tags::CONCEPT_CODE_SEQUENCE).and_then(|code| text(code, tags::CODE_MEANING));
    meaning.or_else(|| text(item, tags::TEXT_VALUE)).filter(|said| said.len() <= LONGEST_STATUS)
}
