//! UIDs that several patients bear.
//!
//! Method: studies and frames of reference are gathered in maps, once for each run of slices that share their facts. Instances are sorted
//! by a hash of their UID; only equal hashes are compared as texts, so the result is exact. Invariant: 16 bytes of memory for each
//! instance; time grows as n log n, also where many UIDs or hashes are equal.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::sync::Arc;

use mtids_dicom::{InstanceHeader, ObjectIdentity};
use mtids_domain::same_person::SamePerson;
use mtids_report::format::counted;
use rayon::prelude::*;

use crate::identity::contradiction::{Contradiction, Verdict};

/// What images and annotation objects say that they are.
#[derive(Clone, Copy)]
pub(super) struct Claims<'a> {
    pub(super) headers: &'a [InstanceHeader],
    pub(super) objects: &'a [ObjectIdentity],
    pub(super) same: &'a SamePerson,
}

/// Who bears a UID: the patients, each with the first file in the order of the scan.
type Bearers<'a> = BTreeMap<&'a str, &'a Path>;

/// Studies and frames of reference of a scan.
#[derive(Default)]
pub(super) struct Studies<'a> {
    /// For each study its patients; those of one person under the id that stands for them.
    patients: BTreeMap<&'a str, Bearers<'a>>,
    /// For each raw PatientID its studies, each with a file.
    pub(super) by_raw_patient: BTreeMap<&'a str, BTreeMap<&'a str, &'a Path>>,
    /// For each frame of reference its patients.
    frames: BTreeMap<&'a str, Bearers<'a>>,
}

impl<'a> Studies<'a> {
    /// PatientIDs as files bear them.
    pub(super) fn raw_patients(&self) -> impl Iterator<Item = &'a str> {
        self.by_raw_patient.keys().copied()
    }
}

impl<'a> Claims<'a> {
    pub(super) fn studies(&self) -> Studies<'a> {
        let mut studies = Studies::default();
        let mut add = |raw: &'a str, study: &'a str, path: &'a Path| {
            studies.patients.entry(study).or_default().entry(self.same.canonical(raw)).or_insert(path);
            studies.by_raw_patient.entry(raw).or_default().entry(study).or_insert(path);
        };
        // Slices of a series follow each other and share their facts.
        let runs = || self.headers.chunk_by(|a, b| Arc::ptr_eq(&a.shared, &b.shared)).filter_map(<[_]>::first);
        for header in runs() {
            add(&header.patient_id, &header.study_uid, &header.path);
        }
        for object in self.objects {
            if let (Some(patient), Some(study)) = (&object.patient_id, &object.study_uid) {
                add(patient, study, &object.path);
            }
        }
        for header in runs() {
            if let Some(frame) = &header.frame_of_reference_uid {
                let patient = self.same.canonical(&header.patient_id);
                studies.frames.entry(frame).or_default().entry(patient).or_insert(&header.path);
            }
        }
        studies
    }

    /// The SOP instance of a file; `None` for further frames of one, and where it is missing.
    fn instance(&self, n: usize) -> Option<&'a str> {
        match self.headers.get(n) {
            Some(header) => (header.frame == 0).then_some(header.sop_instance_uid.as_str()),
            None => self.objects.get(n - self.headers.len())?.sop_instance_uid.as_deref(),
        }
    }

    /// Patient, series (none for an object) and file.
    fn bearer(&self, n: usize) -> Option<(&'a str, Option<&'a str>, &'a Path)> {
        match self.headers.get(n) {
            Some(header) => Some((self.same.canonical(&header.patient_id), Some(&header.series_uid), &header.path)),
            None => {
                let object = self.objects.get(n - self.headers.len())?;
                Some((self.same.canonical(object.patient_id.as_deref()?), None, &object.path))
            }
        }
    }

    /// Numbers of the files that share a SOPInstanceUID with another, one group for each UID, in the order of UIDs.
    fn repeated_instances(&self) -> Vec<(&'a str, Vec<usize>)> {
        let count = self.headers.len() + self.objects.len();
        let hashed = |n: usize| {
            let mut hasher = DefaultHasher::new();
            hasher.write(self.instance(n)?.as_bytes());
            Some((hasher.finish(), n))
        };
        let mut order: Vec<(u64, usize)> = (0..count).into_par_iter().filter_map(hashed).collect();
        order.par_sort_unstable();
        let mut groups = Vec::new();
        for alike in order.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
            let mut named: Vec<(&str, usize)> =
                alike.iter().filter_map(|&(_, n)| Some((self.instance(n)?, n))).collect();
            named.sort_unstable();
            for same in named.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
                groups.push((same[0].0, same.iter().map(|&(_, n)| n).collect()));
            }
        }
        groups.sort_unstable();
        groups
    }
}

