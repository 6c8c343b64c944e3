//! An estimate whose spread has two sources: the patients that it was measured on, and the seeds of the trainings.
//!
//! A few trainings tell little of the spread between seeds, so it is pooled over all rows of a comparison: the variance within rows, each about
//! its own mean. The two variances add; the interval takes Student's t with the degrees of freedom of Welch and Satterthwaite (Satterthwaite,
//! Biometrics Bulletin 1946;2:110). Units: those of the estimate.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::interval::Interval;

/// A variance and how well it is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Variance.
    pub variance: f64,
    /// Its degrees of freedom; positive.
    pub degrees: f64,
}

/// An estimate with its interval and the probability of one so far from 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Effect {
    /// The estimate.
    pub value: f64,
    /// Two-sided 95 % interval.
    pub interval: Interval,
    /// Two-sided p-value of the hypothesis that it is 0.
    pub p: f64,
}

impl Effect {
    /// An estimate whose variance is the sum of the spreads; `None` without spread, for one of no degree of freedom, or where a number is not
    /// finite. Where all variances are 0 the interval is the estimate itself.
    pub fn new(value: f64, spreads: &[Spread]) -> Option<Self> {
        let is_known = |spread: &Spread| {
            spread.variance.is_finite() && spread.variance >= 0.0 && spread.degrees.is_finite() && spread.degrees > 0.0
        };
        if spreads.is_empty() || !value.is_finite() || !spreads.iter().all(is_known) {
            return None;
        }
        let variance: f64 = spreads.iter().map(|spread| spread.variance).sum();
        if variance == 0.0 {
            let p = if value == 0.0 { 1.0 } else { 0.0 };
            return Some(Self { value, interval: Interval { low: value, high: value }, p });
        }
        let shares = spreads.iter().map(|spread| (spread.variance / variance).powi(2) / spread.degrees);
        let student = StudentsT::new(0.0, 1.0, 1.0 / shares.sum::<f64>()).ok()?;
        let error = variance.sqrt();
        let half = student.inverse_cdf(0.975) * error;
        let p = 2.0 * student.cdf(-(value / error).abs());
        Some(Self { value, interval: Interval { low: value - half, high: value + half }, p: p.min(1.0) })
    }

    /// Whether the interval lies wholly on one side of 0.
    pub fn excludes_zero(&self) -> bool {
        self.interval.low > 0.0 || self.interval.high < 0.0
    }
}

/// Variance (n − 1) of values; `None` for fewer than two.
pub fn variance(values: &[f64]) -> Option<Spread> {
    pooled_variance(&[values])
}

/// Variance within groups, each about its own mean, pooled over them; `None` where no group has two values.
pub fn pooled_variance(groups: &[&[f64]]) -> Option<Spread> {
    let (mut squares, mut degrees) = (0.0, 0);
    for group in groups.iter().filter(|group| group.len() > 1) {
        let mean = group.iter().sum::<f64>() / group.len() as f64;
        squares += group.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        degrees += group.len() - 1;
    }
    (degrees > 0).then(|| Spread { variance: squares / degrees as f64, degrees: degrees as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::random::rng_for;
    use rand::RngExt;

    fn normal(random: &mut impl rand::Rng) -> f64 {
        // The sum of twelve uniform numbers has variance 1; near enough for coverage.
        (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
    }

    #[test]
    fn variances_are_about_each_groups_own_mean() {
        let spread = pooled_variance(&[&[1.0, 3.0], &[10.0, 10.0, 13.0], &[7.0]]).unwrap();
        assert_eq!((spread.variance, spread.degrees), ((2.0 + 6.0) / 3.0, 3.0));
        assert_eq!(variance(&[1.0]), None);
    }

    #[test]
    fn one_spread_is_students_test() {
        // SciPy's one-sample test of these values against 0: t = 4.242641, p = 0.013236, interval 0.103676 to 0.496324.
        let values = [0.1, 0.4, 0.3, 0.2, 0.5];
        let Spread { variance, degrees } = variance(&values).unwrap();
        let effect = Effect::new(0.3, &[Spread { variance: variance / 5.0, degrees }]).unwrap();
        assert!((effect.p - 0.013_236).abs() < 1e-6, "{effect:?}");
        assert!((effect.interval.low - 0.103_676).abs() < 1e-6, "{effect:?}");
        assert!(effect.excludes_zero());
    }

    #[test]
    fn intervals_of_two_sources_hold_the_truth() {
        // Five trainings of sd 0.6 on patients whose mean has sd 0.5, pooled over four rows: 95 % of intervals hold 0.
        let mut random = rng_for(1, "effect coverage", &[]);
        let held = (0..2000)
            .filter(|_| {
                let shift = 0.5 * normal(&mut random);
                let rows: Vec<Vec<f64>> =
                    (0..4).map(|_| (0..3).map(|_| shift + 0.6 * normal(&mut random)).collect()).collect();
                let groups: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
                let seeds = pooled_variance(&groups).unwrap();
                let of_mean = Spread { variance: seeds.variance / 3.0, ..seeds };
                let patients = Spread { variance: 0.25, degrees: 100.0 };
                !Effect::new(rows[0].iter().sum::<f64>() / 3.0, &[patients, of_mean]).unwrap().excludes_zero()
            })
            .count();
        assert!((1860..=1940).contains(&held), "{held} of 2000");
    }

    #[test]
    fn what_is_not_known_has_no_interval() {
        let spread = |variance, degrees| Spread { variance, degrees };
        for spreads in [&[][..], &[spread(f64::NAN, 3.0)], &[spread(1.0, 0.0)], &[spread(-1.0, 2.0)]] {
            assert_eq!(Effect::new(1.0, spreads), None);
        }
        assert_eq!(Effect::new(f64::NAN, &[spread(1.0, 3.0)]), None);
        let same = Effect::new(0.0, &[spread(0.0, 3.0)]).unwrap();
        assert_eq!((same.p, same.excludes_zero()), (1.0, false));
    }
}
