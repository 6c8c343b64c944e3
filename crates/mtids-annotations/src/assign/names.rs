//! What the name of a mask file and of its folders say: UIDs, and ids of patients.
//!
//! Invariants: an id counts only where no letter or digit stands beside it, and never where it is a part of a UID; digits alone may count
//! anything, so that they are weak. Of two ids of which one holds the other, the longer one is meant. An id of two characters counts only
//! where nothing else in the name speaks. Of the folders the nearest that names a patient is meant.

use std::collections::BTreeSet;
use std::path::Path;

use mtids_domain::taxonomy::Station;

use super::SeriesIndex;

/// A shorter PatientID may stand in a file name by chance.
const SHORTEST_PATIENT_ID: usize = 3;

/// Words of names that say of no patient, so that a short id may stand beside them. `LN` and `node` are not among them: what follows them
/// names a node.
const SILENT: [&str; 24] = [
    "case",
    "contour",
    "contours",
    "ct",
    "gt",
    "gz",
    "hdr",
    "label",
    "labelmap",
    "labels",
    "lns",
    "manual",
    "mask",
    "masks",
    "nhdr",
    "nii",
    "nodes",
    "nrrd",
    "patient",
    "pid",
    "seg",
    "segmentation",
    "segmentations",
    "subject",
];

/// Shorter runs of digits and dots are dates, times and versions; the UIDs of scanners and archives are longer.
const SHORTEST_UID: usize = 20;

/// What the names of a file and its folder say.
pub(super) struct Names {
    /// Parts of the file name that may be UIDs.
    pub(super) uids: Vec<String>,
    file: String,
    /// Names of its folders, the nearest first.
    folders: Vec<String>,
}

/// Ids, each the one that stands for a patient, that names speak of.
#[derive(Debug, Default)]
pub(super) struct NamedPatients<'a> {
    pub(super) file: BTreeSet<&'a str>,
    pub(super) folder: BTreeSet<&'a str>,
}

impl<'a> NamedPatients<'a> {
    /// Those of both names.
    pub(super) fn all(&self) -> BTreeSet<&'a str> {
        self.file.union(&self.folder).copied().collect()
    }

    /// Whether the file names one patient, and its folder another.
    pub(super) fn contradict(&self) -> bool {
        !self.file.is_empty() && !self.folder.is_empty() && self.file.is_disjoint(&self.folder)
    }
}

/// Ids in a row, for a sentence.
pub(super) fn listed(ids: &BTreeSet<&str>) -> String {
    ids.iter().copied().collect::<Vec<_>>().join(" and ")
}

/// Whether an id may stand in a name by chance: it has no letter, so that it may be a date or count anything, or is short.
pub(super) fn is_weak(id: &str) -> bool {
    is_number(id) || id.len() < SHORTEST_PATIENT_ID
}

fn is_number(id: &str) -> bool {
    !id.chars().any(char::is_alphabetic) && !is_whole_uid(id)
}

impl Names {
    pub(super) fn of(path: &Path) -> Self {
        let name = |part: &Path| part.file_name().map(|name| name.to_string_lossy().into_owned());
        let file = name(path).unwrap_or_default();
        Self { uids: uids_in(&file), file, folders: path.ancestors().skip(1).filter_map(name).collect() }
    }

