//! Reliability of a probability: in bins of what is said, how often it comes true.
//!
//! Bins hold about equally many samples, so that none is nearly empty where probabilities crowd. Invariant: equal probabilities are in one bin, so
//! bins do not depend on the order of samples.

use serde::Serialize;

/// Samples whose probabilities are neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Least probability.
    pub least: f64,
    /// Largest probability.
    pub most: f64,
    /// Mean probability.
    pub mean: f64,
    /// Samples.
    pub samples: u64,
    /// Positive ones.
    pub positives: u64,
}

impl ReliabilityBin {
    /// Share of positives.
    pub fn share(&self) -> f64 {
        self.positives as f64 / self.samples as f64
    }
}

/// At most `bins` bins of (probability, is positive) pairs, by rising probability; fewer where probabilities repeat. Empty without samples or bins,
/// or with a probability that is NaN.
pub fn reliability_bins(samples: &[(f64, bool)], bins: usize) -> Vec<ReliabilityBin> {
    if samples.iter().any(|sample| sample.0.is_nan()) {
        return Vec::new();
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut found, mut start) = (Vec::with_capacity(bins), 0);
    for bin in 1..=bins {
        let mut end = bin * sorted.len() / bins;
        if end <= start {
            continue;
        }
        while end < sorted.len() && sorted[end].0 == sorted[end - 1].0 {
            end += 1;
        }
        let part = &sorted[start..end];
        found.push(ReliabilityBin {
            least: part[0].0,
            most: part[part.len() - 1].0,
            mean: part.iter().map(|sample| sample.0).sum::<f64>() / part.len() as f64,
            samples: part.len() as u64,
            positives: part.iter().filter(|sample| sample.1).count() as u64,
        });
        start = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bins_hold_equally_many_samples_and_ties_stay_together() {
        let samples: Vec<(f64, bool)> = (0..9).map(|n| (f64::from(n) / 10.0, n >= 6)).collect();
        let bins = reliability_bins(&samples, 3);
        assert_eq!(bins.iter().map(|bin| (bin.samples, bin.positives)).collect::<Vec<_>>(), [(3, 0), (3, 0), (3, 3)]);
        assert!((bins[1].mean - 0.4).abs() < 1e-12 && (bins[1].least, bins[1].most) == (0.3, 0.5));
        assert_eq!(bins[2].share(), 1.0);
        let tied = [(0.2, true), (0.5, false), (0.5, true), (0.5, true)];
        let bins = reliability_bins(&tied, 2);
        assert_eq!(bins.len(), 1, "the middle of the samples lies within the ties: {bins:?}");
        assert_eq!((bins[0].samples, bins[0].positives), (4, 3));
        assert!(reliability_bins(&[], 3).is_empty() && reliability_bins(&tied, 0).is_empty());
        assert!(reliability_bins(&[(f64::NAN, true)], 3).is_empty());
    }

    proptest! {
        #[test]
        fn every_sample_is_in_one_bin_whatever_its_place(
            samples in prop::collection::vec((0u8..15, any::<bool>()), 0..60),
            count in 1usize..12,
        ) {
            let mut samples: Vec<(f64, bool)> =
                samples.into_iter().map(|(p, label)| (f64::from(p) / 15.0, label)).collect();
            let bins = reliability_bins(&samples, count);
            prop_assert!(bins.len() <= count);
            prop_assert_eq!(bins.iter().map(|bin| bin.samples).sum::<u64>(), samples.len() as u64);
            prop_assert_eq!(
                bins.iter().map(|bin| bin.positives).sum::<u64>(),
                samples.iter().filter(|sample| sample.1).count() as u64
            );
            prop_assert!(bins.windows(2).all(|pair| pair[0].most < pair[1].least));
            samples.reverse();
            let again = reliability_bins(&samples, count);
            prop_assert_eq!(again.len(), bins.len());
            for (one, other) in again.iter().zip(&bins) {
                prop_assert_eq!((one.samples, one.positives, one.least, one.most), (other.samples, other.positives, other.least, other.most));
            }
        }
    }
}
