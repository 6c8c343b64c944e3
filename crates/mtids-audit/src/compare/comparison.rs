//! What differs between two datasets, as values.
//!
//! Invariants: counts are of rows unless named otherwise; matrices have the first dataset in rows and the second in columns; only pseudonyms
//! and keys of rows appear.

use std::collections::BTreeMap;

use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use mtids_shards::CorrectionRecord;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::CompareConfig;
use crate::count::Group;
use crate::issue::AuditIssue;

/// A second dataset beside a first: `comparison.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The program that made it.
    pub program: Program,
    /// Digests of the manifests of the first and the second dataset.
    pub datasets: [Digest; 2],
    /// Settings.
    pub config: CompareConfig,
    /// Both were built with one secret; otherwise no row of one can be found in the other.
    pub same_secret: bool,
    /// Parts of the description that differ.
    pub description: Vec<String>,
    /// Issues, the gravest first.
    pub issues: Vec<AuditIssue>,
    /// Patients.
    pub patients: Overlap,
    /// Rows, matched by their keys: same series, same finding and sample, or same number of a negative.
    pub rows: Overlap,
    /// Patients of both who are in another split.
    pub moved_patients: u64,
    /// Rows only in the first with a row only in the second close by.
    pub moved_findings: u64,
    /// Rows of both whose place differs: shifted samples, and negatives, which are drawn anew when an annotation is added.
    pub moved_samples: u64,
    /// Rows of both, at the same place, whose voxels differ.
    pub changed_voxels: u64,
    /// Rows of both whose value differs, by column; columns without change are left out.
    pub changed_columns: BTreeMap<String, u64>,
    /// Labels of the rows of both, along the first dimension.
    pub region: Transition,
    /// Labels of the rows of both, along the second dimension.
    pub status: Transition,
    /// Relabelled rows that no correction explains: it names the label before and the label after.
    pub unexplained: u64,
    /// Corrections of the second dataset that the first does not have.
    pub corrections: Vec<CorrectionRecord>,
    /// Corrections of the first dataset that the second does not have, and whose labels are others there.
    pub withdrawn: Vec<CorrectionRecord>,
    /// Rows only in the first, by region and split.
    pub removed: Vec<Group>,
    /// Rows only in the second, by region and split.
    pub added: Vec<Group>,
    /// Differences of columns and of shares of labels, those beyond chance first.
    pub drift: Vec<Drift>,
}

impl Comparison {
    /// Number of issues that count for the exit code.
    pub fn counted_issues(&self) -> usize {
        self.issues.iter().filter(|issue| self.config.fail_on.counts(issue.severity)).count()
    }
}

/// What both have, and what only one has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Overlap {
    /// In both.
    pub both: u64,
    /// Only in the first.
    pub first: u64,
    /// Only in the second.
    pub second: u64,
}

/// Labels of the same rows in two datasets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// Names of the classes; the last is `unknown`.
    pub classes: Vec<String>,
    /// Rows by class in the first dataset, then by class in the second.
    pub rows: Vec<Vec<u64>>,
    /// Rows whose class changed.
    pub changed: u64,
    /// Patients with such a row.
    pub changed_patients: u64,
    /// Cohen's kappa over rows known in both; none where it is not defined.
    pub kappa: Option<f64>,
    /// Its 95 % interval by bootstrap over patients.
    pub kappa_interval: Option<[f64; 2]>,
}

/// The difference of a column's mean, or of the share of one of its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Column.
    pub column: String,
    /// Value whose share is compared; none where the mean is.
    pub value: Option<String>,
    /// Site whose rows alone are meant; none: all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Rows with a value, in the first and the second dataset.
    pub rows: [u64; 2],
    /// Mean or share, in the first and the second dataset.
    pub means: [f64; 2],
    /// Second minus first.
    pub difference: f64,
    /// Its 95 % interval, with rows clustered by patient.
    pub interval: [f64; 2],
    /// The difference in standard deviations of a row.
    pub standardised: f64,
    /// Two-sided p-value of no difference.
    pub p: f64,
    /// The same adjusted for all differences of the comparison (Holm).
    pub adjusted_p: f64,
}

impl Drift {
    /// Column and value as people read them.
    pub fn name(&self) -> String {
        let name =
            self.value.as_ref().map_or_else(|| self.column.clone(), |value| format!("{} = {value}", self.column));
        self.site.as_ref().map_or_else(|| name.clone(), |site| format!("{name} at site {site}"))
    }

    /// Beyond chance, and large enough to be reported.
    pub fn is_reported(&self, config: &CompareConfig) -> bool {
        self.adjusted_p < config.significance && self.standardised.abs() >= config.smallest_drift
    }
}
