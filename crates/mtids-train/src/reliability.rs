//! How often the calibrated probability of metastasis comes true, bin by bin.
//!
//! Invariants: bins hold about equally many nodes; intervals are over patients; nothing is claimed of the patients that the calibration was fitted
//! on, or of fewer than [`MINIMUM_PATIENTS`].

use mtids_metrics::{BootstrapOptions, reliability_bins};
use serde::Serialize;

use crate::calibration::Calibration;
use crate::prediction::{MINIMUM_PATIENTS, Prediction};
use crate::within::{Sample, ShareWithin, count_distinct, share_within};

/// Most bins.
const BINS: usize = 10;
/// Nodes that a bin holds at least where there are more than these.
const NODES_OF_A_BIN: usize = 10;

/// Nodes of neighbouring probabilities.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Least and largest calibrated probability.
    pub range: [f64; 2],
    /// Their mean.
    pub mean: f64,
    /// Nodes.
    pub nodes: usize,
    /// Metastatic ones.
    pub metastatic: usize,
    /// Their patients.
    pub patients: usize,
    /// Share of the nodes that are metastatic.
    pub share: ShareWithin,
}

/// The bins by rising probability; empty for too few patients.
pub(crate) fn bins(calibration: &Calibration, predictions: &[Prediction], bootstrap: BootstrapOptions) -> Vec<Bin> {
    let nodes: Vec<Sample<'_>> = predictions
        .iter()
        .filter_map(|row| Some((row.patient_key.as_str(), calibration.metastasis(row), row.metastasis? == 1)))
        .collect();
    if count_distinct(nodes.iter().map(|node| node.0)) < MINIMUM_PATIENTS {
        return Vec::new();
    }
    let pairs: Vec<(f64, bool)> = nodes.iter().map(|&(_, p, truth)| (p, truth)).collect();
    let count = (nodes.len() / NODES_OF_A_BIN).clamp(1, BINS);
    let bin = |found: mtids_metrics::ReliabilityBin| {
        // Equal probabilities are in one bin, so its ends name its nodes.
        let inside = nodes.iter().filter(|node| (found.least..=found.most).contains(&node.1));
        let trials: Vec<(&str, bool)> = inside.map(|&(patient, _, truth)| (patient, truth)).collect();
        Bin {
            range: [found.least, found.most],
            mean: found.mean,
            nodes: trials.len(),
            metastatic: trials.iter().filter(|trial| trial.1).count(),
            patients: count_distinct(trials.iter().map(|trial| trial.0)),
            share: share_within(&trials, bootstrap),
        }
    };
    reliability_bins(&pairs, count).into_iter().map(bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::calibration;

    #[test]
    fn bins_count_what_came_true() {
        let calibration = calibration();
        // Forty nodes of ten patients: of those of which is said .2 one in ten is metastatic, of those of .8 nine in ten.
        let row = |n: usize| {
            let is_high = n % 4 >= 2;
            let probability = if is_high { 0.8 } else { 0.2 } + 1e-4 * n as f64;
            Prediction {
                patient_key: format!("p{}", n / 4),
                metastasis: Some(usize::from(is_high != (n % 20 == 3 || n % 20 == 1))),
                pooled: vec![1.0 - probability, probability],
                ..Prediction::default()
            }
        };
        let rows: Vec<Prediction> = (0..40).map(row).collect();
        let options = BootstrapOptions { resamples: 200, seed: 1 };
        let found = bins(&calibration, &rows, options);
        assert_eq!(found.iter().map(|bin| bin.nodes).collect::<Vec<_>>(), [10; 4]);
        assert_eq!(found.iter().map(|bin| bin.metastatic).sum::<usize>(), 20);
        let low = &found[0];
        assert!((low.mean - 0.2).abs() < 0.01 && low.share.value == Some(0.1), "{low:?}");
        assert!(low.share.interval.unwrap().high > 0.1);
        assert!(found[3].share.value == Some(0.9) && found[3].mean > 0.8, "{found:?}");
        assert!(bins(&calibration, &rows[..16], options).is_empty(), "four patients are too few");
    }
}
