//! Precision against recall, and what a threshold is worth.
//!
//! Invariants: average precision depends on the order of scores only; ties are one point, with no interpolation between points (scikit-learn's
//! `average_precision_score`). A threshold calls positive what scores at or above it.

use serde::Serialize;

use crate::roc::tied_groups;

/// One point of the curve: what calling positive every score from some threshold upwards gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PrecisionRecallPoint {
    /// Share of positives called positive.
    pub recall: f64,
    /// Share of positives among those called positive.
    pub precision: f64,
}

/// The curve of (score, is positive) pairs by rising recall, one point per distinct score; empty without a positive, or with a score that is NaN.
/// Between two points the precision is that of the right one.
pub fn precision_recall_curve(samples: &[(f64, bool)]) -> Vec<PrecisionRecallPoint> {
    let groups = tied_groups(samples);
    let all: u64 = groups.iter().map(|group| group.0).sum();
    if all == 0 {
        return Vec::new();
    }
    let (mut positives, mut called) = (0, 0);
    let point = |(positive, negative): (u64, u64)| {
        positives += positive;
        called += positive + negative;
        PrecisionRecallPoint { recall: positives as f64 / all as f64, precision: positives as f64 / called as f64 }
    };
    groups.into_iter().map(point).collect()
}

/// Average precision of (score, is positive) pairs: the sum of precisions, each by the recall that it adds. `None` without a positive, or with
/// a score that is NaN.
pub fn average_precision(samples: &[(f64, bool)]) -> Option<f64> {
    let groups = tied_groups(samples);
    let all: u64 = groups.iter().map(|group| group.0).sum();
    if all == 0 {
        return None;
    }
    let (mut positives, mut called, mut sum) = (0, 0, 0.0);
    for (positive, negative) in groups {
        positives += positive;
        called += positive + negative;
        sum += positive as f64 / all as f64 * positives as f64 / called as f64;
    }
    Some(sum)
}

/// The largest threshold at which at least `share` of the positives are called; `None` without a positive, or with a score that is NaN.
pub fn threshold_for_sensitivity(samples: &[(f64, bool)], share: f64) -> Option<f64> {
    if samples.iter().any(|sample| sample.0.is_nan()) {
        return None;
    }
    let mut positives: Vec<f64> = samples.iter().filter(|sample| sample.1).map(|sample| sample.0).collect();
    positives.sort_by(|a, b| b.total_cmp(a));
    // Rounding must not ask for one more than the share says.
    let needed = (share * positives.len() as f64 - 1e-9).ceil().max(1.0) as usize;
    positives.get(needed - 1).copied()
}

/// Net benefit of calling positive what scores at or above `threshold`, a probability below 1: true positives less false ones weighted by
/// the odds of the threshold, per sample (Vickers and Elkin, Med Decis Making 2006;26:565). `None` without samples.
pub fn net_benefit(samples: &[(f64, bool)], threshold: f64) -> Option<f64> {
    let called = |positive: bool| samples.iter().filter(|one| one.1 == positive && one.0 >= threshold).count() as f64;
    let count = samples.len() as f64;
    let odds = threshold / (1.0 - threshold);
    (count > 0.0 && odds.is_finite()).then(|| called(true) / count - odds * called(false) / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_perfect_order_has_precision_1_and_ties_are_one_point() {
        assert_eq!(average_precision(&[(0.9, true), (0.8, true), (0.1, false)]), Some(1.0));
        assert_eq!(average_precision(&[(0.5, true), (0.5, false), (0.5, false), (0.5, true)]), Some(0.5));
        assert_eq!(average_precision(&[(0.5, false)]), None);
        assert_eq!(average_precision(&[(f64::NAN, true)]), None);
    }

    #[test]
    fn the_threshold_is_the_largest_that_calls_enough() {
        let samples: Vec<(f64, bool)> = (0..10).map(|n| (f64::from(n) / 10.0, true)).chain([(0.95, false)]).collect();
        assert_eq!(threshold_for_sensitivity(&samples, 0.9), Some(0.1));
        assert_eq!(threshold_for_sensitivity(&samples, 1.0), Some(0.0));
        assert_eq!(threshold_for_sensitivity(&samples, 0.0), Some(0.9));
        assert_eq!(threshold_for_sensitivity(&[(0.5, false)], 0.9), None);
    }

    #[test]
    fn calling_everybody_at_threshold_0_is_worth_the_prevalence() {
        let samples = [(0.2, true), (0.4, false), (0.9, true), (0.3, false)];
        assert_eq!(net_benefit(&samples, 0.0), Some(0.5));
        assert_eq!(net_benefit(&samples, 0.5), Some(0.25));
        assert_eq!(net_benefit(&samples, 0.25), Some(0.25 - 2.0 / 4.0 / 3.0));
        assert_eq!(net_benefit(&[], 0.5), None);
        assert_eq!(net_benefit(&samples, 1.0), None);
    }

    proptest! {
        #[test]
        fn the_area_under_the_steps_of_the_curve_is_the_average_precision(
            samples in prop::collection::vec((0u8..12, any::<bool>()), 1..40),
        ) {
            let samples: Vec<(f64, bool)> = samples.into_iter().map(|(score, label)| (f64::from(score), label)).collect();
            let curve = precision_recall_curve(&samples);
            prop_assert_eq!(curve.is_empty(), average_precision(&samples).is_none());
            if let Some(expected) = average_precision(&samples) {
                let mut before = 0.0;
                let area: f64 = curve.iter().map(|point| (point.recall - std::mem::replace(&mut before, point.recall)) * point.precision).sum();
                prop_assert!((area - expected).abs() < 1e-12);
                prop_assert_eq!(curve[curve.len() - 1].recall, 1.0);
            }
        }

        #[test]
        fn a_threshold_reaches_its_sensitivity_and_the_next_higher_score_does_not(
            samples in prop::collection::vec((0u8..20, any::<bool>()), 1..60),
            share in 0.01..1.0_f64,
        ) {
            let samples: Vec<(f64, bool)> = samples.into_iter().map(|(score, label)| (f64::from(score), label)).collect();
            let reached = |threshold: f64| {
                let called = samples.iter().filter(|one| one.1 && one.0 >= threshold).count() as f64;
                called / samples.iter().filter(|one| one.1).count() as f64
            };
            if let Some(threshold) = threshold_for_sensitivity(&samples, share) {
                prop_assert!(reached(threshold) >= share - 1e-9);
                let higher = samples.iter().map(|one| one.0).filter(|score| *score > threshold);
                if let Some(next) = higher.min_by(f64::total_cmp) {
                    prop_assert!(reached(next) < share);
                }
            }
        }
    }
}
