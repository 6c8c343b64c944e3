//! CAGrad: of all directions near the mean gradient, the one that helps the worst task most.
//!
//! u = g_0 + κ g_w/‖g_w‖, g_0 the mean gradient, κ = c‖g_0‖, w the minimiser of g_w·g_0 + κ‖g_w‖ over the simplex (Liu et al., Conflict-averse
//! gradient descent, NeurIPS 2021, arXiv 2110.14048), then divided according to `rescale`. c = 0 is the mean; c ≥ 1 never
//! conflicts; below 1 it tends to the minimiser of the mean loss. c = 0.5 and division by 1 + c² as in the authors' code.
//!
//! Solved by `program::simplex`, where public code uses general solvers (SLSQP with a fixed start, or a conic one). As in
//! `TorchJD` the update is 0 where ‖g_w‖ < 1e-4 √Σn², which is Pareto-stationary for every practical purpose.
//!
//! Cost: T backward passes, T·P memory (T² with the boundary's Gram matrix).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::BalanceError;
use crate::gram::ActiveTasks;
use crate::program::simplex::worst_improvement;
use crate::stateless::Weights;

/// Share of √Σn² below which ‖g_w‖ counts as zero.
const STATIONARY: f64 = 1e-4;

/// What the combined gradient is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rescale {
    /// 1.
    None,
    /// 1 + c².
    #[default]
    Square,
    /// 1 + c.
    Linear,
}

/// Settings of CAGrad.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CaGradConfig {
    /// c in [0, 8]: radius of the ball in units of the mean gradient.
    pub c: f64,
    /// Division of the result.
    pub rescale: Rescale,
}

impl Default for CaGradConfig {
    fn default() -> Self {
        CaGradConfig { c: 0.5, rescale: Rescale::Square }
    }
}

impl CaGradConfig {
    pub(crate) fn check(&self) -> Result<(), BalanceError> {
        BalanceError::need((0.0..=8.0).contains(&self.c), "c", "lies in [0, 8]")
    }
}

/// c_i = (1/T + κ z_i) / divisor.
pub(crate) fn weights(config: &CaGradConfig, active: &ActiveTasks) -> Weights {
    let count = active.len();
    let mean = vec![1.0 / count as f64; count];
    let divisor = match config.rescale {
        Rescale::None => 1.0,
        Rescale::Square => 1.0 + config.c * config.c,
        Rescale::Linear => 1.0 + config.c,
    };
    let length = active.combined_norm(&mean);
    if config.c == 0.0 {
        return mean.into();
    }
    match worst_improvement(active.cosines(), active.norms(), config.c, STATIONARY) {
        Some(z) => {
            let values = z.iter().zip(&mean).map(|(z, mean)| (mean + config.c * length * z) / divisor);
            values.collect::<Vec<f64>>().into()
        }
        None => vec![0.0; count].into(),
    }
}
