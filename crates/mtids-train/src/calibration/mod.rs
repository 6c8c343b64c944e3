//! What a network's probabilities are worth, found on validation patients: `calibration.json` in the run folder.
//!
//! Two things are kept. A map turns what is said of the status into a probability that agrees with how often it is right: the logistic fusion of
//! the network's logit and that of a reader of the measures ([`crate::fusion`]), or of the network's alone (Platt 1999) where there is no such
//! reader. The distribution over joint classes follows it, p'(r, s) = p(r | s) · p'(s). A threshold makes sets of joint classes that hold the true
//! one for nine of ten new patients, of a node drawn from each: hierarchical conformal prediction (Lee, Barber, Willett 2023, arXiv 2306.06342), where each patient
//! weighs the same, and one more patient stands for those to come. Invariants: map and threshold are fitted on patients that did not train the
//! weights, the reader of measures on those that did; bound to one set of weights by its digest; deterministic. Where the validation split also
//! chose the epoch, both are a little too good, and `chose_epoch` says so.

mod of_run;

use std::collections::BTreeMap;

use mtids_metrics::{Logistic, threshold_for_sensitivity};
use mtids_models::decoding::metastasis_probability;
use mtids_onnx::Platt;
use mtids_report::format::counted;
use mtids_runtime::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::fusion::{Fusion, MeasuresReader};
use crate::prediction::{MINIMUM_PATIENTS, Prediction, largest};
use crate::readers::Reader;

pub use of_run::calibrate;
pub(crate) use of_run::calibrate_opened;

/// Share of nodes of new patients whose set holds their joint class.
pub const LEVEL: f64 = 0.9;
/// Share of the validation metastases that the sensitive threshold calls.
pub const SENSITIVITY: f64 = 0.9;
/// Probabilities are kept so far from 0 and 1 that their logit is finite.
const NEAREST: f64 = 1e-6;
/// Largest slope and intercept that a file may have; what is fitted on logits within ±14 lies far below.
const MOST_SLOPE: f64 = 1e6;
/// Ridge on the standardised logit: too weak to matter, and enough where validation patients are told apart without error.
const RIDGE: f64 = 1e-2;

/// A calibration of one set of weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Digest of the weights.
    pub weights: Digest,
    /// Digest of the dataset whose validation split was used.
    pub dataset: Digest,
    /// The validation split chose the epoch of the weights too.
    pub chose_epoch: bool,
    /// Validation nodes with region and status.
    pub nodes: usize,
    /// Their patients.
    pub patients: usize,
    /// Slope of the map of the network's logit alone, never negative: what an exported network computes.
    pub slope: f64,
    /// Its intercept.
    pub intercept: f64,
    /// The map of the logits of network and measures, which is the answer; none where `no_fusion` says why.
    #[serde(default)]
    pub fusion: Option<Fusion>,
    /// Why the network's logit alone is the answer; empty where it is not, and in files of versions that knew no fusion.
    #[serde(default)]
    pub no_fusion: String,
    /// Share of nodes whose set is to hold their class.
    pub level: f64,
    /// Calibrated probability of metastasis from which on [`SENSITIVITY`] of the validation metastases are called.
    pub sensitive_threshold: f64,
    /// Classes whose calibrated probability is at least this are in the set; 0 where patients are too few to leave any class out.
    pub least_probability: f64,
}

fn logit(probability: f64) -> f64 {
    let p = probability.clamp(NEAREST, 1.0 - NEAREST);
    (p / (1.0 - p)).ln()
}

