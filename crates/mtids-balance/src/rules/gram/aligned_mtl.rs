//! Aligned-MTL: the singular values of the gradient matrix are made equal.
//!
//! With K = V Λ Vᵀ, c = √λ_min · V Λ^{−1/2} Vᵀ w over the eigenvalues that are not zero, λ_min the smallest of them (Senushkin et al.,
//! Independent component alignment, CVPR 2023, arXiv 2305.19000). Rank decision relative to the largest eigenvalue, as in
//! TorchJD: λ > T · 2⁻⁵² · λ_max, raised to 1e-12 because K itself is rounded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::BalanceError;
use crate::gram::ActiveTasks;
use crate::preference::{check_weights, preference};
use crate::program::linear::eigen;
use crate::stateless::Weights;

/// Settings of Aligned-MTL.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlignedMtlConfig {
    /// Preference w, one value ≥ 0 per task, normalised to sum 1. Absent: equal.
    pub preference: Option<Vec<f64>>,
}

impl AlignedMtlConfig {
    pub(crate) fn check(&self, tasks: usize) -> Result<(), BalanceError> {
        self.preference.as_ref().map_or(Ok(()), |weights| check_weights("preference", weights, tasks))
    }
}

/// c.
pub(crate) fn weights(config: &AlignedMtlConfig, active: &ActiveTasks) -> Weights {
    let count = active.len();
    let preference = preference(config.preference.as_deref(), active);
    let longest = active.norms().iter().copied().fold(0.0, f64::max);
    let relative: Vec<f64> = active.norms().iter().map(|norm| norm / longest).collect();
    let gram: Vec<f64> =
        (0..count * count).map(|at| active.cosines()[at] * relative[at / count] * relative[at % count]).collect();
    let (values, vectors) = eigen(&gram, count);
    let largest = values.iter().copied().fold(0.0, f64::max);
    let kept = |value: f64| value > 1e-12 * largest;
    let smallest = values.iter().copied().filter(|&value| kept(value)).fold(f64::INFINITY, f64::min);
    let mut weights = vec![0.0; count];
    for (k, &value) in values.iter().enumerate() {
        if kept(value) {
            let share: f64 =
                (0..count).map(|i| vectors[i * count + k] * preference[i]).sum::<f64>() * (smallest / value).sqrt();
            for i in 0..count {
                weights[i] += share * vectors[i * count + k];
            }
        }
    }
    weights.into()
}
