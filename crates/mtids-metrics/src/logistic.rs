//! Logistic regression with a ridge: a few numbers of a sample become the probability of its class.
//!
//! Minimises Σ log(1 + exp(−s·(w·z + b))) + ½·Σ λᵢ·wᵢ² with s = ±1, z the standardised inputs and b free of the ridge, by Newton's method
//! (iteratively reweighted least squares) with step halving. Invariants: double precision, one thread and a fixed order of sums, so the same
//! rows give the same bits; a missing input counts as its mean; an input that never varies has the weight 0. Units: none.

use serde::{Deserialize, Serialize};

/// Newton steps at most; ten are enough for any data with a ridge.
const STEPS: usize = 100;
/// Largest entry of the gradient per sample at which the minimum is reached.
const TOLERANCE: f64 = 1e-12;
/// Halvings of one step at most.
const HALVINGS: usize = 40;

/// One input of a fitted model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogisticInput {
    /// Mean over the rows that the model was fitted on.
    pub mean: f64,
    /// Standard deviation there (of the population); 1 where the input never varies.
    pub deviation: f64,
    /// Weight of the standardised input.
    pub weight: f64,
}

/// A fitted model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logistic {
    /// Logit of a sample whose inputs are all at their mean.
    pub intercept: f64,
    /// The inputs in their order.
    pub inputs: Vec<LogisticInput>,
}

impl Logistic {
    /// As [`Logistic::fit_with`], with the same ridge for every input.
    pub fn fit(rows: &[Vec<Option<f64>>], labels: &[bool], ridge: f64) -> Option<Self> {
        Self::fit_with(rows, labels, &vec![ridge; rows.first()?.len()])
    }

    /// Fits rows of equally many inputs, `None` where one is missing, with labels and a ridge per input. `None` for no row, one class only, an
    /// input that is not finite, or a ridge that is not positive.
    pub fn fit_with(rows: &[Vec<Option<f64>>], labels: &[bool], ridges: &[f64]) -> Option<Self> {
        let count = ridges.len();
        let is_ragged = rows.len() != labels.len() || rows.iter().any(|row| row.len() != count);
        let is_infinite = rows.iter().flatten().flatten().any(|value| !value.is_finite());
        let positives = labels.iter().filter(|&&label| label).count();
        let has_bad_ridge = ridges.iter().any(|ridge| ridge.is_nan() || *ridge <= 0.0);
        if is_ragged || is_infinite || positives == 0 || positives == labels.len() || has_bad_ridge {
            return None;
        }
        let mut model = Self { intercept: 0.0, inputs: (0..count).map(|input| scale_of(rows, input)).collect() };
        let design: Vec<Vec<f64>> = rows.iter().map(|row| model.standardised(row)).collect();
        // The last parameter is the intercept, the last column of the design is 1.
        let mut parameters = vec![0.0; count + 1];
        let mut loss = objective(&design, labels, ridges, &parameters);
        for _ in 0..STEPS {
            let (gradient, curvature) = derivatives(&design, labels, ridges, &parameters);
            if gradient.iter().all(|entry| entry.abs() <= TOLERANCE * labels.len() as f64) {
                break;
            }
            let step = solve(curvature, gradient)?;
            let Some((next, next_loss)) = descend(&design, labels, ridges, &parameters, &step, loss) else { break };
            (parameters, loss) = (next, next_loss);
        }
        model.intercept = parameters.pop()?;
        for (input, weight) in model.inputs.iter_mut().zip(parameters) {
            input.weight = weight;
        }
        Some(model)
    }

    /// The probability of a row.
    pub fn probability(&self, row: &[Option<f64>]) -> f64 {
        1.0 / (1.0 + (-self.logit(row)).exp())
    }

    /// The logit of a row; inputs beyond those of the model do not count.
    pub fn logit(&self, row: &[Option<f64>]) -> f64 {
        let design = self.standardised(row);
        self.inputs.iter().zip(&design).fold(self.intercept, |sum, (input, z)| sum + input.weight * z)
    }

