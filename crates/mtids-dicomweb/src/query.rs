//! QIDO-RS: which studies, series and instances a server has.
//!
//! Invariants: pages are asked for until one brings nothing new, because a server may cut a list silently or ignore where a page begins; a study that
//! was not asked for is left out, because a server may ignore a key that it does not know; entries without usable UID are counted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::address::percent_encoded;
use crate::client::Client;
use crate::error::DicomWebError;
use crate::uid::Uid;

/// Entries of a page.
const PAGE: usize = 1000;
/// Most entries of a list.
const MOST: usize = 1_000_000;
/// Media type of lists.
const JSON: &str = "application/dicom+json";

/// PatientID.
const PATIENT_ID: &str = "00100020";
/// StudyDate.
const STUDY_DATE: &str = "00080020";
/// Modality.
const MODALITY: &str = "00080060";
/// StudyInstanceUID.
const STUDY_UID: &str = "0020000D";
/// SeriesInstanceUID.
const SERIES_UID: &str = "0020000E";
/// SOPInstanceUID.
const INSTANCE_UID: &str = "00080018";

/// Which studies are wanted; a study has to fulfil all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StudyQuery {
    /// PatientID; `*` and `?` stand for any letters.
    pub patient_id: Option<String>,
    /// The study itself.
    pub study: Option<Uid>,
    /// A modality that one of its series has, such as `CT`.
    pub modality: Option<String>,
    /// First and last day of StudyDate, as `YYYYMMDD`.
    pub days: Option<(String, String)>,
}

/// A study of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundStudy {
    /// StudyInstanceUID.
    pub uid: Uid,
    /// PatientID, where the server says it.
    pub patient_id: Option<String>,
    /// StudyDate, where the server says it.
    pub date: Option<String>,
}

/// A series of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSeries {
    /// SeriesInstanceUID.
    pub uid: Uid,
    /// Modality, where the server says it.
    pub modality: Option<String>,
}

/// A list, sorted by UID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// Entries.
    pub found: Vec<T>,
    /// Entries that have no usable UID.
    pub unusable: usize,
}

impl StudyQuery {
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let days = self.days.as_ref().map(|(from, to)| format!("{from}-{to}"));
        [
            ("PatientID", self.patient_id.clone()),
            ("StudyInstanceUID", self.study.as_ref().map(Uid::to_string)),
            ("ModalitiesInStudy", self.modality.clone()),
            ("StudyDate", days),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    /// Whether a study is one that was asked for, as far as the server says.
    fn admits(&self, study: &FoundStudy) -> bool {
        let patient = match (&self.patient_id, &study.patient_id) {
            (Some(asked), Some(said)) => asked.contains(['*', '?']) || asked.trim() == said.trim(),
            _ => true,
        };
        let day = match (&self.days, &study.date) {
            (Some((from, to)), Some(said)) => said.len() != 8 || (from <= said && said <= to),
            _ => true,
        };
        patient && day && self.study.as_ref().is_none_or(|asked| *asked == study.uid)
    }
}

impl Client {
    /// Studies.
    ///
    /// # Errors
    /// [`DicomWebError`].
    pub fn studies(&self, query: &StudyQuery) -> Result<Listed<FoundStudy>, DicomWebError> {
        let listed = self.list("/studies", &query.parameters(), STUDY_UID, "the list of studies", |uid, entry| {
            FoundStudy { uid, patient_id: text(entry, PATIENT_ID), date: text(entry, STUDY_DATE) }
        })?;
        let found = listed.found.into_iter().filter(|study| query.admits(study)).collect();
        Ok(Listed { found, unusable: listed.unusable })
    }

    /// Whether the server has a study.
    ///
    /// # Errors
    /// [`DicomWebError`].
    pub fn has_study(&self, study: &Uid) -> Result<bool, DicomWebError> {
        let query = StudyQuery { study: Some(study.clone()), ..StudyQuery::default() };
        Ok(!self.studies(&query)?.found.is_empty())
    }

    /// Series of a study; none where the server does not have the study.
    ///
    /// # Errors
    /// [`DicomWebError`].
    pub fn series(&self, study: &Uid) -> Result<Listed<FoundSeries>, DicomWebError> {
        let (path, what) = (format!("/studies/{study}/series"), format!("the series of study {study}"));
        let make = |uid, entry: &Value| FoundSeries { uid, modality: text(entry, MODALITY) };
        absent_is_empty(self.list(&path, &[], SERIES_UID, &what, make))
    }

