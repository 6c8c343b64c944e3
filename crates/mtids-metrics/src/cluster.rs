//! The difference of two means where samples of one patient depend on each other, and the same patients may stand on both sides.
//!
//! Its variance is the larger of two. The first is that of least squares of the value on the side, with the covariance of clusters (Liang and
//! Zeger, Biometrika 1986;73:13) and the correction for few clusters that Stata and statsmodels make, G/(G−1) · (N−1)/(N−2). Its residuals are
//! about the mean of each side, so a small side without a single event would have no variance. The second is that of no difference: means
//! of patients spread alike on both sides, about the mean of all. Student's t has the degrees of freedom of the side with fewer patients.
//! Invariants: what a patient adds to both sides alike cancels, so equal samples differ by 0 with certainty; sums of a patient are all that is
//! needed.

use crate::effect::{Effect, Spread, variance};

/// What a patient adds to the two sides: numbers of samples, and sums of their values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PatientSums {
    /// Samples on the first and on the second side.
    pub samples: [f64; 2],
    /// Sums of their values.
    pub sums: [f64; 2],
}

/// Mean of the second side minus that of the first. `None` with fewer than three patients, with fewer than two on a side, or where a number is
/// not finite.
pub fn mean_difference_by_patient(patients: &[PatientSums]) -> Option<Effect> {
    let total = |side: usize| patients.iter().map(|patient| patient.samples[side]).sum::<f64>();
    let samples = [total(0), total(1)];
    let clusters = patients.iter().filter(|patient| patient.samples.iter().sum::<f64>() > 0.0).count() as f64;
    let all = samples[0] + samples[1];
    if clusters < 3.0 || samples.iter().any(|&side| side < 1.0) || all < 3.0 {
        return None;
    }
    let mean = |side: usize| patients.iter().map(|patient| patient.sums[side]).sum::<f64>() / samples[side];
    let means = [mean(0), mean(1)];
    let residual =
        |patient: &PatientSums, side: usize| (patient.sums[side] - patient.samples[side] * means[side]) / samples[side];
    let squares: f64 = patients.iter().map(|one| (residual(one, 1) - residual(one, 0)).powi(2)).sum();
    let of_clusters = clusters / (clusters - 1.0) * (all - 1.0) / (all - 2.0) * squares;
    let variance = of_clusters.max(variance_of_no_difference(patients, samples));
    let of_side = |side: usize| patients.iter().filter(|one| one.samples[side] > 0.0).count() as f64;
    Effect::new(means[1] - means[0], &[Spread { variance, degrees: of_side(0).min(of_side(1)) - 1.0 }])
}