    /// Standardised inputs, and 1 for the intercept.
    fn standardised(&self, row: &[Option<f64>]) -> Vec<f64> {
        let of = |(n, input): (usize, &LogisticInput)| {
            row.get(n).copied().flatten().map_or(0.0, |value| (value - input.mean) / input.deviation)
        };
        self.inputs.iter().enumerate().map(of).chain(std::iter::once(1.0)).collect()
    }
}

/// Mean and deviation of one input over the rows that have it.
fn scale_of(rows: &[Vec<Option<f64>>], input: usize) -> LogisticInput {
    let values: Vec<f64> = rows.iter().filter_map(|row| row[input]).collect();
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    // Rounding leaves a trace of deviation in equal values.
    let varies = deviation > 1e-12 * mean.abs().max(f64::MIN_POSITIVE);
    match values.first() {
        Some(_) if varies => LogisticInput { mean, deviation, weight: 0.0 },
        first => LogisticInput { mean: first.copied().unwrap_or(0.0), deviation: 1.0, weight: 0.0 },
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// log(1 + exp(x)) without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn objective(design: &[Vec<f64>], labels: &[bool], ridges: &[f64], parameters: &[f64]) -> f64 {
    let penalty: f64 = ridges.iter().zip(parameters).map(|(ridge, weight)| ridge * weight * weight).sum();
    let losses = design.iter().zip(labels).map(|(row, &label)| {
        let logit = dot(row, parameters);
        softplus(if label { -logit } else { logit })
    });
    losses.sum::<f64>() + 0.5 * penalty
}

/// Gradient and Hessian.
fn derivatives(design: &[Vec<f64>], labels: &[bool], ridges: &[f64], parameters: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let size = parameters.len();
    let (mut gradient, mut curvature) = (vec![0.0; size], vec![vec![0.0; size]; size]);
    for (row, &label) in design.iter().zip(labels) {
        let probability = 1.0 / (1.0 + (-dot(row, parameters)).exp());
        let (residual, weight) = (probability - f64::from(u8::from(label)), probability * (1.0 - probability));
        for a in 0..size {
            gradient[a] += residual * row[a];
            for b in 0..=a {
                curvature[a][b] += weight * row[a] * row[b];
            }
        }
    }
    for (n, ridge) in ridges.iter().enumerate() {
        gradient[n] += ridge * parameters[n];
        curvature[n][n] += ridge;
    }
    (gradient, curvature)
}

/// Solves a symmetric positive definite system, of which the lower triangle is given, by Cholesky's decomposition.
fn solve(mut lower: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let size = right.len();
    for a in 0..size {
        for b in 0..=a {
            let known: f64 = (0..b).map(|c| lower[a][c] * lower[b][c]).sum();
            let rest = lower[a][b] - known;
            lower[a][b] = if a == b { (rest > 0.0).then(|| rest.sqrt())? } else { rest / lower[b][b] };
        }
        let known: f64 = (0..a).map(|c| lower[a][c] * right[c]).sum();
        right[a] = (right[a] - known) / lower[a][a];
    }
    for a in (0..size).rev() {
        let known: f64 = (a + 1..size).map(|c| lower[c][a] * right[c]).sum();
        right[a] = (right[a] - known) / lower[a][a];
    }
    Some(right)
}

/// The longest halving of a step that lowers the objective; `None` where none does, which is the minimum up to rounding.
fn descend(
    design: &[Vec<f64>],
    labels: &[bool],
    ridges: &[f64],
    parameters: &[f64],
    step: &[f64],
    loss: f64,
) -> Option<(Vec<f64>, f64)> {
    (0..HALVINGS).find_map(|halving| {
        let share = 0.5_f64.powi(halving as i32);
        let next: Vec<f64> = parameters.iter().zip(step).map(|(value, step)| value - share * step).collect();
        let next_loss = objective(design, labels, ridges, &next);
        (next_loss < loss).then_some((next, next_loss))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        name: String,
        rows: Vec<Vec<Option<f64>>>,
        labels: Vec<bool>,
        ridge: f64,
        intercept: f64,
        weights: Vec<f64>,
        logits: Vec<f64>,
    }

    /// `tests/parity/make_fusion_fixture.py` wrote the figures of scikit-learn.
    #[test]
    fn weights_are_those_of_scikit_learn() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../tests/fixtures/logistic.json")).unwrap();
        assert!(cases.len() >= 4);
        for case in cases {
            let model = Logistic::fit(&case.rows, &case.labels, case.ridge).unwrap();
            let near = |a: f64, b: f64, what: &str| {
                assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{}: {what}: {a} is not {b}", case.name);
            };
            near(model.intercept, case.intercept, "intercept");
            assert_eq!(model.inputs.len(), case.weights.len());
            for (input, weight) in model.inputs.iter().zip(&case.weights) {
                near(input.weight, *weight, "weight");
            }
            for (row, logit) in case.rows.iter().zip(&case.logits) {
                near(model.logit(row), *logit, "logit");
            }
            assert_eq!(Logistic::fit(&case.rows, &case.labels, case.ridge), Some(model));
        }
    }

    #[test]
    fn what_cannot_be_fitted_gives_no_model() {
        let rows = vec![vec![Some(1.0)], vec![Some(2.0)]];
        assert!(Logistic::fit(&rows, &[true, false], 1.0).is_some());
        assert_eq!(Logistic::fit(&[], &[], 1.0), None);
        assert_eq!(Logistic::fit(&rows, &[true, true], 1.0), None);
        assert_eq!(Logistic::fit(&rows, &[true], 1.0), None);
        assert_eq!(Logistic::fit(&rows, &[true, false], 0.0), None);
        assert_eq!(Logistic::fit(&[vec![Some(f64::NAN)], vec![None]], &[true, false], 1.0), None);
    }

    #[test]
    fn a_strong_ridge_silences_its_input_alone() {
        let noise = |n: u32| f64::from((n * 7919) % 13);
        let rows: Vec<Vec<Option<f64>>> =
            (0..60).map(|n| vec![Some(f64::from(n) + noise(n)), Some(f64::from(n) - noise(n))]).collect();
        let labels: Vec<bool> = (0..60).map(|n| n > 30).collect();
        let model = Logistic::fit_with(&rows, &labels, &[1.0, 1e9]).unwrap();
        assert!(model.inputs[0].weight > 1.0 && model.inputs[1].weight.abs() < 1e-6, "{model:?}");
        let alone: Vec<Vec<Option<f64>>> = rows.iter().map(|row| row[..1].to_vec()).collect();
        let alone = Logistic::fit(&alone, &labels, 1.0).unwrap();
        assert!((alone.inputs[0].weight - model.inputs[0].weight).abs() < 1e-5);
        assert_eq!(Logistic::fit_with(&rows, &labels, &[1.0, 0.0]), None);
        assert_eq!(Logistic::fit_with(&rows, &labels, &[1.0]), None);
    }

    #[test]
    fn a_constant_input_has_no_weight_and_a_missing_one_counts_as_its_mean() {
        let rows: Vec<Vec<Option<f64>>> = (0..40).map(|n| vec![Some(f64::from(n)), Some(0.1), None]).collect();
        let labels: Vec<bool> = (0..40).map(|n| n % 3 == 0 || n > 25).collect();
        let model = Logistic::fit(&rows, &labels, 1.0).unwrap();
        assert_eq!((model.inputs[1].weight, model.inputs[2].weight), (0.0, 0.0));
        assert!(model.inputs[0].weight > 0.5);
        assert_eq!(model.logit(&[None, None, None]), model.intercept);
        assert!((model.logit(&[Some(19.5), Some(0.1), None]) - model.intercept).abs() < 1e-12);
    }
}
