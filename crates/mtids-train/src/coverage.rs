//! How calibrated probabilities and sets do on patients that they were not made from.
//!
//! Invariant: nothing is claimed of the patients that the calibration was fitted on, or of fewer than [`MINIMUM_PATIENTS`].

use std::collections::BTreeSet;

use mtids_metrics::{BootstrapOptions, Interval, bootstrap_by_patient, brier, expected_calibration_error};
use mtids_models::decoding::metastasis_probability;
use mtids_report::format::{interval, metric};
use serde::Serialize;

use crate::calibration::Calibration;
use crate::prediction::{MINIMUM_PATIENTS, Prediction};

/// Bins of the calibration error.
const BINS: usize = 10;

/// What a calibration is worth on a split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Coverage {
    /// Share of nodes whose set is to hold their joint class.
    pub level: f64,
    /// Nodes with region and status.
    pub nodes: usize,
    /// Their patients.
    pub patients: usize,
    /// Share of them whose set holds their joint class.
    pub share: f64,
    /// Its 95 % interval over patients.
    pub interval: Option<Interval>,
    /// Mean number of joint classes in a set.
    pub mean_size: f64,
    /// Share of nodes whose set leaves one status only.
    pub one_status: f64,
    /// Calibration error of the status before the map, and behind it.
    pub calibration_error: [Option<f64>; 2],
    /// Brier score likewise.
    pub brier: [Option<f64>; 2],
}

impl Coverage {
    /// Measures a calibration on predictions; `None` for too few patients.
    pub fn of(calibration: &Calibration, predictions: &[Prediction], bootstrap: BootstrapOptions) -> Option<Self> {
        let labelled: Vec<(&Prediction, usize)> =
            predictions.iter().filter_map(|row| Some((row, row.joint_class()?))).collect();
        let keys: Vec<&str> = labelled.iter().map(|(row, _)| row.patient_key.as_str()).collect();
        let patients = keys.iter().collect::<BTreeSet<_>>().len();
        if patients < MINIMUM_PATIENTS {
            return None;
        }
        let sets: Vec<Vec<usize>> =
            labelled.iter().map(|(row, _)| calibration.set(&calibration.joint(&row.pooled))).collect();
        let holds: Vec<bool> = sets.iter().zip(&labelled).map(|(set, (_, class))| set.contains(class)).collect();
        let count = labelled.len() as f64;
        let share_of = |drawn: &[usize]| {
            let held = drawn.iter().filter(|&&n| holds[n]).count();
            (!drawn.is_empty()).then(|| held as f64 / drawn.len() as f64)
        };
        let has_one_status = |set: &&Vec<usize>| set.iter().map(|class| class % 2).collect::<BTreeSet<_>>().len() == 1;
        let scores = |probability: &dyn Fn(&Prediction) -> f64| -> Vec<(f64, bool)> {
            labelled.iter().map(|(row, class)| (probability(row), class % 2 == 1)).collect()
        };
        let before = scores(&|row| metastasis_probability(&row.pooled));
        let behind = scores(&|row| calibration.metastasis(&row.pooled));
        Some(Self {
            level: calibration.level,
            nodes: labelled.len(),
            patients,
            share: holds.iter().filter(|&&held| held).count() as f64 / count,
            interval: bootstrap_by_patient(&keys, bootstrap, share_of),
            mean_size: sets.iter().map(Vec::len).sum::<usize>() as f64 / count,
            one_status: sets.iter().filter(has_one_status).count() as f64 / count,
            calibration_error: [&before, &behind].map(|scores| expected_calibration_error(scores, BINS)),
            brier: [&before, &behind].map(|scores| brier(scores)),
        })
    }

    /// Two lines for a terminal and a report.
    pub fn sentences(&self) -> [String; 2] {
        let Self { level, nodes, patients, share, mean_size, one_status, .. } = self;
        let [error, calibrated_error] = self.calibration_error;
        let bounds = interval(self.interval.as_ref().map(|bounds| (bounds.low, bounds.high)));
        [
            format!(
                "sets of {:.0} %: {share:.3} [{bounds}] of {nodes} nodes of {patients} patients; {mean_size:.1} classes on average; one status \
                 in {one_status:.2} of the nodes",
                100.0 * level
            ),
            format!(
                "calibration error of the status: {} before calibration, {} behind it",
                metric(error),
                metric(calibrated_error)
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::calibration;

    fn row(patient: usize, class: usize, pooled: [f64; 4]) -> Prediction {
        Prediction {
            patient_key: format!("p{patient}"),
            region: Some(class / 2),
            metastasis: Some(class % 2),
            pooled: pooled.into(),
            ..Prediction::default()
        }
    }

    #[test]
    fn shares_sizes_and_errors_are_those_of_the_sets() {
        let calibration = calibration();
        let mut rows: Vec<Prediction> = (0..8).map(|n| row(n, 0, [0.7, 0.1, 0.1, 0.1])).collect();
        rows.push(row(8, 3, [0.7, 0.1, 0.1, 0.1]));
        rows.push(row(9, 1, [0.4, 0.3, 0.3, 0.0]));
        let options = BootstrapOptions { resamples: 200, seed: 1 };
        let coverage = Coverage::of(&calibration, &rows, options).unwrap();
        assert_eq!((coverage.nodes, coverage.patients), (10, 10));
        assert!((coverage.share - 0.9).abs() < 1e-12 && (coverage.mean_size - 1.2).abs() < 1e-12, "{coverage:?}");
        assert!((coverage.one_status - 0.9).abs() < 1e-12);
        assert!(coverage.interval.unwrap().low < 0.9);
        // A map that changes nothing changes no error.
        assert_eq!(
            coverage.brier[0].map(|score| (score * 1e9).round()),
            coverage.brier[1].map(|score| (score * 1e9).round())
        );
        assert!(Coverage::of(&calibration, &rows[..3], options).is_none());
    }
}
