//! How likely a given label is wrong: the model's probabilities, and how labels of such evidence come about.
//!
//! By Bayes, P(true class j | given i, x) ∝ p(j | x) · P(given i | true j). The second factor is the transition of labels: accuracy of the
//! evidence, mixed with slips that hit every class alike. Invariants: every probability lies strictly between 0 and 1, so each label can be
//! wrong; without evidence the order is that of self-confidence.

use mtids_domain::label::Evidence;

use super::config::SuspectsConfig;
use super::found::Dimension;

/// A model is never surer than this.
const NEAREST: f64 = 1e-9;

/// A judged label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Verdict {
    /// Probability that the given label is wrong.
    pub(super) wrong: f64,
    /// The likeliest other class.
    pub(super) suggested: usize,
}

/// Judges a label by the probabilities of its classes, of which there are at least two.
pub(super) fn judge(
    dimension: Dimension,
    given: usize,
    probabilities: &[f64],
    evidence: Evidence,
    config: &SuspectsConfig,
) -> Verdict {
    let weights = probabilities.iter().enumerate().map(|(class, probability)| {
        probability.clamp(NEAREST, 1.0) * likelihood(dimension, given, class, probabilities.len(), evidence, config)
    });
    let (mut all, mut others, mut suggested, mut best) = (0.0, 0.0, given, -1.0);
    for (class, weight) in weights.enumerate() {
        all += weight;
        if class != given {
            others += weight;
            if weight > best {
                (suggested, best) = (class, weight);
            }
        }
    }
    Verdict { wrong: others / all, suggested }
}

/// Probability of the given label where `class` is true.
fn likelihood(
    dimension: Dimension,
    given: usize,
    class: usize,
    classes: usize,
    evidence: Evidence,
    config: &SuspectsConfig,
) -> f64 {
    let slip = config.slip_share;
    if dimension == Dimension::Region {
        return if given == class { 1.0 - slip } else { slip / (classes as f64 - 1.0).max(1.0) };
    }
    let accuracy = config.accuracy.of(evidence);
    let right = if class == 1 { accuracy.sensitivity } else { accuracy.specificity };
    let called = if given == class { right } else { 1.0 - right };
    called * (1.0 - slip) + (1.0 - called) * slip
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(given: usize, metastatic: f64, evidence: Evidence) -> f64 {
        let config = SuspectsConfig { slip_share: 0.05, ..Default::default() };
        judge(Dimension::Metastasis, given, &[1.0 - metastatic, metastatic], evidence, &config).wrong
    }

    #[test]
    fn the_posterior_is_that_of_bayes() {
        // Histology says metastatic, the model 0.2: 0.8·0.05 against 0.2·0.95.
        assert!((wrong(1, 0.2, Evidence::A) - 0.04 / (0.04 + 0.19)).abs() < 1e-12);
        // By size: called metastatic 0.19·0.95 + 0.81·0.05 of benign nodes, 0.55·0.95 + 0.45·0.05 of metastatic ones.
        let (benign, metastatic) = (0.8 * (0.19 * 0.95 + 0.81 * 0.05), 0.2 * (0.55 * 0.95 + 0.45 * 0.05));
        assert!((wrong(1, 0.2, Evidence::D) - benign / (benign + metastatic)).abs() < 1e-12);
        // A needle that finds nothing may have missed; one that finds cells is as sure as histology, up to the metastases that it misses.
        assert!(wrong(0, 0.6, Evidence::B) > 2.0 * wrong(0, 0.6, Evidence::A));
        assert!((wrong(1, 0.2, Evidence::B) - wrong(1, 0.2, Evidence::A)).abs() < 0.02);
    }

    #[test]
    fn the_suggested_class_is_the_likeliest_other_and_nothing_is_certain() {
        let config = SuspectsConfig::default();
        let judged = |given, row: &[f64]| judge(Dimension::Region, given, row, Evidence::A, &config);
        assert_eq!(judged(0, &[0.1, 0.2, 0.7]).suggested, 2);
        assert_eq!(judged(2, &[0.1, 0.2, 0.7]).suggested, 1);
        let sure = judged(0, &[1.0, 0.0]);
        assert!(sure.wrong > 0.0 && sure.wrong < 1e-9 && sure.suggested == 1, "{sure:?}");
        assert!(judged(1, &[1.0, 0.0]).wrong < 1.0);
        assert!(judged(0, &[0.3, 0.7]).wrong > judged(0, &[0.31, 0.69]).wrong);
    }
}
