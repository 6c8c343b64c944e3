//! The area under the curve where samples of one patient depend on each other, with an interval that needs no resampling.
//!
//! The variance is that of Obuchowski (Biometrics 1997;53:567): DeLong's placement values are summed by patient, and patients with samples of
//! both classes add a covariance. Student's t has the degrees of freedom of the class with fewer patients. Invariants: the area is that of
//! [`crate::auroc`]; the order of samples changes nothing but the rounding of sums; the cost is that of a sort by digits.

use crate::effect::{Effect, Spread};
use crate::interval::Interval;

/// An area under the curve, with its interval by patient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClusteredArea {
    /// Area under the curve.
    pub area: f64,
    /// Standard error; `None` with fewer than two patients of a class.
    pub error: Option<f64>,
    /// 95 % interval, within 0 to 1; `None` as the standard error.
    pub interval: Option<Interval>,
}

/// What a patient adds: numbers of positives and negatives, and sums of their placement values.
#[derive(Clone, Copy, Default)]
struct Placed {
    samples: [f64; 2],
    sums: [f64; 2],
}

/// Scores with their class and patient, in the order of the scores.
#[derive(Clone, Debug)]
pub struct RankedScores {
    /// Score, patient and class in one number, so no sample is looked up again. A patient has 31 bits: more of them would take 64 GiB of sums.
    sorted: Vec<u64>,
    /// Patients that occur.
    patients: usize,
    /// Negatives, and positives.
    counts: [usize; 2],
}

impl RankedScores {
    /// Ranks (score, is positive, patient) triples. Patients are numbers; one that nobody has costs four bytes. `None` when a score is NaN.
    pub fn of(samples: Vec<(f32, bool, u32)>) -> Option<Self> {
        if samples.iter().any(|sample| sample.0.is_nan()) {
            return None;
        }
        let positives = samples.iter().filter(|sample| sample.1).count();
        let (numbers, patients) = renumbered(&samples);
        let packed = |&(score, positive, patient): &(f32, bool, u32)| {
            u64::from(ordered(score)) << 32 | u64::from(numbers[patient as usize]) << 1 | u64::from(positive)
        };
        let packed: Vec<u64> = samples.iter().map(packed).collect();
        let counts = [samples.len() - positives, positives];
        drop(samples);
        Some(Self { sorted: sorted_by_score(packed), patients, counts })
    }

    /// Samples of a class.
    pub fn count(&self, positive: bool) -> usize {
        self.counts[usize::from(positive)]
    }

    /// Median score of a class; `None` without samples.
    pub fn median(&self, positive: bool) -> Option<f64> {
        let last = self.count(positive).checked_sub(1)?;
        let of_class = self.sorted.iter().filter(|one| is_positive(**one) == positive);
        let mut middle = of_class.skip(last / 2).map(|packed| f64::from(score((packed >> 32) as u32)));
        let low = middle.next()?;
        if last % 2 == 0 { Some(low) } else { Some(low + (middle.next()? - low) * 0.5) }
    }

    /// Area under the curve. `None` when one class is missing.
    pub fn area(&self) -> Option<ClusteredArea> {
        let [negatives, positives] = self.counts.map(|count| count as f64);
        if positives == 0.0 || negatives == 0.0 {
            return None;
        }
        let mut placed = vec![Placed::default(); self.patients];
        let mut below = [0.0_f64; 2];
        let mut wins = 0.0;
        for tied in self.sorted.chunk_by(|a, b| a >> 32 == b >> 32) {
            let of_tied = tied.iter().filter(|one| is_positive(**one)).count() as f64;
            let others = tied.len() as f64 - of_tied;
            // Share of negatives below a positive, and of positives above a negative; ties count one half.
            let shares =
                [(below[1] + others / 2.0) / negatives, (positives - below[0] - of_tied + of_tied / 2.0) / positives];
            for packed in tied {
                let side = usize::from(!is_positive(*packed));
                let one = &mut placed[(*packed as u32 >> 1) as usize];
                one.samples[side] += 1.0;
                one.sums[side] += shares[side];
            }
            wins += of_tied * (below[1] + others / 2.0);
            below[0] += of_tied;
            below[1] += others;
        }
        let area = wins / (positives * negatives);
        let deviation = |one: &Placed, side: usize| one.sums[side] - one.samples[side] * area;
        let with = |side: usize| placed.iter().filter(|one| one.samples[side] > 0.0).count() as f64;
        let (with, all) = ([with(0), with(1)], placed.iter().filter(|one| one.samples != [0.0; 2]).count() as f64);
        if with[0] < 2.0 || with[1] < 2.0 {
            return Some(ClusteredArea { area, error: None, interval: None });
        }
        let totals = [positives, negatives];
        let squares = [0, 1].map(|side: usize| {
            let squares: f64 = placed.iter().map(|one| deviation(one, side).powi(2)).sum();
            with[side] / (with[side] - 1.0) * squares / totals[side].powi(2)
        });
        let products: f64 = placed.iter().map(|one| deviation(one, 0) * deviation(one, 1)).sum();
        let both = all / (all - 1.0) * products / (positives * negatives);
        let variance = (squares[0] + squares[1] + 2.0 * both).max(0.0);
        let spread = Spread { variance, degrees: with[0].min(with[1]) - 1.0 };
        let interval = Effect::new(area, &[spread])
            .map(|effect| Interval { low: effect.interval.low.max(0.0), high: effect.interval.high.min(1.0) });
        Some(ClusteredArea { area, error: Some(variance.sqrt()), interval })
    }
}

