//! Percentile bootstrap over patients.
//!
//! Nodes of one patient are not independent, so whole patients are drawn. Invariant: the same seed gives the same interval,
//! for any number of threads.

use std::collections::BTreeMap;

use mtids_runtime::random::rng_for;
use rand::RngExt;
use rayon::prelude::*;

use crate::interval::Interval;
use crate::quantile::quantile;

/// Size and key of a bootstrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootstrapOptions {
    /// Number of resamples.
    pub resamples: usize,
    /// Seed of the run.
    pub seed: u64,
}

/// `statistic` of each resample of whole patients, drawn with replacement, in the order of the resamples.
///
/// `patients[i]` names the patient of sample `i`; `statistic` receives the indices of the drawn samples. Empty with fewer than two patients.
pub fn resample_by_patient<R, F>(patients: &[&str], options: BootstrapOptions, statistic: F) -> Vec<R>
where
    R: Send,
    F: Fn(&[usize]) -> R + Sync,
{
    let mut samples: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, patient) in patients.iter().enumerate() {
        samples.entry(patient).or_default().push(index);
    }
    let groups: Vec<&Vec<usize>> = samples.values().collect();
    if groups.len() < 2 {
        return Vec::new();
    }
    (0..options.resamples as u64)
        .into_par_iter()
        .map(|resample| {
            let mut random = rng_for(options.seed, "bootstrap by patient", &[resample]);
            let drawn: Vec<usize> =
                (0..groups.len()).flat_map(|_| groups[random.random_range(0..groups.len())].iter().copied()).collect();
            statistic(&drawn)
        })
        .collect()
}

/// Percentile interval of `statistic` over the resamples of [`resample_by_patient`].
///
/// Resamples in which the statistic is not defined (one class only) are left out. `None` with fewer than two patients, or where more than half
/// of the resamples define nothing.
pub fn bootstrap_by_patient<F>(patients: &[&str], options: BootstrapOptions, statistic: F) -> Option<Interval>
where
    F: Fn(&[usize]) -> Option<f64> + Sync,
{
    let mut values: Vec<f64> = resample_by_patient(patients, options, statistic).into_iter().flatten().collect();
    if values.is_empty() || values.len() * 2 < options.resamples {
        return None;
    }
    values.sort_by(f64::total_cmp);
    Some(Interval { low: quantile(&values, 0.025)?, high: quantile(&values, 0.975)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() < tolerance, "{a} is not {b}");
    }

    #[test]
    fn bootstrap_is_keyed_and_covers_the_mean() {
        let names: Vec<String> = (0..40).map(|patient| format!("p{:02}", patient / 2)).collect();
        let patients: Vec<&str> = names.iter().map(String::as_str).collect();
        let values: Vec<f64> = (0..40).map(|sample| f64::from(sample / 2 % 5)).collect();
        let mean = |drawn: &[usize]| Some(drawn.iter().map(|&sample| values[sample]).sum::<f64>() / drawn.len() as f64);
        let options = BootstrapOptions { resamples: 500, seed: 3 };
        let interval = bootstrap_by_patient(&patients, options, mean).unwrap();
        assert!(interval.low < 2.0 && 2.0 < interval.high, "{interval:?}");
        // 20 patients with sd √2: half width about 1.96·√2/√20 = 0.62; samples as units would give 0.44.
        near((interval.high - interval.low) / 2.0, 0.62, 0.12);
        assert_eq!(bootstrap_by_patient(&patients, options, mean), Some(interval));
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one_thread.install(|| bootstrap_by_patient(&patients, options, mean)), Some(interval));
        let other = bootstrap_by_patient(&patients, BootstrapOptions { seed: 4, ..options }, mean).unwrap();
        assert_ne!(other, interval);
    }

    #[test]
    fn one_patient_has_no_interval() {
        let options = BootstrapOptions { resamples: 100, seed: 0 };
        assert_eq!(bootstrap_by_patient(&["a", "a"], options, |_| Some(1.0)), None);
        assert_eq!(bootstrap_by_patient(&["a", "b"], options, |_| None), None);
    }
}
