//! FairGrad and Nash-MTL: every task's share of the step is a power of its weight.
//!
//! FairGrad: K α = α^{−1/a} elementwise, α > 0 (Ban and Ji, ICML 2024, arXiv 2402.15638). a = 1 is Nash-MTL, K α = 1/α (Navon et al.,
//! ICML 2022, arXiv 2202.01017). The condition says that α minimises the strictly convex
//! ½αᵀKα + Σ φ(α_i), φ' = −α^{−1/a}, so damped Newton steps find it, where the public code uses general solvers.
//! With α_i = y_i/n_i the matrix becomes the cosine matrix plus the ridge of [`crate::program::cone`]; the ridge keeps y finite (up
//! to about 1e4) at Pareto-stationary points, where the equation has no solution.
//!
//! Nash-MTL limits ‖u‖, which is √T without limit; its source's default is 1.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::BalanceError;
use crate::gram::ActiveTasks;
use crate::program::cone::quadratic_form;
use crate::program::equilibrium::solve;
use crate::stateless::Weights;

/// Settings of FairGrad.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FairGradConfig {
    /// The fairness exponent a, in [0.5, 8]; 1 is proportional fairness, larger values favour the task that gains least.
    pub exponent: f64,
}

impl Default for FairGradConfig {
    fn default() -> Self {
        FairGradConfig { exponent: 1.0 }
    }
}

impl FairGradConfig {
    pub(crate) fn check(&self) -> Result<(), BalanceError> {
        if (0.5..=8.0).contains(&self.exponent) {
            return Ok(());
        }
        Err(BalanceError::Configuration { key: "exponent", reason: "lies between 0.5 and 8".into() })
    }
}

/// Settings of Nash-MTL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NashMtlConfig {
    /// Largest norm of the combined gradient, > 0.
    pub max_norm: f64,
}

impl Default for NashMtlConfig {
    fn default() -> Self {
        NashMtlConfig { max_norm: 1.0 }
    }
}

impl NashMtlConfig {
    pub(crate) fn check(&self) -> Result<(), BalanceError> {
        if self.max_norm > 0.0 && self.max_norm.is_finite() {
            return Ok(());
        }
        Err(BalanceError::Configuration { key: "max_norm", reason: "is a positive number".into() })
    }
}

/// α of FairGrad.
pub(crate) fn fair_grad(config: &FairGradConfig, active: &ActiveTasks) -> Weights {
    let power = 1.0 / config.exponent;
    let norms = active.norms();
    // n_i (Cy)_i = (y_i/n_i)^{-p} becomes (Cy)_i = r_i y_i^{-p} with r_i = n_i^{p-1}. A common factor k of all r only
    // scales y by k^{1/(1+p)}, so the largest r is taken out and put back at the end.
    let logs: Vec<f64> = norms.iter().map(|norm| (power - 1.0) * norm.ln()).collect();
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let demand: Vec<f64> = logs.iter().map(|log| (log - top).exp().max(1e-100)).collect();
    let y = solve(active.cosines(), active.len(), &demand, power);
    let back = top / (1.0 + power);
    y.iter().zip(norms).map(|(y, norm)| y * (back - norm.ln()).exp()).collect::<Vec<f64>>().into()
}

/// α of Nash-MTL.
pub(crate) fn nash_mtl(config: &NashMtlConfig, active: &ActiveTasks) -> Weights {
    let count = active.len();
    let y = solve(active.cosines(), count, &vec![1.0; count], 1.0);
    let norm = quadratic_form(active.cosines(), count, &y).max(0.0).sqrt();
    let shrink = if norm > config.max_norm { config.max_norm / norm } else { 1.0 };
    y.iter().zip(active.norms()).map(|(y, norm)| y * shrink / norm).collect::<Vec<f64>>().into()
}
