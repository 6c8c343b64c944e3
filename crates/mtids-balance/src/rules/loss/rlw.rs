//! RLW: random loss weights.
//!
//! c = softmax of independent standard normal numbers, drawn anew each step (Lin et al., Reasonable effectiveness of random
//! weighting, TMLR 2022, arXiv 2111.10603). The weights sum to 1 over the active tasks. Cost: one backward pass, no memory.
//!
//! The numbers are drawn from (seed, step, task): the same run gives the same weights.

use mtids_runtime::random::rng_for;
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::BalanceError;
use crate::stateful::{StatefulRule, Step};
use crate::stateless::{Weights, softmax};

/// Settings of RLW.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RlwConfig {
    /// Seed of the weights.
    pub seed: u64,
}

/// The rule; its state is the number of steps done.
pub(crate) struct Rlw(pub(crate) RlwConfig);

impl StatefulRule for Rlw {
    type State = u64;

    fn method(&self) -> &'static str {
        "rlw"
    }

    fn fresh(&self, _tasks: usize) -> u64 {
        0
    }

    fn fits(&self, _state: &u64, _tasks: usize) -> bool {
        true
    }

    fn weights(&self, state: &mut u64, step: &Step<'_>) -> Result<Weights, BalanceError> {
        let draw = |&task: &usize| -> f64 {
            StandardNormal.sample(&mut rng_for(self.0.seed, "balance/random-weights", &[*state, task as u64]))
        };
        let numbers: Vec<f64> = step.active.members().iter().map(draw).collect();
        *state += 1;
        Ok(softmax(&numbers).into())
    }
}
