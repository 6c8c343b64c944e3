//! Calibration: Brier score and expected calibration error of a two-class probability. Units: both in
//! 0..=1, lower is better.

/// Mean squared distance between probability and outcome of (probability, is positive) pairs; `None` without samples.
pub fn brier(samples: &[(f64, bool)]) -> Option<f64> {
    let sum: f64 =
        samples.iter().map(|&(probability, positive)| (probability - f64::from(u8::from(positive))).powi(2)).sum();
    (!samples.is_empty()).then(|| sum / samples.len() as f64)
}

/// Expected calibration error with `bins` bins of equal width over 0..=1 (Naeini et al., AAAI 2015): the mean over samples
/// of |mean probability − share of positives| of their bin. `None` without samples or bins.
pub fn expected_calibration_error(samples: &[(f64, bool)], bins: usize) -> Option<f64> {
    if samples.is_empty() || bins == 0 {
        return None;
    }
    let mut sums = vec![(0.0, 0.0); bins];
    for &(probability, positive) in samples {
        // A probability of exactly 1 belongs to the last bin.
        let bin = ((probability * bins as f64) as usize).min(bins - 1);
        sums[bin].0 += probability;
        sums[bin].1 += f64::from(u8::from(positive));
    }
    Some(
        sums.iter().map(|(probability, positives)| (probability - positives).abs()).sum::<f64>() / samples.len() as f64,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_computed() {
        let samples = [(0.9, true), (0.8, true), (0.3, true), (0.2, false)];
        assert!((brier(&samples).unwrap() - (0.01 + 0.04 + 0.49 + 0.04) / 4.0).abs() < 1e-12);
        // Two bins: [0, .5) holds .3 and .2 with one positive; [.5, 1] holds .9 and .8 with two.
        let error = expected_calibration_error(&samples, 2).unwrap();
        assert!((error - ((0.5f64 - 1.0).abs() + (1.7f64 - 2.0).abs()) / 4.0).abs() < 1e-12);
        assert_eq!(brier(&[]), None);
        assert_eq!(expected_calibration_error(&[(1.0, true)], 10), Some(0.0));
    }
}