/// Variance of the difference as if each patient's mean were drawn from those of all, whichever side the patient stands on. A patient weighs
/// as its share of the second side exceeds that of the first, so one with equal shares adds nothing.
fn variance_of_no_difference(patients: &[PatientSums], samples: [f64; 2]) -> f64 {
    let known = || patients.iter().filter(|one| one.samples.iter().sum::<f64>() > 0.0);
    let means: Vec<f64> = known().map(|one| one.sums.iter().sum::<f64>() / one.samples.iter().sum::<f64>()).collect();
    let weights: f64 = known().map(|one| (one.samples[1] / samples[1] - one.samples[0] / samples[0]).powi(2)).sum();
    variance(&means).map_or(0.0, |spread| spread.variance) * weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::random::rng_for;
    use rand::RngExt;

    fn patient(first: &[f64], second: &[f64]) -> PatientSums {
        let of = |values: &[f64]| (values.len() as f64, values.iter().sum::<f64>());
        let [(n, sum), (m, other)] = [of(first), of(second)];
        PatientSums { samples: [n, m], sums: [sum, other] }
    }

    #[test]
    fn the_interval_is_that_of_least_squares_with_clustered_covariance() {
        // By the matrices (X'X)⁻¹ (Σ Xg'eg eg'Xg) (X'X)⁻¹ of the definition, written out for these 11 values of 5 patients.
        let patients = [
            patient(&[1.0, 2.0], &[]),
            patient(&[4.0], &[3.0]),
            patient(&[2.0, 2.5], &[5.0, 4.0]),
            patient(&[], &[6.0]),
            patient(&[], &[1.0, 4.5]),
        ];
        // The variance of no difference is smaller here: 2.7 between means of patients, times 0.304 444.
        let effect = mean_difference_by_patient(&patients).unwrap();
        assert!((effect.value - VALUE).abs() < 1e-9, "{effect:?}");
        // 4.302 652 729 911 is the 97.5 % point of Student's t with 2 degrees of freedom: three patients on the first side.
        let half = 4.302_652_729_911 * ERROR;
        assert!((effect.interval.low - (VALUE - half)).abs() < 1e-9, "{effect:?}");
        assert!((effect.interval.high - (VALUE + half)).abs() < 1e-9, "{effect:?}");
    }

    const VALUE: f64 = 1.616_666_666_667;
    const ERROR: f64 = 0.959_610_885_790;

    #[test]
    fn equal_samples_differ_by_nothing_with_certainty() {
        let same: Vec<PatientSums> = (0..6).map(|n| patient(&[f64::from(n), 2.0], &[f64::from(n), 2.0])).collect();
        let effect = mean_difference_by_patient(&same).unwrap();
        assert_eq!((effect.value, effect.p, effect.interval.low, effect.interval.high), (0.0, 1.0, 0.0, 0.0));
    }

    #[test]
    fn intervals_hold_the_truth_where_samples_of_a_patient_are_alike() {
        // 40 patients a side with 5 samples each, whose common part has the spread of their own: as if independent, about 74 % would hold 0.
        let mut random = rng_for(3, "cluster coverage", &[]);
        let mut normal = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
        let held = (0..1000)
            .filter(|_| {
                let patients: Vec<PatientSums> = (0..80)
                    .map(|n| {
                        let common = normal();
                        let values: Vec<f64> = (0..5).map(|_| common + normal()).collect();
                        if n < 40 { patient(&values, &[]) } else { patient(&[], &values) }
                    })
                    .collect();
                !mean_difference_by_patient(&patients).unwrap().excludes_zero()
            })
            .count();
        assert!((930..=970).contains(&held), "{held} of 1000");
    }

    /// How many of 1000 cohorts without a difference are claimed to have one at 0.05: 100 patients, beside `few` others of the same share;
    /// `kept` puts the hundred on the second side too, as a dataset does that grew.
    fn false_claims(share: f64, few: u64, kept: bool) -> usize {
        let claimed = |cohort: u64| {
            let mut random = rng_for(11, "false claims", &[cohort, few, u64::from(kept)]);
            let patients: Vec<PatientSums> = (0..100 + few)
                .map(|n| {
                    let value = [f64::from(u8::from(random.random::<f64>() < share))];
                    match n {
                        0..100 if kept => patient(&value, &value),
                        0..100 => patient(&value, &[]),
                        _ => patient(&[], &value),
                    }
                })
                .collect();
            mean_difference_by_patient(&patients).is_some_and(|effect| effect.p < 0.05)
        };
        (0..1000).filter(|&cohort| claimed(cohort)).count()
    }

    #[test]
    fn a_small_side_without_events_is_not_claimed_to_differ() {
        // With residuals about the mean of each side alone, up to 600 of 1000 were.
        for (share, few) in [(0.05, 5), (0.05, 10), (0.05, 20), (0.1, 5), (0.1, 10), (0.1, 20), (0.3, 10)] {
            for kept in [false, true] {
                let claims = false_claims(share, few, kept);
                assert!(
                    claims <= 60,
                    "{claims} of 1000 claims with {few} patients of a share of {share}, kept: {kept}"
                );
            }
        }
        // 100 patients with 10 %, beside 5 patients with none.
        let with = |events: usize, all: usize| (0..all).map(move |n| f64::from(u8::from(n < events)));
        let beside = |events: usize, few: usize| -> Vec<PatientSums> {
            let first = with(10, 100).map(|value| patient(&[value], &[]));
            first.chain(with(events, few).map(|value| patient(&[], &[value]))).collect()
        };
        assert!(mean_difference_by_patient(&beside(0, 5)).unwrap().p > 0.4);
        // A true difference is seen: 12 of 20 patients.
        assert!(mean_difference_by_patient(&beside(12, 20)).unwrap().p < 0.001);
    }

    #[test]
    fn what_is_not_defined_is_none() {
        assert_eq!(mean_difference_by_patient(&[]), None);
        assert_eq!(
            mean_difference_by_patient(&[patient(&[1.0], &[2.0]), patient(&[1.0], &[2.0])]),
            None,
            "two patients"
        );
        let single: Vec<PatientSums> =
            (0..5).map(|n| if n == 0 { patient(&[1.0], &[]) } else { patient(&[], &[f64::from(n)]) }).collect();
        assert_eq!(mean_difference_by_patient(&single), None, "one patient on the first side");
        let one_sided: Vec<PatientSums> = (0..5).map(|n| patient(&[f64::from(n)], &[])).collect();
        assert_eq!(mean_difference_by_patient(&one_sided), None);
        let broken: Vec<PatientSums> = (0..5).map(|_| patient(&[f64::NAN], &[1.0])).collect();
        assert_eq!(mean_difference_by_patient(&broken), None);
    }
}
