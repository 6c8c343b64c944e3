//! Which reports others replace: a corrected report names the earlier one among its Predecessor Documents (0040,A360).
//!
//! Purpose: what was moved or deleted in the later report must not come back from the earlier one. Invariants: a report replaces only reports of
//! its own patient and study, because a follow-up may name the report before it; of reports that replace each other all are read, and told; what
//! cannot be read, and an answer of `predict`, replaces nothing.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use mtids_dicom::Limits;
use mtids_domain::same_person::SamePerson;

use crate::report::read_report;

/// For each report, in the given order, those that replace it, directly or through others.
pub(super) struct Successors {
    /// SOP Instance UID of each report that was read.
    uids: Vec<Option<String>>,
    /// Reports that replace each one, nearest first; itself among them where it is in a circle.
    of: Vec<Vec<usize>>,
}

/// What a report replaces, and whose it is.
#[derive(Default)]
struct Link {
    uid: Option<String>,
    /// Patient and study, where the report names its study.
    of: Option<(Option<String>, String)>,
    predecessors: Vec<String>,
}

impl Successors {
    pub(super) fn of(reports: &[PathBuf], people: &SamePerson, limits: &Limits) -> Self {
        let link = |path: &PathBuf| {
            // Reading it for its findings says why it cannot be read.
            let read = read_report(path, limits).ok().filter(|report| !report.context.is_answer);
            read.map_or_else(Link::default, |report| {
                let patient = report.patient_id.map(|patient| people.canonical(&patient).to_owned());
                let (uid, study) = (report.context.sop_instance_uid, report.context.study_uid);
                Link { uid, of: study.map(|study| (patient, study)), predecessors: report.context.predecessors }
            })
        };
        // One report replaces none.
        let links: Vec<Link> = if reports.len() > 1 { reports.iter().map(link).collect() } else { Vec::new() };
        let of = all_successors(&links);
        Self { uids: links.into_iter().map(|link| link.uid).collect(), of }
    }

    /// A sentence that names the report that replaces this one; `None` where none does.
    pub(super) fn replacing(&self, number: usize) -> Option<String> {
        // What this one replaces in turn is a circle.
        let is_later = |later: &&usize| self.of.get(**later).is_none_or(|after| !after.contains(&number));
        let later = self.of.get(number)?.iter().find(is_later)?;
        let uid = self.uids.get(*later)?.as_deref()?;
        Some(format!("report {uid} of the same study names it as its predecessor, and is read in its place"))
    }

    /// A sentence where a report is in a circle.
    pub(super) fn cycle(&self, number: usize) -> Option<String> {
        let is_in_circle = self.of.get(number).is_some_and(|after| after.contains(&number));
        is_in_circle.then(|| {
            "it is named as a predecessor of a report that it replaces itself: which is the later one is not known, and both are read; leave one out"
                .to_owned()
        })
    }
}

/// For each report, all that replace it, nearest first.
fn all_successors(links: &[Link]) -> Vec<Vec<usize>> {
    let mut naming: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (later, link) in links.iter().enumerate() {
        link.predecessors.iter().for_each(|uid| naming.entry(uid).or_default().push(later));
    }
    let next = |number: usize| {
        let uid = links[number].uid.as_deref();
        let later = uid.and_then(|uid| naming.get(uid)).into_iter().flatten().copied();
        // One that names itself says nothing.
        later.filter(move |later| {
            links[*later].of.is_some() && links[*later].of == links[number].of && links[*later].uid != links[number].uid
        })
    };
    let after = |number: usize| {
        let mut found: Vec<usize> = Vec::new();
        let mut ahead: VecDeque<usize> = next(number).collect();
        while let Some(later) = ahead.pop_front() {
            if !found.contains(&later) {
                found.push(later);
                ahead.extend(next(later));
            }
        }
        found
    };
    (0..links.len()).map(after).collect()
}
