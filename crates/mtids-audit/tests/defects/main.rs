//! Every kind of defect that an audit finds, planted once into a sound dataset at the smallest size that its check states.
//!
//! The table says for each: the check that must find it, the errors that go with it because the defect is one of theirs too (subsumption), and,
//! where the check has a threshold, the same defect just below it, which must not be found. No other error may be reported.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod plants;
#[path = "../support/mod.rs"]
mod support;
mod table;

use mtids_audit::audit::{Audit, audit};
use mtids_audit::config::AuditConfig;
use mtids_audit::issue::IssueCode as Code;
use mtids_audit::issue::Severity::{self, Error, Info};
use mtids_shards::RowLabels;
use support::{Published, publish_as, sound};
use table::DEFECTS;

/// A dataset before it is written.
struct Dataset {
    rows: Vec<RowLabels>,
    published: Published,
}

type Plant = fn(&mut Dataset);

/// A kind of defect.
struct Defect {
    what: &'static str,
    severity: Severity,
    code: Code,
    /// Errors that the defect is as well.
    also: &'static [Code],
    plant: Plant,
    /// The same, just too small to be found.
    below: Option<Plant>,
}

const fn defect(what: &'static str, severity: Severity, code: Code, plant: Plant) -> Defect {
    Defect { what, severity, code, also: &[], plant, below: None }
}

impl Defect {
    const fn also(self, also: &'static [Code]) -> Self {
        Self { also, ..self }
    }

    const fn below(self, below: Plant) -> Self {
        Self { below: Some(below), ..self }
    }
}

fn audited(plant: Option<Plant>) -> Audit {
    let folder = tempfile::tempdir().unwrap();
    let mut dataset = Dataset { rows: sound(), published: Published::default() };
    plant.into_iter().for_each(|plant| plant(&mut dataset));
    publish_as(folder.path(), &dataset.rows, &dataset.published);
    audit(folder.path(), &AuditConfig::default()).unwrap()
}

fn errors(audit: &Audit) -> Vec<Code> {
    audit.issues.iter().filter(|issue| issue.severity == Error).map(|issue| issue.code).collect()
}

#[test]
fn each_kind_of_defect_is_found_by_its_check_and_by_no_other_error() {
    let clean = audited(None);
    assert!(clean.issues.iter().all(|issue| issue.severity == Info), "{:?}", clean.issues);
    assert!(DEFECTS.len() >= 35, "{} kinds", DEFECTS.len());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let parts = DEFECTS.chunks(DEFECTS.len().div_ceil(threads));
        let started: Vec<_> = parts
            .map(|part| scope.spawn(|| part.iter().flat_map(|one| wrong(one, &clean)).collect::<Vec<_>>()))
            .collect();
        started.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_node_of_several_rows_has_one_status_and_no_more() {
    let is_told =
        |plant: Plant| audited(Some(plant)).issues.iter().any(|issue| issue.code == Code::OneStatusPerPatient);
    // Four samples of one node of each patient.
    assert!(!is_told(|d| {
        plants::status_of_patient(d, 0);
        d.rows.iter_mut().for_each(|row| row.weight = 0.25);
    }));
    // One node in four reconstructions.
    assert!(!is_told(|d| {
        plants::status_of_patient(d, 0);
        plants::series_of_its_own(d);
    }));
    assert!(is_told(|d| plants::status_of_patient(d, 0)));
}

/// What is not as the table says.
fn wrong(defect: &Defect, clean: &Audit) -> Vec<String> {
    let Defect { what, severity, code, also, plant, below } = defect;
    let has = |audit: &Audit| audit.issues.iter().any(|one| one.code == *code && one.severity == *severity);
    let found = audited(Some(*plant));
    let mut wrong = Vec::new();
    if !has(&found) || has(clean) {
        wrong.push(format!("{what}: {} was not found, but {:?}", code.name(), found.issues));
    }
    for error in errors(&found).iter().filter(|error| *error != code && !also.contains(error)) {
        wrong.push(format!("{what}: also {}", error.name()));
    }
    for expected in also.iter().filter(|expected| !errors(&found).contains(expected)) {
        wrong.push(format!("{what}: {} is said to go with it, and does not", expected.name()));
    }
    let mut issues = found.issues.iter().filter(|issue| issue.code == *code);
    if issues.any(|issue| issue.advice.is_empty() || issue.message.is_empty()) {
        wrong.push(format!("{what}: {} does not say what to do", code.name()));
    }
    if below.is_some_and(|below| has(&audited(Some(below)))) {
        wrong.push(format!("{what}: {} is found below its threshold", code.name()));
    }
    wrong
}
