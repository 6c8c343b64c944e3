//! Properties that findings are grouped by, counted once for all checks that ask for them.
//!
//! Invariant: a property's column is dropped when it is counted, so one for each thread lies in memory at a time.

use mtids_metrics::Moments;
use rayon::prelude::*;

use super::moments::moments;
use crate::by_patient::{ByValue, Findings, Property};
use crate::distribution::SPLITS;
use crate::error::AuditError;
use crate::index::Index;

/// Facts of the acquisition.
pub(super) const FACTS: [&str; 9] =
    ["site", "manufacturer", "model", "kernel", "contrast", "kvp", "slice_thickness_mm", "slice_step_mm", "pet"];
/// Facts of the patient.
const OF_PATIENT: [&str; 2] = ["sex", "age_band"];
/// How labels came about.
pub(super) const OF_LABELS: [&str; 2] = ["evidence", "label_source"];

/// A property that the index has, and that tells some findings from others.
pub(super) struct Counted {
    pub(super) column: &'static str,
    /// Its values, as people read them.
    pub(super) values: Vec<String>,
    /// Patients by value.
    pub(super) patients: ByValue,
    /// Patients of each value, and last of those without any, by split.
    pub(super) of_splits: Vec<Vec<u64>>,
    /// For each value and question, its rows beside all others.
    pub(super) moments: Vec<Vec<Moments>>,
}

impl Counted {
    /// All of an index.
    pub(super) fn all(index: &Index, findings: &Findings) -> Result<Vec<Self>, AuditError> {
        let columns = FACTS.into_iter().chain(OF_PATIENT).chain(OF_LABELS).filter(|column| index.has(column));
        let columns: Vec<&'static str> = columns.collect();
        let split = Property::of(index, "split")?;
        let places: Vec<Option<usize>> =
            split.values.iter().map(|name| SPLITS.iter().position(|one| one == name)).collect();
        let split_of = |row| split.code(row).and_then(|code| *places.get(code)?);
        let count = |column: &&'static str| -> Result<Option<Self>, AuditError> {
            let property = Property::of(index, column)?;
            if property.is_constant() {
                return Ok(None);
            }
            let patients = findings.patients_by(&property);
            let of_splits = findings.patients_by_split(&property, split_of);
            let moments = moments(findings, &property, None);
            Ok(Some(Self { column, values: property.values, patients, of_splits, moments }))
        };
        let counted: Result<Vec<Option<Self>>, AuditError> = columns.par_iter().with_max_len(1).map(count).collect();
        let mut counted: Vec<Self> = counted?.into_iter().flatten().collect();
        counted.retain(|one| one.patients.named.all > 0);
        Ok(counted)
    }

    /// Whether it is a fact of the acquisition.
    pub(super) fn is_fact(&self) -> bool {
        FACTS.contains(&self.column)
    }
}
