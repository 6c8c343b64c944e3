//! One PatientID that stands for several people.
//!
//! An anonymiser that writes one id for everybody makes all studies one patient. No study leaks between splits, but no split is possible, and
//! findings of one person could be taken for another's. So do two hospitals that number their patients alike. Rule: two studies of one id that
//! differ in two of PatientSex, PatientBirthDate, PatientName and IssuerOfPatientID are of two people, and stop a build. One of them may be a
//! slip of the pen, a date that an anonymiser moved, or a new name, and is a warning; so is an id whose text says that it is none. Invariant:
//! one file of a study is read, and only where an id has several studies.

use std::collections::BTreeMap;
use std::path::Path;

use mtids_dicom::{Limits, PersonFacts, read_person};
use mtids_domain::same_person::SamePerson;
use mtids_report::format::counted;
use rayon::prelude::*;

use crate::identity::contradiction::{Contradiction, Verdict, person};
use crate::identity::shared_uids::Studies;

/// Studies of the only patient of a folder from which that is worth a word: few people are scanned so often.
const MANY_STUDIES: usize = 10;

/// Texts that stand for no id, without case, spaces and punctuation.
const NO_IDS: [&str; 18] = [
    "anon",
    "anonym",
    "anonymous",
    "anonymised",
    "anonymized",
    "deidentified",
    "id",
    "na",
    "noid",
    "none",
    "null",
    "patient",
    "patientid",
    "pseudonym",
    "removed",
    "subject",
    "test",
    "unknown",
];

/// Whether the text of an id says that it is none: a word for it, zeros, or crosses.
fn says_nothing(id: &str) -> bool {
    let text: String = id.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    text.chars().all(|c| c == '0') || text.chars().all(|c| c == 'x') || NO_IDS.contains(&text.as_str())
}

/// Words of a name that may be a person's: no initials, numbers, placeholders, nor the id itself. Sorted; empty where a name tells nobody apart.
fn words_of_name(name: Option<&str>, patient_id: &str) -> Vec<String> {
    let own: Vec<String> = words(patient_id).collect();
    let mut names: Vec<String> = words(name.unwrap_or_default())
        .filter(|word| word.chars().count() > 1 && word.chars().all(char::is_alphabetic))
        .filter(|word| !says_nothing(word) && !own.contains(word))
        .collect();
    names.sort();
    names
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Whether two names have no word in common. Names in different scripts are not compared.
fn are_other_names(a: &[String], b: &[String]) -> bool {
    let is_latin = |names: &[String]| names.iter().any(|word| word.is_ascii());
    !a.is_empty() && !b.is_empty() && is_latin(a) == is_latin(b) && !a.iter().any(|word| b.contains(word))
}

/// The attributes in which two studies of one id differ.
fn differences(a: &PersonFacts, b: &PersonFacts, patient_id: &str) -> Vec<&'static str> {
    let differ = |a: Option<&str>, b: Option<&str>| a.is_some() && b.is_some() && a != b;
    let name = |facts: &PersonFacts| words_of_name(facts.name.as_deref(), patient_id);
    let attributes = [
        ("PatientSex", a.sex.is_some() && b.sex.is_some() && a.sex != b.sex),
        ("PatientBirthDate", differ(a.birth_date.as_deref(), b.birth_date.as_deref())),
        ("PatientName", are_other_names(&name(a), &name(b))),
        ("IssuerOfPatientID", differ(a.issuer.as_deref(), b.issuer.as_deref())),
    ];
    attributes.into_iter().filter(|(_, is_other)| *is_other).map(|(attribute, _)| attribute).collect()
}

/// Two studies of one id, and the attributes in which they differ.
type Differing<'a> = ([(PersonFacts, &'a Path); 2], Vec<&'static str>);

/// Two studies of one id that contradict each other, and in what: two attributes are proof, one is a doubt.
fn contradiction<'a>(people: &[(PersonFacts, &'a Path)], patient_id: &str) -> Option<Differing<'a>> {
    let mut weak = None;
    // Distinct facts are few where they are right, and the first two that differ in two ways end the search.
    let mut distinct: BTreeMap<&PersonFacts, &Path> = BTreeMap::new();
    for (facts, path) in people {
        for (known, there) in &distinct {
            let differing = differences(known, facts, patient_id);
            let pair = || [((*known).clone(), *there), (facts.clone(), *path)];
            match differing.len() {
                0 => {}
                1 if weak.is_some() => {}
                1 => weak = Some((pair(), differing)),
                _ => return Some((pair(), differing)),
            }
        }
        if distinct.len() < MOST_FACTS {
            distinct.entry(facts).or_insert(path);
        }
    }
    weak
}

/// Most different facts of one id that are compared with each other.
const MOST_FACTS: usize = 64;