/// UIDs that the same patients share: how many, and the bearers of the first.
#[derive(Default)]
struct SharedBy<'a> {
    uids: usize,
    first: &'a str,
    bearers: Bearers<'a>,
}

/// Gathers UIDs, in ascending order, by the set of patients that share them.
fn by_patients<'a>(uids: impl Iterator<Item = (&'a str, Bearers<'a>)>) -> BTreeMap<Vec<&'a str>, SharedBy<'a>> {
    let mut shared: BTreeMap<Vec<&str>, SharedBy<'_>> = BTreeMap::new();
    for (uid, bearers) in uids.filter(|(_, bearers)| bearers.len() > 1) {
        let entry = shared.entry(bearers.keys().copied().collect()).or_default();
        if entry.uids == 0 {
            (entry.first, entry.bearers) = (uid, bearers);
        }
        entry.uids += 1;
    }
    shared
}

/// Finds studies and instances of several patients, frames of reference of several patients, and instances in several series.
pub(super) fn judge_uids<'a>(claims: &Claims<'a>, studies: &Studies<'a>, verdict: &mut Verdict) {
    let repeated = claims.repeated_instances();
    let instances = repeated.iter().map(|(uid, files)| {
        let mut bearers = Bearers::new();
        for (patient, _, path) in files.iter().filter_map(|&n| claims.bearer(n)) {
            bearers.entry(patient).or_insert(path);
        }
        (*uid, bearers)
    });
    let of_studies = studies.patients.iter().map(|(uid, bearers)| (*uid, bearers.clone()));
    // Sets of patients that a study has joined already: their instances say nothing new.
    let mut said: BTreeSet<Vec<&str>> = BTreeSet::new();
    for (attribute, shared) in
        [("StudyInstanceUID", by_patients(of_studies)), ("SOPInstanceUID", by_patients(instances))]
    {
        for (patients, SharedBy { uids, first, bearers }) in shared {
            if !said.insert(patients) {
                continue;
            }
            let patients = bearers.into_iter().map(|(id, path)| (id.to_owned(), path.to_owned())).collect();
            verdict.contradictions.push(Contradiction::SharedUid { attribute, uid: first.to_owned(), uids, patients });
        }
    }
    let mut frames = by_patients(studies.frames.iter().map(|(uid, bearers)| (*uid, bearers.clone())));
    let named: BTreeSet<&str> = said.into_iter().flatten().collect();
    frames.retain(|patients, _| !patients.iter().all(|patient| named.contains(patient)));
    verdict.warnings.extend(frames_of_several(&frames));
    verdict.warnings.extend(instances_of_several_series(claims, &repeated));
}

/// One sentence about frames of reference that patients share.
fn frames_of_several(shared: &BTreeMap<Vec<&str>, SharedBy<'_>>) -> Option<String> {
    let (patients, first) = shared.iter().next()?;
    let all: BTreeSet<&str> = shared.keys().flatten().copied().collect();
    let frames: usize = shared.values().map(|one| one.uids).sum();
    let [one, other, ..] = patients[..] else { return None };
    Some(format!(
        "FrameOfReferenceUID {} is borne by `{one}` and `{other}`; {} of {} are shared so. It is an anonymiser's constant, or one person under \
         two ids. It joins nobody: findings stay within their own patient and study. If these are one person, set identity.same_person",
        first.first,
        counted(frames as u64, "frame of reference", "frames of reference"),
        counted(all.len() as u64, "patient", "patients"),
    ))
}

