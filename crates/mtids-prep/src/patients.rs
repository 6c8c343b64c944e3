//! Who is who: one person under two spellings of an id, and the table that says who belongs to which split.
//!
//! Invariant: raw ids are compared and never shown; messages name patients by their pseudonyms.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mtids_domain::person::folded_id;
use mtids_domain::pseudonym::{PatientKey, PseudonymSecret};
use mtids_domain::same_person::SamePerson;
use mtids_shards::Split;

use crate::error::PrepError;
use crate::small_table::SmallTable;

/// An id without what people spell now so, now so: case, width of letters, spaces, punctuation, leading zeros of its numbers.
fn normalized_id(id: &str) -> String {
    let id = folded_id(id);
    let mut text = String::new();
    let mut number = String::new();
    // A number counts without its leading zeros, but 0 stays a number.
    let end = |number: &mut String, text: &mut String| {
        if !number.is_empty() {
            let digits = number.trim_start_matches('0');
            text.push('#');
            text.push_str(digits);
            number.clear();
        }
    };
    for letter in id.chars() {
        if letter.is_ascii_digit() {
            number.push(letter);
        } else {
            end(&mut number, &mut text);
            if letter.is_alphanumeric() {
                text.extend(letter.to_lowercase());
            }
        }
    }
    end(&mut number, &mut text);
    text
}

/// Refuses ids that look like two spellings of one.
///
/// # Errors
/// [`PrepError::Config`] with the pseudonyms of the first pair and what to do.
pub fn refuse_two_spellings<'a>(
    ids: impl IntoIterator<Item = &'a str>,
    secret: &PseudonymSecret,
) -> Result<(), PrepError> {
    let mut spellings: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for id in ids {
        spellings.entry(normalized_id(id)).or_default().insert(id);
    }
    let several: Vec<&BTreeSet<&str>> = spellings.values().filter(|same| same.len() > 1).collect();
    let Some(first) = several.first() else { return Ok(()) };
    let keys: Vec<String> = first.iter().map(|id| secret.patient(id).as_str().to_owned()).collect();
    Err(PrepError::Config {
        key: "split.similar_ids_are_different_people".into(),
        reason: format!(
            "{} patient IDs differ from another only in case, width of letters, spaces, punctuation or leading zeros, for example those of {}; one person \
             with two IDs could be in two splits. Correct the IDs (`mtids-prep inventory` lists them), list them in \
             identity.same_person, or set this to true if they are different people",
            several.iter().map(|same| same.len() - 1).sum::<usize>(),
            keys.join(" and ")
        ),
    })
}

/// Reads a table of splits: columns `patient_id` and `split`. Ids of one person are one patient.
///
/// # Errors
/// [`PrepError::Config`] naming the line: a missing column, a split that is none, or a patient in two splits.
pub fn read_split_table(
    path: &Path,
    same: &SamePerson,
    secret: &PseudonymSecret,
) -> Result<BTreeMap<PatientKey, Split>, PrepError> {
    let told = Told { key: "split.table", column: "split", expected: "train, validation or test" };
    read_table(path, told, same, secret, |cell| Split::from_name(&cell.to_lowercase()))
}

/// Reads a table of sites: columns `patient_id` and `site`, a name. Ids of one person are one patient.
///
/// # Errors
/// [`PrepError::Config`] naming the line: a missing column, an empty cell, or a patient at two sites.
pub fn read_site_table(
    path: &Path,
    same: &SamePerson,
    secret: &PseudonymSecret,
) -> Result<BTreeMap<PatientKey, String>, PrepError> {
    let told = Told { key: "site.table", column: "site", expected: "the name of a site" };
    read_table(path, told, same, secret, |cell| (!cell.is_empty()).then(|| cell.to_owned()))
}

/// What a table of patients tells.
#[derive(Clone, Copy)]
struct Told {
    /// The setting that names the table.
    key: &'static str,
    /// The column beside `patient_id`.
    column: &'static str,
    /// What its cells may be.
    expected: &'static str,
}