/// Finds ids that stand for several people, or look so.
pub(super) fn judge_placeholders(studies: &Studies<'_>, same: &SamePerson, limits: &Limits, verdict: &mut Verdict) {
    let several: Vec<_> = studies
        .by_raw_patient
        .iter()
        .filter(|(id, studies)| studies.len() > 1 && !same.names(id))
        .map(|(id, studies)| (*id, studies.values().copied().collect::<Vec<&Path>>()))
        .collect();
    let people = |files: &[&'_ Path]| -> Vec<(PersonFacts, std::path::PathBuf)> {
        // A file that cannot be read any more contradicts nobody; whoever reads its pixels says so.
        files.par_iter().filter_map(|path| Some((read_person(path, limits).ok()?, (*path).to_owned()))).collect()
    };
    let found: Vec<_> = several.par_iter().map(|(_, files)| people(files)).collect();
    let (mut doubtful, mut example) = (0u64, None);
    for ((id, files), people) in several.iter().zip(&found) {
        let people: Vec<(PersonFacts, &Path)> =
            people.iter().map(|(facts, path)| (facts.clone(), path.as_path())).collect();
        match contradiction(&people, id) {
            Some((pair, differing)) if differing.len() > 1 => {
                verdict.contradictions.push(Contradiction::SeveralPeople {
                    patient_id: (*id).to_owned(),
                    studies: files.len(),
                    people: pair.map(|(facts, path)| (facts, path.to_owned())),
                    differing,
                });
            }
            Some((pair, differing)) => {
                doubtful += 1;
                example.get_or_insert((*id, pair.map(|(facts, path)| (person(&facts), path.to_owned())), differing));
            }
            None if says_nothing(id) => verdict.warnings.push(format!(
                "{} bear PatientID `{id}`, which looks like a placeholder. If an anonymiser has written it for everybody, all are one patient, \
                 and no split by patient is possible: give each person an id of their own. If it is one person, set \
                 identity.same_person = [[\"{id}\"]]",
                counted(files.len() as u64, "study", "studies"),
            )),
            None if files.len() >= MANY_STUDIES && studies.by_raw_patient.len() == 1 => verdict.warnings.push(format!(
                "all {} studies here bear one PatientID, `{id}`. If an anonymiser has written it for everybody, give each person an id of \
                 their own. If it is one person, set identity.same_person = [[\"{id}\"]]",
                files.len()
            )),
            None => {}
        }
    }
    if let Some((id, [(one, here), (other, there)], differing)) = example {
        verdict.warnings.push(format!(
            "studies of {} contradict each other in what they say of the person, for example those of `{id}` in {}: {one} ({}) and {other} \
             ({}). It is a slip of the pen, a date that an anonymiser moved, a new name, or one id for two people, who then need an id each",
            counted(doubtful, "PatientID", "PatientIDs"),
            differing.join(" and "),
            here.display(),
            there.display()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(sex: Option<char>, birth_date: Option<&str>) -> PersonFacts {
        PersonFacts { sex, birth_date: birth_date.map(str::to_owned), ..PersonFacts::default() }
    }

    #[test]
    fn a_name_tells_people_apart_by_words_that_are_names() {
        let differ =
            |a: &str, b: &str| are_other_names(&words_of_name(Some(a), "LUNG-1"), &words_of_name(Some(b), "LUNG-1"));
        assert!(differ("MEIER^ANNA", "Schulz^Karl"));
        for (a, b) in [
            ("MEIER^ANNA", "SCHULZ^Anna"),
            ("MEIER^A", "Meier^Anna Maria"),
            ("MEIER^ANNA", ""),
            ("MEIER^ANNA", "LUNG-1"),
            ("MEIER^ANNA", "Anonymous^7"),
            ("Yamada^Tarou", "山田^太郎"),
            ("Yamada^Tarou=山田^太郎", "山田^太郎"),
        ] {
            assert!(!differ(a, b), "{a} and {b}");
        }
    }

    #[test]
    fn two_attributes_together_prove_two_people() {
        let path = Path::new("x");
        let proof = |people: &[PersonFacts]| {
            let people: Vec<_> = people.iter().map(|one| (one.clone(), path)).collect();
            contradiction(&people, "4711").map(|(_, differing)| differing.len() > 1)
        };
        let issued = |issuer: &str, name: &str| PersonFacts {
            issuer: Some(issuer.into()),
            name: Some(name.into()),
            ..PersonFacts::default()
        };
        assert_eq!(proof(&[issued("EAST", "MEIER^ANNA"), issued("WEST", "SCHULZ^KARL")]), Some(true));
        assert_eq!(proof(&[issued("EAST", "MEIER^ANNA"), issued("WEST", "MEIER^ANNA")]), Some(false));
        assert_eq!(proof(&[issued("EAST", "MEIER^ANNA"), issued("EAST", "SCHULZ^KARL")]), Some(false));
        let man = facts(Some('M'), Some("19500101"));
        assert_eq!(proof(&[man.clone(), man.clone()]), None);
        assert_eq!(proof(&[man.clone(), facts(None, None), facts(Some('M'), None)]), None);
        assert_eq!(proof(&[man.clone(), facts(Some('F'), Some("19500101"))]), Some(false));
        assert_eq!(proof(&[man.clone(), facts(Some('M'), Some("19500102"))]), Some(false));
        assert_eq!(proof(&[man.clone(), facts(Some('F'), None), facts(None, Some("1960"))]), Some(false));
        // The proof may come after a doubt.
        let woman = facts(Some('F'), Some("19620304"));
        assert_eq!(proof(&[man.clone(), facts(Some('M'), Some("19500102")), woman]), Some(true));
    }

    #[test]
    fn texts_that_are_no_id() {
        for id in ["ANON", "Anonymous", "0", "000-000", "xxx", "No ID", "de-identified", "N/A"] {
            assert!(says_nothing(id), "{id}");
        }
        for id in ["1", "ANON-7", "P0", "LUNG1-001", "x1"] {
            assert!(!says_nothing(id), "{id}");
        }
    }
}
