//! From an item of a data set to the one that is written: attribute by attribute, at every level.
//!
//! Invariant: an element gets into the new item only by a row of the table or by one of three private factors of SUV, and its value only by a check of its kind.

use std::collections::BTreeMap;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::header::HasLength;
use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;
use mtids_domain::pseudonym::PseudonymSecret;

use super::allowed::{Keep, rule};
use super::labels::label;
use super::uid::pseudonym_uid;
use super::values;
use crate::element::text;
use crate::scout::names_scout;

/// Private elements that hold factors of SUV, which no attribute of the standard has: group, creator, element, VR. The supplement of safe
/// private attributes in PS3.15 (E.3.10) has the same idea.
const PRIVATE: [(u16, &str, u8, VR); 3] = [
    (0x0009, "GEMS_PETD_01", 0x0D, VR::DT),
    (0x7053, "Philips PET Private Group", 0x00, VR::DS),
    (0x7053, "Philips PET Private Group", 0x09, VR::DS),
];

/// What is the same for all of an object.
pub(super) struct Rewrite<'a> {
    pub(super) secret: &'a PseudonymSecret,
    /// Pseudonym of the patient.
    pub(super) patient: String,
    /// Days by which dates are moved back.
    pub(super) days: i32,
    pub(super) is_pet: bool,
    /// UIDs that were replaced, and by what.
    pub(super) uids: BTreeMap<String, String>,
}

impl Rewrite<'_> {
    /// The item that is written in place of one.
    pub(super) fn item(&mut self, old: &InMemDicomObject) -> InMemDicomObject {
        let mut new = InMemDicomObject::new_empty();
        let scheme_is_known =
            text(old, tags::CODING_SCHEME_DESIGNATOR).is_some_and(|scheme| values::scheme(&scheme).is_some());
        for element in old {
            let tag = element.header().tag;
            let Some(keep) = rule(tag) else { continue };
            if matches!(keep, Keep::Code | Keep::Scheme | Keep::Meaning) && !scheme_is_known {
                continue;
            }
            if let Some(element) = self.element(old, element, tag, keep) {
                new.put(element);
            }
        }
        for (group, creator, number, vr) in PRIVATE {
            let found = old.private_element(group, creator, number).ok().filter(|_| self.is_pet);
            let found = found.and_then(value);
            let kept = found.and_then(|text| match vr {
                VR::DT => values::date_time(&text, self.days),
                _ => values::number(&text),
            });
            if let Some(kept) = kept {
                new.put(InMemElement::new(Tag(group, 0x0010), VR::LO, creator));
                new.put(InMemElement::new(Tag(group, 0x1000 | u16::from(number)), vr, kept.as_str()));
            }
        }
        new
    }

    fn element(
        &mut self,
        item: &InMemDicomObject,
        element: &InMemElement,
        tag: Tag,
        keep: Keep,
    ) -> Option<InMemElement> {
        if keep == Keep::Items {
            let items: Vec<InMemDicomObject> = element
                .items()?
                .iter()
                .map(|item| self.item(item))
                .filter(|item| item.iter().next().is_some())
                .collect();
            return Some(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
        }
        let vr = StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed());
        if keep == Keep::Number
            && let Some(primitive) = element.value().primitive().filter(|primitive| is_binary(primitive))
        {
            // Where the dictionary leaves a choice, the file has made it.
            let vr = if matches!(element.vr(), VR::US | VR::SS | VR::OW) { element.vr() } else { vr };
            return Some(DataElement::new(tag, vr, primitive.clone()));
        }
        if keep == Keep::Empty {
            return Some(DataElement::new(tag, vr, PrimitiveValue::Empty));
        }
        let Some(old) = value(element) else {
            // What is empty tells nothing, and may have to be there.
            let is_empty = element.value().primitive().is_some_and(|primitive| primitive.length().0 == 0);
            return is_empty.then(|| DataElement::new(tag, vr, PrimitiveValue::Empty));
        };
        let new = match keep {
            Keep::Number => values::number(&old),
            Keep::Word => values::word(&old),
            Keep::Uid => Some(self.uids_of(&old)),
            Keep::StandardUid => values::standard_uid(&old),
            Keep::Date => values::date(&old, self.days),
            Keep::Time => values::time(&old),
            Keep::PetTime => values::time_or_offset(&old).filter(|_| self.is_pet),
            Keep::DateTime => values::date_time(&old, self.days),
            Keep::Age => values::age(&old),
            Keep::MakersText => values::makers_text(&old),
            Keep::Label => Some(label(self.secret, &old)),
            Keep::Fixed(text) => Some(text.to_owned()),
            Keep::ScoutName => names_scout(&old).then(|| "SCOUT".to_owned()),
            Keep::Patient => Some(self.patient.clone()),
            Keep::Code => values::code(&old),
            Keep::Scheme => values::scheme(&old),
            Keep::Meaning => {
                let value = text(item, tags::CODE_VALUE).or_else(|| text(item, tags::LONG_CODE_VALUE));
                value.and_then(|value| values::code(&value))
            }
            Keep::Empty | Keep::Items => None,
        };
        Some(DataElement::new(tag, vr, new?.as_str()))
    }

    fn uids_of(&mut self, text: &str) -> String {
        let one = |uid: &str| {
            let uid = uid.trim_matches(|c: char| c.is_whitespace() || c == '\0');
            let new = pseudonym_uid(self.secret, uid);
            self.uids.insert(uid.to_owned(), new.clone());
            new
        };
        text.split('\\').map(one).collect::<Vec<_>>().join("\\")
    }
}

/// Numbers that are no text.
fn is_binary(value: &PrimitiveValue) -> bool {
    use PrimitiveValue::{F32, F64, I16, I32, I64, Tags, U16, U32, U64};
    matches!(value, U16(_) | I16(_) | U32(_) | I32(_) | U64(_) | I64(_) | F32(_) | F64(_) | Tags(_))
}

/// The text of an element, of any length, trimmed.
fn value(element: &InMemElement) -> Option<String> {
    let text = match element.value().primitive()? {
        PrimitiveValue::U8(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => element.to_str().ok()?.into_owned(),
    };
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}