/// One sentence about SOPInstanceUIDs that stand in several series of one patient.
fn instances_of_several_series(claims: &Claims<'_>, repeated: &[(&str, Vec<usize>)]) -> Option<String> {
    let in_two_series = |files: &[usize]| {
        let bearers = || files.iter().filter_map(|&n| claims.bearer(n));
        let (patient, series, path) = bearers().next()?;
        let (_, _, other) = bearers().find(|one| one.0 == patient && one.1 != series)?;
        Some((path, other))
    };
    let mut found = repeated.iter().filter_map(|(uid, files)| Some((uid, in_two_series(files)?)));
    let (uid, (path, other)) = found.next()?;
    Some(format!(
        "SOPInstanceUID {uid} is borne by {} and {}, two series of one patient{}. A program has written one UID for several images; anonymise \
         or export again, with a UID of its own for each. Slices are told apart by series and position",
        path.display(),
        other.display(),
        match found.count() {
            0 => String::new(),
            more => format!(", and {more} more are shared so"),
        }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_dicom::Limits;
    use proptest::prelude::*;

    /// An object of `patient` in `study` with the instance `sop`.
    fn object(patient: &str, study: &str, sop: &str) -> ObjectIdentity {
        ObjectIdentity {
            path: format!("{patient}-{study}-{sop}.dcm").into(),
            patient_id: Some(patient.to_owned()),
            study_uid: Some(study.to_owned()),
            series_uid: None,
            sop_instance_uid: Some(sop.to_owned()),
            is_ct: false,
        }
    }

    fn judged(objects: &[ObjectIdentity], groups: &[&[&str]]) -> Verdict {
        let groups: Vec<Vec<String>> =
            groups.iter().map(|group| group.iter().map(|id| (*id).to_owned()).collect()).collect();
        crate::identity::judge(&[], objects, &SamePerson::of_groups(&groups).unwrap(), &Limits::default())
    }

    fn attributes(verdict: &Verdict) -> Vec<(&str, usize, usize)> {
        let one = |contradiction: &Contradiction| match *contradiction {
            Contradiction::SharedUid { attribute, uids, ref patients, .. } => (attribute, uids, patients.len()),
            Contradiction::SeveralPeople { .. } => panic!("{contradiction:?}"),
        };
        verdict.contradictions.iter().map(one).collect()
    }

    #[test]
    fn studies_and_instances_of_two_patients_are_found_once_for_each_pair() {
        let objects = [
            object("A", "1", "1.1"),
            object("B", "1", "1.2"),
            object("A", "2", "2.1"),
            object("B", "2", "2.2"),
            object("C", "3", "3.1"),
            object("D", "4", "3.1"),
            // What a study has said is not said again by an instance.
            object("B", "1", "1.1"),
            object("E", "5", "5.1"),
        ];
        let verdict = judged(&objects, &[]);
        assert_eq!(attributes(&verdict), [("StudyInstanceUID", 2, 2), ("SOPInstanceUID", 1, 2)]);
        let Contradiction::SharedUid { uid, patients, .. } = &verdict.contradictions[0] else { panic!() };
        assert_eq!((uid.as_str(), patients[0].0.as_str()), ("1", "A"));
        assert_eq!(patients[1].1, Path::new("B-1-1.2.dcm"), "the first file in the order of the scan");
        // Said to be one person, they contradict nothing.
        assert_eq!(attributes(&judged(&objects, &[&["A", "B"]])), [("SOPInstanceUID", 1, 2)]);
        assert_eq!(judged(&objects, &[&["A", "B"], &["D", "C"]]), Verdict::default());
    }

    #[test]
    fn a_group_of_ids_that_nobody_bears_is_a_slip_of_the_pen() {
        let verdict = judged(&[object("A", "1", "1.1")], &[&["A", "a"]]);
        assert!(verdict.warnings[0].contains("`a`"), "{verdict:?}");
    }

    proptest! {
        #[test]
        fn the_verdict_is_that_of_comparing_every_pair(
            claims in prop::collection::vec(("[a-d]", "[1-6]", "[1-9]"), 0..12),
        ) {
            let objects: Vec<_> = claims.iter().map(|(a, b, c)| object(a, b, c)).collect();
            let pairs = |same: fn(&ObjectIdentity, &ObjectIdentity) -> bool| {
                objects.iter().any(|a| objects.iter().any(|b| a.patient_id != b.patient_id && same(a, b)))
            };
            let contradicts = pairs(|a, b| a.study_uid == b.study_uid || a.sop_instance_uid == b.sop_instance_uid);
            let verdict = judged(&objects, &[]);
            prop_assert_eq!(contradicts, !verdict.contradictions.is_empty());
        }
    }
}
