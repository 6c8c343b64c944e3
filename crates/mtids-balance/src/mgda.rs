//! MGDA: the shortest vector in the convex hull of the task gradients.
//!
//! α = argmin over the simplex of αᵀKα, u = Gᵀα (Désidéri 2012; Sener and Koltun, NeurIPS 2018). Over w ≥ 0 the minimiser of
//! ½wᵀKw − 1ᵀw is a positive multiple of α, so the program of [`crate::cone`] solves it exactly; in y_i = n_i w_i its matrix
//! is the cosine matrix. The ridge ε selects one of several α when gradients are dependent; ‖u‖² is then off by about ε.
//!
//! Tasks with a negligible gradient are left out; strictly they would make u = 0.

use crate::cone;
use crate::gram::ActiveTasks;
use crate::stateless::Weights;

/// α, which sums to one.
pub(crate) fn weights(active: &ActiveTasks) -> Weights {
    let count = active.len();
    let norms = active.norms();
    let shortest = norms.iter().copied().fold(f64::INFINITY, f64::min);
    let linear: Vec<f64> = norms.iter().map(|norm| -shortest / norm).collect();
    let unknowns: Vec<usize> = (0..count).collect();
    let y = cone::minimise(&cone::with_ridge(active.cosines(), count), count, &linear, &unknowns);
    let raw: Vec<f64> = y.iter().zip(norms).map(|(y, norm)| y * (shortest / norm)).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|value| value / sum).collect::<Vec<f64>>().into()
}
