//! Turning each task's gradient against every other one, in a keyed order: what PCGrad and GradVac share.
//!
//! Invariant: the order is drawn from (seed, step, task), so the same run gives the same orders, whatever the threads do.

use mtids_runtime::random::rng_for;
use rand::seq::SliceRandom;

use crate::gram::ActiveTasks;

/// Σ g̃_i as weights of the raw gradients. For each i, `turn(turned, i, j)` changes the coefficients `turned` of g̃_i over the unit
/// gradients, once for every other active task j.
pub(super) fn sum_of_turned(
    seed: Option<u64>,
    step: u64,
    active: &ActiveTasks,
    mut turn: impl FnMut(&mut [f64], usize, usize),
) -> Vec<f64> {
    let count = active.len();
    let mut total = vec![0.0; count];
    for i in 0..count {
        let mut turned = vec![0.0; count];
        turned[i] = 1.0;
        for j in order(seed, step, active, i) {
            turn(&mut turned, i, j);
        }
        for j in 0..count {
            total[j] += turned[j] * (active.norms()[i] / active.norms()[j]);
        }
    }
    total
}

/// The other active tasks in the order in which task i meets them; ascending without a seed.
fn order(seed: Option<u64>, step: u64, active: &ActiveTasks, i: usize) -> Vec<usize> {
    let mut others: Vec<usize> = (0..active.len()).filter(|&j| j != i).collect();
    if let Some(seed) = seed {
        others.shuffle(&mut rng_for(seed, "balance/projection-order", &[step, active.members()[i] as u64]));
    }
    others
}
