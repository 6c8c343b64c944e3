//! The splits that each patient's rows lie in, in two datasets.
//!
//! Invariant: a patient has all the splits of its rows, for one row in another split leaks as much as all of them.

use std::collections::{BTreeMap, BTreeSet};

use mtids_report::format::counted;
use polars::prelude::{SortMultipleOptions, col, len};

use super::comparison::Overlap;
use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// Splits by patient.
pub(super) type Splits = BTreeMap<String, BTreeSet<String>>;

/// Those of a dataset.
pub(super) fn of(index: &Index) -> Result<Splits, AuditError> {
    let keys = ["patient_key", "split"];
    let answer = index.query_of(Rows::All, |frame| {
        frame.group_by(keys.map(col)).agg([len().alias("rows")]).sort(keys, SortMultipleOptions::default())
    })?;
    let mut splits = Splits::new();
    for (patient, split) in answer.texts("patient_key")?.into_iter().zip(answer.texts("split")?) {
        if let Some(patient) = patient {
            splits.entry(patient).or_default().insert(split.unwrap_or_default());
        }
    }
    Ok(splits)
}

/// How many patients both have, and each alone.
pub(super) fn overlap(first: &Splits, second: &Splits) -> Overlap {
    let both = first.keys().filter(|patient| second.contains_key(*patient)).count() as u64;
    Overlap { both, first: first.len() as u64 - both, second: second.len() as u64 - both }
}

/// Patients of both whose splits are not the same.
pub(super) fn moved(first: &Splits, second: &Splits) -> Vec<String> {
    let differ =
        |(patient, splits): &(&String, &BTreeSet<String>)| second.get(*patient).is_some_and(|others| others != *splits);
    first.iter().filter(differ).map(|(patient, _)| patient.clone()).collect()
}

/// Patients of the second dataset who lie in several splits, and did not in the first.
pub(super) fn leak(first: &Splits, second: &Splits) -> Option<AuditIssue> {
    let lies_in_several =
        |splits: &Splits, patient: &String| splits.get(patient).is_some_and(|splits| splits.len() > 1);
    let is_new = |patient: &&String| lies_in_several(second, patient) && !lies_in_several(first, patient);
    let patients: Vec<String> = second.keys().filter(is_new).cloned().collect();
    let count = patients.len() as u64;
    (count > 0).then(|| {
        AuditIssue::new(
            Severity::Error,
            IssueCode::PatientInTwoSplits,
            count,
            format!(
                "{} rows in more than one split of the second dataset",
                counted(count, "patient has", "patients have")
            ),
            "results on held-out patients are too optimistic; build the dataset again with a split by patient",
        )
        .with_examples(patients)
    })
}
