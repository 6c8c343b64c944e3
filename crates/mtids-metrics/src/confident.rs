//! Confident learning: how many labels of each class are likely others (Northcutt, Jiang and Chuang, J Artif Intell Res 2021;70:1373).
//!
//! The threshold of a class is the mean probability that its own samples give it. A sample counts for the likeliest of the classes whose
//! threshold its probability reaches; the counts of given against likely classes, scaled to the number of samples of each given class, are the
//! confident joint. Invariants: probabilities are out of fold; a class without sample has no threshold and is never likely; a given class of
//! which no sample is counted keeps its samples on the diagonal. Units: samples.

use serde::Serialize;

/// Counts of given against likely classes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfidentJoint {
    /// Threshold of each class; none for one without sample.
    pub thresholds: Vec<Option<f64>>,
    /// Samples of each given class (row) that are likely of each class (column).
    pub counts: Vec<Vec<f64>>,
}

impl ConfidentJoint {
    /// The joint of samples: the given class of each, and its probabilities of all classes. `None` without a sample.
    pub fn of<'a>(classes: usize, samples: impl Iterator<Item = (usize, &'a [f64])> + Clone) -> Option<Self> {
        let known = samples.filter(|(given, row)| *given < classes && row.len() == classes);
        let (mut sums, mut numbers) = (vec![0.0; classes], vec![0.0; classes]);
        for (given, row) in known.clone() {
            sums[given] += row[given];
            numbers[given] += 1.0;
        }
        let thresholds: Vec<Option<f64>> =
            sums.iter().zip(&numbers).map(|(sum, number)| (*number > 0.0).then(|| sum / number)).collect();
        let mut counts = vec![vec![0.0; classes]; classes];
        for (given, row) in known {
            if let Some(likely) = likely_class(row, &thresholds) {
                counts[given][likely] += 1.0;
            }
        }
        for (given, (row, number)) in counts.iter_mut().zip(&numbers).enumerate() {
            let counted: f64 = row.iter().sum();
            if counted > 0.0 {
                row.iter_mut().for_each(|count| *count *= number / counted);
            } else {
                row[given] = *number;
            }
        }
        numbers.iter().any(|number| *number > 0.0).then_some(Self { thresholds, counts })
    }

    /// Share of all samples that are likely of another class than the given one.
    pub fn noise(&self) -> f64 {
        let all: f64 = self.counts.iter().flatten().sum();
        let same: f64 = self.counts.iter().enumerate().map(|(class, row)| row[class]).sum();
        // A joint has at least one sample.
        1.0 - same / all
    }
}

/// The likeliest class of those whose threshold is reached; the first of equal ones.
fn likely_class(row: &[f64], thresholds: &[Option<f64>]) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (class, (probability, threshold)) in row.iter().zip(thresholds).enumerate() {
        // Cleanlab's tolerance: a sample at its own threshold reaches it in spite of rounding.
        let reaches = threshold.is_some_and(|threshold| *probability >= threshold - 1e-6);
        if reaches && best.is_none_or(|best| *probability > row[best]) {
            best = Some(class);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: [usize; 8] = [0, 0, 0, 0, 1, 1, 1, 2];
    const ROWS: [[f64; 3]; 8] = [
        [0.90, 0.05, 0.05],
        [0.80, 0.10, 0.10],
        [0.10, 0.85, 0.05],
        [0.50, 0.30, 0.20],
        [0.20, 0.70, 0.10],
        [0.70, 0.20, 0.10],
        [0.05, 0.80, 0.15],
        [0.10, 0.10, 0.80],
    ];

    fn joint(order: &[usize]) -> ConfidentJoint {
        ConfidentJoint::of(3, order.iter().map(|&n| (GIVEN[n], ROWS[n].as_slice()))).unwrap()
    }

    #[test]
    fn counts_are_those_of_the_definition_and_of_cleanlab() {
        // cleanlab 2.9.0, compute_confident_joint: [[2, 1, 0], [1, 2, 0], [0, 0, 1]] before calibration to 4, 3 and 1 samples.
        let found = joint(&[0, 1, 2, 3, 4, 5, 6, 7]);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        let thresholds: Vec<f64> = found.thresholds.iter().map(|threshold| threshold.unwrap()).collect();
        assert!(near(thresholds[0], 0.575) && near(thresholds[1], 1.7 / 3.0) && near(thresholds[2], 0.8));
        let expected = [[8.0 / 3.0, 4.0 / 3.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 1.0]];
        assert!(found.counts.iter().flatten().zip(expected.as_flattened()).all(|(a, b)| near(*a, *b)), "{found:?}");
        assert!(near(found.noise(), (4.0 / 3.0 + 1.0) / 8.0));
        assert_eq!(joint(&[7, 6, 5, 4, 3, 2, 1, 0]).counts, found.counts, "the order of samples does not matter");
    }

    #[test]
    fn a_class_without_sample_is_never_likely_and_without_any_there_is_no_joint() {
        let found = ConfidentJoint::of(3, (0..7).map(|n| (GIVEN[n], ROWS[n].as_slice()))).unwrap();
        assert_eq!((found.thresholds[2], found.counts[2].iter().sum::<f64>()), (None, 0.0));
        assert_eq!(ConfidentJoint::of(3, std::iter::empty()), None);
        // No sample of class 1 reaches a threshold: they stay where they are.
        let rows = [[0.9, 0.1], [0.9, 0.1], [0.5, 0.5], [0.0, 1.0]];
        let found = ConfidentJoint::of(2, [0, 0, 1, 1].into_iter().zip(rows.iter().map(|row| row.as_slice()))).unwrap();
        assert_eq!(found.counts, [[2.0, 0.0], [0.0, 2.0]]);
    }
}
