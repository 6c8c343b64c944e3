//! What is of one person, under two patients: studies, instances, frames of reference.
//!
//! `mtids-prep` stops where a study or an instance has two patients; a dataset may have been built before it did, or by another program.
//! Invariant: patients are those of the dataset, so ids that were declared to be one person are one patient here.

use polars::prelude::{col, lit};

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

const COLUMNS: [OfOnePatient; 3] = [
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

/// Studies, instances and frames of reference with rows of more than one patient. Examples are two of the patients.
pub(super) fn shared_by_patients(index: &Index) -> Result<Vec<AuditIssue>, AuditError> {
    let mut issues = Vec::new();
    for OfOnePatient { column, severity, code, one, many, advice } in COLUMNS {
        let answer = index.query_of(Rows::All, |frame| {
            frame
                .filter(col(column).is_not_null())
                .group_by([col(column)])
                .agg([
                    col("patient_key").n_unique().alias("patients"),
                    col("patient_key").min().alias("first"),
                    col("patient_key").max().alias("last"),
                ])
                .filter(col("patients").gt(lit(1)))
        })?;
        let count = answer.len() as u64;
        if count > 0 {
            let (first, last) = (answer.texts("first")?, answer.texts("last")?);
            let pairs = first.into_iter().flatten().zip(last.into_iter().flatten());
            issues.push(
                AuditIssue::new(
                    severity,
                    code,
                    count,
                    format!("{count} {} patches of more than one patient", if count == 1 { one } else { many }),
                    advice,
                )
                .with_examples(pairs.map(|(first, last)| format!("{first} and {last}"))),
            );
        }
    }
    Ok(issues)
}
