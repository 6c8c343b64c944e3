//! The mean of figures of a repeated cross-validation, with an interval that allows for overlapping training sets.
//!
//! Two folds share most of their training patients, so their figures are not independent, and the usual variance of a mean is too small: judged by
//! it, two equal methods "differ" far more often than in 5 of 100 data sets. Nadeau and Bengio (Machine Learning 2003;52:239) add the ratio of the
//! sizes of test and training set to 1 / n; Bouckaert and Frank (PAKDD 2004, LNCS 3056:3) take it over to repeated cross-validation.

use crate::effect::{Effect, Spread, variance};

/// Mean of one figure, or one difference, per fold and repeat. `test_to_train` is the ratio of the numbers of test and training patients. `None` for
/// fewer than two values, or one that is not finite.
pub fn corrected_mean(values: &[f64], test_to_train: f64) -> Option<Effect> {
    let Spread { variance, degrees } = variance(values)?;
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    Effect::new(mean, &[Spread { variance: variance * (1.0 / count + test_to_train), degrees }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roc::auroc;
    use mtids_runtime::random::rng_for;
    use rand::RngExt;
    use rand::seq::SliceRandom;

    #[test]
    fn a_mean_has_the_interval_of_the_formula() {
        // n = 10, mean 0.03, variance 0.001111…; √(0.001111 (1/10 + 1/4)) = 0.019720; t of 9 degrees at .975 is 2.262157.
        let values = [0.0, 0.1, 0.0, 0.05, 0.03, 0.02, 0.04, 0.0, 0.06, 0.0];
        let effect = corrected_mean(&values, 0.25).unwrap();
        let spread = variance(&values).unwrap();
        let half = 2.262_157_162_8 * (spread.variance * 0.35).sqrt();
        assert!((effect.value - 0.03).abs() < 1e-12);
        assert!((effect.interval.high - 0.03 - half).abs() < 1e-9, "{effect:?}");
        assert_eq!(corrected_mean(&[1.0], 0.25), None);
        let naive = corrected_mean(&values, 0.0).unwrap();
        assert!(naive.interval.low > effect.interval.low);
    }

    /// A learner: which of `features` separates best in training, and with what sign; it scores by that one.
    fn learnt(features: &[Vec<f64>], labels: &[bool], train: &[usize], among: std::ops::Range<usize>) -> (usize, f64) {
        let sided = |feature: usize| {
            let pairs: Vec<(f64, bool)> = train.iter().map(|&row| (features[feature][row], labels[row])).collect();
            auroc(&pairs).unwrap_or(0.5) - 0.5
        };
        among.map(|feature| (feature, sided(feature))).max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap()
    }

    /// Share of cohorts without signal in which two learners that see other features are told apart: by the corrected interval, and by the naive one.
    fn false_differences(cohorts: u64, repeats: usize) -> (f64, f64) {
        const PATIENTS: usize = 100;
        const FOLDS: usize = 5;
        let mut told = (0, 0);
        for cohort in 0..cohorts {
            let mut random = rng_for(cohort, "cross-validation without signal", &[]);
            let labels: Vec<bool> = (0..PATIENTS).map(|patient| patient % 2 == 0).collect();
            let features: Vec<Vec<f64>> = (0..8).map(|_| (0..PATIENTS).map(|_| random.random()).collect()).collect();
            let mut differences = Vec::new();
            for _ in 0..repeats {
                let mut order: Vec<usize> = (0..PATIENTS).collect();
                order.shuffle(&mut random);
                for fold in 0..FOLDS {
                    let part = |row: usize| (row + FOLDS - fold) % FOLDS;
                    let of = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
                        (0..PATIENTS).filter(|&place| wanted(part(place))).map(|place| order[place]).collect()
                    };
                    let (test, train) = (of(&|part| part == 0), of(&|part| part > 1));
                    let figure = |among| {
                        let (feature, sign) = learnt(&features, &labels, &train, among);
                        let pairs: Vec<(f64, bool)> =
                            test.iter().map(|&row| (features[feature][row] * sign.signum(), labels[row])).collect();
                        auroc(&pairs)
                    };
                    differences.extend(figure(0..4).zip(figure(4..8)).map(|(a, b)| a - b));
                }
            }
            let differs = |ratio| corrected_mean(&differences, ratio).is_some_and(|effect| effect.excludes_zero());
            told.0 += u32::from(differs(1.0 / 3.0));
            told.1 += u32::from(differs(0.0));
        }
        (f64::from(told.0) / cohorts as f64, f64::from(told.1) / cohorts as f64)
    }

    #[test]
    fn equal_learners_are_told_apart_in_at_most_five_of_a_hundred_cohorts() {
        for repeats in [1, 3] {
            let (corrected, naive) = false_differences(400, repeats);
            println!("{repeats} repeats of 5 folds: {corrected:.3} told apart, without correction {naive:.3}");
            assert!(corrected <= 0.05, "{repeats} repeats: {corrected}");
            assert!(naive > 0.05, "{repeats} repeats: the correction is needed, {naive}");
        }
    }
}
