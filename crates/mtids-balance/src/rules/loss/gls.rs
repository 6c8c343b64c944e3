//! GLS: the geometric mean of the losses.
//!
//! L = (Π L_i)^{1/T}, so c_i = L / (T L_i) (Chennupati et al., `MultiNet++`, CVPR workshops 2019, arXiv 1904.08492). T counts the active
//! tasks. Losses above 0. Cost: one backward pass, no memory.

use crate::error::BalanceError;
use crate::stateful::{StatefulRule, Step};
use crate::stateless::Weights;

/// The rule.
pub(crate) struct Gls;

impl StatefulRule for Gls {
    type State = ();

    fn method(&self) -> &'static str {
        "gls"
    }

    fn fresh(&self, _tasks: usize) {}

    fn fits(&self, _state: &(), _tasks: usize) -> bool {
        true
    }

    fn weights(&self, _state: &mut (), step: &Step<'_>) -> Result<Weights, BalanceError> {
        let losses = step.positive_losses()?;
        let count = losses.len() as f64;
        let mean = losses.iter().map(|loss| loss.ln()).sum::<f64>() / count;
        Ok(losses.iter().map(|loss| (mean - loss.ln()).exp() / count).collect::<Vec<f64>>().into())
    }
}
