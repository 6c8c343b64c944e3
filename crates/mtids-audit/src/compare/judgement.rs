//! What a difference between two datasets means: issues with a severity and what to do.
//!
//! Errors would make figures of the two datasets wrong beside each other, warnings need a look, notes inform. Invariant: two equal datasets
//! differ in nothing; what remains are faults of both, as a dataset without rows.

use mtids_report::format::counted;

use super::comparison::{Comparison, Transition};
use super::pairs::{MOVED_MM, MovedSamples};
use super::relabelled::keys as keys_of;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Keys of rows that changed, for a look at them.
pub(super) struct ChangedRows {
    /// Only in the first.
    pub(super) removed: Vec<String>,
    /// Only in the second.
    pub(super) added: Vec<String>,
    /// Only in the first, with a row only in the second close by.
    pub(super) moved: Vec<String>,
    /// Of both, with another label that no correction explains.
    pub(super) unexplained: Vec<String>,
    /// Of both, with another label that a correction explains.
    pub(super) corrected: Vec<String>,
    /// Of both, at another place.
    pub(super) samples: MovedSamples,
    /// Of both, at the same place, with other voxels.
    pub(super) voxels: Vec<String>,
    /// Patients in another split.
    pub(super) patients: Vec<String>,
}

/// Issues of a comparison with those that are known already, the gravest first.
pub(super) fn issues(found: &Comparison, rows: ChangedRows, known: Vec<AuditIssue>) -> Vec<AuditIssue> {
    let mut issues = known;
    issues.extend(keys(found));
    issues.extend(patients(found.moved_patients, rows.patients));
    issues.extend(places(found, rows.removed, rows.added, rows.moved));
    issues.extend(labels(found, rows.unexplained, rows.corrected));
    issues.extend(withdrawn(found));
    if found.changed_voxels > 0 {
        let count = found.changed_voxels;
        issues.push(
            AuditIssue::new(
                Severity::Warning,
                IssueCode::ChangedVoxels,
                count,
                format!("{} other voxels at the same place", counted(count, "row has", "rows have")),
                "views, interpolation or the image itself changed: results of the two datasets cannot be compared node by node",
            )
            .with_rows(rows.voxels),
        );
    }
    issues.extend(samples(rows.samples));
    issues.extend(drift(found));
    issues.sort_by(|a, b| (a.severity, a.code, &a.message).cmp(&(b.severity, b.code, &b.message)));
    issues
}

/// Rows of one key at two places. Shifted samples and negatives may move; the place of a finding is a part of its key.
fn samples(moved: MovedSamples) -> Option<AuditIssue> {
    let count = moved.keys.len() as u64;
    let far = moved.farthest_mm.map(|mm| format!(", up to {mm:.2} mm away")).unwrap_or_default();
    let lie = format!("{} at another place under the same key{far}", counted(count, "row lies", "rows lie"));
    let (severity, message, advice) = match moved.findings {
        0 => (
            Severity::Info,
            lie,
            "samples are shifted otherwise, or negatives were drawn anew because annotations or settings changed; their voxels are not compared",
        ),
        findings => (
            Severity::Warning,
            format!(
                "{lie}; {} not shifted, and moved by more than {MOVED_MM} mm",
                counted(findings, "of them is a finding that is", "of them are findings that are")
            ),
            "coordinates were changed, or are computed otherwise: look at these findings in both before anyone trains; their voxels are not compared",
        ),
    };
    (count > 0)
        .then(|| AuditIssue::new(severity, IssueCode::MovedSamples, count, message, advice).with_rows(moved.keys))
}

fn keys(found: &Comparison) -> Vec<AuditIssue> {
    let mut issues = Vec::new();
    if !found.same_secret {
        issues.push(AuditIssue::new(
            Severity::Warning,
            IssueCode::DifferentSecrets,
            found.rows.first + found.rows.second,
            "the datasets were built with different secrets: patients and rows cannot be matched",
            "build one of them again with the secret of the other; until then only the drift means something",
        ));
    }
    if !found.description.is_empty() {
        issues.push(
            AuditIssue::new(
                Severity::Info,
                IssueCode::DescriptionDiffers,
                found.description.len() as u64,
                format!("what the datasets are differs: {}", found.description.join(", ")),
                "`mtids-prep diff` lists views and inputs; config.resolved.toml of both has the settings",
            )
            .with_examples(found.description.iter().cloned()),
        );
    }
    issues
}

fn patients(moved: u64, keys: Vec<String>) -> Option<AuditIssue> {
    (moved > 0).then(|| {
        AuditIssue::new(
            Severity::Error,
            IssueCode::PatientMovedSplit,
            moved,
            format!("{} in another split", counted(moved, "patient is", "patients are")),
            "a network trained on the one has seen test patients of the other: train again, or give both the same split.table",
        )
        .with_examples(keys)
    })
}

