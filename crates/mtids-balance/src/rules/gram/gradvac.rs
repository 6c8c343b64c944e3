//! GradVac: gradients are turned towards each other up to a running cosine.
//!
//! As PCGrad, with a target cosine φ̂_ij instead of 0: over j ≠ i in random order, with φ the cosine of g̃_i and g_j, if φ < φ̂_ij then
//! g̃_i += g_j · ‖g̃_i‖ (φ̂√(1−φ²) − φ√(1−φ̂²)) / (n_j √(1−φ̂²)), after which their cosine is φ̂; then
//! φ̂_ij ← (1−β) φ̂_ij + β φ; u = Σ g̃_i (Wang et al., Gradient vaccine, ICLR 2021, arXiv 2010.05874, algorithm 1). φ̂ starts at 0 and
//! β is 1e-2 as in the paper (LibMTL's default is 0.5). Targets are kept within ±0.999999, where the formula is finite.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::pairwise::sum_of_turned;
use crate::balancer::{Balance, Balancer};
use crate::error::BalanceError;
use crate::gram::ActiveTasks;
use crate::input::BalanceInput;
use crate::program::cone::quadratic_form;
use crate::saved::{envelope, restored};

/// Largest absolute target cosine.
const LIMIT: f64 = 0.999_999;

/// Settings of GradVac.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GradVacConfig {
    /// Weight β of the newest cosine in its running average, in [0, 1].
    pub rate: f64,
    /// Seed of the projection orders.
    pub seed: u64,
    /// Meet the other tasks in their own order, not in a random one: for comparing results.
    pub in_order: bool,
}

impl Default for GradVacConfig {
    fn default() -> Self {
        GradVacConfig { rate: 0.01, seed: 0, in_order: false }
    }
}

impl GradVacConfig {
    pub(crate) fn check(&self) -> Result<(), BalanceError> {
        if (0.0..=1.0).contains(&self.rate) {
            return Ok(());
        }
        Err(BalanceError::Configuration { key: "rate", reason: "lies between 0 and 1".into() })
    }
}

/// What GradVac remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    step: u64,
    /// `[T, T]` φ̂.
    targets: Vec<Option<f64>>,
}

/// The rule.
pub(crate) struct GradVac {
    config: GradVacConfig,
    tasks: usize,
    state: State,
}

impl GradVac {
    pub(crate) fn new(config: GradVacConfig, tasks: usize) -> Self {
        GradVac { config, tasks, state: State { step: 0, targets: vec![Some(0.0); tasks * tasks] } }
    }
}

impl Balancer for GradVac {
    fn name(&self) -> &'static str {
        "gradvac"
    }

    fn coefficients(&mut self, input: &BalanceInput<'_>) -> Result<Balance, BalanceError> {
        let active = ActiveTasks::new(input, self.tasks, None)?;
        let count = active.len();
        if count == 0 {
            return Ok(Balance::new(&active, &[]));
        }
        let seed = (!self.config.in_order).then_some(self.config.seed);
        let State { step, targets } = &mut self.state;
        let total = sum_of_turned(seed, *step, &active, |turned, i, j| {
            let length = quadratic_form(active.cosines(), count, turned).max(0.0).sqrt();
            if length < 1e-12 {
                return;
            }
            let product: f64 = (0..count).map(|k| turned[k] * active.cosine(k, j)).sum();
            let cosine = (product / length).clamp(-1.0, 1.0);
            let target = &mut targets[active.members()[i] * self.tasks + active.members()[j]];
            let wanted = target.unwrap_or(0.0);
            if cosine < wanted {
                let bounded = wanted.clamp(-LIMIT, LIMIT);
                let sine = (1.0 - bounded * bounded).sqrt();
                turned[j] += length * (bounded * (1.0 - cosine * cosine).sqrt() - cosine * sine) / sine;
            }
            *target = Some((1.0 - self.config.rate) * wanted + self.config.rate * cosine);
        });
        self.state.step += 1;
        Ok(Balance::new(&active, &total))
    }

    fn state(&self) -> Value {
        envelope(self.name(), self.tasks, json!(self.state))
    }

    fn restore(&mut self, state: &Value) -> Result<(), BalanceError> {
        let targets = self.state.targets.len();
        self.state = restored(self.name(), self.tasks, state, |found: &State| found.targets.len() == targets)?;
        Ok(())
    }
}
