//! QIDO-RS: which studies, series and instances a server has.
//!
//! Invariants: pages are asked for until one brings no new UID, because a server may cut a list silently or ignore where a page begins; a study that
//! was not asked for is left out and named, because a server may ignore a key that it does not know; entries without usable UID are counted. Only an
//! explicit empty list says that something is absent: a 404 or an empty body may mean anything.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::address::percent_encoded;
use crate::client::Client;
use crate::error::DicomWebError;
use crate::retrieve::InstanceAddress;
use crate::retry::Fault;
use crate::uid::Uid;
use crate::wildcard::matches;

/// Entries of a page: some servers refuse more than 200.
const PAGE: usize = 100;
/// Most entries of a list.
const MOST: usize = 1_000_000;
/// Longest text of an attribute, in bytes: 64 letters of a PatientID in UTF-8. A longer one counts as not said.
const LONGEST_TEXT: usize = 256;
/// Media type of lists.
const JSON: &str = "application/dicom+json";

/// HTTP status of an answer that has no content, and of no other.
const NO_CONTENT: u16 = 204;

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
    /// UIDs of entries that do not fulfil the query.
    pub left_out: Vec<Uid>,
    /// Entries that have no usable UID.
    pub unusable: usize,
}

/// What a server says of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has it.
    Listed,
    /// It does not have it: the list of what bears this UID is empty.
    Absent,
    /// Its answers do not tell.
    Unclear,
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
    fn admits(&self, uid: &Uid, entry: &Value) -> bool {
        let patient = match (&self.patient_id, text(entry, PATIENT_ID)) {
            (Some(asked), Some(said)) => matches(asked, said),
            _ => true,
        };
        let day = match (&self.days, text(entry, STUDY_DATE)) {
            (Some((from, to)), Some(said)) => said.len() != 8 || (from.as_str() <= said && said <= to.as_str()),
            _ => true,
        };
        patient && day && self.study.as_ref().is_none_or(|asked| asked == uid)
    }
}

impl Client {
    /// StudyInstanceUIDs.
    ///
    /// # Errors
    /// [`DicomWebError`].
    pub fn studies(&self, query: &StudyQuery) -> Result<Listed<Uid>, DicomWebError> {
        let make = |uid: &Uid, entry: &Value| query.admits(uid, entry).then(|| uid.clone());
        self.list("/studies", &query.parameters(), STUDY_UID, "the list of studies", None, make)
    }

    /// Whether the server has a study.
    ///
    /// # Errors
    /// [`DicomWebError`].
    pub fn has_study(&self, study: &Uid) -> Result<bool, DicomWebError> {
        Ok(self.presence_of_study(study)? == Presence::Listed)
    }

    /// What the server says of a study.
    ///
    /// # Errors
    /// [`DicomWebError`].
    pub fn presence_of_study(&self, study: &Uid) -> Result<Presence, DicomWebError> {
        self.presence("/studies", ("StudyInstanceUID", STUDY_UID), study)
    }

    /// What the server says of an instance. Where it knows nothing of the list that the instance would stand in, it is asked for the series, and then
    /// for the study.
    ///
    /// # Errors
    /// [`DicomWebError`].
    pub fn presence_of_instance(&self, at: &InstanceAddress) -> Result<Presence, DicomWebError> {
        let InstanceAddress { study, series, instance } = at;
        let path = format!("/studies/{study}/series/{series}/instances");
        match self.presence(&path, ("SOPInstanceUID", INSTANCE_UID), instance) {
            Err(DicomWebError::NotFound { .. }) => {}
            said => return said,
        }
        let above = match self.presence(&format!("/studies/{study}/series"), ("SeriesInstanceUID", SERIES_UID), series)
        {
            Err(DicomWebError::NotFound { .. }) => self.presence_of_study(study)?,
            said => said?,
        };
        Ok(if above == Presence::Absent { Presence::Absent } else { Presence::Unclear })
    }

