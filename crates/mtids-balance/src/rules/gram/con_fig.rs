//! ConFIG: the direction that makes equal angles with all task gradients.
//!
//! û ∝ V⁺1, V with rows v_i, and u = (Σ g_i·û) û (Liu, Chu and Thuerey, ConFIG: towards conflict-free training of physics informed
//! neural networks, ICLR 2025, arXiv 2408.11104). V⁺1 = Vᵀ(VVᵀ)⁺1 = VᵀC⁺1, so the cosine matrix is enough. Where rows are
//! dependent V⁺1 is the least-squares direction; singular values of V below 1e-6 of the largest count as zero (K carries no finer
//! ones; the authors' pinv of V goes to 1e-15). The update is 0 where û vanishes, as with opposite gradients.
//!
//! No settings. Cost: T backward passes, T·P memory.

use crate::gram::ActiveTasks;
use crate::program::cone::quadratic_form;
use crate::program::linear::pseudo_solve;
use crate::stateless::Weights;

/// c_i = (Σ_j g_j·û) y_i / (‖Vᵀy‖ n_i), y = C⁺1.
pub(crate) fn weights(active: &ActiveTasks) -> Weights {
    let count = active.len();
    let y = pseudo_solve(active.cosines(), count, &vec![1.0; count], 1e-12);
    let length = quadratic_form(active.cosines(), count, &y).max(0.0).sqrt();
    let size: f64 = y.iter().map(|value| value.abs()).sum();
    if length <= 1e-12 * size.max(1.0) {
        return vec![0.0; count].into();
    }
    let pull = |i: usize| (0..count).map(|j| active.cosine(i, j) * y[j]).sum::<f64>() / length;
    let total: f64 = (0..count).map(|i| active.norms()[i] * pull(i)).sum();
    y.iter().zip(active.norms()).map(|(y, norm)| total / norm * (y / length)).collect::<Vec<f64>>().into()
}
