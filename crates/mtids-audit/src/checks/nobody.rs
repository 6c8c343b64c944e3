//! Rows without patient: the id is null or blank.
//!
//! They belong together no more than any others. So checks by patient must not take them for one, or for a second patient of a study.

use std::collections::BTreeSet;

use mtids_report::format::counted;
use mtids_shards::NO_CODE;

use crate::error::AuditError;
use crate::index::Index;
use crate::issue::{AuditIssue, IssueCode, Severity};

/// The column.
const PATIENT: &str = "patient_key";
/// Ids that name nobody; DICOM fills texts with one blank.
const BLANK: [&str; 2] = ["", " "];

/// What stands for no patient.
pub(super) struct Nobody {
    /// Numbers of the blank ids: their first rows.
    blank: Vec<u32>,
}

impl Nobody {
    pub(super) fn of(index: &Index) -> Result<Self, AuditError> {
        let rows = index.coded()?.index().rows_of(PATIENT, BLANK)?;
        let firsts = if rows.is_empty() { Vec::new() } else { index.first_rows(PATIENT)? };
        Ok(Self { blank: rows.into_values().filter_map(|row| firsts.get(row as usize).copied()).collect() })
    }

    /// Whether the number of a patient, its first row, stands for none.
    pub(super) fn is(&self, patient: u32) -> bool {
        patient == NO_CODE || self.blank.contains(&patient)
    }

    /// The rows that name nobody.
    pub(super) fn rows(&self, index: &Index) -> Result<Option<AuditIssue>, AuditError> {
        let patients = index.first_rows(PATIENT)?;
        let rows: BTreeSet<u32> =
            (0..).zip(patients).filter(|(_, patient)| self.is(*patient)).map(|(row, _)| row).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let count = rows.len() as u64;
        Ok(Some(
            AuditIssue::new(
                Severity::Error,
                IssueCode::RowWithoutPatient,
                count,
                format!("{} no patient", counted(count, "row names", "rows name")),
                "nobody knows which split they may lie in: find out whose they are, or leave them out, and build again",
            )
            .with_rows(index.keys_at(rows)?),
        ))
    }
}
