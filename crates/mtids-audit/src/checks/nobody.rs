//! Rows without patient: the id is null or blank.
//!
//! They belong together no more than any others. So checks by patient must not take them for one, or for a second patient of a study.

use mtids_shards::NO_CODE;

use super::wrong_rows::WrongRows;
use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode};

/// The column.
pub(super) const PATIENT: &str = "patient_key";
/// Letters of ids that name nobody.
const BLANKS: [char; 4] = [' ', '\t', '\u{a0}', '\u{3000}'];

/// Ids of up to three blanks of any kind, and of up to 64 spaces, with which DICOM fills texts.
fn blank_ids() -> Vec<String> {
    let longer = |ids: &[String]| ids.iter().flat_map(|id| BLANKS.map(|blank| format!("{id}{blank}"))).collect();
    let one: Vec<String> = longer(&[String::new()]);
    let two: Vec<String> = longer(&one);
    let three: Vec<String> = longer(&two);
    let spaces = (4..=64).map(|count| " ".repeat(count));
    [String::new()].into_iter().chain(one).chain(two).chain(three).chain(spaces).collect()
}

/// What stands for no patient.
pub(crate) struct Nobody {
    /// Numbers of the blank ids: their first rows.
    blank: Vec<u32>,
}

impl Nobody {
    pub(super) fn of(index: &Index) -> Result<Self, AuditError> {
        let blank = blank_ids();
        let rows = index.coded()?.index().rows_of(PATIENT, blank.iter().map(String::as_str))?;
        let firsts = if rows.is_empty() { Vec::new() } else { index.first_rows(PATIENT)? };
        Ok(Self { blank: rows.into_values().filter_map(|row| firsts.get(row as usize).copied()).collect() })
    }

    /// Whether the number of a patient, its first row, stands for none.
    pub(crate) fn is(&self, patient: u32) -> bool {
        patient == NO_CODE || self.blank.contains(&patient)
    }

    /// The rows that name nobody.
    pub(super) fn rows(&self, index: &Index) -> Result<Option<AuditIssue>, AuditError> {
        let patients = index.first_rows(PATIENT)?;
        let rows = (0..).zip(patients).filter(|(_, patient)| self.is(*patient)).map(|(row, _)| row).collect();
        let mut wrong = WrongRows::default();
        wrong.add(format_args!("{PATIENT} empty"), rows);
        wrong.issue(
            index,
            IssueCode::RowWithoutPatient,
            ["row names", "rows name", "no patient"],
            "nobody knows which split they may lie in: find out whose they are, or leave them out, and build again",
        )
    }
}
