//! Columns that one dataset has and the other has not: nothing of them is compared, which must not look like no difference.

use mtids_report::format::counted;

use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Most columns that the message names.
const MOST_NAMED: usize = 10;

/// Columns of the first dataset that are gone, and new ones of the second.
pub(super) fn issues(first: &Index, second: &Index) -> Vec<AuditIssue> {
    let of_one_alone = |one: &Index, other: &Index| -> Vec<String> {
        one.columns().difference(other.columns()).map(|name| format!("`{name}`")).collect()
    };
    let sides = [
        (
            Severity::Warning,
            of_one_alone(first, second),
            "gone from the second dataset",
            "checks of them find nothing in the second dataset, and nothing of them is compared: build it again with this program",
        ),
        (
            Severity::Info,
            of_one_alone(second, first),
            "new in the second dataset",
            "nothing of them is compared: an older program built the first dataset",
        ),
    ];
    let of_side = |(severity, names, words, advice): (Severity, Vec<String>, &str, &str)| {
        let count = names.len() as u64;
        (count > 0).then(|| {
            let named = names.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
            let more = if names.len() > MOST_NAMED { ", …" } else { "" };
            let message = format!("{} {words}: {named}{more}", counted(count, "column is", "columns are"));
            AuditIssue::new(severity, IssueCode::ColumnsDiffer, count, message, advice).with_examples(names)
        })
    };
    sides.into_iter().filter_map(of_side).collect()
}

/// A dataset without any row: it is said as the audit of it says so, and not taken for a damaged file.
pub(super) fn empty(datasets: [&Index; 2]) -> Result<Vec<AuditIssue>, AuditError> {
    let mut issues = Vec::new();
    for (name, index) in ["first", "second"].into_iter().zip(datasets) {
        if index.rows()? == 0 {
            issues.push(AuditIssue::new(
                Severity::Warning,
                IssueCode::FewPatients,
                0,
                format!("the {name} dataset has no row, so no row can be compared"),
                "look at quarantine and unmatched findings of its build, and build it again",
            ));
        }
    }
    Ok(issues)
}
