//! What is fetched, as an operator says it, and how.
//!
//! Invariants: something has to be named, since a server may hold a million studies; what cannot be a UID or a day is refused before anything is sent.

use std::path::Path;

use mtids_dicom::Limits;
use mtids_dicomweb::{InstanceAddress, StudyQuery, Uid};
use mtids_runtime::interrupt::Interrupt;

use super::pseudonyms::Pseudonyms;
use crate::error::PrepError;

/// How to fetch.
#[derive(Clone, Copy, Debug)]
pub struct FetchOptions<'a> {
    /// Downloads what the folder has as well, and compares the bytes.
    pub reverify: bool,
    /// Removes what the server does not have any more.
    pub prune: bool,
    /// Pseudonymises what comes before it is written.
    pub pseudonyms: Option<&'a Pseudonyms>,
    /// Bounds of reading.
    pub limits: &'a Limits,
    /// Ends the work.
    pub interrupt: &'a Interrupt,
    /// Shows progress.
    pub show_progress: bool,
}

impl FetchOptions<'_> {
    /// The UID under which the folder knows one of the server.
    pub(super) fn stored_uid(&self, uid: &Uid) -> Uid {
        self.pseudonyms.map_or_else(|| uid.clone(), |pseudonyms| pseudonyms.stored(uid))
    }

    /// Where the folder has an instance of the server.
    pub(super) fn stored(&self, at: &InstanceAddress) -> InstanceAddress {
        let [study, series, instance] = [&at.study, &at.series, &at.instance].map(|uid| self.stored_uid(uid));
        InstanceAddress { study, series, instance }
    }

    /// The UID of the server for one of the folder, where it is known.
    pub(super) fn original_uid(&self, uid: &Uid) -> Option<Uid> {
        self.pseudonyms.map_or_else(|| Some(uid.clone()), |pseudonyms| pseudonyms.original(uid))
    }

    /// Where the server had an instance of the folder, where that is known.
    pub(super) fn original(&self, at: &InstanceAddress) -> Option<InstanceAddress> {
        let [study, series, instance] = [&at.study, &at.series, &at.instance].map(|uid| self.original_uid(uid));
        Some(InstanceAddress { study: study?, series: series?, instance: instance? })
    }
}

/// What is wanted: a study has to fulfil one of each kind that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchRequest {
    /// PatientIDs; `*` and `?` stand for any letters.
    pub patients: Vec<String>,
    /// Studies.
    pub studies: Vec<Uid>,
    /// Modalities of series, such as `CT`; other series of a study are left out.
    pub modalities: Vec<String>,
    /// First and last day of StudyDate, as `YYYYMMDD`.
    pub days: Option<(String, String)>,
}

impl FetchRequest {
    /// Refuses a request that names nothing, and an empty name, which a server takes for every one.
    ///
    /// # Errors
    /// [`PrepError::Config`].
    pub fn check(&self) -> Result<(), PrepError> {
        let named = [("--patient", &self.patients), ("--modality", &self.modalities)];
        if let Some((option, _)) = named.iter().find(|(_, values)| values.iter().any(|value| value.trim().is_empty())) {
            return Err(PrepError::Config {
                key: (*option).into(),
                reason: "it is empty, which a server takes for everything; name what is to be fetched".into(),
            });
        }
        let names_something =
            !(self.patients.is_empty() && self.studies.is_empty() && self.modalities.is_empty() && self.days.is_none());
        if names_something {
            return Ok(());
        }
        Err(PrepError::Config {
            key: "fetch".into(),
            reason: "nothing is named, and the server may hold a million studies; say --patient, --study, --uids, --modality or --date".into(),
        })
    }

    /// The questions to a server, whose answers together are what is wanted; by patient, under a name which does not repeat the PatientID.
    pub(super) fn queries(&self) -> Vec<(String, Vec<StudyQuery>)> {
        let each = |values: &[String]| -> Vec<Option<String>> {
            if values.is_empty() { vec![None] } else { values.iter().cloned().map(Some).collect() }
        };
        let studies: Vec<Option<Uid>> =
            if self.studies.is_empty() { vec![None] } else { self.studies.iter().cloned().map(Some).collect() };
        // A study that is named is there or not, whatever its series are; they are looked at later.
        let modalities = if self.studies.is_empty() { each(&self.modalities) } else { vec![None] };
        let mut groups = Vec::new();
        for (number, patient_id) in each(&self.patients).into_iter().enumerate() {
            let name = match &patient_id {
                Some(_) => format!("--patient number {}", number + 1),
                None => "the query".to_owned(),
            };
            let mut queries = Vec::new();
            for study in &studies {
                for modality in &modalities {
                    queries.push(StudyQuery {
                        patient_id: patient_id.clone(),
                        study: study.clone(),
                        modality: modality.clone(),
                        days: self.days.clone(),
                    });
                }
            }
            groups.push((name, queries));
        }
        groups
    }

