//! Who an object of any class says it is of: identifiers, and what is said of the person.
//!
//! Purpose: headers of images carry their identifiers; annotation objects, and what tells people apart who share a PatientID, are read
//! here, for few files. Invariant: nothing of this leaves the program but as a contradiction told to its operator.

use std::path::{Path, PathBuf};

use dicom_dictionary_std::{tags, uids};

use crate::dataset::{Elements, guarded, open};
use crate::element::text;
use crate::error::DicomError;
use crate::limits::Limits;

/// Classes of CT images.
const CT_CLASSES: [&str; 3] =
    [uids::CT_IMAGE_STORAGE, uids::ENHANCED_CT_IMAGE_STORAGE, uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE];

/// Identifiers of an object; `None` where missing or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectIdentity {
    /// The file.
    pub path: PathBuf,
    /// PatientID (0010,0020).
    pub patient_id: Option<String>,
    /// Study Instance UID (0020,000D).
    pub study_uid: Option<String>,
    /// Series Instance UID (0020,000E).
    pub series_uid: Option<String>,
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: Option<String>,
    /// Whether its class is one of CT images.
    pub is_ct: bool,
}

/// What tells two people with one PatientID apart; `None` where missing, empty or not of the form of the standard.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersonFacts {
    /// PatientSex (0010,0040): `M` or `F`. `O` contradicts neither.
    pub sex: Option<char>,
    /// PatientBirthDate (0010,0030): eight digits.
    pub birth_date: Option<String>,
    /// IssuerOfPatientID (0010,0021): whoever gave the id, which is unique among that one's ids only.
    pub issuer: Option<String>,
    /// PatientName (0010,0010) as it stands.
    pub name: Option<String>,
}

/// Reads the identifiers of an object.
///
/// # Errors
/// [`DicomError::File`] for a file that cannot be read.
pub fn read_identity(path: &Path, limits: &Limits) -> Result<ObjectIdentity, DicomError> {
    guarded(path, || {
        let opened = open(path, limits, Elements::Header)?;
        let is_ct = CT_CLASSES.contains(&opened.class().as_str());
        let object = opened.object;
        Ok(ObjectIdentity {
            path: path.to_owned(),
            patient_id: text(&object, tags::PATIENT_ID),
            study_uid: text(&object, tags::STUDY_INSTANCE_UID),
            series_uid: text(&object, tags::SERIES_INSTANCE_UID),
            sop_instance_uid: text(&object, tags::SOP_INSTANCE_UID),
            is_ct,
        })
    })
}

/// Reads what an object says of its patient.
///
/// # Errors
/// As [`read_identity`].
pub fn read_person(path: &Path, limits: &Limits) -> Result<PersonFacts, DicomError> {
    guarded(path, || {
        let object = open(path, limits, Elements::All)?.object;
        Ok(PersonFacts {
            sex: text(&object, tags::PATIENT_SEX).as_deref().and_then(sex),
            birth_date: text(&object, tags::PATIENT_BIRTH_DATE).filter(|date| is_date(date)),
            issuer: text(&object, tags::ISSUER_OF_PATIENT_ID),
            name: text(&object, tags::PATIENT_NAME),
        })
    })
}

fn sex(text: &str) -> Option<char> {
    ["M", "F"].contains(&text).then(|| text.chars().next()).flatten()
}

/// A date of the standard (YYYYMMDD) that is a person's; years before 1850 are placeholders.
fn is_date(text: &str) -> bool {
    crate::date::day(text).is_some() && text.get(..4).is_some_and(|year| year >= "1850")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_tells_people_apart_is_taken() {
        assert_eq!(["M", "F", "O", "m", "MF"].map(sex), [Some('M'), Some('F'), None, None, None]);
        let dates = ["19610423", "00010101", "18000101", "1961", "unknown", "19611323"];
        assert_eq!(dates.map(is_date), [true, false, false, false, false, false]);
    }
}