/// As [`RankedScores::area`], of a list. `None` when a score is NaN, too.
pub fn auroc_by_patient(samples: &[(f32, bool, u32)]) -> Option<ClusteredArea> {
    RankedScores::of(samples.to_vec())?.area()
}

fn is_positive(packed: u64) -> bool {
    packed & 1 == 1
}

/// Bits of a pass of the sort.
const DIGIT: u32 = 11;
/// Fewer numbers than this are sorted by comparing them.
const FEW: usize = 1 << DIGIT;

/// Sorts by the upper 32 bits; equals keep their order. A pass for each digit, from the lowest: an audit of a large index sorts every measured column,
/// and a comparison of numbers each time costs more (docs/benchmarks/README.md).
fn sorted_by_score(mut numbers: Vec<u64>) -> Vec<u64> {
    if numbers.len() < FEW {
        numbers.sort_by_key(|number| number >> 32);
        return numbers;
    }
    let mut other = vec![0; numbers.len()];
    for shift in (32..u64::BITS).step_by(DIGIT as usize) {
        let digit = |number: u64| (number >> shift) as usize & (FEW - 1);
        let mut starts = [0_usize; FEW];
        numbers.iter().for_each(|number| starts[digit(*number)] += 1);
        let mut start = 0;
        for place in &mut starts {
            start += std::mem::replace(place, start);
        }
        for number in &numbers {
            let place = &mut starts[digit(*number)];
            other[*place] = *number;
            *place += 1;
        }
        std::mem::swap(&mut numbers, &mut other);
    }
    numbers
}

/// For each number of a patient its place among those that occur, in the order of the samples; and how many do.
fn renumbered(samples: &[(f32, bool, u32)]) -> (Vec<u32>, usize) {
    let last = samples.iter().map(|sample| sample.2 as usize).max().unwrap_or(0);
    let mut numbers = vec![u32::MAX; last + 1];
    let mut next = 0;
    for (.., patient) in samples {
        let number = &mut numbers[*patient as usize];
        if *number == u32::MAX {
            *number = next;
            next += 1;
        }
    }
    (numbers, next as usize)
}

