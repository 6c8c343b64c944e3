//! The receiver operating characteristic of a score.
//!
//! Purpose: area under the curve as the probability that a positive scores above a negative, ties counting one half
//! (Mann–Whitney), and the curve itself. Invariant: both depend on the order of scores only, not on their scale. A NaN score
//! has no order, so neither is defined with one.

use serde::Serialize;

/// One point of the curve: what calling positive every score from some threshold upwards gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RocPoint {
    /// Share of negatives called positive.
    pub false_positive_rate: f64,
    /// Share of positives called positive.
    pub true_positive_rate: f64,
}

/// Samples sorted by falling score, grouped by equal scores: (positives, negatives) per group. Empty with a NaN score.
pub(crate) fn tied_groups(samples: &[(f64, bool)]) -> Vec<(u64, u64)> {
    if samples.iter().any(|sample| sample.0.is_nan()) {
        return Vec::new();
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    sorted
        .chunk_by(|a, b| a.0 == b.0)
        .map(|group| {
            let positives = group.iter().filter(|sample| sample.1).count() as u64;
            (positives, group.len() as u64 - positives)
        })
        .collect()
}

/// Area under the curve of (score, is positive) pairs, or `None` when one class is missing or a score is NaN.
pub fn auroc(samples: &[(f64, bool)]) -> Option<f64> {
    let groups = tied_groups(samples);
    let (mut above, mut negatives, mut twice_wins) = (0u64, 0u64, 0u64);
    for (positive, negative) in groups {
        twice_wins += negative * (2 * above + positive);
        above += positive;
        negatives += negative;
    }
    (above > 0 && negatives > 0).then(|| twice_wins as f64 / (2 * above * negatives) as f64)
}

/// The curve from (0, 0) to (1, 1), one point per distinct score; empty when one class is missing or a score is NaN.
pub fn roc_curve(samples: &[(f64, bool)]) -> Vec<RocPoint> {
    let groups = tied_groups(samples);
    let positives: u64 = groups.iter().map(|group| group.0).sum();
    let negatives: u64 = groups.iter().map(|group| group.1).sum();
    if positives == 0 || negatives == 0 {
        return Vec::new();
    }
    let mut points = vec![RocPoint { false_positive_rate: 0.0, true_positive_rate: 0.0 }];
    let (mut true_positives, mut false_positives) = (0, 0);
    for (positive, negative) in groups {
        true_positives += positive;
        false_positives += negative;
        points.push(RocPoint {
            false_positive_rate: false_positives as f64 / negatives as f64,
            true_positive_rate: true_positives as f64 / positives as f64,
        });
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_count_one_half() {
        // Pairs (positive, negative): .8>.4 win, .8>.8 tie, .4=.4 tie, .4<.8 loss → 2 of 4.
        let samples = [(0.8, true), (0.4, true), (0.4, false), (0.8, false)];
        assert_eq!(auroc(&samples), Some(0.5));
        // .9 beats both, .5 ties one and beats one: 3.5 of 4.
        let samples = [(0.9, true), (0.5, true), (0.5, false), (0.1, false)];
        assert_eq!(auroc(&samples), Some(0.875));
        assert_eq!(auroc(&[(0.3, true), (0.3, false), (0.3, false)]), Some(0.5));
    }

    #[test]
    fn one_class_has_no_area() {
        assert_eq!(auroc(&[(0.3, true), (0.6, true)]), None);
        assert_eq!(auroc(&[]), None);
        assert!(roc_curve(&[(0.3, false)]).is_empty());
    }

    #[test]
    fn a_score_without_order_has_no_area() {
        assert_eq!(auroc(&[(f64::NAN, false), (0.2, true), (0.1, false)]), None);
        assert!(roc_curve(&[(f64::NAN, false), (0.2, true), (0.1, false)]).is_empty());
        assert_eq!(auroc(&[(f64::INFINITY, true), (0.1, false), (-0.0, true), (0.0, false)]), Some(0.625));
    }

    proptest! {
        #[test]
        fn equals_the_definition_and_the_area_of_the_curve(
            samples in prop::collection::vec((0u8..12, any::<bool>()), 2..40),
        ) {
            let samples: Vec<(f64, bool)> = samples.into_iter().map(|(score, positive)| (f64::from(score), positive)).collect();
            let (mut wins, mut pairs) = (0.0, 0.0);
            for positive in samples.iter().filter(|sample| sample.1) {
                for negative in samples.iter().filter(|sample| !sample.1) {
                    pairs += 1.0;
                    wins += if positive.0 > negative.0 { 1.0 } else if positive.0 == negative.0 { 0.5 } else { 0.0 };
                }
            }
            prop_assert_eq!(auroc(&samples).is_some(), pairs > 0.0);
            if let Some(area) = auroc(&samples) {
                prop_assert!((area - wins / pairs).abs() < 1e-12);
                let trapezoids: f64 = roc_curve(&samples).windows(2).map(|pair| {
                    (pair[1].false_positive_rate - pair[0].false_positive_rate)
                        * (pair[1].true_positive_rate + pair[0].true_positive_rate) / 2.0
                }).sum();
                prop_assert!((area - trapezoids).abs() < 1e-12);
            }
        }
    }
}
