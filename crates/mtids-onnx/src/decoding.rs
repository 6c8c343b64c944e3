//! From logits to one distribution over joint classes, its marginals, and the calibrated probability of metastasis.
//!
//! The pooled head of `mtids_models::decoding`: s(y) = ℓ_joint(y) + Σ_q ω_q log p_q(φ_q(y)), p = softmax(s). The joint class is
//! y = 2·region + metastasis. Calibration is a logistic map of the logit of metastasis (Platt).

use mtids_models::{ModelError, TaskSet};
use serde::Serialize;

use crate::builder::Builder;
use crate::error::Result;
use crate::graph::Value;

/// A logistic map of the logit of metastasis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Platt {
    /// Slope.
    pub slope: f64,
    /// Intercept.
    pub intercept: f64,
    /// Probabilities are kept so far from 0 and 1 that their logit is finite.
    pub nearest: f64,
}

/// The marginals of a distribution over joint classes.
#[derive(Clone, Debug)]
pub(crate) struct Marginals {
    /// `[N, K]`.
    pub(crate) region: Value,
    /// `[N]`.
    pub(crate) metastasis: Value,
}

impl Builder {
    /// The pooled distribution `[N, 2 K]` from the logits of all tasks.
    pub(crate) fn pooled(&mut self, tasks: &TaskSet, logits: &[Value]) -> Result<Value> {
        let eta = self.weights.read("read_out.eta", &[tasks.len()])?;
        let joint = tasks.joint();
        let mut total: Option<Value> = None;
        for (index, (task, logits)) in tasks.tasks().iter().zip(logits).enumerate() {
            if !task.is_total() {
                continue;
            }
            let mut term = self.graph.normalised("LogSoftmax", logits);
            if joint != Some(index) {
                let classes: Vec<usize> = task.table.iter().flatten().copied().collect();
                term = self.graph.gather(&term, 0, &classes)?;
                term = self.graph.with_number("Mul", &term, softplus(eta[index]));
            }
            total = Some(match total {
                Some(total) => self.graph.combine("Add", &total, &term)?,
                None => term,
            });
        }
        let total = total.ok_or_else(|| ModelError::Config {
            key: "tasks".to_owned(),
            reason: "no task of this model says anything about joint classes, so there is nothing to export".to_owned(),
        })?;
        Ok(self.graph.normalised("Softmax", &total))
    }

    /// The marginals of a distribution over joint classes.
    pub(crate) fn marginals(&mut self, joint: &Value) -> Result<Marginals> {
        let [classes] = self.graph.vector(joint)?;
        let pairs = self.graph.reshape(joint, &[classes / 2, 2])?;
        let metastatic = self.graph.slice(&pairs, 1, 1, 1)?;
        let metastatic = self.flatten(&metastatic)?;
        Ok(Marginals { region: self.graph.sum(&pairs, 1)?, metastasis: self.graph.sum(&metastatic, 0)? })
    }

    /// The calibrated probability of metastasis.
    pub(crate) fn calibrated(&mut self, metastasis: &Value, platt: Platt) -> Result<Value> {
        let graph = &mut self.graph;
        let p = graph.clip(metastasis, platt.nearest as f32, (1.0 - platt.nearest) as f32);
        let minus = graph.map("Neg", &p);
        let rest = graph.with_number("Add", &minus, 1.0);
        let odds = graph.combine("Div", &p, &rest)?;
        let logit = graph.map("Log", &odds);
        let scaled = graph.with_number("Mul", &logit, platt.slope as f32);
        let moved = graph.with_number("Add", &scaled, platt.intercept as f32);
        Ok(graph.map("Sigmoid", &moved))
    }
}

/// `log(1 + exp x)`, as `mtids_layers::activation::softplus` computes it.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + ((-x.abs()).exp() + 1.0).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softplus_of_the_initial_value_is_one() {
        assert!((softplus(mtids_models::decoding::INITIAL_ETA as f32) - 1.0).abs() < 1e-6);
        assert_eq!(softplus(50.0), 50.0);
    }
}