fn logistic(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

impl Calibration {
    /// The first number that no fit gives: one that would turn answers around, or make sets of nothing.
    fn out_of_range(&self) -> Option<&'static str> {
        let shares = [
            ("level", self.level),
            ("sensitive_threshold", self.sensitive_threshold),
            ("least_probability", self.least_probability),
        ];
        if !(0.0..=MOST_SLOPE).contains(&self.slope) {
            Some("slope")
        } else if self.intercept.abs() > MOST_SLOPE || self.intercept.is_nan() {
            Some("intercept")
        } else {
            shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)).map(|(key, _)| key)
        }
    }

    /// Fits a calibration on predictions for validation patients. `reader` is one of training patients, or says why there is none.
    ///
    /// # Errors
    /// Why nothing could be fitted, in words.
    pub fn fit(
        validation: &[Prediction],
        reader: Result<MeasuresReader, String>,
        weights: Digest,
        dataset: Digest,
        chose_epoch: bool,
    ) -> Result<Self, String> {
        let labelled: Vec<&Prediction> = validation.iter().filter(|row| row.joint_class().is_some()).collect();
        let mut by_patient: BTreeMap<&str, Vec<&Prediction>> = BTreeMap::new();
        for row in &labelled {
            by_patient.entry(&row.patient_key).or_default().push(row);
        }
        if by_patient.len() < MINIMUM_PATIENTS {
            return Err(format!(
                "{} with region and status, at least {MINIMUM_PATIENTS} are needed",
                counted(by_patient.len() as u64, "validation patient", "validation patients")
            ));
        }
        let inputs: Vec<Vec<Option<f64>>> =
            labelled.iter().map(|row| vec![Some(logit(metastasis_probability(&row.pooled)))]).collect();
        let labels: Vec<bool> = labelled.iter().map(|row| row.metastasis == Some(1)).collect();
        let map = Logistic::fit(&inputs, &labels, RIDGE)
            .ok_or_else(|| "all validation patients have one status".to_owned())?;
        let input = map.inputs.first().ok_or("no input")?;
        // A network that ranks these patients worse than chance has said nothing about them: each node has the share of metastases then.
        let share = labels.iter().filter(|&&label| label).count() as f64 / labels.len() as f64;
        let slope = (input.weight / input.deviation).max(0.0);
        let intercept = if slope > 0.0 { map.intercept - slope * input.mean } else { logit(share) };
        let (fusion, no_fusion) = match reader.and_then(|reader| Fusion::fit(reader, validation)) {
            Ok(fusion) if fusion.weights()[1] > 0.0 => (Some(fusion), String::new()),
            Ok(_) => (None, "the measures add nothing to it on these validation patients".to_owned()),
            Err(reason) => (None, reason),
        };
        let mut calibration = Self {
            weights,
            dataset,
            chose_epoch,
            nodes: labelled.len(),
            patients: by_patient.len(),
            slope,
            intercept,
            fusion,
            no_fusion,
            level: LEVEL,
            sensitive_threshold: 0.0,
            least_probability: 0.0,
        };
        let calibrated: Vec<(f64, bool)> =
            labelled.iter().map(|row| (calibration.metastasis(row), row.metastasis == Some(1))).collect();
        calibration.sensitive_threshold = threshold_for_sensitivity(&calibrated, SENSITIVITY).unwrap_or(0.0);
        // Of the true class, with the weight of its node; the largest are added first, and the patient to come has the least of all.
        let total = by_patient.len() as f64 + 1.0;
        let mut of_true: Vec<(f64, f64)> = Vec::with_capacity(labelled.len());
        for rows in by_patient.values() {
            let weight = 1.0 / (total * rows.len() as f64);
            let probability = |row: &&Prediction| Some(calibration.joint(row)[row.joint_class()?]);
            of_true.extend(rows.iter().filter_map(probability).map(|probability| (probability, weight)));
        }
        of_true.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut sum = 0.0;
        let reached = of_true.iter().find(|(_, weight)| {
            sum += weight;
            sum >= LEVEL - 1e-12
        });
        calibration.least_probability = reached.map_or(0.0, |(probability, _)| *probability);
        Ok(calibration)
    }

    /// The probability of metastasis that agrees with how often it is right, of what the network says and what was measured; of the network alone
    /// where too little was measured.
    pub fn metastasis(&self, row: &Prediction) -> f64 {
        self.fusion_of(row).map_or_else(|| self.of_network(&row.pooled), |fusion| logistic(fusion.logit(row)))
    }

    /// Likewise, of the network's distribution over joint classes alone.
    pub fn of_network(&self, pooled: &[f64]) -> f64 {
        logistic(self.slope * logit(metastasis_probability(pooled)) + self.intercept)
    }

    /// Likewise, of the measures alone, with the prevalence of the training patients; none where they are not part of the answer.
    pub fn of_measures(&self, row: &Prediction) -> Option<f64> {
        self.fusion_of(row).map(|fusion| logistic(fusion.reader.logit(&row.grown)))
    }

    /// The fusion, where enough of the row was measured for it.
    fn fusion_of(&self, row: &Prediction) -> Option<&Fusion> {
        self.fusion.as_ref().filter(|fusion| fusion.reader.reads(&row.grown))
    }

    /// Which reader the calibrated answer is of.
    pub(crate) fn answered_by(&self) -> Reader {
        if self.fusion.is_some() { Reader::Fusion } else { Reader::Network }
    }

    /// In words, which reader that is and what each part of it adds.
    pub(crate) fn answer_in_words(&self) -> String {
        match (&self.fusion, self.no_fusion.as_str()) {
            (Some(fusion), _) => {
                let [network, measures] = fusion.weights();
                format!(
                    "calibrated answers join network and measures: a standard deviation of the network's logit adds {network:.2} to theirs, one of \
                     the measures' {measures:.2}"
                )
            }
            (None, "") => {
                "calibrated answers are the network's alone: an earlier version of this program calibrated".to_owned()
            }
            (None, reason) => format!("calibrated answers are the network's alone: {reason}"),
        }
    }

    /// The reader of measures, or why there is none.
    pub(crate) fn reader(&self) -> Result<MeasuresReader, String> {
        self.fusion.as_ref().map(|fusion| fusion.reader.clone()).ok_or_else(|| self.no_fusion.clone())
    }

    /// Whether a fusion was tried: it was not by versions that knew none.
    pub(crate) fn tried_fusion(&self) -> bool {
        self.fusion.is_some() || !self.no_fusion.is_empty()
    }

    /// The map of the network's logit by itself.
    pub(crate) fn platt(&self) -> Platt {
        Platt { slope: self.slope, intercept: self.intercept, nearest: NEAREST }
    }

    /// The distribution over joint classes with that probability of metastasis, and the network's regions given each status. Where the network
    /// is so sure that a status has no probability at all, its regions are those of the other status.
    pub fn joint(&self, row: &Prediction) -> Vec<f64> {
        let after = self.metastasis(row);
        let wanted = [1.0 - after, after];
        let mass = [0, 1].map(|status| row.pooled.iter().skip(status).step_by(2).sum::<f64>());
        let of_class = |class: usize| {
            let (status, other) = (class % 2, class ^ 1);
            let given = |class: usize| row.pooled.get(class).map_or(0.0, |p| p / mass[class % 2]);
            wanted[status] * if mass[status] > 0.0 { given(class) } else { given(other) }
        };
        (0..row.pooled.len()).map(of_class).collect()
    }

    /// The joint classes of the set of a calibrated distribution: never empty, in the order of their codes.
    pub fn set(&self, joint: &[f64]) -> Vec<usize> {
        let set: Vec<usize> = (0..joint.len()).filter(|&class| joint[class] >= self.least_probability).collect();
        if set.is_empty() { vec![largest(joint)] } else { set }
    }
}

#[cfg(test)]
mod tests;
