//! Confusion counts and the rates read off them.
//!
//! Purpose: accuracy, balanced accuracy, macro-F1, sensitivity and specificity from one table of counts. Layout: row =
//! true class, column = predicted class, row-major. Invariant: the sum of all cells is the number of samples.

use serde::Serialize;

/// Counts of (true class, predicted class).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// A table of `classes` × `classes` counts from (true, predicted) pairs; pairs outside the table are left out.
    pub fn from_pairs(classes: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut counts = vec![0; classes * classes];
        for (truth, predicted) in pairs {
            if truth < classes && predicted < classes {
                counts[truth * classes + predicted] += 1;
            }
        }
        Self { classes, counts }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Samples of class `truth` that were called `predicted`; 0 outside the table.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        if truth < self.classes && predicted < self.classes { self.counts[truth * self.classes + predicted] } else { 0 }
    }

    /// The table, one row per true class.
    pub fn rows(&self) -> Vec<Vec<u64>> {
        (0..self.classes)
            .map(|truth| (0..self.classes).map(|predicted| self.count(truth, predicted)).collect())
            .collect()
    }

    /// Number of samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Number of samples of class `truth`.
    pub fn support(&self, truth: usize) -> u64 {
        (0..self.classes).map(|predicted| self.count(truth, predicted)).sum()
    }

    fn predicted(&self, class: usize) -> u64 {
        (0..self.classes).map(|truth| self.count(truth, class)).sum()
    }

    /// Number of samples called right.
    pub fn correct(&self) -> u64 {
        (0..self.classes).map(|class| self.count(class, class)).sum()
    }

    /// Share of samples called right.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.correct(), self.total())
    }

    /// Share of the samples of class `class` that were called so.
    pub fn recall(&self, class: usize) -> Option<f64> {
        ratio(self.count(class, class), self.support(class))
    }

    /// Mean recall over the classes that have samples.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        mean((0..self.classes).filter_map(|class| self.recall(class)))
    }

    /// Mean F1 over the classes that occur among truths or predictions: F1 = 2·TP / (2·TP + FP + FN), the convention of
    /// scikit-learn's `f1_score(average="macro")`.
    pub fn macro_f1(&self) -> Option<f64> {
        mean((0..self.classes).filter_map(|class| {
            // 2·TP + FP + FN is the number of truths plus the number of predictions of the class.
            ratio(2 * self.count(class, class), self.support(class) + self.predicted(class))
        }))
    }

    /// Sensitivity of a two-class table: recall of class 1.
    pub fn sensitivity(&self) -> Option<f64> {
        self.recall(1)
    }

    /// Specificity of a two-class table: recall of class 0.
    pub fn specificity(&self) -> Option<f64> {
        self.recall(0)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: Option<f64>, b: f64) {
        assert!((a.unwrap() - b).abs() < 1e-12, "{a:?} is not {b}");
    }

    #[test]
    fn hand_computed_three_classes() {
        // truth 0: 2 right, 1 called 1; truth 1: 1 right; truth 2: 1 called 0, 1 called 1.
        let table = Confusion::from_pairs(3, [(0, 0), (0, 0), (0, 1), (1, 1), (2, 0), (2, 1)]);
        close(table.accuracy(), 3.0 / 6.0);
        close(table.balanced_accuracy(), (2.0 / 3.0 + 1.0 + 0.0) / 3.0);
        // F1: class 0: 2·2/(3+3); class 1: 2·1/(1+3); class 2: 0.
        close(table.macro_f1(), (4.0 / 6.0 + 2.0 / 4.0 + 0.0) / 3.0);
        assert_eq!(table.rows(), vec![vec![2, 1, 0], vec![0, 1, 0], vec![1, 1, 0]]);
    }

    #[test]
    fn absent_classes_do_not_count() {
        let table = Confusion::from_pairs(5, [(1, 1), (3, 3)]);
        close(table.macro_f1(), 1.0);
        close(table.balanced_accuracy(), 1.0);
        // A class that is only predicted counts for F1 (as 0) but has no recall.
        let table = Confusion::from_pairs(5, [(1, 1), (3, 4)]);
        close(table.macro_f1(), 1.0 / 3.0);
        close(table.balanced_accuracy(), 0.5);
    }

    #[test]
    fn nothing_is_claimed_without_samples() {
        let table = Confusion::from_pairs(2, []);
        assert_eq!(table.accuracy(), None);
        assert_eq!(table.macro_f1(), None);
        assert_eq!(table.sensitivity(), None);
    }

    #[test]
    fn sensitivity_and_specificity() {
        let table = Confusion::from_pairs(2, [(1, 1), (1, 1), (1, 0), (0, 0), (0, 1)]);
        close(table.sensitivity(), 2.0 / 3.0);
        close(table.specificity(), 0.5);
    }
}
