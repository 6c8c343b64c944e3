//! Figures with their 95 % interval over patients.
//!
//! Invariants: the nodes of a patient are drawn together. Where all trials of a share agree, no resample differs from another; Wilson's interval
//! over the patients stands there instead, so that a share of 1 among few patients is not shown as certain.

use std::collections::BTreeSet;

use mtids_metrics::{BootstrapOptions, Interval, bootstrap_by_patient, wilson};
use mtids_report::format::interval;
use serde::Serialize;

/// A share or another figure with its interval; none where there is nobody to be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ShareWithin {
    /// The figure.
    pub value: Option<f64>,
    /// 95 % interval over patients.
    pub interval: Option<Interval>,
}

/// A node or patient: its patient, a probability and the truth.
pub(crate) type Sample<'a> = (&'a str, f64, bool);

impl ShareWithin {
    /// The interval as people read it.
    pub(crate) fn bounds(&self) -> String {
        interval(self.interval.as_ref().map(|bounds| (bounds.low, bounds.high)))
    }
}

/// A figure of samples.
pub(crate) fn within(
    samples: &[Sample<'_>],
    bootstrap: BootstrapOptions,
    figure: impl Fn(&[(f64, bool)]) -> Option<f64> + Sync,
) -> ShareWithin {
    let keys: Vec<&str> = samples.iter().map(|sample| sample.0).collect();
    let pairs: Vec<(f64, bool)> = samples.iter().map(|&(_, p, truth)| (p, truth)).collect();
    let of_drawn = |drawn: &[usize]| figure(&drawn.iter().map(|&n| pairs[n]).collect::<Vec<_>>());
    ShareWithin { value: figure(&pairs), interval: bootstrap_by_patient(&keys, bootstrap, of_drawn) }
}

/// The share of trials, each of a patient, that succeed.
pub(crate) fn share_within(trials: &[(&str, bool)], bootstrap: BootstrapOptions) -> ShareWithin {
    let keys: Vec<&str> = trials.iter().map(|trial| trial.0).collect();
    let patients = count_distinct(keys.iter().copied()) as u64;
    let share = |successes: usize, all: usize| (all > 0).then(|| successes as f64 / all as f64);
    let of_drawn = |drawn: &[usize]| share(drawn.iter().filter(|&&n| trials[n].1).count(), drawn.len());
    let successes = trials.iter().filter(|trial| trial.1).count();
    let interval = match successes {
        0 => wilson(0, patients),
        all if all == trials.len() => wilson(patients, patients),
        _ => bootstrap_by_patient(&keys, bootstrap, of_drawn),
    };
    ShareWithin { value: share(successes, trials.len()), interval }
}

/// How many different keys there are.
pub(crate) fn count_distinct<'a>(keys: impl Iterator<Item = &'a str>) -> usize {
    keys.collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: BootstrapOptions = BootstrapOptions { resamples: 200, seed: 1 };

    #[test]
    fn a_share_on_which_all_agree_is_not_certain() {
        let trials = [("a", true), ("a", true), ("b", true), ("c", true)];
        let all = share_within(&trials, OPTIONS);
        assert_eq!(all.value, Some(1.0));
        assert_eq!(all.interval, wilson(3, 3), "three patients, not four nodes");
        let none = share_within(&trials.map(|(key, _)| (key, false)), OPTIONS);
        assert_eq!((none.value, none.interval), (Some(0.0), wilson(0, 3)));
        assert_eq!(share_within(&[], OPTIONS), ShareWithin::default());
    }

    #[test]
    fn a_mixed_share_has_an_interval_over_patients() {
        let names: Vec<String> = (0..40).map(|n| format!("p{}", n / 2)).collect();
        // Both nodes of a patient agree: twenty trials, not forty.
        let trials: Vec<(&str, bool)> = names.iter().enumerate().map(|(n, name)| (name.as_str(), n % 4 < 2)).collect();
        let half = share_within(&trials, OPTIONS);
        let bounds = half.interval.unwrap();
        assert_eq!(half.value, Some(0.5));
        // 1.96 · √(0.25 / 20) = 0.22; nodes as units would give 0.15.
        assert!(bounds.low < 0.33 && bounds.high > 0.67, "{bounds:?}");
        assert!(half.bounds().contains('–'));
    }
}
