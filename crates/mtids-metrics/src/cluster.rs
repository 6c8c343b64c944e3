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

/// Second moments of what patients add to the two sides: all that the difference needs, of however many patients. Sums of counts are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Patients with a sample, and those of each side.
    patients: f64,
    of_side: [f64; 2],
    /// Sums of samples and values, and of their products within a side.
    samples: [f64; 2],
    sums: [f64; 2],
    samples_squared: [f64; 2],
    samples_by_sums: [f64; 2],
    sums_squared: [f64; 2],
    /// Products across the sides: samples with samples, sums with sums, samples of a side with sums of the other.
    across: [f64; 4],
    /// Sums of the patients' means and of their squares.
    means: [f64; 2],
}

impl Moments {
    /// Adds a patient; one without samples adds nothing.
    pub fn add(&mut self, one: PatientSums) {
        self.change(one, 1.0);
    }

    /// Takes a patient away that was added.
    pub fn remove(&mut self, one: PatientSums) {
        self.change(one, -1.0);
    }

    fn change(&mut self, one: PatientSums, sign: f64) {
        let ([n, m], [s, t]) = (one.samples, one.sums);
        if n + m <= 0.0 {
            return;
        }
        self.patients += sign;
        for side in 0..2 {
            let (samples, sum) = (one.samples[side], one.sums[side]);
            self.of_side[side] += if samples > 0.0 { sign } else { 0.0 };
            self.samples[side] += sign * samples;
            self.sums[side] += sign * sum;
            self.samples_squared[side] += sign * samples * samples;
            self.samples_by_sums[side] += sign * samples * sum;
            self.sums_squared[side] += sign * sum * sum;
        }
        for (all, product) in self.across.iter_mut().zip([n * m, s * t, n * t, m * s]) {
            *all += sign * product;
        }
        let mean = (s + t) / (n + m);
        self.means[0] += sign * mean;
        self.means[1] += sign * mean * mean;
    }

    /// The moments of both.
    pub fn and(mut self, other: &Self) -> Self {
        self.patients += other.patients;
        let pairs = |all: &mut [f64], more: &[f64]| all.iter_mut().zip(more).for_each(|(all, more)| *all += more);
        pairs(&mut self.of_side, &other.of_side);
        pairs(&mut self.samples, &other.samples);
        pairs(&mut self.sums, &other.sums);
        pairs(&mut self.samples_squared, &other.samples_squared);
        pairs(&mut self.samples_by_sums, &other.samples_by_sums);
        pairs(&mut self.sums_squared, &other.sums_squared);
        pairs(&mut self.across, &other.across);
        pairs(&mut self.means, &other.means);
        self
    }

    /// Patients with a sample on each side.
    pub fn patients_of_sides(&self) -> [u64; 2] {
        self.of_side.map(|patients| patients as u64)
    }

    /// Samples of each side.
    pub fn samples(&self) -> [f64; 2] {
        self.samples
    }

    /// Mean of each side; not a number for a side without samples.
    pub fn means_of_sides(&self) -> [f64; 2] {
        [self.sums[0] / self.samples[0], self.sums[1] / self.samples[1]]
    }

    /// As [`mean_difference_by_patient`] of the patients that were added.
    pub fn difference(&self) -> Option<Effect> {
        self.difference_above(0.0)
    }

    /// The same of shares, whose variance is never below that of independent samples of the share of all: a side of single samples of many patients
    /// has hardly any between its patients, and more than their means have.
    pub fn difference_of_shares(&self) -> Option<Effect> {
        let [n, m] = self.samples;
        let share = (self.sums[0] + self.sums[1]) / (n + m);
        self.difference_above(share * (1.0 - share) * (1.0 / n + 1.0 / m))
    }

    fn difference_above(&self, least_variance: f64) -> Option<Effect> {
        let [n, m] = self.samples;
        let all = n + m;
        if self.patients < 3.0 || n < 1.0 || m < 1.0 || all < 3.0 {
            return None;
        }
        let [first, second] = self.means_of_sides();
        // Σ (S − N·mean)², and the same across the sides.
        let squares = |side: usize, mean: f64| {
            self.sums_squared[side] - 2.0 * mean * self.samples_by_sums[side] + mean * mean * self.samples_squared[side]
        };
        let [both_samples, both_sums, by_second, by_first] = self.across;
        let across = both_sums - first * by_second - second * by_first + first * second * both_samples;
        let residuals = squares(0, first) / (n * n) + squares(1, second) / (m * m) - 2.0 * across / (n * m);
        let patients = self.patients;
        let of_clusters = patients / (patients - 1.0) * (all - 1.0) / (all - 2.0) * residuals.max(0.0);
        let weights =
            self.samples_squared[0] / (n * n) + self.samples_squared[1] / (m * m) - 2.0 * both_samples / (n * m);
        let spread = (self.means[1] - self.means[0] * self.means[0] / patients) / (patients - 1.0);
        let variance = of_clusters.max(spread.max(0.0) * weights.max(0.0)).max(least_variance);
        let degrees = self.of_side[0].min(self.of_side[1]) - 1.0;
        Effect::new(second - first, &[Spread { variance, degrees }])
    }
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
    fn moments_say_what_the_patients_say() {
        let mut random = rng_for(3, "moments", &[]);
        for _ in 0..200 {
            let patients: Vec<PatientSums> = (0..3 + (random.random::<f64>() * 40.0) as usize)
                .map(|_| {
                    let samples = [0, 1].map(|_| (random.random::<f64>() * 4.0).floor());
                    PatientSums { samples, sums: samples.map(|n: f64| (n * random.random::<f64>()).round()) }
                })
                .collect();
            let (mut first, mut second) = (Moments::default(), Moments::default());
            for (n, &one) in patients.iter().enumerate() {
                if n % 2 == 0 {
                    first.add(one);
                } else {
                    second.add(one);
                }
                // What is taken away leaves nothing behind.
                second.add(patients[0]);
                second.remove(patients[0]);
            }
            match (mean_difference_by_patient(&patients), first.and(&second).difference()) {
                (None, None) => {}
                (Some(one), Some(other)) => {
                    let near = |a: f64, b: f64| (a - b).abs() <= 1e-7 * a.abs().max(1.0);
                    let (of_one, of_other) = (one.interval, other.interval);
                    assert!(near(one.value, other.value) && near(one.p, other.p), "{one:?} {other:?}");
                    assert!(near(of_one.low, of_other.low) && near(of_one.high, of_other.high), "{one:?} {other:?}");
                }
                (one, other) => panic!("{one:?} {other:?} of {patients:?}"),
            }
        }
    }

    #[test]
    fn a_few_single_samples_without_an_event_are_not_certain() {
        let mut moments = Moments::default();
        for n in 0..60 {
            // Nine samples of each patient, three of them events; of every third patient one more, no event, on the second side.
            let other = f64::from(u8::from(n % 3 == 0));
            moments.add(PatientSums { samples: [9.0, other], sums: [3.0, 0.0] });
        }
        assert!(moments.difference().unwrap().p < 1e-6);
        let effect = moments.difference_of_shares().unwrap();
        assert!((0.002..0.02).contains(&effect.p), "{effect:?}");
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