    /// Whether a series is wanted. One whose modality the server does not say is, since the build looks at its content.
    pub(super) fn admits(&self, modality: Option<&str>) -> bool {
        let is = |wanted: &String, said: &str| wanted.trim().eq_ignore_ascii_case(said.trim());
        self.modalities.is_empty() || modality.is_none_or(|said| self.modalities.iter().any(|wanted| is(wanted, said)))
    }
}

/// First and last day of `YYYYMMDD-YYYYMMDD`, of one day, or of a range that is open at one end.
///
/// # Errors
/// A sentence for the operator.
pub fn days_of(text: &str) -> Result<(String, String), String> {
    let is_day = |text: &str| {
        let number = |part: &str| part.parse::<u32>().unwrap_or(0);
        text.len() == 8
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (1..=12).contains(&number(&text[4..6]))
            && (1..=31).contains(&number(&text[6..8]))
    };
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let from = if from.is_empty() { "19000101" } else { from };
    let to = if to.is_empty() { "99991231" } else { to };
    if matches!(text, "" | "-") || !is_day(from) || !is_day(to) || from > to {
        return Err(
            "days are written as YYYYMMDD-YYYYMMDD, YYYYMMDD, YYYYMMDD- or -YYYYMMDD, the first one first".into()
        );
    }
    Ok((from.to_owned(), to.to_owned()))
}

/// StudyInstanceUIDs of a file, one on each line; empty lines and those that begin with `#` are left out.
///
/// # Errors
/// [`PrepError::Config`] naming file and line.
pub fn uids_of(path: &Path) -> Result<Vec<Uid>, PrepError> {
    let refuse = |reason: String| PrepError::Config { key: "--uids".into(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| {
        refuse(format!("cannot read {}: {error}; give a text file with one UID per line", path.display()))
    })?;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches('\u{feff}');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let uid = Uid::parse(line).ok_or_else(|| {
            refuse(format!("{}, line {}: no UID; write one StudyInstanceUID per line", path.display(), number + 1))
        })?;
        found.push(uid);
    }
    if found.is_empty() {
        return Err(refuse(format!("{} names no UID; write one StudyInstanceUID per line", path.display())));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_one_meaning() {
        let days = |text: &str| days_of(text).map(|(from, to)| format!("{from} {to}"));
        assert_eq!(days("20200101-20201231").unwrap(), "20200101 20201231");
        assert_eq!(days("20200101").unwrap(), "20200101 20200101");
        assert_eq!(days("20200101-").unwrap(), "20200101 99991231");
        assert_eq!(days("-20200101").unwrap(), "19000101 20200101");
        for text in
            ["", "-", "2020", "20201301", "20200132", "20201231-20200101", "2020-01-01", "2020010ä", "20200101-x"]
        {
            assert!(days(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_of_uids_are_read_or_refused_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("uids.txt");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            uids_of(&path).map(|uids| uids.iter().map(Uid::to_string).collect::<Vec<_>>())
        };
        assert_eq!(read("\u{feff}# cohort\r\n1.2.3\r\n\r\n 1.2.4 \r\n").unwrap(), ["1.2.3", "1.2.4"]);
        assert!(read("1.2.3\nPAT001\n").unwrap_err().to_string().contains("uids.txt, line 2"));
        assert!(read("# nothing\n").unwrap_err().to_string().contains("names no UID"));
        std::fs::remove_file(&path).unwrap();
        assert!(uids_of(&path).unwrap_err().to_string().contains("cannot read"));
    }

    #[test]
    fn an_empty_name_is_refused() {
        for blank in ["", "  "] {
            let patients = FetchRequest { patients: vec!["A".into(), blank.into()], ..FetchRequest::default() };
            let modalities = FetchRequest { modalities: vec![blank.into()], ..FetchRequest::default() };
            for (request, option) in [(patients, "--patient"), (modalities, "--modality")] {
                let said = request.check().unwrap_err().to_string();
                assert!(said.contains(option) && said.contains("empty"), "{said}");
            }
        }
    }

    #[test]
    fn a_request_becomes_one_question_for_each_combination() {
        assert!(FetchRequest::default().check().is_err());
        let request = FetchRequest {
            patients: vec!["A".into(), "B".into()],
            modalities: vec!["CT".into(), "SEG".into()],
            ..FetchRequest::default()
        };
        request.check().unwrap();
        let count =
            |request: &FetchRequest| request.queries().iter().map(|(_, queries)| queries.len()).collect::<Vec<_>>();
        assert_eq!(count(&request), [2, 2]);
        assert_eq!(request.queries()[1].0, "--patient number 2");
        assert!(request.admits(Some("ct ")) && request.admits(None) && !request.admits(Some("MR")));
        let named = FetchRequest { studies: vec![Uid::parse("1.2").unwrap()], ..request };
        assert_eq!(count(&named), [1, 1]);
        assert!(named.queries().iter().all(|(_, queries)| queries[0].modality.is_none()));
    }
}
