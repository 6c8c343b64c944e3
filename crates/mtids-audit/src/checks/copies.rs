//! Rows that come more than once: by their key, or by their voxels.
//!
//! Invariant: a column of keys is looked through once, and only the rows that come more than once are read on, so the cost is that of a sort.

use std::collections::{BTreeMap, BTreeSet};

use mtids_report::format::counted;
use mtids_shards::NO_CODE;

use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// A row that is not the only one.
struct Copy {
    key: String,
    patient: u32,
    split: u32,
    region: Option<String>,
    status: Option<String>,
    is_finding: bool,
}

/// Keys must be unique; so should voxels be, and where they are not, their labels must agree.
pub(super) fn duplicates(index: &Index) -> Result<Vec<AuditIssue>, AuditError> {
    let mut issues = Vec::new();
    let same_key = copies(index, "sample_key")?;
    if !same_key.is_empty() {
        issues.push(
            AuditIssue::new(
                Severity::Error,
                IssueCode::DuplicateSample,
                same_key.len() as u64,
                format!(
                    "{} in more than one row",
                    counted(same_key.len() as u64, "sample key occurs", "sample keys occur")
                ),
                "sample keys must be unique; the dataset was not written by mtids-prep, or was changed",
            )
            .with_examples(same_key.iter().filter_map(|rows| Some(rows.first()?.key.clone()))),
        );
    }
    let same_voxels = copies(index, "voxels_digest")?;
    let differ = |rows: &[Copy], of: fn(&Copy) -> u32| rows.iter().any(|row| of(row) != of(&rows[0]));
    let (leaking, inside): (Vec<&Vec<Copy>>, Vec<&Vec<Copy>>) =
        same_voxels.iter().partition(|rows| differ(rows, |row| row.split) || differ(rows, |row| row.patient));
    for (severity, copies, place, advice) in [
        (
            Severity::Error,
            leaking,
            "across patients or splits",
            "one person with two IDs, or a study exported twice: merge the patients and build again",
        ),
        (Severity::Warning, inside, "within a patient", "a node annotated twice counts twice; remove one annotation"),
    ] {
        if !copies.is_empty() {
            let count = copies.len() as u64;
            let message = format!(
                "{} more than once with identical voxels, {place}",
                counted(count, "patch comes", "patches come")
            );
            let firsts = copies.iter().filter_map(|rows| rows.iter().map(|row| row.key.clone()).min());
            issues.push(
                AuditIssue::new(severity, IssueCode::DuplicateVoxels, count, message, advice)
                    .with_examples(firsts)
                    .with_rows(copies.iter().flat_map(|rows| rows.iter().map(|row| row.key.clone()))),
            );
        }
    }
    issues.extend(other_labels(&same_voxels));
    Ok(issues)
}

/// Findings with the same voxels must not carry different labels, whoever's they are. Unknown contradicts nothing.
fn other_labels(same_voxels: &[Vec<Copy>]) -> Option<AuditIssue> {
    let mut keys: Vec<String> = Vec::new();
    for rows in same_voxels {
        let findings = || rows.iter().filter(|row| row.is_finding);
        let regions: BTreeSet<&String> = findings().filter_map(|row| row.region.as_ref()).collect();
        let statuses: BTreeSet<&String> = findings().filter_map(|row| row.status.as_ref()).collect();
        if regions.len() > 1 || statuses.len() > 1 {
            keys.extend(findings().map(|row| row.key.clone()));
        }
    }
    (!keys.is_empty()).then(|| {
        AuditIssue::new(
            Severity::Error,
            IssueCode::SameVoxelsOtherLabels,
            keys.len() as u64,
            format!(
                "{} the voxels of another one, and another label",
                counted(keys.len() as u64, "patch has", "patches have")
            ),
            "the network cannot learn both: ask which label is right, correct it, or remove one of them",
        )
        .with_rows(keys)
    })
}

/// The rows with one text in a column of keys, where there are several; in the order of the file.
fn copies(index: &Index, column: &str) -> Result<Vec<Vec<Copy>>, AuditError> {
    let firsts = index.first_rows(column)?;
    let mut rows = BTreeSet::new();
    for (row, first) in firsts.iter().enumerate().filter(|(row, first)| **first != NO_CODE && **first as usize != *row)
    {
        rows.extend([*first, row as u32]);
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<u32> = rows.into_iter().collect();
    let columns = ["sample_key", "patient_key", "split", "region_name", "metastasis", "kind"];
    let answer = index.rows_at(Rows::All, rows.clone(), &columns)?;
    let (keys, kinds) = (answer.texts("sample_key")?, answer.texts("kind")?);
    let (patients, splits) = (answer.codes("patient_key")?, answer.codes("split")?);
    let (regions, statuses) = (answer.texts("region_name")?, answer.texts("metastasis")?);
    let mut groups: BTreeMap<u32, Vec<Copy>> = BTreeMap::new();
    for (n, row) in rows.iter().enumerate() {
        groups.entry(firsts[*row as usize]).or_default().push(Copy {
            key: keys[n].clone().unwrap_or_default(),
            patient: patients[n],
            split: splits[n],
            region: regions[n].clone(),
            status: statuses[n].clone(),
            is_finding: kinds[n].as_deref() == Some("finding"),
        });
    }
    Ok(groups.into_values().collect())
}