/// Rows of one side only. Without a common secret every row is, and nothing is learnt from it.
fn places(found: &Comparison, removed: Vec<String>, added: Vec<String>, moved: Vec<String>) -> Vec<AuditIssue> {
    if !found.same_secret {
        return Vec::new();
    }
    let all = [
        (
            Severity::Warning,
            IssueCode::RemovedRows,
            found.rows.first,
            "gone from the second dataset",
            "look at quarantine and rejects of the second build; removed rows change what earlier results mean",
            removed,
        ),
        (
            Severity::Info,
            IssueCode::AddedRows,
            found.rows.second,
            "new in the second dataset",
            "results of the two datasets are over different nodes; compare on the rows of both",
            added,
        ),
        (
            Severity::Info,
            IssueCode::MovedFindings,
            found.moved_findings,
            "gone with a new one close by: a place was corrected, or read from another source",
            "these are the same nodes under other keys; count them neither as removed nor as added",
            moved,
        ),
    ];
    all.into_iter()
        .filter(|(_, _, count, ..)| *count > 0)
        .map(|(severity, code, count, words, advice, keys)| {
            let message = format!("{} {words}", counted(count, "row is", "rows are"));
            AuditIssue::new(severity, code, count, message, advice).with_rows(keys)
        })
        .collect()
}

fn labels(found: &Comparison, unexplained: Vec<String>, corrected: Vec<String>) -> Vec<AuditIssue> {
    let mut issues = Vec::new();
    if !unexplained.is_empty() {
        let along = |name: &str, transition: &Transition| {
            (transition.changed > 0).then(|| {
                let patients = counted(transition.changed_patients, "patient", "patients");
                format!("{name}: {} of {patients}", counted(transition.changed, "row", "rows"))
            })
        };
        let of_column = |name: &str| {
            let rows = found.changed_columns.get(name)?;
            Some(format!("{name}: {}", counted(*rows, "row", "rows")))
        };
        let dimensions = [along("region", &found.region), along("metastasis", &found.status)];
        let parts: Vec<String> =
            dimensions.into_iter().chain(["station", "evidence", "level"].map(of_column)).flatten().collect();
        let count = found.unexplained;
        issues.push(
            AuditIssue::new(
                Severity::Warning,
                IssueCode::Relabelled,
                count,
                format!("{} another label without a recorded correction (all changes, {})", counted(count, "row has", "rows have"), parts.join("; ")),
                "a source or a rule of classes changed: ask who changed it, and write decisions into corrections.csv (`mtids-prep build --corrections`)",
            )
            .with_rows(unexplained),
        );
    }
    if !corrected.is_empty() {
        let count = corrected.len() as u64;
        issues.push(
            AuditIssue::new(
                Severity::Info,
                IssueCode::Relabelled,
                count,
                format!("{} another label by a recorded correction", counted(count, "row has", "rows have")),
                "corrections.jsonl of the second dataset says which, and who decided (as a pseudonym)",
            )
            .with_rows(corrected),
        );
    }
    issues
}

/// Decisions of people that were lost.
fn withdrawn(found: &Comparison) -> Option<AuditIssue> {
    let count = found.withdrawn.len() as u64;
    (count > 0).then(|| {
        AuditIssue::new(
            Severity::Warning,
            IssueCode::CorrectionsWithdrawn,
            count,
            format!(
                "{} of the first dataset {} gone, and the labels are others",
                counted(count, "correction", "corrections"),
                if count == 1 { "is" } else { "are" }
            ),
            "was the second dataset built without --corrections? build it with the table, or ask who withdrew the decisions",
        )
        .with_rows(keys_of(&found.withdrawn))
    })
}

fn drift(found: &Comparison) -> Option<AuditIssue> {
    let drifting: Vec<String> = found
        .drift
        .iter()
        .filter(|drift| drift.is_reported(&found.config))
        .map(super::comparison::Drift::name)
        .collect();
    let count = drifting.len() as u64;
    (count > 0).then(|| {
        let few: Vec<&str> = drifting.iter().take(3).map(String::as_str).collect();
        let more = if drifting.len() > few.len() { ", …" } else { "" };
        AuditIssue::new(
            Severity::Warning,
            IssueCode::Drift,
            count,
            format!("{} beyond chance: {}{more}", counted(count, "figure drifts", "figures drift"), few.join(", ")),
            "a threshold or calibration of the first dataset may not fit the second; look at the table of drift, and evaluate on both",
        )
        .with_examples(drifting)
    })
}
