//! How the weights of branches are spread over the samples of a split, by task and branch.
//!
//! Purpose: a mean of one half may be a gate that divides every sample, or one that sends each to one side; a histogram tells them apart.
//! Invariants: bins are the same for all runs, so epochs and runs can be laid over each other; samples are added in the order of the dataset.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::prediction::Prediction;

/// Bins of equal width over weights from 0 to 1.
const BINS: usize = 20;

/// Names of the branches, in the order of a gate's weights.
const BRANCHES: [&str; 3] = ["shared", "private", "others"];

/// Histogram of weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WeightHistogram {
    /// The least weight.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
    /// Sum of the weights.
    pub(crate) sum: f64,
    /// Sum of their squares.
    pub(crate) sum_squares: f64,
    /// Samples in each bin; the last one holds the weight 1.
    pub(crate) bins: Vec<u64>,
}

/// Histograms by task, and there by branch.
pub(crate) type GateHistograms = BTreeMap<String, BTreeMap<String, WeightHistogram>>;

impl WeightHistogram {
    /// Of weights; `None` without any. A weight that is not finite has no bin and is left out.
    fn of(weights: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut weights = weights.into_iter().filter(|weight| weight.is_finite()).peekable();
        let first = *weights.peek()?;
        let mut histogram = Self { min: first, max: first, bins: vec![0; BINS], ..Self::default() };
        for weight in weights {
            (histogram.min, histogram.max) = (histogram.min.min(weight), histogram.max.max(weight));
            histogram.sum += weight;
            histogram.sum_squares += weight * weight;
            // A number below 0 becomes 0 here: rounding may leave one.
            histogram.bins[((weight * BINS as f64) as usize).min(BINS - 1)] += 1;
        }
        Some(histogram)
    }

    /// Samples.
    pub(crate) fn count(&self) -> u64 {
        self.bins.iter().sum()
    }

    /// The upper end and the samples of each bin, from the first to the last that holds some.
    pub(crate) fn filled(&self) -> Vec<(f64, u64)> {
        let is_filled = |count: &u64| *count > 0;
        let first = self.bins.iter().position(is_filled).unwrap_or(0);
        let last = self.bins.iter().rposition(is_filled).unwrap_or(0);
        let end_and_count = |(bin, &count): (usize, &u64)| ((bin + 1) as f64 / self.bins.len() as f64, count);
        self.bins.iter().enumerate().map(end_and_count).take(last + 1).skip(first).collect()
    }
}

/// The histograms of predictions; empty for a model without gates. `tasks` are names in the order of the model.
pub(crate) fn gate_histograms(tasks: &[String], predictions: &[Prediction]) -> GateHistograms {
    let mut histograms = GateHistograms::new();
    for (task, name) in tasks.iter().enumerate() {
        for (branch, of_branch) in BRANCHES.iter().enumerate() {
            let weights = predictions.iter().filter_map(|row| row.branches.get(task)?.get(branch).copied());
            if let Some(histogram) = WeightHistogram::of(weights) {
                histograms.entry(name.clone()).or_default().insert((*of_branch).to_owned(), histogram);
            }
        }
    }
    histograms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(branches: &[&[f64]]) -> Prediction {
        Prediction { branches: branches.iter().map(|task| task.to_vec()).collect(), ..Prediction::default() }
    }

    #[test]
    fn every_weight_is_in_one_bin_and_ends_belong_to_the_outer_ones() {
        let histogram = WeightHistogram::of([0.0, 0.049, 0.05, 0.5, 1.0, f64::NAN, -1e-9]).unwrap();
        assert_eq!((histogram.bins[0], histogram.bins[1], histogram.bins[10], histogram.bins[BINS - 1]), (3, 1, 1, 1));
        assert_eq!((histogram.count(), histogram.min, histogram.max), (6, -1e-9, 1.0));
        assert!((histogram.sum - 1.599).abs() < 1e-6 && (histogram.sum_squares - 1.254_901).abs() < 1e-6);
        assert_eq!(WeightHistogram::of([]), None);
    }

    #[test]
    fn only_bins_between_filled_ones_may_be_empty() {
        let filled = |weights: &[f64]| WeightHistogram::of(weights.iter().copied()).unwrap().filled();
        assert_eq!(filled(&[0.52, 0.61, 0.64]), [(0.55, 1), (0.6, 0), (0.65, 2)]);
        assert_eq!(filled(&[1.0, 1.0]), [(1.0, 2)]);
        assert_eq!(filled(&[0.0]), [(0.05, 1)]);
    }

    #[test]
    fn tasks_have_the_branches_that_their_gates_have() {
        let rows = [row(&[&[0.25, 0.75], &[0.1, 0.2, 0.7]]), row(&[&[0.5, 0.5], &[0.3, 0.3, 0.4]])];
        let histograms = gate_histograms(&["joint".to_owned(), "region".to_owned()], &rows);
        let branches = |task: &str| histograms[task].keys().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(
            (branches("joint"), branches("region")),
            (vec!["private", "shared"], vec!["others", "private", "shared"])
        );
        assert_eq!((histograms["joint"]["shared"].sum, histograms["joint"]["private"].sum), (0.75, 1.25));
        assert!(gate_histograms(&["joint".to_owned()], &[row(&[])]).is_empty());
    }
}
