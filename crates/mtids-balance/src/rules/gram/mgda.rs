//! MGDA: the shortest vector in the convex hull of the task gradients.
//!
//! α = argmin over the simplex of αᵀKα, u = Gᵀα (Désidéri 2012; Sener and Koltun, NeurIPS 2018). Solved exactly by
//! [`simplex::min_norm`], where public code iterates (Frank–Wolfe).
//!
//! Tasks with a negligible gradient are left out; strictly they would make u = 0.

use crate::gram::ActiveTasks;
use crate::program::simplex;
use crate::stateless::Weights;

/// α, which sums to one.
pub(crate) fn weights(active: &ActiveTasks) -> Weights {
    simplex::min_norm(active.cosines(), active.norms()).into()
}
