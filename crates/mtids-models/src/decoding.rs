//! Decoding: from the heads of several tasks to one distribution over joint classes.
//!
//! Purpose (tag O): a log-linear pool, s(y) = ℓ_joint(y) + Σ_q ω_q log p_q(φ_q(y)), ω = softplus(η), p = softmax(s). η is learned from
//! a loss in which every head is detached ([`pooled_scores`]), so pooling never changes what a head learns. Identities (tested):
//! a uniform joint head with ω = 1 gives the outer product of region and metastasis; uniform auxiliary heads, or ω = 0, give
//! the joint head.

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::error::{Result, config_error};
use crate::tasks::{LabelMap, TaskKind, TaskSet};
use crate::types::Outputs;
use mtids_layers::activation::{log_softmax, softmax, softplus};

/// η at the start, for which ω = softplus(η) = 1.
pub const INITIAL_ETA: f64 = 0.541_324_854_612_918_1;

/// Which heads make the prediction: the prediction head.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum PredictionHead {
    /// The joint head alone.
    Joint,
    /// The other heads alone, with ω = 1.
    Product,
    /// Joint head and others, with learned ω.
    #[default]
    Pooled,
}

/// Log-probabilities of one task spread over the joint classes, `[B, C_0]`.
pub(crate) fn spread(task: &LabelMap, logits: &Tensor) -> Result<Tensor> {
    let columns: Vec<u32> = task.table.iter().flatten().map(|&class| class as u32).collect();
    let count = columns.len();
    let columns = Tensor::from_vec(columns, count, &Device::Cpu)?.to_device(logits.device())?;
    Ok(log_softmax(logits)?.index_select(&columns, 1)?)
}

/// Scores over joint classes (log-probabilities up to a constant per row), `[B, C_0]`; `eta` is `[T]`.
///
/// # Errors
/// [`crate::ModelError::Config`] when the tasks of the model do not have these heads.
pub fn scores(tasks: &TaskSet, outputs: &Outputs, eta: &Tensor, head: PredictionHead) -> Result<Tensor> {
    let joint = tasks.joint();
    let omega = softplus(eta)?;
    let mut total: Option<Tensor> = None;
    for (index, (task, logits)) in tasks.tasks().iter().zip(&outputs.logits).enumerate() {
        let is_joint = joint == Some(index);
        let used = match head {
            PredictionHead::Joint => is_joint,
            PredictionHead::Product => task.is_total() && task.kind != TaskKind::Joint,
            PredictionHead::Pooled => task.is_total(),
        };
        if !used {
            continue;
        }
        let mut term = spread(task, logits)?;
        if head == PredictionHead::Pooled && !is_joint {
            term = term.broadcast_mul(&omega.narrow(0, index, 1)?)?;
        }
        total = Some(match total {
            Some(total) => (total + term)?,
            None => term,
        });
    }
    total.ok_or_else(|| config_error("tasks", format!("no task of this model serves the prediction head {head}")))
}

/// Scores of the pooled prediction head with every head detached: a loss on them trains η and nothing else. `None` when no task but
/// the joint one takes part, so that there is nothing to learn.
///
/// # Errors
/// When candle refuses an operation.
pub fn pooled_scores(tasks: &TaskSet, outputs: &Outputs, eta: &Tensor) -> Result<Option<Tensor>> {
    let joint = tasks.joint();
    let pooled = tasks.tasks().iter().enumerate().any(|(index, task)| Some(index) != joint && task.is_total());
    if !pooled {
        return Ok(None);
    }
    let detached = Outputs { logits: outputs.logits.iter().map(Tensor::detach).collect(), ..Outputs::default() };
    scores(tasks, &detached, eta, PredictionHead::Pooled).map(Some)
}

/// Probabilities of the joint classes, `[B, C_0]`, without a graph.
///
/// # Errors
/// As [`scores`].
pub fn probabilities(tasks: &TaskSet, outputs: &Outputs, eta: &Tensor, head: PredictionHead) -> Result<Tensor> {
    Ok(softmax(&scores(tasks, outputs, &eta.detach(), head)?)?.detach())
}

/// Probability of each region, `[K]`, from joint probabilities `[2 K]`: Σ_b p(2 a + b).
pub fn region_probabilities(joint: &[f64]) -> Vec<f64> {
    joint.chunks(2).map(|pair| pair.iter().sum()).collect()
}

/// Probability of metastasis from joint probabilities `[2 K]`: Σ_a p(2 a + 1).
pub fn metastasis_probability(joint: &[f64]) -> f64 {
    joint.iter().skip(1).step_by(2).sum()
}
