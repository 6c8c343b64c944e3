//! Losses and regularisers.
//!
//! Purpose: per task, the mean over labelled samples of a weighted cross-entropy. A sample whose known labels leave a set of
//! classes enters with −log of the probability of that set (switchable); one that leaves all classes is masked. Class weights
//! by effective number, (1 − β) / (1 − β^n), mean 1 over the classes seen (Cui et al., CVPR 2019). Regularisers of the gates:
//! branch prior R_b = Σ_t KL(½, ½ ‖ mean α_t), load balance R_e = CV²(shared load) + Σ_t CV²(private load) (Shazeer 2017).
//! Invariants: finite for any finite logits; masked samples have exactly zero gradient; regularisers are not tasks.

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::activation::log_sum_exp;
use crate::error::{NnError, Result, config_error};
use crate::mt_ids::{MtIds, Outputs};
use crate::read_out::pooled_scores;
use crate::tasks::{TargetBatch, TaskSet};

/// Settings of the losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LossConfig {
    /// β of the effective number; 0 weighs all classes equally.
    pub effective_number_beta: f64,
    /// Share of the target spread over all classes.
    pub label_smoothing: f64,
    /// Whether partly known labels are used through the sum over the classes they leave.
    pub marginalise: bool,
    /// Weight λ_b of the branch prior.
    pub branch_prior_weight: f64,
    /// Weight λ_e of the load balance.
    pub load_balance_weight: f64,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            effective_number_beta: 0.999,
            label_smoothing: 0.0,
            marginalise: true,
            branch_prior_weight: 0.1,
            load_balance_weight: 0.01,
        }
    }
}

