//! IMTL-G: the combined gradient projects equally on every unit task gradient.
//!
//! α = K⁺n / 1ᵀK⁺n (Liu et al., Towards impartial multi-task learning, ICLR 2021; form of TorchJD). Solved on unit
//! gradients, α_i ∝ (C⁺1)_i / n_i, which is the same where the gradients are independent and does not depend on their
//! scale where they are not. Weights sum to 1 and can be negative. As in TorchJD they are all 0 where their sum vanishes.

use crate::gram::ActiveTasks;
use crate::program::linear::pseudo_solve;
use crate::stateless::Weights;

/// α.
pub(crate) fn weights(active: &ActiveTasks) -> Weights {
    let count = active.len();
    let y = pseudo_solve(active.cosines(), count, &vec![1.0; count], 1e-12);
    let shortest = active.norms().iter().copied().fold(f64::INFINITY, f64::min);
    let raw: Vec<f64> = y.iter().zip(active.norms()).map(|(y, norm)| y * (shortest / norm)).collect();
    let sum: f64 = raw.iter().sum();
    let size: f64 = raw.iter().map(|value| value.abs()).sum();
    if sum.abs() <= 1e-12 * size {
        return vec![0.0; count].into();
    }
    raw.iter().map(|value| value / sum).collect::<Vec<f64>>().into()
}
