//! What a report says of itself: its name, the images that it speaks about, the reports that it replaces, and whether a program wrote it.
//!
//! Invariant: the images are those of its evidence, not of its groups; they say which series may be meant, and never where a node lies. Source: PS3.3
//! C.17.2 and C.17.2.2 (Predecessor Documents), PS3.16 TID 1002.

use std::collections::BTreeSet;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_dicom::answer::is_answer;
use mtids_dicom::concepts::{DEVICE, OBSERVER_TYPE};
use mtids_dicom::element::{code, first_item, items, text};

use crate::structures::MAX_INSTANCES;

/// What a report is about, and who observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportContext {
    /// SOP Instance UID.
    pub sop_instance_uid: Option<String>,
    /// SOP Instance UIDs of the reports that it replaces, sorted, without repeats.
    pub predecessors: Vec<String>,
    /// Written by `mtids-train predict`: no annotation.
    pub is_answer: bool,
    /// Study Instance UID of the report.
    pub study_uid: Option<String>,
    /// Series Instance UID of its evidence, where that is one.
    pub series_uid: Option<String>,
    /// SOP Instance UIDs of its evidence, sorted, without repeats; the first [`MAX_INSTANCES`] of them.
    pub instances: Vec<String>,
    /// A device is named as an observer, and no person.
    pub by_device: bool,
}

impl ReportContext {
    pub(super) fn of(object: &InMemDicomObject) -> Self {
        let sequences = [tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, tags::PERTINENT_OTHER_EVIDENCE_SEQUENCE];
        let series = || {
            let studies = sequences.into_iter().flat_map(|sequence| items(object, sequence));
            studies.flat_map(|study| items(study, tags::REFERENCED_SERIES_SEQUENCE))
        };
        let uids: BTreeSet<String> = series().filter_map(|item| text(item, tags::SERIES_INSTANCE_UID)).collect();
        let mut instances = BTreeSet::new();
        for item in series().flat_map(|item| items(item, tags::REFERENCED_SOP_SEQUENCE)) {
            if instances.len() == MAX_INSTANCES {
                break;
            }
            instances.extend(text(item, tags::REFERENCED_SOP_INSTANCE_UID));
        }
        Self {
            sop_instance_uid: text(object, tags::SOP_INSTANCE_UID),
            predecessors: predecessors(object).into_iter().collect(),
            is_answer: is_answer(object),
            study_uid: text(object, tags::STUDY_INSTANCE_UID),
            series_uid: uids.first().filter(|_| uids.len() == 1).cloned(),
            instances: instances.into_iter().collect(),
            by_device: is_by_device(object),
        }
    }
}

/// The reports that are replaced, in whole or in part.
fn predecessors(object: &InMemDicomObject) -> BTreeSet<String> {
    items(object, tags::PREDECESSOR_DOCUMENTS_SEQUENCE)
        .iter()
        .flat_map(|study| items(study, tags::REFERENCED_SERIES_SEQUENCE))
        .flat_map(|series| items(series, tags::REFERENCED_SOP_SEQUENCE))
        .filter_map(|item| text(item, tags::REFERENCED_SOP_INSTANCE_UID))
        .collect()
}

/// Whether all observers of the report are devices; without an observer a person is meant (TID 1002).
fn is_by_device(object: &InMemDicomObject) -> bool {
    let is = |item: &InMemDicomObject, sequence, concepts: &[(&str, &str)]| {
        let said = first_item(item, sequence).and_then(code);
        said.is_some_and(|said| concepts.contains(&(said.scheme.as_str(), said.value.as_str())))
    };
    let content = items(object, tags::CONTENT_SEQUENCE);
    let mut observers =
        content.iter().filter(|item| is(item, tags::CONCEPT_NAME_CODE_SEQUENCE, OBSERVER_TYPE)).peekable();
    observers.peek().is_some() && observers.all(|item| is(item, tags::CONCEPT_CODE_SEQUENCE, DEVICE))
}