impl LossConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`NnError::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.effective_number_beta) {
            return Err(config_error("loss.effective_number_beta", "must lie in [0, 1)"));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(config_error("loss.label_smoothing", "must lie in [0, 1)"));
        }
        for (key, value) in
            [("branch_prior_weight", self.branch_prior_weight), ("load_balance_weight", self.load_balance_weight)]
        {
            if !(value.is_finite() && value >= 0.0) {
                return Err(config_error(&format!("loss.{key}"), "must be 0 or positive"));
            }
        }
        Ok(())
    }
}

/// Class weights by effective number; mean 1 over the classes with samples, 1 for classes without.
pub fn effective_number_weights(counts: &[u64], beta: f64) -> Vec<f64> {
    let raw = |n: u64| (1.0 - beta) / (1.0 - beta.powf(n as f64));
    let seen: Vec<f64> = counts.iter().filter(|n| **n > 0).map(|n| raw(*n)).collect();
    if seen.is_empty() {
        return vec![1.0; counts.len()];
    }
    let mean = seen.iter().sum::<f64>() / seen.len() as f64;
    counts.iter().map(|n| if *n > 0 { raw(*n) / mean } else { 1.0 }).collect()
}

/// The losses of one model.
#[derive(Clone, Debug)]
pub struct TaskLosses {
    config: LossConfig,
    tasks: TaskSet,
    class_weights: Vec<Vec<f64>>,
}

impl TaskLosses {
    /// Losses for these tasks; `counts` are the samples per task and class of the training split ([`TaskSet::counts`]),
    /// without them all classes weigh 1.
    ///
    /// # Errors
    /// [`NnError::Config`] for settings out of range, [`NnError::Targets`] for counts of another shape.
    pub fn new(config: &LossConfig, tasks: &TaskSet, counts: Option<&[Vec<u64>]>) -> Result<Self> {
        config.validate()?;
        let class_weights = match counts {
            None => tasks.tasks().iter().map(|task| vec![1.0; task.classes]).collect(),
            Some(counts) => {
                let fits = counts.len() == tasks.len()
                    && counts.iter().zip(tasks.tasks()).all(|(counts, task)| counts.len() == task.classes);
                if !fits {
                    return Err(NnError::Targets("class counts do not fit the tasks".into()));
                }
                counts.iter().map(|counts| effective_number_weights(counts, config.effective_number_beta)).collect()
            }
        };
        Ok(Self { config: config.clone(), tasks: tasks.clone(), class_weights })
    }

    /// Weights per task and class.
    pub fn class_weights(&self) -> &[Vec<f64>] {
        &self.class_weights
    }

    /// Loss of each task, scalars; `None` where no sample of the batch is labelled for the task.
    ///
    /// # Errors
    /// [`NnError::Targets`] for targets that do not fit.
    pub fn losses(&self, outputs: &Outputs, targets: &TargetBatch) -> Result<Vec<Option<Tensor>>> {
        let compatible = self.tasks.compatible(targets)?;
        let maps = self.tasks.tasks().iter().zip(&self.class_weights);
        maps.zip(&outputs.logits)
            .map(|((task, weights), logits)| {
                let rows: Vec<Option<Vec<usize>>> = compatible.iter().map(|codes| task.possible(codes)).collect();
                self.cross_entropy(logits, &rows, weights, &targets.weights)
            })
            .collect()
    }

    /// Cross-entropy of the pooled read-out with detached heads (class weights 1): trains the read-out's η only.
    ///
    /// # Errors
    /// [`NnError::Targets`] for targets that do not fit.
    pub fn pooled(&self, model: &MtIds, outputs: &Outputs, targets: &TargetBatch) -> Result<Option<Tensor>> {
        let Some(scores) = pooled_scores(&self.tasks, outputs, model.eta())? else { return Ok(None) };
        let classes = self.tasks.space().classes();
        let rows: Vec<Option<Vec<usize>>> =
            self.tasks.compatible(targets)?.into_iter().map(|codes| (codes.len() < classes).then_some(codes)).collect();
        self.cross_entropy(&scores, &rows, &vec![1.0; classes], &targets.weights)
    }

    fn cross_entropy(
        &self,
        logits: &Tensor,
        rows: &[Option<Vec<usize>>],
        class_weights: &[f64],
        sample_weights: &[f32],
    ) -> Result<Option<Tensor>> {
        let (batch, classes) = logits.dims2()?;
        if batch != rows.len() {
            return Err(NnError::Targets(format!("{} targets for a batch of {batch}", rows.len())));
        }
        let mut mask = vec![0f64; batch * classes];
        let mut weights = vec![0f64; batch];
        for (row, possible) in rows.iter().enumerate() {
            let Some(possible) = possible else { continue };
            if possible.len() > 1 && !self.config.marginalise {
                continue;
            }
            // A set of classes weighs as much as its classes do on average.
            let weight = possible.iter().map(|&class| class_weights[class]).sum::<f64>() / possible.len() as f64;
            weights[row] = weight * sample_weights.get(row).map_or(1.0, |weight| f64::from(*weight));
            for class in (0..classes).filter(|class| !possible.contains(class)) {
                mask[row * classes + class] = -1e9;
            }
        }
        let total: f64 = weights.iter().sum();
        if total <= 0.0 {
            return Ok(None);
        }
        for weight in &mut weights {
            *weight /= total;
        }
        let mask = constant(mask, &[batch, classes], logits)?;
        let weights = constant(weights, &[batch, 1], logits)?;
        let all = log_sum_exp(logits)?;
        let mut loss = (&all - log_sum_exp(&(logits + mask)?)?)?;
        let smoothing = self.config.label_smoothing;
        if smoothing > 0.0 {
            let spread = (all - logits.mean_keepdim(1)?)?;
            loss = ((loss * (1.0 - smoothing))? + (spread * smoothing)?)?;
        }
        Ok(Some((loss * weights)?.sum_all()?))
    }

    /// λ_b R_b + λ_e R_e, a scalar; `None` when nothing is regularised.
    ///
    /// # Errors
    /// When candle refuses an operation.
    pub fn regulariser(&self, outputs: &Outputs, learned_branches: bool) -> Result<Option<Tensor>> {
        let mut total: Option<Tensor> = None;
        let mut add = |term: Tensor, weight: f64| -> Result<()> {
            let term = (term * weight)?;
            total = Some(match total.take() {
                Some(total) => (total + term)?,
                None => term,
            });
            Ok(())
        };
        if self.config.branch_prior_weight > 0.0 && learned_branches {
            for gate in &outputs.gates {
                add(branch_prior(&gate.branch)?, self.config.branch_prior_weight)?;
            }
        }
        if self.config.load_balance_weight > 0.0 {
            let mut shared: Option<Tensor> = None;
            for gate in &outputs.gates {
                if let Some(weights) = gate.shared_weights()? {
                    let load = weights.mean(0)?;
                    shared = Some(match shared {
                        Some(shared) => (shared + load)?,
                        None => load,
                    });
                }
                if let Some(weights) = gate.private_weights()?
                    && weights.dim(1)? > 1
                {
                    add(squared_variation(&weights.mean(0)?)?, self.config.load_balance_weight)?;
                }
            }
            if let Some(shared) = shared
                && shared.dim(0)? > 1
            {
                add(squared_variation(&shared)?, self.config.load_balance_weight)?;
            }
        }
        Ok(total)
    }
}

/// A constant with the type and device of `like`.
fn constant(values: Vec<f64>, shape: &[usize], like: &Tensor) -> Result<Tensor> {
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(like.dtype())?.to_device(like.device())?)
}

/// KL(½, ½ ‖ mean over the batch of α), a scalar; diverges when a branch dies.
///
/// # Errors
/// When candle refuses an operation.
pub fn branch_prior(branch: &Tensor) -> Result<Tensor> {
    Ok(branch.mean(0)?.log()?.mean_all()?.affine(-1.0, 0.5f64.ln())?)
}

/// Population variance over squared mean of `[E]` loads: 0 for equal loads, E − 1 when one takes all.
///
/// # Errors
/// When candle refuses an operation.
pub fn squared_variation(load: &Tensor) -> Result<Tensor> {
    let mean = load.mean_keepdim(0)?;
    let variance = load.broadcast_sub(&mean)?.sqr()?.mean_keepdim(0)?;
    // The constant only matters when a whole branch has no weight at all.
    Ok((variance / (mean.sqr()? + 1e-12)?)?.sum_all()?)
}
