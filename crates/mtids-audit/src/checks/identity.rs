//! What is of one person, under two patients: studies, series, instances, frames of reference.
//!
//! `mtids-prep` stops where a study or an instance has two patients; a dataset may have been built before it did, or by another program.
//! Invariant: patients are those of the dataset, so ids that were declared to be one person are one patient here.

use std::collections::{BTreeMap, BTreeSet};

use mtids_report::format::counted;
use mtids_shards::NO_CODE;
use polars::prelude::col;

use super::nobody::Nobody;
use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// A column whose values are of one patient each.
struct OfOnePatient {
    column: &'static str,
    severity: Severity,
    code: IssueCode,
    one: &'static str,
    many: &'static str,
    advice: &'static str,
}

const COLUMNS: [OfOnePatient; 4] = [
    OfOnePatient {
        column: "study_key",
        severity: Severity::Error,
        code: IssueCode::StudyOfTwoPatients,
        one: "study has",
        many: "studies have",
        advice: "one person under two PatientIDs, or one UID for several studies: correct the ids, or list them in \
                 identity.same_person, and build again",
    },
    OfOnePatient {
        column: "series_key",
        severity: Severity::Error,
        code: IssueCode::SeriesOfTwoPatients,
        one: "series has",
        many: "series have",
        advice: "one person under two PatientIDs, or one UID for several series: correct the ids, or list them in \
                 identity.same_person, and build again",
    },
    OfOnePatient {
        column: "instance_key",
        severity: Severity::Error,
        code: IssueCode::InstanceOfTwoPatients,
        one: "SOP instance has",
        many: "SOP instances have",
        advice: "one image under two PatientIDs, or one UID for several images: correct the ids, or list them in \
                 identity.same_person, and build again",
    },
    OfOnePatient {
        column: "frame_of_reference_key",
        severity: Severity::Warning,
        code: IssueCode::FrameOfTwoPatients,
        one: "frame of reference has",
        many: "frames of reference have",
        advice: "a constant of an anonymiser, or one person under two PatientIDs: compare dates and scanners of these patients; if they are \
                 one person, list their ids in identity.same_person and build again",
    },
];

/// Studies, series, instances and frames of reference with rows of more than one patient. Examples are two of the patients.
pub(super) fn shared_by_patients(index: &Index, nobody: &Nobody) -> Result<Vec<AuditIssue>, AuditError> {
    let patients = index.query_of(Rows::All, |frame| frame.select([col("patient_key")]))?.codes("patient_key")?;
    let mut issues = Vec::new();
    for OfOnePatient { column, severity, code, one, many, advice } in COLUMNS {
        // By the first row of each value: the first row with a patient, and one of another patient.
        let mut owners = vec![NO_CODE; patients.len()];
        let mut others: BTreeMap<u32, u32> = BTreeMap::new();
        for (row, first) in (0..).zip(index.first_rows(column)?) {
            let patient = patients[row as usize];
            let Some(owner) = owners.get_mut(first as usize).filter(|_| !nobody.is(patient)) else { continue };
            if *owner == NO_CODE {
                *owner = row;
            } else if patients[*owner as usize] != patient {
                others.entry(*owner).or_insert(row);
            }
        }
        let count = others.len() as u64;
        let rows = others.iter().flat_map(|(one, other)| [*one, *other]).collect();
        if count > 0 {
            issues.push(
                AuditIssue::new(
                    severity,
                    code,
                    count,
                    format!("{} patches of more than one patient", counted(count, one, many)),
                    advice,
                )
                .with_examples(pairs(index, others.into_iter())?)
                .with_rows(index.keys_at(rows)?),
            );
        }
    }
    Ok(issues)
}

/// The patients of pairs of rows, as people read them.
pub(super) fn pairs(index: &Index, rows: impl Iterator<Item = (u32, u32)>) -> Result<Vec<String>, AuditError> {
    let rows: Vec<(u32, u32)> = rows.collect();
    let all: BTreeSet<u32> = rows.iter().flat_map(|(one, other)| [*one, *other]).collect();
    let all: Vec<u32> = all.into_iter().collect();
    let texts = index.coded()?.index().texts_at("patient_key", &all)?;
    let text = |row: &u32| all.binary_search(row).ok().and_then(|at| texts[at].clone()).unwrap_or_default();
    let named = rows.iter().map(|(one, other)| {
        let mut names = [text(one), text(other)];
        names.sort();
        names.join(" and ")
    });
    Ok(named.collect())
}
