//! What simple readers of the truth reach: yardsticks for a model.
//!
//! Invariant: a logistic regression never judges a patient that it has seen (five folds by patient). Scores are compared by the area under
//! the ROC curve, ties counting half.

use mtids_domain::label::Metastasis;

use crate::node::Node;
use crate::station::STATIONS;

const FOLDS: usize = 5;
/// Features of a node beside its station, the constant among them.
const FEATURES: usize = 13;
const WIDTH: usize = FEATURES + STATIONS.len();
/// Weight of the squared coefficients: keeps the fit finite where a feature parts the states.
const RIDGE: f64 = 0.5;

/// A node and what its patient's images can show of it.
pub(crate) struct Sample<'a> {
    pub(crate) patient: u32,
    pub(crate) node: &'a Node,
    pub(crate) enhancement: bool,
    pub(crate) uptake: bool,
}

/// Scores of a logistic regression on the latent features and the station, each from a fit without the patient's fold.
pub(crate) fn logistic(samples: &[Sample<'_>]) -> Vec<f64> {
    let rows: Vec<[f64; WIDTH]> = samples.iter().map(features).collect();
    let mut scores = vec![0.0; samples.len()];
    for fold in 0..FOLDS {
        let held_out = |sample: &Sample<'_>| sample.patient as usize % FOLDS == fold;
        let seen: Vec<(&[f64; WIDTH], f64)> = samples
            .iter()
            .zip(&rows)
            .filter(|(sample, _)| !held_out(sample))
            .map(|(sample, row)| (row, f64::from(sample.node.metastasis.code())))
            .collect();
        let weights = fit(&seen);
        for ((sample, row), score) in samples.iter().zip(&rows).zip(&mut scores) {
            if held_out(sample) {
                *score = dot(row, &weights);
            }
        }
    }
    scores
}

fn features(sample: &Sample<'_>) -> [f64; WIDTH] {
    let seen = &sample.node.appearance;
    let flag = |set: bool| f64::from(u8::from(set));
    let enhanced = flag(sample.enhancement);
    let core_seen = flag(sample.enhancement || sample.uptake);
    let taken_up = flag(sample.uptake);
    let size = seen.short_axis_mm.ln() - 2.2;
    let mut row = [0.0; WIDTH];
    row[..FEATURES].copy_from_slice(&[
        1.0,
        size,
        size * size,
        seen.elongation - 1.4,
        seen.irregularity.ln() + 2.6,
        enhanced,
        enhanced * (seen.enhancement_hu - 48.0) / 15.0,
        core_seen * flag(seen.necrosis),
        taken_up,
        taken_up * (seen.uptake_suv.ln() - 1.0),
        flag(seen.hilum),
        flag(seen.calcified),
        f64::from(seen.lobules) - 1.0,
    ]);
    if let Some(station) = STATIONS.iter().position(|&station| station == sample.node.station) {
        row[FEATURES + station] = 1.0;
    }
    row
}

fn dot(a: &[f64; WIDTH], b: &[f64; WIDTH]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Maximum likelihood with a ridge, by Newton's method.
fn fit(seen: &[(&[f64; WIDTH], f64)]) -> [f64; WIDTH] {
    let mut weights = [0.0; WIDTH];
    for _ in 0..25 {
        let mut slope = weights.map(|weight| -RIDGE * weight);
        let mut curvature = [[0.0; WIDTH]; WIDTH];
        for (n, row) in curvature.iter_mut().enumerate() {
            row[n] = RIDGE;
        }
        for (row, truth) in seen {
            let p = 1.0 / (1.0 + (-dot(row, &weights)).exp());
            for a in 0..WIDTH {
                slope[a] += (truth - p) * row[a];
                for b in 0..=a {
                    curvature[a][b] += p * (1.0 - p) * row[a] * row[b];
                }
            }
        }
        let step = solve(curvature, slope);
        weights.iter_mut().zip(step).for_each(|(weight, step)| *weight += step);
        if step.iter().all(|x| x.abs() < 1e-9) {
            break;
        }
    }
    weights
}

/// Solves a symmetric positive definite system given by its lower triangle (Cholesky).
fn solve(mut matrix: [[f64; WIDTH]; WIDTH], mut right: [f64; WIDTH]) -> [f64; WIDTH] {
    for a in 0..WIDTH {
        for b in 0..=a {
            let inner: f64 = (0..b).map(|n| matrix[a][n] * matrix[b][n]).sum();
            let rest = matrix[a][b] - inner;
            // The ridge keeps the diagonal above 0.
            matrix[a][b] = if a == b { rest.max(1e-12).sqrt() } else { rest / matrix[b][b] };
        }
    }
    for a in 0..WIDTH {
        let inner: f64 = (0..a).map(|n| matrix[a][n] * right[n]).sum();
        right[a] = (right[a] - inner) / matrix[a][a];
    }
    for a in (0..WIDTH).rev() {
        let inner: f64 = (a + 1..WIDTH).map(|n| matrix[n][a] * right[n]).sum();
        right[a] = (right[a] - inner) / matrix[a][a];
    }
    right
}

/// Whether a node is metastatic.
pub(crate) fn is_metastatic(node: &Node) -> bool {
    node.metastasis == Metastasis::Metastatic
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::random::rng_for;
    use rand::RngExt;

    #[test]
    fn the_fit_finds_the_weights_that_drew_the_truth() {
        let mut random = rng_for(1, "logistic", &[]);
        let mut wanted = [0.0; WIDTH];
        wanted[0] = -0.7;
        wanted[1] = 2.0;
        wanted[4] = -1.0;
        let rows: Vec<([f64; WIDTH], f64)> = (0..20_000)
            .map(|_| {
                let mut row = [0.0; WIDTH];
                row[0] = 1.0;
                row[1] = random.random_range(-1.0..1.0);
                row[4] = random.random_range(-1.0..1.0);
                let p = 1.0 / (1.0 + (-dot(&row, &wanted)).exp());
                (row, f64::from(u8::from(random.random_bool(p))))
            })
            .collect();
        let seen: Vec<_> = rows.iter().map(|(row, truth)| (row, *truth)).collect();
        let found = fit(&seen);
        for n in [0, 1, 4] {
            assert!((found[n] - wanted[n]).abs() < 0.12, "{n}: {} for {}", found[n], wanted[n]);
        }
    }
}
