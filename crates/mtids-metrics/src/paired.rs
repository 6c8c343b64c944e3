//! Two scores of the same samples against each other.
//!
//! Both are measured on the same resamples of whole patients, so what makes a sample easy or hard for both cancels. Invariants as those of
//! [`bootstrap_by_patient`]: the same seed gives the same interval for any number of threads.

use serde::Serialize;

use crate::bootstrap::{BootstrapOptions, bootstrap_by_patient};
use crate::interval::Interval;
use crate::roc::auroc;

/// How far one figure lies above another on the same samples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// First figure minus second.
    pub value: f64,
    /// Its 95 % percentile interval over resamples of patients, where defined.
    pub interval: Option<Interval>,
}

impl Difference {
    /// Whether the interval lies wholly above or wholly below 0; false without interval.
    pub fn excludes_zero(&self) -> bool {
        self.interval.as_ref().is_some_and(|bounds| bounds.low > 0.0 || bounds.high < 0.0)
    }
}

/// AUROC of `first` minus AUROC of `second` on the same samples: `(score, score, is positive)`, with the patient of each. `None` where one
/// class is missing or a score is NaN.
pub fn auroc_difference_by_patient(
    patients: &[&str],
    samples: &[(f64, f64, bool)],
    options: BootstrapOptions,
) -> Option<Difference> {
    let difference = |drawn: &[usize]| {
        let of = |score: fn(&(f64, f64, bool)) -> f64| {
            let pairs: Vec<(f64, bool)> = drawn.iter().map(|&n| (score(&samples[n]), samples[n].2)).collect();
            auroc(&pairs)
        };
        Some(of(|sample| sample.0)? - of(|sample| sample.1)?)
    };
    let all: Vec<usize> = (0..samples.len().min(patients.len())).collect();
    let value = difference(&all)?;
    Some(Difference { value, interval: bootstrap_by_patient(&patients[..all.len()], options, difference) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::random::rng_for;
    use rand::RngExt;

    #[test]
    fn what_both_scores_share_cancels() {
        let names: Vec<String> = (0..200).map(|sample| format!("p{}", sample / 4)).collect();
        let patients: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut random = rng_for(1, "paired", &[]);
        let samples: Vec<(f64, f64, bool)> = (0..200)
            .map(|_| {
                let truth: bool = random.random();
                let base = f64::from(u8::from(truth)) * 0.5 + random.random::<f64>();
                (base, base + 0.1 * random.random::<f64>(), truth)
            })
            .collect();
        let options = BootstrapOptions { resamples: 400, seed: 2 };
        let paired = auroc_difference_by_patient(&patients, &samples, options).unwrap();
        let width = |interval: &Interval| interval.high - interval.low;
        let alone = bootstrap_by_patient(&patients, options, |drawn| {
            auroc(&drawn.iter().map(|&n| (samples[n].0, samples[n].2)).collect::<Vec<_>>())
        });
        assert!(width(paired.interval.as_ref().unwrap()) < 0.3 * width(&alone.unwrap()), "{paired:?}");
        let same: Vec<(f64, f64, bool)> = samples.iter().map(|&(a, _, truth)| (a, a, truth)).collect();
        let same = auroc_difference_by_patient(&patients, &same, options).unwrap();
        assert_eq!((same.value, same.excludes_zero()), (0.0, false));
        let worse: Vec<(f64, f64, bool)> = samples.iter().map(|&(a, _, truth)| (a, -a, truth)).collect();
        assert!(auroc_difference_by_patient(&patients, &worse, options).unwrap().excludes_zero());
    }

    #[test]
    fn one_class_has_no_difference() {
        let options = BootstrapOptions { resamples: 10, seed: 2 };
        assert_eq!(auroc_difference_by_patient(&["a", "b"], &[(1.0, 2.0, true), (2.0, 1.0, true)], options), None);
        assert_eq!(auroc_difference_by_patient(&[], &[], options), None);
    }
}
