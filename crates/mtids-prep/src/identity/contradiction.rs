//! A contradiction of identifiers, and the sentences that an operator reads: what was found, in which files, what it means, what to do.
//!
//! Invariant: the text is for a terminal; it names raw ids and paths.

use std::fmt;
use std::path::PathBuf;

use mtids_dicom::PersonFacts;
use mtids_report::format::counted;

/// What the identifiers of a scan say against each other.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    /// What stops a build.
    pub contradictions: Vec<Contradiction>,
    /// Sentences for the operator; a build goes on.
    pub warnings: Vec<String>,
}

/// Most groups of ids that a message proposes to set as one person.
const MOST_GROUPS: usize = 10;

/// Two identifiers that cannot both be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// UIDs that several patients bear.
    SharedUid {
        /// `StudyInstanceUID` or `SOPInstanceUID`.
        attribute: &'static str,
        /// The first of them.
        uid: String,
        /// How many UIDs these patients share.
        uids: usize,
        /// The patients, each with one file that bears the first UID; sorted, at least two.
        patients: Vec<(String, PathBuf)>,
    },
    /// One PatientID for several people.
    SeveralPeople {
        /// The id.
        patient_id: String,
        /// How many studies bear it.
        studies: usize,
        /// Two studies that contradict each other, each with one of its files.
        people: [(PersonFacts, PathBuf); 2],
        /// The attributes in which they differ, at least two.
        differing: Vec<&'static str>,
    },
}

/// Identifiers that contradict each other.
#[derive(Debug, thiserror::Error)]
pub struct IdentityError {
    /// What was found, at least one.
    pub contradictions: Vec<Contradiction>,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.contradictions.first() else { return f.write_str("identifiers contradict each other") };
        write!(f, "{first}")?;
        if let more @ 1.. = self.contradictions.len() - 1 {
            write!(f, " There are {more} more such contradictions; `mtids-prep inventory` lists them.")?;
        }
        let groups: Vec<String> = self.contradictions.iter().filter_map(Contradiction::as_one_person).collect();
        if !groups.is_empty() {
            let shown = groups.iter().take(MOST_GROUPS).cloned().collect::<Vec<_>>().join(", ");
            let rest = if groups.len() > MOST_GROUPS { ", …" } else { "" };
            write!(f, " If these ids are one person, set identity.same_person = [{shown}{rest}].")?;
        }
        f.write_str(" Nothing was built.")
    }
}

impl Contradiction {
    /// The ids as a group of `identity.same_person`, where that can be the cure: two ids of one person, or one id that is one person.
    fn as_one_person(&self) -> Option<String> {
        let quoted = |id: &String| serde_json::Value::from(id.as_str()).to_string();
        match self {
            Self::SharedUid { patients, .. } if patients.len() == 2 => {
                Some(format!("[{}]", patients.iter().map(|(id, _)| quoted(id)).collect::<Vec<_>>().join(", ")))
            }
            Self::SharedUid { .. } => None,
            Self::SeveralPeople { patient_id, .. } => Some(format!("[{}]", quoted(patient_id))),
        }
    }
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedUid { attribute, uid, uids, patients } => {
                let bearers = |count: usize| {
                    let named = patients.iter().take(count).map(|(id, path)| format!("`{id}` ({})", path.display()));
                    named.collect::<Vec<_>>().join(" and ")
                };
                let more = match uids - 1 {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                if patients.len() > 2 {
                    return write!(
                        f,
                        "{attribute} {uid}{more}: borne by {}, for example {}. An anonymiser has written one UID for several people. \
                         Anonymise again, with a UID of its own for each study, series and instance.",
                        counted(patients.len() as u64, "patient", "patients"),
                        bearers(2)
                    );
                }
                let what = if *attribute == "StudyInstanceUID" { "A study" } else { "An instance" };
                write!(
                    f,
                    "{attribute} {uid}{more}: borne by two patients, {}. {what} is of one person, who could be in training and test. \
                     Correct PatientID, or the UIDs if a program has made them up.",
                    bearers(2)
                )
            }
            Self::SeveralPeople { patient_id, studies, people: [(one, here), (other, there)], differing } => write!(
                f,
                "PatientID `{patient_id}` stands for several people: its {} name {} ({}) and {} ({}), who differ in {}. An anonymiser has \
                 written one id for everybody, or two issuers have given the same one. Give each person an id of their own.",
                counted(*studies as u64, "study", "studies"),
                person(one),
                here.display(),
                person(other),
                there.display(),
                differing.join(" and ")
            ),
        }
    }
}

/// Sex, birth date and issuer of the id in words; the name stays in the file.
pub(crate) fn person(facts: &PersonFacts) -> String {
    let sex = match facts.sex {
        Some('M') => "a man",
        Some(_) => "a woman",
        None => "somebody",
    };
    let born = facts.birth_date.as_ref().map(|date| format!(" born {date}"));
    let issued = facts.issuer.as_ref().map(|issuer| format!(" with an id issued by `{issuer}`"));
    [Some(sex.to_owned()), born, issued].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(attribute: &'static str, ids: &[&str]) -> Contradiction {
        let patients = ids.iter().map(|id| ((*id).to_owned(), PathBuf::from(format!("{id}.dcm")))).collect();
        Contradiction::SharedUid { attribute, uid: "1.2".into(), uids: 3, patients }
    }

    #[test]
    fn two_ids_are_named_with_files_and_with_the_setting_that_makes_them_one() {
        let contradictions = vec![shared("StudyInstanceUID", &["A", "B\""]), shared("SOPInstanceUID", &["C", "D"])];
        let text = IdentityError { contradictions }.to_string();
        for part in [
            "StudyInstanceUID 1.2 and 2 more",
            "`A` (A.dcm) and `B\"` (B\".dcm)",
            "training and test",
            "1 more such",
            r#"identity.same_person = [["A", "B\""], ["C", "D"]]"#,
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn one_uid_of_many_is_an_anonymisers_fault_and_joins_nobody() {
        let text = IdentityError { contradictions: vec![shared("SOPInstanceUID", &["A", "B", "C"])] }.to_string();
        assert!(text.contains("3 patients") && text.contains("anonymiser"), "{text}");
        assert!(!text.contains("same_person"), "{text}");
    }

    #[test]
    fn several_people_under_one_id_are_described() {
        let man = PersonFacts { sex: Some('M'), birth_date: Some("19500101".into()), ..PersonFacts::default() };
        let woman = PersonFacts { sex: Some('F'), issuer: Some("EAST".into()), ..PersonFacts::default() };
        let people = [(man, "a".into()), (woman, "b".into())];
        let differing = vec!["PatientSex", "PatientName"];
        let one = Contradiction::SeveralPeople { patient_id: "ANON".into(), studies: 7, people, differing };
        let text = IdentityError { contradictions: vec![one] }.to_string();
        for part in [
            "a man born 19500101 (a) and a woman with an id issued by `EAST` (b)",
            "differ in PatientSex and PatientName",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains(r#"identity.same_person = [["ANON"]]"#), "{text}");
    }
}
