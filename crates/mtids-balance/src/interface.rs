//! What goes into a balancer and what comes out.
//!
//! # Invariants
//! * [`Balance::coefficients`] has one finite value per task; 0 for an inactive one.
//! * A balancer that returns an error keeps its state.
//!
//! # Units
//! Norms in the [`Telemetry`] are those of the raw gradients unless a field says otherwise; cosines have no unit.

use serde::{Deserialize, Serialize};

use crate::BalanceError;
use crate::gram::ActiveTasks;

/// A rule that weights task gradients.
pub trait Balancer {
    /// The kebab-case name used as `method` in the configuration.
    fn name(&self) -> &'static str;

    /// The weights of one training step; advances the state of stateful rules.
    ///
    /// # Errors
    /// [`BalanceError`] for input of the wrong length, not finite, or that is no Gram matrix.
    fn coefficients(&mut self, input: &BalanceInput<'_>) -> Result<Balance, BalanceError>;

    /// Everything that is needed to go on after an interruption, bit for bit.
    fn state(&self) -> serde_json::Value;

    /// Takes over what [`Balancer::state`] of the same rule and number of tasks returned.
    ///
    /// # Errors
    /// [`BalanceError::State`] when the value belongs to another rule or shape; the balancer is then unchanged.
    fn restore(&mut self, state: &serde_json::Value) -> Result<(), BalanceError>;
}

/// The gradients and losses of one step, for T tasks.
#[derive(Debug, Clone, Copy)]
pub struct BalanceInput<'a> {
    /// `[T, T]` row-major: inner products of the tasks' gradients of the shared parameters.
    pub gram: &'a [f64],
    /// `[T]`: detached losses. Only DD-GB reads them. Values of inactive tasks are not looked at.
    pub losses: Option<&'a [f64]>,
    /// `[T]`: whether the task had a labelled sample in the batch.
    pub active: &'a [bool],
}

/// The weights of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// `[T]`: weights c; the shared gradient is Σ c_t g_t over the raw task gradients.
    pub coefficients: Vec<f64>,
    /// What was seen on the way, for logs and charts.
    pub telemetry: Telemetry,
}

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

impl Balance {
    /// Puts the weights of the active tasks in their places and adds the telemetry every rule has.
    pub(crate) fn new(active: &ActiveTasks, weights: &[f64]) -> Self {
        let count = active.len();
        let pull = active.combined_projections(weights);
        // ‖Gᵀc‖² = Σ_i c_i n_i (v_i·u); rounding may leave a tiny negative value when u vanishes. Scaled, so that squares
        // of very large or small norms neither overflow nor vanish.
        let scale = pull.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        let combined_norm = if scale > 0.0 {
            let square: f64 = (0..count).map(|i| weights[i] * active.norms()[i] / scale * (pull[i] / scale)).sum();
            scale * square.max(0.0).sqrt()
        } else {
            0.0
        };
        let alignment: Vec<f64> = pull
            .iter()
            .map(|value| if combined_norm > 0.0 { (value / combined_norm).clamp(-1.0, 1.0) } else { 0.0 })
            .collect();
        let mut conflicts = 0.0;
        let mut similarity = 0.0;
        let mut pairs = 0.0;
        for i in 0..count {
            for j in 0..i {
                pairs += 1.0;
                conflicts += if active.cosine(i, j) < 0.0 { 1.0 } else { 0.0 };
                let ratio = (active.norms()[i] / active.norms()[j]).abs();
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
        Balance {
            coefficients: active.spread(weights),
            telemetry: Telemetry {
                active: flags,
                norms: active.spread(active.norms()),
                cosines: raw_cosines,
                conflicting_share: if pairs > 0.0 { conflicts / pairs } else { 0.0 },
                norm_similarity: if pairs > 0.0 { similarity / pairs } else { 1.0 },
                combined_norm,
                alignment: active.spread(&alignment),
                direction: None,
                magnitude: None,
            },
        }
    }
}
