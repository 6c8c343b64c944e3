//! What calling nodes and patients metastatic is worth, at thresholds that were not chosen on the patients that are judged.
//!
//! Purpose: an AUROC names no decision. Thresholds are one half and the one that called nine in ten validation metastases. A patient is called
//! where any of its nodes with a known status is, and is metastatic where any of these is: what others are nobody knows. Invariant: intervals are by patient.

use std::collections::BTreeMap;

use mtids_metrics::{BootstrapOptions, auroc, average_precision, net_benefit};
use mtids_report::format::metric;
use mtids_report::table::{Align, Table};
use serde::Serialize;

use crate::calibration::{Calibration, SENSITIVITY};
use crate::prediction::{MINIMUM_PATIENTS, Prediction};
use crate::within::{Sample, ShareWithin, share_within, within};

/// Thresholds of the decision curve.
const CURVE: [f64; 9] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A node.
    Node,
    /// A patient, by any of its nodes.
    Patient,
}

/// Calls at one threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calls {
    /// What is called.
    pub unit: Unit,
    /// Calibrated probability from which on it is called.
    pub threshold: f64,
    /// Metastatic ones.
    pub positives: usize,
    /// The others.
    pub negatives: usize,
    /// Share of the metastatic ones that are called.
    pub sensitivity: ShareWithin,
    /// Share of the others that are not.
    pub specificity: ShareWithin,
}

/// A point of the decision curve: net benefit per node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Benefit {
    /// Threshold.
    pub threshold: f64,
    /// Of calling by the calibrated answer.
    pub answer: ShareWithin,
    /// Of calling every node; calling none is worth 0.
    pub every_node: Option<f64>,
}

/// Decisions on a split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Operating {
    /// Calls of nodes and patients at both thresholds.
    pub calls: Vec<Calls>,
    /// Average precision of the nodes.
    pub average_precision: ShareWithin,
    /// Share of metastatic nodes: the average precision of a score that says nothing.
    pub prevalence: f64,
    /// AUROC of patients by their most suspicious node.
    pub patient_auroc: ShareWithin,
    /// Decision curve.
    pub benefit: Vec<Benefit>,
}

impl Operating {
    /// Judges decisions on predictions; `None` for too few patients.
    pub fn of(calibration: &Calibration, predictions: &[Prediction], bootstrap: BootstrapOptions) -> Option<Self> {
        let sample =
            |row: &'_ Prediction| -> Option<(f64, bool)> { Some((calibration.metastasis(row), row.metastasis? == 1)) };
        let nodes: Vec<Sample<'_>> = predictions
            .iter()
            .filter_map(|row| sample(row).map(|(p, truth)| (row.patient_key.as_str(), p, truth)))
            .collect();
        let mut by_patient: BTreeMap<&str, (f64, bool)> = BTreeMap::new();
        for &(patient, probability, truth) in &nodes {
            let one = by_patient.entry(patient).or_insert((0.0, false));
            *one = (one.0.max(probability), one.1 || truth);
        }
        if by_patient.len() < MINIMUM_PATIENTS {
            return None;
        }
        let patients: Vec<Sample<'_>> = by_patient.into_iter().map(|(key, (p, truth))| (key, p, truth)).collect();
        let thresholds = [0.5, calibration.sensitive_threshold];
        let units = [(Unit::Node, &nodes), (Unit::Patient, &patients)];
        let calls = thresholds.iter().flat_map(|&threshold| {
            units.iter().map(move |(unit, samples)| calls(*unit, samples, threshold, bootstrap)).collect::<Vec<_>>()
        });
        let pairs: Vec<(f64, bool)> = nodes.iter().map(|&(_, p, truth)| (p, truth)).collect();
        let everybody: Vec<(f64, bool)> = nodes.iter().map(|&(_, _, truth)| (1.0, truth)).collect();
        let benefit = CURVE.map(|threshold| Benefit {
            threshold,
            answer: within(&nodes, bootstrap, |pairs| net_benefit(pairs, threshold)),
            every_node: net_benefit(&everybody, threshold),
        });
        Some(Self {
            calls: calls.collect(),
            average_precision: within(&nodes, bootstrap, average_precision),
            prevalence: pairs.iter().filter(|pair| pair.1).count() as f64 / pairs.len() as f64,
            patient_auroc: within(&patients, bootstrap, auroc),
            benefit: benefit.into(),
        })
    }

