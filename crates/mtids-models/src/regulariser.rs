//! Terms beside the tasks' losses: branch prior, load balance, consistency of the heads.
//!
//! Branch prior R_b = Σ_t KL(½, ½ ‖ mean α_t), which diverges when a branch dies (O). Load balance R_e = CV²(I^s) + Σ_t CV²(I^p_t) with
//! the load I^s_e = Σ_t mean α^s_t π^s_te (P: Shazeer et al. 2017, arXiv 1701.06538); it is free of scale, so it does not keep a branch
//! alive. With several layers both are summed over the layers. Consistency Σ_q KL(M_q p_joint ‖ p_q), M_q summing the joint
//! head's probabilities over the classes of task q; its gradient reaches p_q only (O). Invariant: these terms are no tasks and bypass
//! the gradient balancer. With several ranks every mean runs over the samples of all, so each rank has the same value.

use candle_core::{D, Device, Tensor};

use crate::error::Result;
use crate::tasks::{LabelMap, TaskSet};
use crate::types::{GateOutput, GateTerms, GatesTogether, Outputs};
use mtids_layers::activation::{log_softmax, softmax};
use mtids_layers::mean_of_rows;
use mtids_ranks::Ranks;

/// A weighted sum of scalars that may be empty.
#[derive(Debug, Default)]
pub(crate) struct Terms(Option<Tensor>);

impl Terms {
    pub(crate) fn add(&mut self, term: &Tensor, weight: f64) -> Result<()> {
        let term = (term * weight)?;
        self.0 = Some(match self.0.take() {
            Some(total) => (total + term)?,
            None => term,
        });
        Ok(())
    }

    pub(crate) fn total(self) -> Option<Tensor> {
        self.0
    }
}

/// Adds λ_b R_b + λ_e R_e of one layer.
pub(crate) fn add_gates(
    terms: &mut Terms,
    gates: &[GateOutput],
    apply: GateTerms,
    ranks: &Ranks,
    prior_weight: f64,
    balance_weight: f64,
) -> Result<()> {
    if apply.branch_prior && prior_weight > 0.0 {
        for gate in gates {
            terms.add(&branch_prior(&gate.branch, ranks)?, prior_weight)?;
        }
    }
    if !apply.load_balance || balance_weight <= 0.0 {
        return Ok(());
    }
    let mut shared: Option<Tensor> = None;
    for gate in gates {
        if let Some(weights) = gate.shared_weights()? {
            let load = mean_of_rows(&weights, ranks)?;
            shared = Some(match shared {
                Some(shared) => (shared + load)?,
                None => load,
            });
        }
        if let Some(weights) = gate.private_weights()?
            && weights.dim(1)? > 1
        {
            terms.add(&squared_variation(&mean_of_rows(&weights, ranks)?)?, balance_weight)?;
        }
    }
    if let Some(shared) = shared
        && shared.dim(0)? > 1
    {
        terms.add(&squared_variation(&shared)?, balance_weight)?;
    }
    Ok(())
}

/// [`add_gates`] for the gates of all tasks in one.
pub(crate) fn add_gates_together(
    terms: &mut Terms,
    gates: &GatesTogether,
    apply: GateTerms,
    prior_weight: f64,
    balance_weight: f64,
) -> Result<()> {
    if apply.branch_prior && prior_weight > 0.0 {
        let tasks = gates.tasks as f64;
        let logarithms = gates.means(&gates.gate.branch)?.log()?.mean_all()?;
        terms.add(&logarithms.affine(-tasks, tasks * 0.5f64.ln())?, prior_weight)?;
    }
    if !apply.load_balance || balance_weight <= 0.0 {
        return Ok(());
    }
    let of_tasks = |weights: &Option<Tensor>| -> Result<Option<Tensor>> {
        weights
            .as_ref()
            .filter(|weights| weights.dims().get(1) > Some(&1))
            .map(|weights| gates.means(weights))
            .transpose()
    };
    if let Some(loads) = of_tasks(&gates.private_weights)? {
        terms.add(&squared_variation(&loads)?, balance_weight)?;
    }
    if let Some(loads) = of_tasks(&gates.shared_weights)? {
        terms.add(&squared_variation(&loads.sum(0)?)?, balance_weight)?;
    }
    Ok(())
}

/// KL(½, ½ ‖ mean over the batch of α), a scalar; diverges when a branch dies.
///
/// # Errors
/// When candle refuses an operation.
pub fn branch_prior(branch: &Tensor, ranks: &Ranks) -> Result<Tensor> {
    Ok(mean_of_rows(branch, ranks)?.log()?.mean_all()?.affine(-1.0, 0.5f64.ln())?)
}

/// Population variance over squared mean of `[E]` loads: 0 for equal loads, E − 1 when one takes all. Of several rows `[.., E]`, their sum.
///
/// # Errors
/// When candle refuses an operation.
pub fn squared_variation(load: &Tensor) -> Result<Tensor> {
    let mean = load.mean_keepdim(D::Minus1)?;
    let variance = load.broadcast_sub(&mean)?.sqr()?.mean_keepdim(D::Minus1)?;
    // The constant only matters when a whole branch has no weight at all.
    Ok((variance / (mean.sqr()? + 1e-12)?)?.sum_all()?)
}

/// Σ_q KL(M_q p_joint ‖ p_q), mean over the batch; `None` without a joint head, or without another that every class has a place in.
///
/// # Errors
/// When candle refuses an operation.
pub fn consistency(tasks: &TaskSet, outputs: &Outputs, ranks: &Ranks) -> Result<Option<Tensor>> {
    let Some(joint) = tasks.joint() else { return Ok(None) };
    let Some(logits) = outputs.logits.get(joint) else { return Ok(None) };
    let p_joint = softmax(&logits.detach())?;
    let mut terms = Terms::default();
    for (index, (task, logits)) in tasks.tasks().iter().zip(&outputs.logits).enumerate() {
        if index == joint || !task.is_total() {
            continue;
        }
        let expected = p_joint.matmul(&marginal(task, &p_joint)?)?;
        // Far below any probability that single precision tells from 0; keeps 0 log 0 finite.
        let entropy = (&expected * (&expected + 1e-30)?.log()?)?;
        let cross = (&expected * log_softmax(logits)?)?;
        terms.add(&mean_of_rows(&(entropy - cross)?.sum(1)?, ranks)?, 1.0)?;
    }
    Ok(terms.total())
}

/// M_q: 1 where a joint class (row) has this class of the task (column).
fn marginal(task: &LabelMap, like: &Tensor) -> Result<Tensor> {
    let mut matrix = vec![0f64; task.table.len() * task.classes];
    for (code, class) in task.table.iter().enumerate() {
        if let Some(entry) = class.and_then(|class| matrix.get_mut(code * task.classes + class)) {
            *entry = 1.0;
        }
    }
    let matrix = Tensor::from_vec(matrix, (task.table.len(), task.classes), &Device::Cpu)?;
    Ok(matrix.to_dtype(like.dtype())?.to_device(like.device())?)
}