    /// What the server says of an instance whose series is not known here.
    pub(crate) fn keeps(&self, study: &Uid, instance: &Uid) -> Result<bool, DicomWebError> {
        match self.presence(&format!("/studies/{study}/instances"), ("SOPInstanceUID", INSTANCE_UID), instance) {
            Err(DicomWebError::NotFound { .. }) => Ok(false),
            said => Ok(said? == Presence::Listed),
        }
    }

    /// What a list of all that bears `uid` says; `parameter` is the key of the query, and that of the answer.
    fn presence(&self, path: &str, parameter: (&str, &str), uid: &Uid) -> Result<Presence, DicomWebError> {
        let (name, key) = parameter;
        let what = format!("the entry of {uid}");
        let make = |found: &Uid, _: &Value| (found == uid).then_some(());
        let listed = self.list(path, &[(name, uid.to_string())], key, &what, Some(uid), make)?;
        Ok(if !listed.found.is_empty() {
            Presence::Listed
        } else if listed.left_out.is_empty() && listed.unusable == 0 {
            Presence::Absent
        } else {
            Presence::Unclear
        })
    }

    /// Series of a study; none where the server says nothing of the study.
    ///
    /// # Errors
    /// [`DicomWebError`].
    pub fn series(&self, study: &Uid) -> Result<Listed<FoundSeries>, DicomWebError> {
        let (path, what) = (format!("/studies/{study}/series"), format!("the series of study {study}"));
        let make = |uid: &Uid, entry: &Value| {
            Some(FoundSeries { uid: uid.clone(), modality: text(entry, MODALITY).map(str::to_owned) })
        };
        unknown_is_empty(self.list(&path, &[], SERIES_UID, &what, None, make))
    }

    /// Instances of a series; none where the server says nothing of the series.
    ///
    /// # Errors
    /// [`DicomWebError`].
    pub fn instances(&self, study: &Uid, series: &Uid) -> Result<Listed<Uid>, DicomWebError> {
        let path = format!("/studies/{study}/series/{series}/instances");
        let what = format!("the instances of series {series}");
        unknown_is_empty(self.list(&path, &[], INSTANCE_UID, &what, None, |uid, _| Some(uid.clone())))
    }

    /// All pages of a list, or those up to one that has the UID `wanted`; `make` makes an entry of its UID and its attributes, or leaves it out.
    fn list<T>(
        &self,
        path: &str,
        parameters: &[(&str, String)],
        key: &str,
        what: &str,
        wanted: Option<&Uid>,
        make: impl Fn(&Uid, &Value) -> Option<T>,
    ) -> Result<Listed<T>, DicomWebError> {
        let mut query = String::new();
        for (name, value) in parameters {
            query.push_str(&format!("{name}={}&", percent_encoded(value)));
        }
        let mut found: BTreeMap<Uid, Option<T>> = BTreeMap::new();
        let (mut unusable, mut offset) = (0, 0);
        loop {
            let entries = self.page(&format!("{path}?{query}limit={PAGE}&offset={offset}"), what)?;
            let (mut new, mut repeated, mut without_uid) = (0_usize, 0_usize, 0_usize);
            for entry in &entries {
                match text(entry, key).and_then(Uid::parse) {
                    None => without_uid += 1,
                    Some(uid) if found.contains_key(&uid) => repeated += 1,
                    Some(uid) => {
                        new += 1;
                        let made = make(&uid, entry);
                        found.insert(uid, made);
                    }
                }
            }
            // A page that only repeats others was counted already.
            if new > 0 || repeated == 0 {
                unusable += without_uid;
            }
            offset += entries.len();
            // Behind the end a page is empty. One that repeats a full page comes from a server without offsets, whose list may go on.
            if new == 0 && repeated == PAGE && entries.len() == PAGE {
                let longer = self.page(&format!("{path}?{query}limit={}&offset=0", PAGE + 1), what)?;
                let mut uids = longer.iter().filter_map(|entry| text(entry, key).and_then(Uid::parse));
                if uids.any(|uid| !found.contains_key(&uid)) {
                    let reason = "it ignores `offset`, so what follows the first page cannot be asked for";
                    return Err(self.strange(what, reason));
                }
            }
            if new == 0 || wanted.is_some_and(|uid| found.contains_key(uid)) {
                return Ok(divided(found, unusable));
            }
            if found.len() > MOST {
                return Err(DicomWebError::TooMany {
                    server: self.server().to_owned(),
                    what: what.to_owned(),
                    limit: MOST,
                });
            }
        }
    }

