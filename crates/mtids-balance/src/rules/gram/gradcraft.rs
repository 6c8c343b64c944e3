//! GradCraft: norms are brought together, then all conflicts of a task are solved at once.
//!
//! g̃_i = (τ max(m)/m_i + 1 − τ) g_i with m the running means of the norms; for each i with the set S of tasks in conflict with it,
//! ĝ_i = g̃_i + Σ_S w_j g̃_j, (G̃_S G̃_Sᵀ) w = −G̃_S g̃_i + ε‖g̃_i‖‖g̃_S‖; u = (1/T) Σ ĝ_i (Bai et al., GradCraft, KDD 2024, arXiv
//! 2407.19682). After it ĝ_i has cosine of about ε with the tasks of S; it may be in conflict with others, and w may be
//! negative. Defaults as the authors run their program: τ = 0.1, ε = 1e-10, β = 0, which is the norms of the step itself.
//!
//! Of the published rules this is the nearest to DD-GB: magnitude, then direction. It differs in that directions are projected
//! on the planes of the conflicting tasks only, not on the cone of all, and that there are no units and no rates.
//!
//! Solved on unit gradients by a pseudo-inverse (eigenvalues below 1e-12 of the largest count as zero); the authors' inverse
//! fails where the gradients of S are dependent. Cost: T backward passes, T·P memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::BalanceError;
use crate::program::cone::quadratic_form;
use crate::program::linear::pseudo_solve;
use crate::rules::gram::average_norms::AverageNorms;
use crate::stateful::{StatefulRule, Step};
use crate::stateless::Weights;
use crate::telemetry::DirectionTelemetry;

/// Settings of GradCraft.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GradCraftConfig {
    /// τ in [0, 1]: 0 leaves the norms alone, 1 makes the averages equal.
    pub tau: f64,
    /// ε in [0, 0.5]: cosine that is left with the tasks in conflict.
    pub epsilon: f64,
    /// β in [0, 1): memory of the averages.
    pub beta: f64,
}

impl Default for GradCraftConfig {
    fn default() -> Self {
        GradCraftConfig { tau: 0.1, epsilon: 1e-10, beta: 0.0 }
    }
}

impl GradCraftConfig {
    pub(crate) fn check(&self) -> Result<(), BalanceError> {
        BalanceError::need((0.0..=1.0).contains(&self.tau), "tau", "lies in [0, 1]")?;
        BalanceError::need((0.0..=0.5).contains(&self.epsilon), "epsilon", "lies in [0, 0.5]")?;
        BalanceError::need((0.0..1.0).contains(&self.beta), "beta", "is at least 0 and below 1")
    }
}

/// The rule.
pub(crate) struct GradCraft(pub(crate) GradCraftConfig);

impl StatefulRule for GradCraft {
    type State = AverageNorms;

    fn method(&self) -> &'static str {
        "gradcraft"
    }

    fn fresh(&self, tasks: usize) -> AverageNorms {
        AverageNorms::new(tasks)
    }

    fn fits(&self, state: &AverageNorms, tasks: usize) -> bool {
        state.fits(tasks)
    }

    fn weights(&self, state: &mut AverageNorms, step: &Step<'_>) -> Result<Weights, BalanceError> {
        let active = step.active;
        let count = active.len();
        let config = &self.0;
        let pairs = active.members().iter().zip(active.norms());
        let means: Vec<f64> = pairs.map(|(&task, &norm)| state.update(task, norm, config.beta)).collect();
        let largest = means.iter().copied().fold(0.0, f64::max);
        let scaled: Vec<f64> = active
            .norms()
            .iter()
            .zip(&means)
            .map(|(norm, mean)| (config.tau * (largest / mean) + 1.0 - config.tau) * norm)
            .collect();
        let mut total = vec![0.0; count];
        let (mut changes, mut lengths) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for i in 0..count {
            let conflicts: Vec<usize> = (0..count).filter(|&j| active.cosine(i, j) < 0.0).collect();
            let m = conflicts.len();
            let matrix: Vec<f64> = (0..m * m).map(|at| active.cosine(conflicts[at / m], conflicts[at % m])).collect();
            let right: Vec<f64> = conflicts.iter().map(|&j| config.epsilon - active.cosine(i, j)).collect();
            let mut unit = vec![0.0; count];
            conflicts.iter().zip(pseudo_solve(&matrix, m, &right, 1e-12)).for_each(|(&j, y)| unit[j] = y);
            changes.push(quadratic_form(active.cosines(), count, &unit).max(0.0).sqrt());
            unit[i] += 1.0;
            lengths.push(quadratic_form(active.cosines(), count, &unit).max(0.0).sqrt());
            for j in 0..count {
                total[j] += unit[j] * (scaled[i] / active.norms()[j]) / count as f64;
            }
        }
        let direction = DirectionTelemetry { change: active.spread(&changes), length: active.spread(&lengths) };
        Ok(Weights { values: total, direction: Some(direction) })
    }
}
