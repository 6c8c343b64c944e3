//! Whether a group of measurements says that its finding is not there, and what else it says of a status.
//!
//! Purpose: a list of what was looked for has absent findings too, and such a one is no node. Invariant: only what answers whether the finding itself is
//! there counts; "Calcification: absent" says nothing of the node. Source: PS3.16 TID 1501, 1419; PS3.16 CID 240.

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_dicom::concepts::{ABSENT, FINDING, FINDING_SITE, PRESENCE, TRACKING_IDENTIFIER};
use mtids_dicom::element::{code, first_item, items, text};

use super::item::{is, said};
use crate::ignored_nodes::names_node;
use crate::said::Said;

/// Names of concepts that ask whether a finding is there, in lower case.
const QUESTIONS: [&str; 5] =
    ["finding context", "finding presence", "presence", "presence of finding", "presence or absence"];

/// Whether the finding of a group is said to be absent.
pub(super) fn is_absent(group: &InMemDicomObject) -> bool {
    items(group, tags::CONTENT_SEQUENCE).iter().any(|item| {
        let modifiers = || items(item, tags::CONTENT_SEQUENCE);
        denies(item) || is(item, FINDING) && (is_no_node(item) || modifiers().iter().any(denies))
    })
}

/// Whether an item answers that the finding is not there.
fn denies(item: &InMemDicomObject) -> bool {
    let asks = is(item, PRESENCE)
        || meaning_of_name(item).is_some_and(|name| QUESTIONS.contains(&name.trim().to_lowercase().as_str()));
    let value = first_item(item, tags::CONCEPT_CODE_SEQUENCE).and_then(code);
    let is_code = value.is_some_and(|value| ABSENT.contains(&(value.scheme.as_str(), value.value.as_str())));
    asks && (is_code || said(item).is_some_and(|said| means_absent(&said)))
}

fn means_absent(said: &str) -> bool {
    let said = said.trim().to_lowercase();
    said == "no" || said.starts_with("not ") || said.split(|c: char| !c.is_alphabetic()).any(|word| word == "absent")
}

/// Whether a finding is that there is no node.
fn is_no_node(finding: &InMemDicomObject) -> bool {
    said(finding).is_some_and(|said| {
        let lower = said.trim().to_lowercase();
        (lower.starts_with("no ") || lower.starts_with("absence of ")) && names_node(&said)
    })
}

fn meaning_of_name(item: &InMemDicomObject) -> Option<String> {
    first_item(item, tags::CONCEPT_NAME_CODE_SEQUENCE).and_then(|name| text(name, tags::CODE_MEANING))
}

/// What codes and texts of a group, and the modifiers of its finding, say of a status.
pub(super) fn said_of_status(group: &InMemDicomObject) -> Vec<Said> {
    let own = items(group, tags::CONTENT_SEQUENCE);
    let modifiers = own.iter().filter(|item| is(item, FINDING)).flat_map(|item| items(item, tags::CONTENT_SEQUENCE));
    let names = |item: &&InMemDicomObject| is(item, TRACKING_IDENTIFIER) || is(item, FINDING_SITE);
    let of_item = |item: &InMemDicomObject| {
        let value = first_item(item, tags::CONCEPT_CODE_SEQUENCE).and_then(code);
        let question = meaning_of_name(item).unwrap_or_default();
        // A finding answers what was found.
        Said::of(&said(item)?, value, Some(question.as_str()).filter(|_| !is(item, FINDING)))
    };
    own.iter().chain(modifiers).filter(|item| !names(item)).filter_map(of_item).collect()
}