    /// The entries of one page. An empty answer is a list only where its status says so.
    fn page(&self, page: &str, what: &str) -> Result<Vec<Value>, DicomWebError> {
        self.persist(what, || {
            let mut response = self.get(page, JSON, what)?;
            let has_content = response.status().as_u16() != NO_CONTENT;
            match self.json(&mut response, what)? {
                Some(Value::Array(entries)) => Ok(entries),
                None if !has_content => Ok(Vec::new()),
                None => Err(Fault::Final(self.strange(what, "it is empty"))),
                Some(_) => Err(Fault::Final(self.strange(what, "it is no list"))),
            }
        })
    }
}

fn divided<T>(all: BTreeMap<Uid, Option<T>>, unusable: usize) -> Listed<T> {
    let mut listed = Listed { found: Vec::new(), left_out: Vec::new(), unusable };
    for (uid, entry) in all {
        match entry {
            Some(entry) => listed.found.push(entry),
            None => listed.left_out.push(uid),
        }
    }
    listed
}

/// Some servers answer an empty list for what they do not have, others 404. For a list that is to be fetched both are the same; whoever removes
/// something asks for its [`Presence`].
fn unknown_is_empty<T>(listed: Result<Listed<T>, DicomWebError>) -> Result<Listed<T>, DicomWebError> {
    match listed {
        Err(DicomWebError::NotFound { .. }) => Ok(divided(BTreeMap::new(), 0)),
        listed => listed,
    }
}

/// First value of an attribute in the DICOM JSON model.
fn text<'a>(entry: &'a Value, tag: &str) -> Option<&'a str> {
    let value = entry.get(tag)?.get("Value")?.get(0)?.as_str()?;
    (value.len() <= LONGEST_TEXT).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn studies_that_were_not_asked_for_are_known() {
        let uid = Uid::parse("1.2").unwrap();
        let study =
            |patient: &str, date: &str| json!({ PATIENT_ID: { "Value": [patient] }, STUDY_DATE: { "Value": [date] } });
        let query = StudyQuery {
            patient_id: Some("A".into()),
            days: Some(("20200101".into(), "20201231".into())),
            ..StudyQuery::default()
        };
        assert!(query.admits(&uid, &study("A ", "20200615")) && query.admits(&uid, &study("a", "")));
        assert!(!query.admits(&uid, &study("B", "20200615")) && !query.admits(&uid, &study("A", "20210101")));
        let wild = StudyQuery { patient_id: Some("A*".into()), ..StudyQuery::default() };
        assert!(wild.admits(&uid, &study("AB", "")) && !wild.admits(&uid, &study("BA", "")));
        assert!(wild.admits(&uid, &json!({})), "a server need not say the patient");
        let other = StudyQuery { study: Uid::parse("1.3"), ..StudyQuery::default() };
        assert!(!other.admits(&uid, &study("A", "")));
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
        assert_eq!(text(&entry, STUDY_UID), Some("1.2"));
        for tag in [MODALITY, PATIENT_ID, STUDY_DATE, SERIES_UID] {
            assert_eq!(text(&entry, tag), None, "{tag}");
        }
        assert_eq!(text(&json!("text"), STUDY_UID), None);
        let long = |length: usize| json!({ PATIENT_ID: { "Value": ["x".repeat(length)] } });
        assert!(text(&long(256), PATIENT_ID).is_some() && text(&long(257), PATIENT_ID).is_none());
    }
}
