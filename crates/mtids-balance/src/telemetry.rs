//! What was seen and done in a step, for logs and charts.
//!
//! # Units
//! Norms are those of the raw gradients unless a field says otherwise; cosines have no unit. Invariant: every number is finite.

use serde::{Deserialize, Serialize};

use crate::gram::ActiveTasks;

/// Figures about the gradients of one step. Vectors have one value per task, 0 for inactive ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Telemetry {
    /// Whether the task took part: labelled, with a gradient that is not negligible.
    pub active: Vec<bool>,
    /// Norms of the raw task gradients.
    pub norms: Vec<f64>,
    /// `[T, T]` row-major cosines between task gradients.
    pub cosines: Vec<f64>,
    /// Share of pairs of active tasks with a negative cosine; 0 with fewer than two active tasks.
    pub conflicting_share: f64,
    /// Mean over pairs of active tasks of 2 n_i n_j / (n_i² + n_j²); 1 with fewer than two active tasks.
    pub norm_similarity: f64,
    /// Norm of the combined gradient Gᵀc.
    pub combined_norm: f64,
    /// Cosine between each task's gradient and the combined one; negative: the step raises this loss. 0 when Gᵀc is 0.
    pub alignment: Vec<f64>,
    /// Population standard deviation of log n_i over the active tasks; 0 with fewer than two.
    pub log_norm_spread_before: f64,
    /// The same of log |c_i| n_i, the lengths with which tasks enter the sum, over those that do; absent for rules that do
    /// not weight tasks.
    pub log_norm_spread_after: Option<f64>,
    /// Distance between the unit vectors along the combined gradient and along the plain sum, in [0, 2]; 0 when one vanishes.
    pub direction_change: f64,
    /// For rules that change directions one task at a time.
    pub direction: Option<DirectionTelemetry>,
    /// For rules that rescale norms by running averages.
    pub magnitude: Option<MagnitudeTelemetry>,
}

/// How far the directions were turned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DirectionTelemetry {
    /// ‖x_i − v_i‖: distance of the aligned direction from the unit gradient; 0 for a task without conflict.
    pub change: Vec<f64>,
    /// ξ_i = ‖x_i‖ of the aligned direction, in [0, 1].
    pub length: Vec<f64>,
}

/// How the norms were rescaled. Norms are per unit of initial loss where losses are passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MagnitudeTelemetry {
    /// N_i, the running geometric mean of the gradient norm.
    pub average_norms: Vec<f64>,
    /// s_i, the factor applied to the norm.
    pub scales: Vec<f64>,
    /// ρ_i, log of the relative loss against the other tasks; positive: slower than the others.
    pub rates: Vec<f64>,
    /// Population standard deviation of log N_i over active tasks.
    pub log_norm_spread_before: f64,
    /// The same of log (s_i N_i).
    pub log_norm_spread_after: f64,
}

/// Population standard deviation; 0 for fewer than two values.
pub(crate) fn spread(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / values.len() as f64).sqrt()
}

impl Telemetry {
    /// The figures every rule has. `pull` is v_i·u and `combined_norm` ‖u‖; `weights` those of the raw gradients, if the rule has such.
    pub(crate) fn new(active: &ActiveTasks, pull: &[f64], combined_norm: f64, weights: Option<&[f64]>) -> Self {
        let count = active.len();
        let norms = active.norms();
        let alignment: Vec<f64> = pull
            .iter()
            .map(|value| if combined_norm > 0.0 { (value / combined_norm).clamp(-1.0, 1.0) } else { 0.0 })
            .collect();
        let (mut conflicts, mut similarity, mut pairs) = (0.0, 0.0, 0.0);
        for i in 0..count {
            for j in 0..i {
                pairs += 1.0;
                conflicts += if active.cosine(i, j) < 0.0 { 1.0 } else { 0.0 };
                let ratio = norms[i] / norms[j];
                similarity += 2.0 / (ratio + 1.0 / ratio);
            }
        }
        let mut raw_cosines = vec![0.0; active.tasks() * active.tasks()];
        for (i, &task) in active.members().iter().enumerate() {
            for (j, &other) in active.members().iter().enumerate() {
                raw_cosines[task * active.tasks() + other] = active.cosine(i, j);
            }
        }
        let mut flags = vec![false; active.tasks()];
        active.members().iter().for_each(|&task| flags[task] = true);
        let logs: Vec<f64> = norms.iter().map(|norm| norm.ln()).collect();
        let entering = |weights: &[f64]| {
            let terms = weights.iter().zip(&logs).filter(|(weight, _)| **weight != 0.0);
            spread(&terms.map(|(weight, log)| weight.abs().ln() + log).collect::<Vec<f64>>())
        };
        // cos(u, Σ g) = Σ n_i alignment_i / ‖Σ g‖, on norms relative to the largest.
        let top = norms.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let sum = active.combined_norm(&vec![1.0; count]) / top;
        let along: f64 = norms.iter().zip(&alignment).map(|(norm, cosine)| norm / top * cosine).sum();
        let cosine = if sum > 0.0 && combined_norm > 0.0 { (along / sum).clamp(-1.0, 1.0) } else { 1.0 };
        Telemetry {
            active: flags,
            norms: active.spread(norms),
            cosines: raw_cosines,
            conflicting_share: if pairs > 0.0 { conflicts / pairs } else { 0.0 },
            norm_similarity: if pairs > 0.0 { similarity / pairs } else { 1.0 },
            combined_norm,
            alignment: active.spread(&alignment),
            log_norm_spread_before: spread(&logs),
            log_norm_spread_after: weights.map(entering),
            direction_change: (2.0 - 2.0 * cosine).max(0.0).sqrt(),
            direction: None,
            magnitude: None,
        }
    }
}
