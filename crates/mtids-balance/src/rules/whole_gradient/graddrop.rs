//! GradDrop: at each coordinate one sign is kept.
//!
//! Purity P = ½(1 + Σg/Σ|g|) per coordinate, U uniform on [0, 1): positive parts are kept where P > U, negative ones where P < U; a
//! share `leak` of what is dropped passes (Chen et al., Just pick a sign, NeurIPS 2020, arXiv 2010.06808). The expected update
//! is Σ g_i where all agree and towards the sign that weighs more elsewhere. U is drawn from (seed, step).
//!
//! The authors apply it to gradients at a layer's activations, multiplied by the activations' sign; here it is the rule
//! itself, on whatever rows are given. Cost: T backward passes, T·P memory.

use mtids_runtime::random::rng_for;
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::combine::{GradientRule, Update};
use crate::error::BalanceError;
use crate::rows::Element;
use crate::stateful::Step;

/// Settings of GradDrop.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GradDropConfig {
    /// Share of the dropped parts that passes, in [0, 1]. Default 0.
    pub leak: f64,
    /// Seed of U.
    pub seed: u64,
}

impl GradDropConfig {
    pub(crate) fn check(&self) -> Result<(), BalanceError> {
        BalanceError::need((0.0..=1.0).contains(&self.leak), "leak", "lies in [0, 1]")
    }
}

/// The rule; its state is the number of steps done.
pub(crate) struct GradDrop(pub(crate) GradDropConfig);

impl GradientRule for GradDrop {
    type State = u64;

    fn method(&self) -> &'static str {
        "graddrop"
    }

    fn fresh(&self, _tasks: usize) -> u64 {
        0
    }

    fn fits(&self, _state: &u64, _tasks: usize) -> bool {
        true
    }

    fn update<F: Element>(&self, state: &mut u64, _step: &Step<'_>, rows: &[&[F]]) -> Result<Update, BalanceError> {
        let mut random = rng_for(self.0.seed, "balance/grad-drop", &[*state]);
        let values = drop_signs(rows, self.0.leak, || random.random());
        *state += 1;
        Ok(Update { values, weights: None, raw: false })
    }
}

/// One pass of the rule; `uniform` is called once per coordinate.
fn drop_signs<F: Element>(rows: &[&[F]], leak: f64, mut uniform: impl FnMut() -> f64) -> Vec<f64> {
    let width = rows.first().map_or(0, |row| row.len());
    (0..width)
        .map(|p| {
            let (mut positive, mut negative) = (0.0, 0.0);
            for row in rows {
                let value: f64 = row[p].into();
                if value > 0.0 { positive += value } else { negative -= value }
            }
            let draw = uniform();
            if positive + negative == 0.0 {
                return 0.0;
            }
            let purity = 0.5 * (1.0 + (positive - negative) / (positive + negative));
            let share = |kept: bool| if kept { 1.0 } else { leak };
            share(purity > draw) * positive - share(purity < draw) * negative
        })
        .collect()
}

/// The rule with given draws U, `[P]`, for callers with their own randomness. Rows have one length.
///
/// # Errors
/// [`BalanceError::Width`] when a row or the draws differ in length.
pub fn grad_drop(rows: &[&[f64]], draws: &[f64], leak: f64) -> Result<Vec<f64>, BalanceError> {
    if let Some(task) = rows.iter().position(|row| row.len() != draws.len()) {
        return Err(BalanceError::Width { task, expected: draws.len(), got: rows[task].len() });
    }
    let mut draws = draws.iter();
    Ok(drop_signs(rows, leak, || draws.next().copied().unwrap_or(0.0)))
}