    /// The calls as a table, and what has no threshold.
    pub fn text(&self) -> String {
        let mut table = Table::new([
            ("called", Align::Left),
            ("from p", Align::Right),
            ("sensitivity", Align::Right),
            ("95 % interval", Align::Right),
            ("of", Align::Right),
            ("specificity", Align::Right),
            ("95 % interval", Align::Right),
            ("of", Align::Right),
        ]);
        for calls in &self.calls {
            table.row(calls.cells());
        }
        let second = format!("the second threshold called {:.0} % of the validation metastases", 100.0 * SENSITIVITY);
        let lines = std::iter::once(second).chain(self.sentences()).map(|sentence| format!("  {sentence}\n"));
        table.render() + &lines.collect::<String>()
    }

    /// What has no threshold.
    pub(crate) fn sentences(&self) -> [String; 2] {
        [
            format!(
                "average precision of nodes, calibrated answer: {} [{}]; {:.3} for a score that says nothing",
                metric(self.average_precision.value),
                self.average_precision.bounds(),
                self.prevalence
            ),
            format!(
                "AUROC of patients by their most suspicious node, calibrated answer: {} [{}]",
                metric(self.patient_auroc.value),
                self.patient_auroc.bounds()
            ),
        ]
    }
}

impl Calls {
    /// The row of a table.
    pub(crate) fn cells(&self) -> Vec<String> {
        let unit = match self.unit {
            Unit::Node => "nodes",
            Unit::Patient => "patients, by any node of known status",
        };
        vec![
            unit.to_owned(),
            format!("{:.2}", self.threshold),
            metric(self.sensitivity.value),
            self.sensitivity.bounds(),
            self.positives.to_string(),
            metric(self.specificity.value),
            self.specificity.bounds(),
            self.negatives.to_string(),
        ]
    }
}

fn calls(unit: Unit, samples: &[Sample<'_>], threshold: f64, bootstrap: BootstrapOptions) -> Calls {
    // Of those whose truth is this, the share that is called so.
    let right = |truth: bool| {
        let of_truth = samples.iter().filter(|sample| sample.2 == truth);
        let trials: Vec<(&str, bool)> = of_truth.map(|&(key, p, _)| (key, (p >= threshold) == truth)).collect();
        share_within(&trials, bootstrap)
    };
    let positives = samples.iter().filter(|sample| sample.2).count();
    Calls {
        unit,
        threshold,
        positives,
        negatives: samples.len() - positives,
        sensitivity: right(true),
        specificity: right(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::calibration;

    fn row(patient: usize, probability: f64, truth: usize) -> Prediction {
        Prediction {
            patient_key: format!("p{patient}"),
            region: Some(0),
            metastasis: Some(truth),
            pooled: vec![1.0 - probability, probability],
            ..Prediction::default()
        }
    }

    #[test]
    fn nodes_and_patients_are_called_at_thresholds_of_others() {
        let calibration = calibration();
        let rows = [
            row(0, 0.9, 1),
            row(0, 0.1, 0),
            row(1, 0.3, 1),
            row(1, 0.3, 0),
            row(2, 0.1, 0),
            row(3, 0.6, 0),
            row(4, 0.1, 0),
        ];
        let options = BootstrapOptions { resamples: 200, seed: 1 };
        let operating = Operating::of(&calibration, &rows, options).unwrap();
        let shares = |n: usize| {
            let calls = &operating.calls[n];
            (calls.unit, calls.threshold, calls.sensitivity.value.unwrap(), calls.specificity.value.unwrap())
        };
        assert_eq!(shares(0), (Unit::Node, 0.5, 0.5, 0.8));
        assert_eq!(shares(1), (Unit::Patient, 0.5, 0.5, 2.0 / 3.0));
        assert_eq!(shares(2), (Unit::Node, 0.2, 1.0, 0.6));
        assert_eq!(shares(3), (Unit::Patient, 0.2, 1.0, 2.0 / 3.0));
        assert_eq!((operating.calls[1].positives, operating.calls[1].negatives), (2, 3));
        assert!((operating.prevalence - 2.0 / 7.0).abs() < 1e-12);
        // At one half two nodes are called, one of them metastatic, among seven.
        let half = &operating.benefit[5];
        assert_eq!((half.threshold, half.answer.value), (0.5, Some(0.0)));
        assert!(half.answer.interval.is_some());
        let text = operating.text();
        assert!(
            text.contains("patients, by any node of known status") && text.contains("90 % of the validation"),
            "{text}"
        );
        assert!(Operating::of(&calibration, &rows[..4], options).is_none());
    }
}