fn read_table<T: PartialEq>(
    path: &Path,
    told: Told,
    same: &SamePerson,
    secret: &PseudonymSecret,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<BTreeMap<PatientKey, T>, PrepError> {
    let fail = |reason: String| PrepError::Config { key: format!("{}, {}", told.key, path.display()), reason };
    let mut rows = SmallTable::open(path, ["patient_id", told.column]).map_err(fail)?;
    let [patient, value] = rows.at;
    let mut table = BTreeMap::new();
    while let Some(row) = rows.next() {
        let (line, record) = row.map_err(fail)?;
        let cell = |at: usize| record.get(at).unwrap_or_default();
        if cell(patient).is_empty() {
            return Err(fail(format!("line {line}: patient_id is empty")));
        }
        if [patient, value].into_iter().any(|at| cell(at).contains(['\n', '\r'])) {
            return Err(fail(format!("line {line}: a cell has several lines; a quotation mark may not be closed")));
        }
        let said = parse(cell(value))
            .ok_or_else(|| fail(format!("line {line}: {} must be {}", told.column, told.expected)))?;
        let key = secret.patient(same.canonical(cell(patient)));
        if table.get(&key).is_some_and(|before| *before != said) {
            return Err(fail(format!("line {line}: this patient has another {} already", told.column)));
        }
        table.insert(key, said);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> PseudonymSecret {
        PseudonymSecret::from_bytes(b"a secret of at least sixteen bytes").unwrap()
    }

    #[test]
    fn spellings_of_one_id_are_seen_and_other_ids_are_not() {
        for (a, b) in [("LUNG-001", "lung 1"), ("P_07", "p7"), ("Müller", "MÜLLER "), ("00", "0"), ("P001", "Ｐ００１")]
        {
            assert_eq!(normalized_id(a), normalized_id(b), "{a} {b}");
            let error = refuse_two_spellings([a, b, "X"], &secret()).unwrap_err().to_string();
            // A short id may stand in a pseudonym by chance.
            assert!([a, b].iter().all(|id| id.len() < 4 || !error.contains(*id)), "{error}");
            assert!(error.contains(secret().patient(a).as_str()));
        }
        for (a, b) in [("P1", "P10"), ("A1-1", "A11"), ("1-23", "12-3"), ("P1", "Q1")] {
            assert_ne!(normalized_id(a), normalized_id(b), "{a} {b}");
        }
        assert!(refuse_two_spellings(["P1", "P2", "P1"], &secret()).is_ok());
    }

    #[test]
    fn a_table_of_splits_is_read_and_its_faults_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("splits.csv");
        let same = SamePerson::of_groups(&[vec!["C".into(), "D".into()]]).unwrap();
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_split_table(&path, &same, &secret()).map_err(|error| error.to_string())
        };
        let table = read("patient_id,split\nA,train\n B , TEST\nA,train\n").unwrap();
        assert_eq!(table.len(), 2);
        assert_eq!(table[&secret().patient("B")], Split::Test);
        assert!(read("patient_id,split\nA,train\nA,test\n").unwrap_err().contains("line 3"));
        assert!(read("patient_id,split\nC,train\nD,test\n").unwrap_err().contains("line 3"), "one person, two splits");
        assert_eq!(read("patient_id,split\nD,test\n").unwrap()[&secret().patient("C")], Split::Test);
        assert!(read("patient_id,split\nA,holdout\n").unwrap_err().contains("line 2"));
        assert!(read("patient,split\nA,train\n").unwrap_err().contains("patient_id"));
        assert!(read("patient_id,split,split\nA,train,test\n").unwrap_err().contains("`split` occurs twice"));
        assert!(read("patient_id,split\n\"A\nB\",train\n").unwrap_err().contains("line 2: a cell has several lines"));
    }

    #[test]
    fn a_table_of_sites_is_read_and_its_faults_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sites.csv");
        let same = SamePerson::of_groups(&[vec!["C".into(), "D".into()]]).unwrap();
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_site_table(&path, &same, &secret()).map_err(|error| error.to_string())
        };
        let table = read("site,patient_id\nSt. Elsewhere,A\nNorth,D\n").unwrap();
        assert_eq!(table[&secret().patient("A")], "St. Elsewhere");
        assert_eq!(table[&secret().patient("C")], "North", "ids of one person");
        assert!(read("patient_id,site\nA,North\nA,South\n").unwrap_err().contains("line 3"));
        assert!(read("patient_id,site\nA,\n").unwrap_err().contains("line 2"));
        assert!(read("patient_id,hospital\nA,North\n").unwrap_err().contains("no column `site`"));
    }
}
