//! Rows that no dataset may have, gathered over columns into one issue.
//!
//! Invariant: a row counts once, in however many columns it is wrong; the rows are named in the order of the file.

use std::collections::BTreeSet;
use std::fmt::Display;

use mtids_report::format::counted;

use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Rows found so far.
#[derive(Debug, Default)]
pub(super) struct WrongRows {
    rows: BTreeSet<u32>,
    /// What is wrong, each with the number of its rows.
    examples: Vec<String>,
}

impl WrongRows {
    /// Adds rows, and an example that says what is wrong with them, if there are any.
    pub(super) fn add(&mut self, what: impl Display, rows: Vec<u32>) {
        if !rows.is_empty() {
            self.examples.push(format!("{what}: {}", counted(rows.len() as u64, "row", "rows")));
            self.rows.extend(rows);
        }
    }

    /// The error that these rows are, if there are any: they have (`one`, `many`) `what`.
    pub(super) fn issue(
        self,
        index: &Index,
        code: IssueCode,
        [one, many, what]: [&str; 3],
        advice: &str,
    ) -> Result<Option<AuditIssue>, AuditError> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let count = self.rows.len() as u64;
        let message = format!("{} {what}", counted(count, one, many));
        let issue = AuditIssue::new(Severity::Error, code, count, message, advice);
        Ok(Some(issue.with_examples(self.examples).with_rows(index.keys_at(self.rows)?)))
    }
}
