//! Settings of the search for suspects.
//!
//! Units: probabilities and shares lie in 0 to 1. Every default is a constant with its reason.

use mtids_domain::label::Evidence;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::FailOn;
use crate::error::AuditError;

/// How often a way of finding the status is right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// Share of metastatic nodes that it calls metastatic.
    pub sensitivity: f64,
    /// Share of benign nodes that it calls benign.
    pub specificity: f64,
}

/// How often statuses of weaker evidence than histology are right. The defaults are the medians of Silvestri et al. (Chest 2013;143:e211S).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Accuracies {
    /// Evidence B. Default .89 and 1, EBUS-guided needle.
    pub needle: Accuracy,
    /// Evidence C. Default .80 and .88, FDG-PET.
    pub pet: Accuracy,
    /// Evidence D. Default .55 and .81, short axis on CT.
    pub size: Accuracy,
}

impl Default for Accuracies {
    fn default() -> Self {
        Self {
            needle: Accuracy { sensitivity: 0.89, specificity: 1.0 },
            pet: Accuracy { sensitivity: 0.80, specificity: 0.88 },
            size: Accuracy { sensitivity: 0.55, specificity: 0.81 },
        }
    }
}

impl Accuracies {
    /// That of a grade; histology and unknown evidence are taken at their word.
    pub(super) fn of(&self, evidence: Evidence) -> Accuracy {
        match evidence {
            Evidence::A | Evidence::U => Accuracy { sensitivity: 1.0, specificity: 1.0 },
            Evidence::B => self.needle,
            Evidence::C => self.pet,
            Evidence::D => self.size,
        }
    }
}

/// Settings of `mtids-audit suspects`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SuspectsConfig {
    /// Lowest severity that gives exit code 1: suspects are warnings, so `error` and `never` end with 0. Default `warning`.
    pub fail_on: FailOn,
    /// Probability of a wrong label from which a row is a suspect. Default 0.5: more likely wrong than right.
    pub least_probability: f64,
    /// Share of labels that are wrong for no reason of medicine: a slip of the hand, a wrong line. Default 0.03.
    pub slip_share: f64,
    /// How often statuses of weaker evidence are right.
    pub accuracy: Accuracies,
    /// Whether statuses by size alone (evidence D) teach the models of the measures. Default false: they teach the rule that made them.
    pub size_labels_teach: bool,
    /// Folds of patients of the models of the measures. Default 10.
    pub folds: u64,
    /// Seed of the folds and of the bootstrap. Default 0.
    pub seed: u64,
    /// With fewer patients a dimension is not judged. Default 10.
    pub fewest_patients: u64,
    /// Most rows that a model is fitted on; whole patients are left out beyond it. Default 50 000: some twenty inputs need no more.
    pub most_fitted_rows: usize,
}

impl Default for SuspectsConfig {
    fn default() -> Self {
        Self {
            fail_on: FailOn::default(),
            least_probability: 0.5,
            slip_share: 0.03,
            accuracy: Accuracies::default(),
            size_labels_teach: false,
            folds: 10,
            seed: 0,
            fewest_patients: 10,
            most_fitted_rows: 50_000,
        }
    }
}

impl SuspectsConfig {
    /// Checks the values that serde cannot.
    ///
    /// # Errors
    /// [`AuditError::Setting`], naming the key.
    pub fn validate(&self) -> Result<(), AuditError> {
        let wrong = |key, reason| Err(AuditError::Setting { key, reason });
        if !(0.0..=1.0).contains(&self.least_probability) {
            return wrong("least_probability", "a probability from 0 to 1");
        }
        if !(self.slip_share > 0.0 && self.slip_share < 0.5) {
            return wrong("slip_share", "a share above 0 and below 0.5: without a slip no label could be wrong");
        }
        for (key, accuracy) in [
            ("accuracy.needle", self.accuracy.needle),
            ("accuracy.pet", self.accuracy.pet),
            ("accuracy.size", self.accuracy.size),
        ] {
            if ![accuracy.sensitivity, accuracy.specificity].iter().all(|share| (0.0..=1.0).contains(share)) {
                return wrong(key, "shares from 0 to 1");
            }
        }
        if !(2..=1000).contains(&self.folds) {
            return wrong("folds", "2 to 1000 folds");
        }
        if self.fewest_patients < 2 {
            return wrong("fewest_patients", "2 or more patients: one cannot be judged by others");
        }
        if self.most_fitted_rows < 100 {
            return wrong("most_fitted_rows", "100 or more rows");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_their_range_are_named() {
        assert!(SuspectsConfig::default().validate().is_ok());
        let all = SuspectsConfig::default;
        let wrong = Accuracy { sensitivity: 1.1, specificity: 0.5 };
        for (key, broken) in [
            ("least_probability", SuspectsConfig { least_probability: f64::NAN, ..all() }),
            ("slip_share", SuspectsConfig { slip_share: 0.0, ..all() }),
            ("accuracy.size", SuspectsConfig { accuracy: Accuracies { size: wrong, ..Default::default() }, ..all() }),
            ("folds", SuspectsConfig { folds: 1, ..all() }),
            ("fewest_patients", SuspectsConfig { fewest_patients: 1, ..all() }),
            ("most_fitted_rows", SuspectsConfig { most_fitted_rows: 10, ..all() }),
        ] {
            assert!(broken.validate().unwrap_err().to_string().contains(key), "{key}");
        }
    }
}
