//! Objects that `mtids-train predict` wrote, told from annotations: an answer must never become the truth that answers are measured by.
//!
//! Rule: the maker is this program, and its name as an algorithm stands with a segment or a group of measurements. What a person drew, and
//! what a phantom writes, names no algorithm. An object that another program changed bears that program as its maker: it is an annotation.

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::concepts::ALGORITHM_NAME;
use crate::element::{code, first_item, items, text};

/// Manufacturer of everything that this program writes, and the name of its algorithm.
pub const MAKER: &str = "mtids";

/// Whether a SEG or a report is an answer of `mtids-train predict`.
pub fn is_answer(object: &InMemDicomObject) -> bool {
    text(object, tags::MANUFACTURER).as_deref() == Some(MAKER) && (segments_name_it(object) || content_names_it(object))
}

fn segments_name_it(object: &InMemDicomObject) -> bool {
    let name = |item| text(item, tags::SEGMENT_ALGORITHM_NAME);
    items(object, tags::SEGMENT_SEQUENCE).iter().any(|item| name(item).as_deref() == Some(MAKER))
}

/// Walks the content of a report; nesting is bounded by the scan before the parser.
fn content_names_it(item: &InMemDicomObject) -> bool {
    items(item, tags::CONTENT_SEQUENCE).iter().any(|child| {
        let concept = first_item(child, tags::CONCEPT_NAME_CODE_SEQUENCE).and_then(code);
        let is_name = concept.is_some_and(|it| ALGORITHM_NAME.contains(&(it.scheme.as_str(), it.value.as_str())));
        (is_name && text(child, tags::TEXT_VALUE).as_deref() == Some(MAKER)) || content_names_it(child)
    })
}
