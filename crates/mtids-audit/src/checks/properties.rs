//! Properties that findings are grouped by, counted once for all checks that ask for them.
//!
//! Invariant: a property's column is dropped when it is counted, so one for each thread lies in memory at a time.

use mtids_metrics::Moments;
use rayon::prelude::*;

use super::moments::moments;
use crate::by_patient::{ByValue, Findings, Property};
use crate::error::AuditError;
use crate::index::Index;

/// Facts of the acquisition.
pub(super) const FACTS: [&str; 7] =
    ["site", "manufacturer", "model", "kernel", "contrast", "kvp", "slice_thickness_mm"];
/// Facts of the patient.
const OF_PATIENT: [&str; 2] = ["sex", "age_band"];
/// How labels came about.
pub(super) const OF_LABELS: [&str; 2] = ["evidence", "label_source"];

/// A property that the index has, and that any finding has a value of.
pub(super) struct Counted {
    pub(super) column: &'static str,
    /// Its values, as people read them.
    pub(super) values: Vec<String>,
    /// Patients by value.
    pub(super) patients: ByValue,
    /// For each value and question, its rows beside all others.
    pub(super) moments: Vec<Vec<Moments>>,
}

impl Counted {
    /// All of an index.
    pub(super) fn all(index: &Index, findings: &Findings) -> Result<Vec<Self>, AuditError> {
        let columns = FACTS.into_iter().chain(OF_PATIENT).chain(OF_LABELS).filter(|column| index.has(column));
        let columns: Vec<&'static str> = columns.collect();
        let count = |column: &&'static str| -> Result<Self, AuditError> {
            let property = Property::of(index, column)?;
            let patients = findings.patients_by(&property);
            let moments = moments(findings, &property, None);
            Ok(Self { column, values: property.values, patients, moments })
        };
        let counted: Result<Vec<Self>, AuditError> = columns.par_iter().with_max_len(1).map(count).collect();
        let mut counted = counted?;
        counted.retain(|one| one.patients.named.all > 0);
        Ok(counted)
    }

    /// Whether it is a fact of the acquisition.
    pub(super) fn is_fact(&self) -> bool {
        FACTS.contains(&self.column)
    }
}
