//! A share of samples where those of one patient depend on each other, with an interval that stays within 0 to 1.
//!
//! The share is a ratio of sums, and its variance that of clusters (Liang and Zeger, Biometrika 1986;73:13) with the correction G/(G−1), at least
//! that of independent samples. The interval is Wilson's, of as many independent samples as have this variance (Kish, Survey Sampling, 1965,
//! section 8.2); with few patients they are fewer, by the quantiles of Student and of the normal distribution (Korn and Graubard, Survey Methodology
//! 1998;24:193). A share of 0 or 1 has no variance between patients, so each patient counts as one sample. Invariant: six sums are all that is
//! needed, of however many patients; sums of counts are exact.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::interval::{Interval, Z, wilson_of_share};

/// Sums over patients of samples, and of those that count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShareSums {
    patients: f64,
    samples: f64,
    counted: f64,
    samples_squared: f64,
    samples_by_counted: f64,
    counted_squared: f64,
}

impl ShareSums {
    /// Adds a patient: its samples, and those of them that count. One without samples adds nothing.
    pub fn add(&mut self, samples: f64, counted: f64) {
        if samples > 0.0 {
            self.patients += 1.0;
            self.samples += samples;
            self.samples_squared += samples * samples;
            self.add_counted(samples, counted);
        }
    }

    /// Adds what counts of a patient whose `samples` were added as if none did; once for a patient.
    pub fn add_counted(&mut self, samples: f64, counted: f64) {
        self.counted += counted;
        self.samples_by_counted += samples * counted;
        self.counted_squared += counted * counted;
    }

    /// The share; none without samples.
    pub fn share(&self) -> Option<f64> {
        (self.samples > 0.0).then(|| self.counted / self.samples)
    }

    /// Standard error by patient; none with fewer than two patients.
    pub fn clustered_error(&self) -> Option<f64> {
        let share = self.share().filter(|_| self.patients >= 2.0)?;
        let squares =
            self.counted_squared - 2.0 * share * self.samples_by_counted + share * share * self.samples_squared;
        let variance = self.patients / (self.patients - 1.0) * squares.max(0.0) / (self.samples * self.samples);
        Some(variance.sqrt())
    }

    /// 95 % interval; none with fewer than two patients.
    pub fn interval(&self) -> Option<Interval> {
        let (share, error) = (self.share()?, self.clustered_error()?);
        let of_one = share * (1.0 - share);
        let independent = if of_one > 0.0 { (of_one / (error * error)).min(self.samples) } else { self.patients };
        let student = StudentsT::new(0.0, 1.0, self.patients - 1.0).ok()?;
        Some(wilson_of_share(share, independent * (Z / student.inverse_cdf(0.975)).powi(2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wilson;
    use mtids_runtime::random::rng_for;
    use rand::RngExt;

    fn of(patients: &[(f64, f64)]) -> ShareSums {
        let mut sums = ShareSums::default();
        patients.iter().for_each(|&(samples, counted)| sums.add(samples, counted));
        sums
    }

    #[test]
    fn samples_of_many_patients_have_the_interval_of_independent_ones() {
        let alone: Vec<(f64, f64)> = (0..100_000).map(|n| (1.0, f64::from(u8::from(n % 4 == 0)))).collect();
        let (ours, theirs) = (of(&alone).interval().unwrap(), wilson(25_000, 100_000).unwrap());
        assert!((ours.low - theirs.low).abs() < 1e-6 && (ours.high - theirs.high).abs() < 1e-6, "{ours:?} {theirs:?}");
        // Ten samples that agree are one.
        let repeated: Vec<(f64, f64)> = alone.iter().map(|&(_, counted)| (10.0, 10.0 * counted)).collect();
        let same = of(&repeated).interval().unwrap();
        assert!((ours.low - same.low).abs() < 1e-12 && (ours.high - same.high).abs() < 1e-12, "{ours:?} {same:?}");
        // Patients with one sample of each kind do not spread at all; their samples are no better than independent ones.
        let alike = of(&vec![(2.0, 1.0); 50]).interval().unwrap();
        assert!(alike.high - alike.low > 0.18, "{alike:?}");
    }

    #[test]
    fn a_share_on_which_all_agree_is_not_certain_and_few_patients_say_little() {
        let all = of(&[(3.0, 3.0), (1.0, 1.0), (2.0, 2.0), (5.0, 5.0)]).interval().unwrap();
        assert!(all.high == 1.0 && all.low < wilson(4, 4).unwrap().low, "{all:?}");
        let none = of(&[(3.0, 0.0), (1.0, 0.0), (2.0, 0.0), (5.0, 0.0)]).interval().unwrap();
        assert!(none.low == 0.0 && (none.high - (1.0 - all.low)).abs() < 1e-12, "{none:?}");
        assert_eq!(of(&[(4.0, 1.0)]).interval(), None, "one patient");
        assert_eq!((of(&[]).share(), of(&[(0.0, 0.0)]).share()), (None, None));
    }

    #[test]
    fn what_counts_may_be_added_behind_the_samples() {
        let patients = [(3.0, 1.0), (2.0, 0.0), (4.0, 4.0)];
        let mut later = of(&patients.map(|(samples, _)| (samples, 0.0)));
        later.add_counted(3.0, 1.0);
        later.add_counted(4.0, 4.0);
        assert_eq!(later, of(&patients));
    }

    #[test]
    fn intervals_of_dependent_samples_hold_the_truth() {
        // Each patient has a probability of its own, evenly between 0 and twice the share, and 1 to 6 samples.
        let mut random = rng_for(1, "coverage of a share", &[]);
        for (patients, share) in [(20, 0.3), (60, 0.1), (150, 0.5)] {
            let held = (0..1000)
                .filter(|_| {
                    let mut sums = ShareSums::default();
                    for _ in 0..patients {
                        let own = 2.0 * share * random.random::<f64>();
                        let samples = 1.0 + (random.random::<f64>() * 6.0).floor();
                        let counted = (0..samples as u32).filter(|_| random.random::<f64>() < own).count();
                        sums.add(samples, counted as f64);
                    }
                    sums.interval().is_some_and(|within| within.low <= share && share <= within.high)
                })
                .count();
            assert!((930..=970).contains(&held), "{patients} patients: {held} of 1000");
        }
    }
}
