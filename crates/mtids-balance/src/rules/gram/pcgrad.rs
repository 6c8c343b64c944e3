//! PCGrad: each task's gradient loses, in turn, its component against every other one.
//!
//! For each i, over j ≠ i in random order: if g̃_i·g_j < 0 then g̃_i −= (g̃_i·g_j / n_j²) g_j; u = Σ g̃_i (Yu et al., Gradient surgery,
//! NeurIPS 2020, arXiv 2001.06782). Each g̃_i is a combination of the g_j, so the Gram matrix is enough. For T = 2 this is
//! the sum of the dual-cone projections; for T > 2 the result depends on the order and may still conflict.
//!
//! The order is drawn from (seed, step, task): the same run gives the same orders, whatever the threads do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::pairwise::sum_of_turned;
use crate::balancer::{Balance, Balancer};
use crate::error::BalanceError;
use crate::gram::ActiveTasks;
use crate::input::BalanceInput;
use crate::saved::{envelope, restored};

/// Settings of PCGrad.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PcGradConfig {
    /// Seed of the projection orders.
    pub seed: u64,
    /// Meet the other tasks in their own order, not in a random one: for comparing results.
    pub in_order: bool,
}

/// The rule; its state is the number of steps done.
pub(crate) struct PcGrad {
    pub(crate) config: PcGradConfig,
    pub(crate) tasks: usize,
    pub(crate) step: u64,
}

impl Balancer for PcGrad {
    fn name(&self) -> &'static str {
        "pcgrad"
    }

    fn coefficients(&mut self, input: &BalanceInput<'_>) -> Result<Balance, BalanceError> {
        let active = ActiveTasks::new(input, self.tasks, None)?;
        let count = active.len();
        if count == 0 {
            return Ok(Balance::new(&active, &[]));
        }
        let seed = (!self.config.in_order).then_some(self.config.seed);
        let total = sum_of_turned(seed, self.step, &active, |turned, _, j| {
            let product: f64 = (0..count).map(|k| turned[k] * active.cosine(k, j)).sum();
            if product < 0.0 {
                turned[j] -= product;
            }
        });
        self.step += 1;
        Ok(Balance::new(&active, &total))
    }

    fn state(&self) -> Value {
        envelope(self.name(), self.tasks, json!(self.step))
    }

    fn restore(&mut self, state: &Value) -> Result<(), BalanceError> {
        self.step = restored(self.name(), self.tasks, state, |_| true)?;
        Ok(())
    }
}
