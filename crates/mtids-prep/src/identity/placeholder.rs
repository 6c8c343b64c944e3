//! One PatientID that stands for several people.
//!
//! An anonymiser that writes one id for everybody makes all studies one patient. No study leaks between splits, but no split is possible, and
//! findings of one person could be taken for another's. Rule: two studies of one id whose PatientSex and PatientBirthDate both differ are
//! two people, and stop a build. One of the two may be a slip of the pen, or a date that an anonymiser moved, and is a warning; so is an id
//! whose text says that it is none. Invariant: one file of a study is read, and only where an id has several studies.

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

/// Two studies of one id that contradict each other, and whether in sex and birth date both.
fn contradiction<'a>(people: &[(PersonFacts, &'a Path)]) -> Option<([(PersonFacts, &'a Path); 2], bool)> {
    let differ = |a: Option<&str>, b: Option<&str>| a.is_some() && b.is_some() && a != b;
    let mut weak = None;
    // Distinct facts are few where they are right, and the first two that differ in both end the search.
    let mut distinct: BTreeMap<&PersonFacts, &Path> = BTreeMap::new();
    for (facts, path) in people {
        for (known, there) in &distinct {
            let sex = known.sex.is_some() && facts.sex.is_some() && known.sex != facts.sex;
            let birth = differ(known.birth_date.as_deref(), facts.birth_date.as_deref());
            let pair = || [((*known).clone(), *there), (facts.clone(), *path)];
            if sex && birth {
                return Some((pair(), true));
            }
            if (sex || birth) && weak.is_none() {
                weak = Some((pair(), false));
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
        match contradiction(&people) {
            Some((pair, true)) => verdict.contradictions.push(Contradiction::SeveralPeople {
                patient_id: (*id).to_owned(),
                studies: files.len(),
                people: pair.map(|(facts, path)| (facts, path.to_owned())),
            }),
            Some((pair, false)) => {
                doubtful += 1;
                example.get_or_insert((*id, pair.map(|(facts, path)| (person(&facts), path.to_owned()))));
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
    if let Some((id, [(one, here), (other, there)])) = example {
        verdict.warnings.push(format!(
            "studies of {} differ in PatientSex or PatientBirthDate, for example of `{id}`: {one} ({}) and {other} ({}). It is a slip of the \
             pen, a date that an anonymiser moved, or one id for two people, who then need an id each",
            counted(doubtful, "PatientID", "PatientIDs"),
            here.display(),
            there.display()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(sex: Option<char>, birth_date: Option<&str>) -> PersonFacts {
        PersonFacts { sex, birth_date: birth_date.map(str::to_owned) }
    }

    #[test]
    fn only_sex_and_birth_date_together_prove_two_people() {
        let path = Path::new("x");
        let proof = |people: &[PersonFacts]| {
            let people: Vec<_> = people.iter().map(|one| (one.clone(), path)).collect();
            contradiction(&people).map(|(_, proof)| proof)
        };
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