    /// Instances of a series; none where the server does not have the series.
    ///
    /// # Errors
    /// [`DicomWebError`].
    pub fn instances(&self, study: &Uid, series: &Uid) -> Result<Listed<Uid>, DicomWebError> {
        let path = format!("/studies/{study}/series/{series}/instances");
        let what = format!("the instances of series {series}");
        absent_is_empty(self.list(&path, &[], INSTANCE_UID, &what, |uid, _| uid))
    }

    /// All pages of a list; `make` makes an entry of its UID and its attributes.
    fn list<T>(
        &self,
        path: &str,
        parameters: &[(&str, String)],
        key: &str,
        what: &str,
        make: impl Fn(Uid, &Value) -> T,
    ) -> Result<Listed<T>, DicomWebError> {
        let mut query = String::new();
        for (name, value) in parameters {
            query.push_str(&format!("{name}={}&", percent_encoded(value)));
        }
        let mut found = BTreeMap::new();
        let mut unusable = BTreeSet::new();
        let mut offset = 0;
        loop {
            let page = format!("{path}?{query}limit={PAGE}&offset={offset}");
            let answer = self.persist(what, || {
                let mut response = self.get(&page, JSON, what)?;
                self.json(&mut response, what)
            })?;
            let entries = match answer {
                Value::Null => Vec::new(),
                Value::Array(entries) => entries,
                _ => return Err(self.strange(what, "it is no list")),
            };
            let before = found.len() + unusable.len();
            for entry in &entries {
                let said = text(entry, key).unwrap_or_default();
                match Uid::parse(&said) {
                    Some(uid) => _ = found.entry(uid.clone()).or_insert_with(|| make(uid, entry)),
                    None => _ = unusable.insert(said),
                }
            }
            offset += entries.len();
            let known = found.len() + unusable.len();
            if known == before {
                return Ok(Listed { found: found.into_values().collect(), unusable: unusable.len() });
            }
            if known > MOST {
                return Err(DicomWebError::TooMany {
                    server: self.server().to_owned(),
                    what: what.to_owned(),
                    limit: MOST,
                });
            }
        }
    }
}

/// What a server does not have, has no entries. Some answer an empty list, others 404.
fn absent_is_empty<T>(listed: Result<Listed<T>, DicomWebError>) -> Result<Listed<T>, DicomWebError> {
    match listed {
        Err(DicomWebError::NotFound { .. }) => Ok(Listed { found: Vec::new(), unusable: 0 }),
        listed => listed,
    }
}

/// First value of an attribute in the DICOM JSON model.
fn text(entry: &Value, tag: &str) -> Option<String> {
    let value = entry.get(tag)?.get("Value")?.get(0)?.as_str()?;
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn studies_that_were_not_asked_for_are_known() {
        let study = |patient: &str, date: &str| FoundStudy {
            uid: Uid::parse("1.2").unwrap(),
            patient_id: Some(patient.into()),
            date: Some(date.into()),
        };
        let query = StudyQuery {
            patient_id: Some("A".into()),
            days: Some(("20200101".into(), "20201231".into())),
            ..StudyQuery::default()
        };
        assert!(query.admits(&study("A ", "20200615")) && query.admits(&study("A", "")));
        assert!(!query.admits(&study("B", "20200615")) && !query.admits(&study("A", "20210101")));
        let wild = StudyQuery { patient_id: Some("A*".into()), ..StudyQuery::default() };
        assert!(wild.admits(&study("AB", "")));
        let other = StudyQuery { study: Uid::parse("1.3"), ..StudyQuery::default() };
        assert!(!other.admits(&study("A", "")));
        assert_eq!(query.parameters()[1], ("StudyDate", "20200101-20201231".to_owned()));
    }

    #[test]
    fn attributes_of_any_form_are_read_or_missing() {
        let entry = json!({
            "0020000D": { "vr": "UI", "Value": ["1.2"] },
            "00080060": { "vr": "CS" },
            "00100020": { "Value": [7] },
            "00080020": [],
        });
        assert_eq!(text(&entry, STUDY_UID).as_deref(), Some("1.2"));
        for tag in [MODALITY, PATIENT_ID, STUDY_DATE, SERIES_UID] {
            assert_eq!(text(&entry, tag), None, "{tag}");
        }
        assert_eq!(text(&json!("text"), STUDY_UID), None);
    }
}
