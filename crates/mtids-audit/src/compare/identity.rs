//! What a row is, and whose: neither changes under one key in a sound rebuild.

use std::collections::{BTreeMap, BTreeSet};

use mtids_report::format::counted;

use super::pairs::Change;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Rows of both that belong to another patient: patients were merged, split or renamed.
pub(super) fn patients(changes: Vec<Change>) -> Option<AuditIssue> {
    let count = changes.len() as u64;
    let of = |side: usize| changes.iter().map(|change| &change.labels[side]).collect::<BTreeSet<_>>().len() as u64;
    let (before, after) = (of(0), of(1));
    let examples: Vec<String> = changes.iter().map(|change| change.labels.join(" → ")).collect();
    (count > 0).then(|| {
        AuditIssue::new(
            Severity::Error,
            IssueCode::PatientChanged,
            count,
            format!(
                "{} to another patient than before: those of {} are of {} now",
                counted(count, "row belongs", "rows belong"),
                counted(before, "patient", "patients"),
                counted(after, "patient", "patients")
            ),
            "people were merged, split or renamed, and with them splits and intervals: ask who changed the ids or identity.same_person",
        )
        .with_examples(examples)
        .with_rows(changes.into_iter().map(|change| change.key))
    })
}

/// Rows of both that are of another kind: a finding that became a negative lost its labels.
pub(super) fn kinds(changes: Vec<Change>) -> Option<AuditIssue> {
    let count = changes.len() as u64;
    let mut ways: BTreeMap<String, u64> = BTreeMap::new();
    for change in &changes {
        *ways.entry(change.labels.join(" → ")).or_default() += 1;
    }
    let examples = ways.into_iter().map(|(way, rows)| format!("{way}: {}", counted(rows, "row", "rows")));
    (count > 0).then(|| {
        AuditIssue::new(
            Severity::Error,
            IssueCode::KindChanged,
            count,
            format!("{} of another kind than before", counted(count, "row is", "rows are")),
            "a finding and a place without one never have the same key: the dataset was changed; build it again",
        )
        .with_examples(examples)
        .with_rows(changes.into_iter().map(|change| change.key))
    })
}
