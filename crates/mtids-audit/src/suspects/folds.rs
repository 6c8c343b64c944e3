//! Probabilities of classes out of fold: each row is judged by models that never saw its patient.
//!
//! Folds of patients come from the seed and the key of a patient alone, so neither order nor other patients move anyone. A model has one
//! logistic regression a class (one for two classes), whose probabilities are scaled to one. Invariant: deterministic.

use std::collections::BTreeMap;

use mtids_metrics::Logistic;
use mtids_runtime::digest::Digest;
use mtids_runtime::random::rng_for;
use rand::RngExt;

/// Strength of the ridge on standardised inputs: the default of scikit-learn (C = 1).
const RIDGE: f64 = 1.0;

/// Folds of rows.
pub(super) struct Folds {
    /// Fold of each row.
    fold: Vec<u64>,
    /// A number by which patients are left out of a fit that has too many rows.
    order: Vec<u64>,
    count: u64,
    most_fitted: usize,
}

/// Probabilities of the classes for each judged row; none where no model could be fitted.
pub(super) type Probabilities = Vec<Option<Vec<f64>>>;

impl Folds {
    /// Deals the patients of rows into folds.
    pub(super) fn deal(patients: &[String], count: u64, seed: u64, most_fitted: usize) -> Self {
        let mut dealt: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let drawn: Vec<(u64, u64)> = patients
            .iter()
            .map(|patient| {
                *dealt.entry(patient).or_insert_with(|| {
                    let key = Digest::of_bytes(patient.as_bytes());
                    let key = key.as_bytes().iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte));
                    let mut random = rng_for(seed, "folds of suspects", &[key]);
                    (random.random_range(0..count), random.random())
                })
            })
            .collect();
        let (fold, order) = drawn.into_iter().unzip();
        Self { fold, order, count, most_fitted }
    }

    /// Judges every row with a label. `inputs` gives those of all rows for a model that is fitted on some; `teaches` says which rows may.
    pub(super) fn judge(
        &self,
        labels: &[Option<usize>],
        classes: usize,
        teaches: impl Fn(usize) -> bool,
        inputs: impl Fn(&[usize]) -> Vec<Vec<Option<f64>>>,
    ) -> Probabilities {
        let mut found: Probabilities = vec![None; labels.len()];
        for fold in 0..self.count {
            let known = |n: &usize| labels[*n].is_some();
            let judged: Vec<usize> = (0..labels.len()).filter(known).filter(|&n| self.fold[n] == fold).collect();
            if judged.is_empty() {
                continue;
            }
            let others = (0..labels.len()).filter(known).filter(|&n| self.fold[n] != fold && teaches(n)).collect();
            let fitted = self.fewer(others);
            let inputs = inputs(&fitted);
            let Some(model) = Model::fit(&inputs, &fitted, labels, classes) else { continue };
            for n in judged {
                found[n] = Some(model.probabilities(&inputs[n]));
            }
        }
        found
    }

    /// At most as many rows as a model is fitted on, whole patients left out.
    fn fewer(&self, mut rows: Vec<usize>) -> Vec<usize> {
        if rows.len() > self.most_fitted {
            let mut orders: Vec<u64> = rows.iter().map(|&n| self.order[n]).collect();
            orders.sort_unstable();
            let limit = orders[self.most_fitted];
            rows.retain(|&n| self.order[n] < limit);
        }
        rows
    }
}

/// A regression for each class; one that no fitted row has, has none.
struct Model(Vec<Option<Logistic>>);

impl Model {
    fn fit(inputs: &[Vec<Option<f64>>], fitted: &[usize], labels: &[Option<usize>], classes: usize) -> Option<Self> {
        let rows: Vec<Vec<Option<f64>>> = fitted.iter().map(|&n| inputs[n].clone()).collect();
        let one = |class: usize| {
            let is_class: Vec<bool> = fitted.iter().map(|&n| labels[n] == Some(class)).collect();
            Logistic::fit(&rows, &is_class, RIDGE)
        };
        let models: Vec<Option<Logistic>> = if classes == 2 { vec![one(1)] } else { (0..classes).map(one).collect() };
        models.iter().any(Option::is_some).then_some(Self(models))
    }

    fn probabilities(&self, inputs: &[Option<f64>]) -> Vec<f64> {
        let of = |model: &Option<Logistic>| model.as_ref().map_or(0.0, |model| model.probability(inputs));
        let scores: Vec<f64> = self.0.iter().map(of).collect();
        if let [positive] = scores[..] {
            return vec![1.0 - positive, positive];
        }
        let all: f64 = scores.iter().sum();
        // Far from every class all may round to 0.
        let even = 1.0 / scores.len() as f64;
        scores.into_iter().map(|score| if all > 0.0 { score / all } else { even }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Inputs = Vec<Vec<Option<f64>>>;

    /// Three classes along a line, four rows a patient.
    fn line() -> (Vec<String>, Vec<Option<usize>>, Inputs) {
        let place = |n: usize| ((n * 37) % 300) as f64;
        let patients = (0..300).map(|n| format!("p{}", n / 4)).collect();
        let labels = (0..300).map(|n| Some(place(n) as usize / 100)).collect();
        let inputs = (0..300).map(|n| vec![Some(place(n)), Some(place(n).powi(2))]).collect();
        (patients, labels, inputs)
    }

    #[test]
    fn a_label_of_a_patient_never_reaches_its_own_probabilities() {
        let (patients, mut labels, inputs) = line();
        let folds = Folds::deal(&patients, 5, 3, usize::MAX);
        let judge = |labels: &[Option<usize>]| folds.judge(labels, 3, |_| true, |_| inputs.clone());
        let before = judge(&labels);
        let right = before.iter().zip(&labels).filter(|(row, label)| {
            let row = row.as_ref().unwrap();
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            row.iter().all(|p| *p <= row[label.unwrap()])
        });
        assert!(right.count() > 270);
        labels[10] = Some((labels[10].unwrap() + 1) % 3);
        let after = judge(&labels);
        assert!((8..12).all(|n| before[n] == after[n]), "its patient");
        assert!(before != after, "others learn from it");
        labels[10] = None;
        assert_eq!(judge(&labels)[10], None);
    }

    #[test]
    fn folds_depend_on_seed_and_patient_alone() {
        let (mut patients, ..) = line();
        let fold = |patients: &[String], seed| Folds::deal(patients, 5, seed, usize::MAX).fold;
        let before = fold(&patients, 1);
        assert!((0..5).all(|fold| before.contains(&fold)) && before != fold(&patients, 2));
        patients.reverse();
        let mut after = fold(&patients, 1);
        after.reverse();
        assert_eq!(before, after);
    }

    #[test]
    fn a_fit_of_too_many_rows_leaves_whole_patients_out() {
        let (patients, ..) = line();
        let rows = Folds::deal(&patients, 5, 3, 50).fewer((0..300).collect());
        assert!((44..=50).contains(&rows.len()) && rows.len().is_multiple_of(4), "{}", rows.len());
        assert!(rows.chunks(4).all(|of_patient| of_patient.iter().all(|n| n / 4 == of_patient[0] / 4)));
    }

    #[test]
    fn one_class_alone_teaches_nothing() {
        let (patients, _, inputs) = line();
        let labels = vec![Some(1); 300];
        let found = Folds::deal(&patients, 5, 3, usize::MAX).judge(&labels, 2, |_| true, |_| inputs.clone());
        assert!(found.iter().all(Option::is_none));
    }
}
