//! Notes by which an archive takes objects back.
//!
//! Purpose: a Key Object Selection document whose title is one of four rejects the objects that it lists (IHE Radiology, Imaging Object Change
//! Management; titles of PS3.16 CID 7010). Invariant: a document of any other title rejects nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use crate::dataset::{Elements, guarded, open};
use crate::element::{code, first_item, items, text};
use crate::error::DicomError;
use crate::limits::Limits;

/// Titles that reject, by their code of scheme DCM, in words.
const TITLES: [(&str, &str); 4] = [
    ("113001", "rejected for quality reasons"),
    ("113037", "rejected for patient safety reasons"),
    ("113038", "incorrect modality worklist entry"),
    ("113039", "data retention policy expired"),
];

/// A note that takes objects back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectionNote {
    /// The file.
    pub path: PathBuf,
    /// PatientID, where given.
    pub patient_id: Option<String>,
    /// Why, in words of the standard.
    pub why: &'static str,
    /// SOP Instance UIDs of what it takes back.
    pub instances: BTreeSet<String>,
}

impl RejectionNote {
    /// Whether it takes back an object of a patient. A note never speaks of another patient's objects.
    pub fn rejects(&self, sop_instance_uid: &str, patient_id: Option<&str>) -> bool {
        let is_patient = self.patient_id.as_deref().is_none_or(|own| patient_id.is_none_or(|other| own == other));
        is_patient && self.instances.contains(sop_instance_uid)
    }

    /// Why an object is rejected, in a sentence.
    pub fn detail(&self) -> String {
        format!("the note {} takes it back: {}", self.path.display(), self.why)
    }
}

/// Whether objects of a SOP class can be such notes.
pub fn may_reject(sop_class_uid: &str) -> bool {
    sop_class_uid == uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE
}

/// Reads a Key Object Selection document; `None` where its title rejects nothing.
///
/// # Errors
/// [`DicomError::File`] for a file that cannot be read.
pub fn read_rejection(path: &Path, limits: &Limits) -> Result<Option<RejectionNote>, DicomError> {
    guarded(path, || {
        let object = open(path, limits, Elements::All)?.object;
        let title = first_item(&object, tags::CONCEPT_NAME_CODE_SEQUENCE).and_then(code);
        let why = title
            .filter(|title| title.scheme == "DCM")
            .and_then(|title| TITLES.iter().find(|(value, _)| *value == title.value).map(|(_, words)| *words));
        Ok(why.map(|why| {
            let mut instances = BTreeSet::new();
            listed(&object, &mut instances);
            RejectionNote { path: path.to_owned(), patient_id: text(&object, tags::PATIENT_ID), why, instances }
        }))
    })
}

/// Walks the content; nesting is bounded by the scan before the parser.
fn listed(item: &InMemDicomObject, instances: &mut BTreeSet<String>) {
    for child in items(item, tags::CONTENT_SEQUENCE) {
        let references = items(child, tags::REFERENCED_SOP_SEQUENCE);
        instances.extend(references.iter().filter_map(|one| text(one, tags::REFERENCED_SOP_INSTANCE_UID)));
        listed(child, instances);
    }
}
