//! UPGrad: the mean of the projections of the task gradients on their dual cone.
//!
//! u = (1/T) Σ_i π(g_i), π(y) = argmin ‖x − y‖² subject to g_j·x ≥ 0 for all j (Quinton and Rey, Jacobian descent for
//! multi-objective optimization, arXiv 2406.16232). The cone does not depend on the lengths of its rows, so
//! π(g_i) = n_i π(v_i) and the program is solved on unit gradients.

use crate::gram::ActiveTasks;
use crate::program::cone;
use crate::stateless::Weights;
use crate::telemetry::DirectionTelemetry;

/// c_j = (1/T) Σ_i n_i A_ij / n_j.
pub(crate) fn weights(active: &ActiveTasks) -> Weights {
    let count = active.len();
    let norms = active.norms();
    let directions = cone::align_refined(active.cosines(), count);
    let values = (0..count)
        .map(|j| {
            (0..count).map(|i| norms[i] / norms[j] * directions.weights[i * count + j]).sum::<f64>() / count as f64
        })
        .collect();
    let telemetry =
        DirectionTelemetry { change: active.spread(&directions.changes), length: active.spread(&directions.lengths) };
    Weights { values, direction: Some(telemetry) }
}