    /// Whether an id stands in a name in another spelling: other capitals, other signs between its words and numbers.
    fn resembles(&self, id: &str) -> bool {
        let folder = self.folders.first().map_or("", String::as_str);
        let stem = self.file.split('.').next().unwrap_or_default();
        // Two digits may count patients or nodes.
        if id.len() + 1 == SHORTEST_PATIENT_ID && is_number(id) {
            return [stem, folder].contains(&id);
        }
        let (id, text) = (words(id), words(&format!("{folder}/{}", self.file)));
        let has_number = id.iter().any(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        has_number
            && id.iter().map(String::len).sum::<usize>() >= SHORTEST_PATIENT_ID
            // A number alone may count anything.
            && id.len() > 1
            && text.windows(id.len()).any(|words| words == id)
    }
}

/// The runs of digits and dots of a name. A UID that goes on in the name is another one.
fn uids_in(name: &str) -> Vec<String> {
    let parts = name.split(|c: char| !(c.is_ascii_digit() || c == '.')).map(|part| part.trim_matches('.').to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

/// Whether an id stands in a name with no letter or digit beside it, and not as a part of a UID.
fn has(name: &str, id: &str) -> bool {
    if id.len() < SHORTEST_PATIENT_ID {
        return has_short(name, id);
    }
    let is_apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    let is_of_uid = |c: char| c.is_ascii_digit() || c == '.';
    name.match_indices(id).any(|(at, _)| {
        let (before, behind) = (&name[..at], &name[at + id.len()..]);
        let first = before.trim_end_matches(is_of_uid).len();
        let last = name.len() - behind.trim_start_matches(is_of_uid).len();
        let run = name[first..last].trim_matches('.');
        is_apart(before.chars().next_back()) && is_apart(behind.chars().next()) && (run == id || !is_whole_uid(run))
    })
}

/// Whether a name is an id of two characters, or has it once beside words that say of no patient. An id without letter or digit, or that reads as a
/// station, names a node more often: `LN`, `12`, `4R`.
fn has_short(name: &str, id: &str) -> bool {
    let has = |is: fn(char) -> bool| id.chars().any(is);
    let is_telling = has(|c| c.is_ascii_digit()) && has(char::is_alphabetic) && id.parse::<Station>().is_err();
    if id.len() + 1 < SHORTEST_PATIENT_ID || !is_telling {
        return false;
    }
    let parts = || name.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
    parts().filter(|part| *part == id).count() == 1
        && parts().all(|part| part == id || SILENT.contains(&part.to_lowercase().as_str()))
}

/// The words and numbers of a text, in small letters.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = None;
    for c in text.chars() {
        let kind = if c.is_alphanumeric() { Some(c.is_ascii_digit()) } else { None };
        match (kind, words.last_mut()) {
            (Some(_), Some(word)) if kind == before => word.extend(c.to_lowercase()),
            (Some(_), _) => words.push(c.to_lowercase().collect()),
            (None, _) => {}
        }
        before = kind;
    }
    words
}

/// Whether digits and dots of a name are a whole UID, and no date or version.
pub(super) fn is_whole_uid(text: &str) -> bool {
    text.len() >= SHORTEST_UID
        && ["0.", "1.", "2."].iter().any(|root| text.starts_with(root))
        && text.split('.').all(|part| !part.is_empty() && (part == "0" || !part.starts_with('0')))
}

impl SeriesIndex<'_> {
    /// The patients that a file name and the nearest folder of a patient speak of. A folder may be named by a series or a study of theirs.
    pub(super) fn patients_in(&self, names: &Names) -> NamedPatients<'_> {
        let usable = self.list.iter().map(|series| series.patient_id);
        let refused = self.refused.iter().map(|image| image.patient_id.as_str());
        // Images of one person bear the id that stands for all; a mask may be named by any of them.
        let ids: BTreeSet<&str> = usable.chain(refused).chain(self.people.ids()).collect();
        let named = |name: &str| {
            let found: Vec<&str> = ids.iter().copied().filter(|id| has(name, id)).collect();
            let is_whole = |id: &&str| !found.iter().any(|other| other != id && has(other, id));
            found.iter().copied().filter(is_whole).map(|id| self.people.canonical(id)).collect()
        };
        let of_uid = |uid: String| [self.of_series(&uid), self.of_study(&uid)].concat();
        let of_folder = |(above, name): (usize, &String)| {
            let by_uid = uids_in(name).into_iter().flat_map(of_uid);
            let mut patients: BTreeSet<&str> = named(name);
            // Above the folder of a mask stand years and counts of whole collections.
            patients.retain(|id| above == 0 || !is_number(id));
            patients.extend(by_uid.map(|n| self.people.canonical(self.list[n].patient_id)));
            patients
        };
        let mut folders = names.folders.iter().enumerate().map(of_folder);
        let folder = folders.find(|patients| !patients.is_empty()).unwrap_or_default();
        NamedPatients { file: named(&names.file), folder }
    }

    /// The patients, by the id that stands for each, whose id a name has in another spelling.
    pub(super) fn patients_like(&self, names: &Names) -> BTreeSet<&str> {
        let ids = self.list.iter().map(|series| series.patient_id).chain(self.people.ids());
        ids.filter(|id| names.resembles(id)).map(|id| self.people.canonical(id)).collect()
    }

    /// A whole UID in a file name that nothing here has: no series, study, frame of reference, slice or patient, refused ones among them.
    pub(super) fn unknown_uid<'n>(&self, names: &'n Names) -> Option<&'n str> {
        let is_refused = |uid: &str| {
            let mut names =
                self.refused.iter().flat_map(|image| [&image.series_uid, &image.study_uid, &image.patient_id]);
            names.any(|name| name == uid)
        };
        let is_known = |uid: &str| {
            let found = [self.of_series(uid), self.of_study(uid), self.of_frame(uid), self.of_slice(uid)];
            let is_patient =
                self.list.iter().any(|series| series.patient_id == uid) || self.people.ids().any(|id| id == uid);
            found.iter().any(|series| !series.is_empty()) || is_patient || is_refused(uid)
        };
        names.uids.iter().map(String::as_str).find(|uid| is_whole_uid(uid) && !is_known(uid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stands_alone_and_in_no_uid() {
        assert!(has("LUNG-004_nodes.nii.gz", "LUNG-004") && has("004.nii.gz", "004") && has("2.25.7", "2.25.7"));
        let uid = "1.2.826.0.1.3680043.8.498.77001122334455.1.2.1";
        assert!(!has(&format!("{uid}.nii.gz"), "826") && !has("LUNG-0041.nii", "LUNG-004") && !has("a7.nii", "7"));
        assert!(has(&format!("826_{uid}.nii.gz"), "826") && has(&format!("{uid}.nii.gz"), uid));
        assert_eq!(uids_in("LUNG_1.2.3.nii.gz"), ["1.2.3"]);
    }

    #[test]
    fn a_short_id_counts_where_nothing_else_speaks() {
        for (name, id) in [("B7.nii.gz", "B7"), ("B7_mask.nii.gz", "B7"), ("Seg-B7.seg.nrrd", "B7"), ("P2", "P2")] {
            assert!(has(name, id), "{name}");
        }
        for (name, id) in [
            ("B7_A1.nii.gz", "B7"),
            ("LN_B7.nii.gz", "B7"),
            ("node B7.nii.gz", "B7"),
            ("b7.nii.gz", "B7"),
            ("B7B7.nii.gz", "B7"),
            ("LN.nii.gz", "LN"),
            ("4R.nii.gz", "4R"),
            ("3a.nii.gz", "3a"),
            ("12.nii.gz", "12"),
            ("7.nii.gz", "7"),
        ] {
            assert!(!has(name, id), "{name}");
        }
    }
}