/// A number whose order is that of the scores; both zeros are one.
fn ordered(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// The score of such a number.
fn score(ordered: u32) -> f32 {
    f32::from_bits(if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roc::auroc;
    use mtids_runtime::random::rng_for;
    use proptest::prelude::*;
    use rand::RngExt;

    proptest! {
        #[test]
        fn the_area_is_that_without_patients(
            samples in prop::collection::vec((-6i8..6, any::<bool>(), 0u32..9), 2..40),
        ) {
            let samples: Vec<(f32, bool, u32)> =
                samples.into_iter().map(|(score, positive, patient)| (f32::from(score), positive, patient)).collect();
            let plain: Vec<(f64, bool)> = samples.iter().map(|one| (f64::from(one.0), one.1)).collect();
            let found = auroc_by_patient(&samples);
            prop_assert_eq!(found.map(|one| (one.area * 1e12).round()), auroc(&plain).map(|area| (area * 1e12).round()));
            if let Some(interval) = found.and_then(|one| one.interval) {
                prop_assert!(0.0 <= interval.low && interval.low <= interval.high && interval.high <= 1.0);
            }
        }
    }

    #[test]
    fn scores_are_sorted_and_have_their_median() {
        let mut random = rng_for(3, "ranks", &[]);
        for count in [0, 1, 2, 5, 300, FEW - 1, FEW, 5 * FEW + 3] {
            let score = |number: u32| match number % 7 {
                0 => f32::INFINITY,
                1 => -0.0,
                2 => -1e-40,
                _ => (number as f32 - 2e9) * 1e-3,
            };
            let samples: Vec<(f32, bool, u32)> =
                (0..count).map(|n| (score(random.random()), random.random_bool(0.3), n as u32 / 3)).collect();
            let ranked = RankedScores::of(samples.clone()).unwrap();
            let mut expected = samples.clone();
            expected.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap());
            let found = ranked.sorted.iter().map(|one| (score_of(*one), is_positive(*one), *one as u32 >> 1));
            // Patients are numbered as they occur, which here is their number.
            assert!(found.eq(expected.iter().map(|one| (one.0 + 0.0, one.1, one.2))), "{count}");
            for class in [false, true] {
                let of_class: Vec<f64> = expected.iter().filter(|one| one.1 == class).map(|one| one.0.into()).collect();
                assert_eq!(ranked.count(class), of_class.len());
                let median = ranked.median(class);
                assert!(
                    median == crate::quantile(&of_class, 0.5) || median.is_some_and(f64::is_nan),
                    "{count} {median:?}"
                );
            }
        }
    }

    fn score_of(packed: u64) -> f32 {
        score((packed >> 32) as u32)
    }

    #[test]
    fn patients_of_one_sample_have_the_variance_of_delong() {
        // Positives 3, 5, 8; negatives 1, 4, 6. Shares of negatives below: 1/3, 2/3, 1; of positives above: 1, 2/3, 1/3.
        // Both have a variance of 1/9, so that of the area is 1/9/3 + 1/9/3 = 2/27.
        let samples =
            [(3.0, true, 0), (5.0, true, 1), (8.0, true, 2), (1.0, false, 3), (4.0, false, 4), (6.0, false, 5)];
        let found = auroc_by_patient(&samples).unwrap();
        assert!((found.area - 2.0 / 3.0).abs() < 1e-12);
        assert!((found.error.unwrap() - (2.0_f64 / 27.0).sqrt()).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn a_perfect_score_is_certain_and_one_patient_has_no_interval() {
        let perfect: Vec<(f32, bool, u32)> = (0..8).map(|n| (n as f32, n > 3, n)).collect();
        let found = auroc_by_patient(&perfect).unwrap();
        assert_eq!((found.area, found.interval), (1.0, Some(Interval { low: 1.0, high: 1.0 })));
        let single = auroc_by_patient(&[(1.0, true, 0), (2.0, true, 0), (0.0, false, 1), (3.0, false, 2)]).unwrap();
        assert_eq!((single.area, single.interval), (0.5, None));
        assert_eq!(auroc_by_patient(&[(1.0, true, 0)]), None);
        assert_eq!(auroc_by_patient(&[(f32::NAN, true, 0), (1.0, false, 1)]), None);
    }

    /// How many of 1000 cohorts have an interval that holds the true area.
    fn held(patients: u32, area: f64, shift: f64) -> usize {
        (0..1000)
            .filter(|cohort| {
                let mut random = rng_for(17, "area coverage", &[*cohort, u64::from(patients)]);
                let mut normal = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
                let mut samples = Vec::new();
                for patient in 0..patients {
                    let common = normal();
                    // Four nodes a patient, half of which are positive: a patient's scores have a part in common.
                    for node in 0..4 {
                        let positive = node % 2 == 0;
                        let score = common + normal() + if positive { shift } else { 0.0 };
                        samples.push((score as f32, positive, patient));
                    }
                }
                let interval = auroc_by_patient(&samples).unwrap().interval.unwrap();
                interval.low <= area && area <= interval.high
            })
            .count()
    }

    #[test]
    fn intervals_hold_the_true_area() {
        // Two nodes differ by a spread of 2 (common and own part, both 1, twice): Φ(1/2) for a shift of 1.
        for (patients, area, shift) in [(40, 0.5, 0.0), (40, 0.691_462, 1.0), (150, 0.691_462, 1.0)] {
            let held = held(patients, area, shift);
            assert!((930..=970).contains(&held), "{held} of 1000 with {patients} patients");
        }
    }
}
