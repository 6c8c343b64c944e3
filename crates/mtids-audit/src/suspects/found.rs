//! Suspects as values: `suspects.json`.
//!
//! Invariants: counts are of rows unless named otherwise; only pseudonyms and keys of rows appear. Units: probabilities lie in 0 to 1, places
//! are LPS mm, slices count from 0.

use mtids_domain::label::Evidence;
use mtids_runtime::digest::Digest;
use mtids_runtime::provenance::Program;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::SuspectsConfig;
use crate::issue::Severity;

/// Likely label errors along both dimensions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Suspects {
    /// The program that made it.
    pub program: Program,
    /// Digest of the dataset's manifest.
    pub dataset_digest: Digest,
    /// Settings.
    pub config: SuspectsConfig,
    /// Tables of predictions that were judged by; none where models of the measures judged.
    pub predictions: Vec<PredictionTable>,
    /// What limits the result, in sentences.
    pub notes: Vec<String>,
    /// Whether predictions rank the statuses the wrong way round, beyond chance.
    #[serde(default)]
    pub contradicts: bool,
    /// What was found along each dimension that could be judged.
    pub dimensions: Vec<Judged>,
    /// The first suspects of each dimension, the likeliest errors first; the table has all.
    pub suspects: Vec<Suspect>,
}

impl Suspects {
    /// Whether the exit code says that something was found.
    pub fn counts(&self) -> bool {
        let any = self.dimensions.iter().any(|judged| judged.suspects > 0);
        (any || self.contradicts) && self.config.fail_on.counts(Severity::Warning)
    }
}

/// A table of predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PredictionTable {
    /// Digest of the file.
    pub digest: Digest,
    /// Its rows.
    pub rows: u64,
    /// Whether the run's record beside it says whom the run was trained on, under the secret of this dataset.
    pub checked: bool,
}

/// A dimension of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// Mediastinal region.
    Region,
    /// Status of the node.
    Metastasis,
}

impl Dimension {
    /// Its word, also in the table of corrections.
    pub fn name(self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Metastasis => "metastasis",
        }
    }
}

/// What was found along a dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// The dimension.
    pub dimension: Dimension,
    /// Names of its classes, in the order of their codes.
    pub classes: Vec<String>,
    /// Rows with a known label and probabilities.
    pub rows: u64,
    /// Their patients.
    pub patients: u64,
    /// Share of rows whose likeliest class is the given one.
    pub agreement: f64,
    /// AUROC of the probabilities against the given labels; for the status alone.
    pub auroc: Option<f64>,
    /// Mean probability that samples of each class give it; none for a class without sample.
    pub thresholds: Vec<Option<f64>>,
    /// Confident joint: samples of each given class (row) that are likely of each class (column).
    pub confident_joint: Vec<Vec<f64>>,
    /// Share of wrong labels by the confident joint.
    pub noise: f64,
    /// Its 95 % interval by bootstrap over patients; none with fewer than two.
    pub noise_interval: Option<[f64; 2]>,
    /// Share of wrong labels by the probabilities of the rows: their mean.
    pub expected_noise: f64,
    /// Suspects.
    pub suspects: u64,
}

/// A row whose label along a dimension is likely wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Suspect {
    /// The dimension.
    pub dimension: Dimension,
    /// Place among the judged rows of the dimension, from 1.
    pub rank: u64,
    /// Key of the row.
    pub finding: String,
    /// Pseudonym of the patient.
    pub patient: String,
    /// Pseudonym of the study.
    pub study: String,
    /// Pseudonym of the series.
    pub series: String,
    /// Split.
    pub split: String,
    /// Slice of the series.
    pub slice: i64,
    /// Place.
    pub place_mm: [f64; 3],
    /// Where the label comes from.
    pub source: String,
    /// Evidence of the status.
    pub evidence: Evidence,
    /// Short axis of the annotation, mm.
    pub short_axis_mm: Option<f64>,
    /// The given label.
    pub given: String,
    /// The likeliest other label.
    pub suggested: String,
    /// Probability of the given label by the model alone.
    pub p_given: f64,
    /// Probability of the suggested label by the model alone.
    pub p_suggested: f64,
    /// Probability that the given label is wrong: model, evidence and slips together.
    pub p_wrong: f64,
}
