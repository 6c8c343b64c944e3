//! Mean and spread over seeds, and differences of rows that saw the same seeds.

use std::fmt;

/// 97.5 % quantiles of Student's t with 1, 2, … degrees of freedom.
const QUANTILES: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

/// Mean and sample standard deviation over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) mean: f64,
    /// 0 for a single value.
    pub(crate) deviation: f64,
    count: usize,
}

impl Summary {
    /// `None` without values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = if count > 1 { (squares / (count - 1) as f64).sqrt() } else { 0.0 };
        Some(Self { mean, deviation, count })
    }

    /// Half the width of the 95 % interval of the mean (Student's t); `None` for one value, or for more than ten.
    pub(crate) fn margin(&self) -> Option<f64> {
        let quantile = QUANTILES.get(self.count.checked_sub(2)?)?;
        Some(quantile * self.deviation / (self.count as f64).sqrt())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.3} ± {:.3}", self.mean, self.deviation)
    }
}

/// A difference of two rows, seed by seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Difference {
    pub(crate) summary: Summary,
}

impl Difference {
    /// `a − b` of values of the same seeds; `None` for lists that do not pair.
    pub(crate) fn of(a: &[f64], b: &[f64]) -> Option<Self> {
        if a.len() != b.len() {
            return None;
        }
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        Some(Self { summary: Summary::of(&differences)? })
    }

    /// Whether the 95 % interval of the mean difference holds 0, or there is no interval.
    pub(crate) fn is_tie(&self) -> bool {
        self.summary.margin().is_none_or(|margin| self.summary.mean.abs() <= margin)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:+.3}", self.summary.mean)?;
        match self.summary.margin() {
            Some(margin) => write!(out, " ± {margin:.3}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_values_by_hand() {
        let summary = Summary::of(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(summary.to_string(), "2.000 ± 1.000");
        assert!((summary.margin().unwrap() - 4.303 / 3.0_f64.sqrt()).abs() < 1e-12);
        assert!(Summary::of(&[]).is_none() && Summary::of(&[1.0]).unwrap().margin().is_none());
    }

    #[test]
    fn a_tie_is_a_difference_within_its_interval() {
        let tie = |a: &[f64], b: &[f64]| Difference::of(a, b).unwrap().is_tie();
        assert!(tie(&[0.9, 0.8, 0.7], &[0.8, 0.9, 0.7]));
        assert!(!tie(&[0.90, 0.91, 0.89], &[0.50, 0.52, 0.51]));
        assert!(tie(&[0.9], &[0.1]));
        assert!(Difference::of(&[1.0], &[]).is_none());
    }
}
