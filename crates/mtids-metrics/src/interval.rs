//! Two-sided 95 % intervals, and Wilson's interval for a share of independent trials.

use serde::Serialize;

/// Two-sided 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// 97.5 % point of the standard normal distribution.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// Wilson's score interval (J Am Stat Assoc 1927;22:209) of `successes` in `trials`, 95 %, or `None` without trials.
pub fn wilson(successes: u64, trials: u64) -> Option<Interval> {
    if trials == 0 {
        return None;
    }
    Some(wilson_of_share(successes as f64 / trials as f64, trials as f64))
}

/// Wilson's interval of a share of `n` independent trials, which need not be a whole number; `n` is positive.
pub(crate) fn wilson_of_share(share: f64, n: f64) -> Interval {
    let denominator = 1.0 + Z * Z / n;
    let centre = (share + Z * Z / (2.0 * n)) / denominator;
    let half = Z / denominator * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    // The ends are exact: 0 of some trials begins at 0, and all of them end at 1.
    let low = if share <= 0.0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if share >= 1.0 { 1.0 } else { (centre + half).min(1.0) };
    Interval { low, high }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() < tolerance, "{a} is not {b}");
    }

    #[test]
    fn wilson_against_published_values() {
        // Newcombe, Stat Med 1998;17:857, table I, method 3: 81/263, 15/148, 0/20, 1/29.
        for (successes, trials, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let interval = wilson(successes, trials).unwrap();
            near(interval.low, low, 6e-5);
            near(interval.high, high, 6e-5);
        }
        assert_eq!(wilson(0, 0), None);
    }
}
