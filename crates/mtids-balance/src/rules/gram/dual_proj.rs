//! DualProj: the projection of the mean gradient on the dual cone of the task gradients.
//!
//! u = π(ḡ), ḡ = (1/T) Σ g_i (Lopez-Paz and Ranzato, Gradient episodic memory, NeurIPS 2017; named so in TorchJD).

use crate::gram::ActiveTasks;
use crate::program::cone;
use crate::stateless::Weights;

/// c_j = 1/T + w_j / n_j with the weights w of the projection.
pub(crate) fn weights(active: &ActiveTasks) -> Weights {
    let count = active.len();
    let norms = active.norms();
    let mean = vec![1.0 / count as f64; count];
    let pull = active.combined_projections(&mean);
    // The program is solved for a vector of length about one; its solution is linear in that length.
    let scale = norms.iter().copied().fold(0.0, f64::max);
    let linear: Vec<f64> = pull.iter().map(|value| value / scale).collect();
    let unknowns: Vec<usize> = (0..count).collect();
    let w = cone::minimise_refined(&cone::with_ridge(active.cosines(), count), count, &linear, &unknowns);
    (0..count).map(|j| mean[j] + w[j] * (scale / norms[j])).collect::<Vec<f64>>().into()
}
