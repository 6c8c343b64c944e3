//! The difference of two means where samples of one patient depend on each other, and the same patients may stand on both sides.
//!
//! Least squares of the value on the side, with the covariance of clusters (Liang and Zeger, Biometrika 1986;73:13) and the correction for few
//! clusters that Stata and statsmodels make, G/(G−1) · (N−1)/(N−2); Student's t with G − 1 degrees of freedom. Invariants: what a patient adds
//! to both sides alike cancels, so equal samples differ by 0 with certainty; sums of a patient are all that is needed.

use crate::effect::{Effect, Spread};

/// What a patient adds to the two sides: numbers of samples, and sums of their values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PatientSums {
    /// Samples on the first and on the second side.
    pub samples: [f64; 2],
    /// Sums of their values.
    pub sums: [f64; 2],
}

/// Mean of the second side minus that of the first. `None` with fewer than three patients, with a side without samples, or where a number is
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
    let variance = clusters / (clusters - 1.0) * (all - 1.0) / (all - 2.0) * squares;
    Effect::new(means[1] - means[0], &[Spread { variance, degrees: clusters - 1.0 }])
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
        let effect = mean_difference_by_patient(&patients).unwrap();
        assert!((effect.value - VALUE).abs() < 1e-9, "{effect:?}");
        // 2.776 445 105 198 is the 97.5 % point of Student's t with 4 degrees of freedom.
        let half = 2.776_445_105_198 * ERROR;
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

    #[test]
    fn what_is_not_defined_is_none() {
        assert_eq!(mean_difference_by_patient(&[]), None);
        assert_eq!(
            mean_difference_by_patient(&[patient(&[1.0], &[2.0]), patient(&[1.0], &[2.0])]),
            None,
            "two patients"
        );
        let one_sided: Vec<PatientSums> = (0..5).map(|n| patient(&[f64::from(n)], &[])).collect();
        assert_eq!(mean_difference_by_patient(&one_sided), None);
        let broken: Vec<PatientSums> = (0..5).map(|_| patient(&[f64::NAN], &[1.0])).collect();
        assert_eq!(mean_difference_by_patient(&broken), None);
    }
}
