//! Losses of the tasks.
//!
//! Purpose: per task, the mean over labelled samples of a weighted cross-entropy. A sample whose known labels leave a set of
//! classes enters with −log of the probability of that set (switchable, O); one that leaves all classes is masked. Class weights
//! by effective number, (1 − β) / (1 − βⁿ), mean 1 over the classes seen (P: Cui et al., CVPR 2019, arXiv 1901.05555). Options (P): focal
//! factor (1 − p)^γ (Lin et al., ICCV 2017, arXiv 1708.02002), logit adjustment by τ log prior (Menon et al., ICLR 2021, arXiv 2007.07314),
//! label smoothing. A metastasis status may count by its grade of evidence (O). Terms that are no tasks: [`crate::regulariser`].
//! The task `measures` is a regression (`regression.rs`). A task's loss may be put into another unit ([`TaskLosses::in_units`]), to see what bad units do to a training.
//! Invariants: finite for any finite logits; masked samples have exactly zero gradient.

use candle_core::{Device, Tensor};
use mtids_domain::label::Evidence;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decoding::pooled_scores;
use crate::error::{ModelError, Result, config_error};
use crate::model::Model;
use crate::regression;
use crate::regulariser::{Terms, add_gates, add_gates_together, consistency};
use crate::tasks::{LabelMap, TargetBatch, TaskSet};
use crate::types::{GateTerms, Outputs};
use mtids_layers::activation::log_sum_exp;
use mtids_ranks::Ranks;

/// Weight of a metastasis status by the grade of its evidence, in every task that depends on the status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[expect(non_snake_case, reason = "the grades are capital letters in every table")]
pub struct EvidenceWeights {
    /// Histology after resection or mediastinoscopy.
    pub A: f64,
    /// Needle cytology.
    pub B: f64,
    /// FDG-PET.
    pub C: f64,
    /// Size on CT.
    pub D: f64,
    /// None or unknown.
    pub U: f64,
}

impl Default for EvidenceWeights {
    fn default() -> Self {
        Self { A: 1.0, B: 1.0, C: 1.0, D: 1.0, U: 1.0 }
    }
}

impl EvidenceWeights {
    /// Weight of a grade.
    pub fn of(&self, evidence: Evidence) -> f64 {
        match evidence {
            Evidence::A => self.A,
            Evidence::B => self.B,
            Evidence::C => self.C,
            Evidence::D => self.D,
            Evidence::U => self.U,
        }
    }
}

/// Settings of the losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LossConfig {
    /// β of the effective number; 0 weighs all classes equally.
    pub effective_number_beta: f64,
    /// Share of the target spread over all classes.
    pub label_smoothing: f64,
    /// γ of the focal factor; 0 leaves it out, 2 is its authors' choice.
    pub focal_gamma: f64,
    /// τ of the logit adjustment; 0 leaves it out, 1 is its authors' choice. Best with `effective_number_beta = 0`, since both
    /// answer to rare classes.
    pub logit_adjustment: f64,
    /// Whether partly known labels are used through the sum over the classes they leave.
    pub marginalise: bool,
    /// Weights of a metastasis status by its evidence.
    pub evidence_weights: EvidenceWeights,
    /// Whether the weights ω of the pooled prediction head are learned; otherwise they stay 1.
    pub learned_pool: bool,
    /// Weight λ_b of the branch prior.
    pub branch_prior_weight: f64,
    /// Weight λ_e of the load balance.
    pub load_balance_weight: f64,
    /// Weight of the consistency of the other heads with the joint head. Default 0.
    pub consistency_weight: f64,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            effective_number_beta: 0.999,
            label_smoothing: 0.0,
            focal_gamma: 0.0,
            logit_adjustment: 0.0,
            marginalise: true,
            evidence_weights: EvidenceWeights::default(),
            learned_pool: true,
            branch_prior_weight: 0.1,
            load_balance_weight: 0.01,
            consistency_weight: 0.0,
        }
    }
}

impl LossConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.effective_number_beta) {
            return Err(config_error("loss.effective_number_beta", "must lie in [0, 1)"));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(config_error("loss.label_smoothing", "must lie in [0, 1)"));
        }
        let EvidenceWeights { A, B, C, D, U } = self.evidence_weights;
        for (key, value) in [
            ("focal_gamma", self.focal_gamma),
            ("logit_adjustment", self.logit_adjustment),
            ("branch_prior_weight", self.branch_prior_weight),
            ("load_balance_weight", self.load_balance_weight),
            ("consistency_weight", self.consistency_weight),
            ("evidence_weights.A", A),
            ("evidence_weights.B", B),
            ("evidence_weights.C", C),
            ("evidence_weights.D", D),
            ("evidence_weights.U", U),
        ] {
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

/// Logarithms of the class frequencies; a class without samples counts as half a sample.
pub fn log_priors(counts: &[u64]) -> Vec<f64> {
    let shares: Vec<f64> = counts.iter().map(|&n| if n == 0 { 0.5 } else { n as f64 }).collect();
    let total: f64 = shares.iter().sum();
    shares.iter().map(|share| (share / total).ln()).collect()
}

/// The losses of one model.
#[derive(Clone, Debug)]
pub struct TaskLosses {
    config: LossConfig,
    tasks: TaskSet,
    class_weights: Vec<Vec<f64>>,
    log_priors: Vec<Vec<f64>>,
    /// Factor of each task's loss.
    units: Vec<f64>,
    ranks: Ranks,
}

impl TaskLosses {
    /// Losses for these tasks; `counts` are the samples per task and class of the training split ([`TaskSet::counts`]),
    /// without them all classes weigh 1 and are equally frequent.
    ///
    /// # Errors
    /// [`ModelError::Config`] for settings out of range, [`ModelError::Targets`] for counts of another shape.
    pub fn new(config: &LossConfig, tasks: &TaskSet, counts: Option<&[Vec<u64>]>) -> Result<Self> {
        config.validate()?;
        let equal: Vec<Vec<u64>> = tasks.tasks().iter().map(|task| vec![0; task.classes]).collect();
        let counts = counts.unwrap_or(&equal);
        let fits = counts.len() == tasks.len()
            && counts.iter().zip(tasks.tasks()).all(|(counts, task)| counts.len() == task.classes);
        if !fits {
            return Err(ModelError::Targets("class counts do not fit the tasks".into()));
        }
        let beta = config.effective_number_beta;
        Ok(Self {
            config: config.clone(),
            tasks: tasks.clone(),
            class_weights: counts.iter().map(|counts| effective_number_weights(counts, beta)).collect(),
            log_priors: counts.iter().map(|counts| log_priors(counts)).collect(),
            units: vec![1.0; tasks.len()],
            ranks: Ranks::alone(),
        })
    }

    /// Losses of one of several processes that train together. Each has its own samples' share of every loss; the shares add up to the loss of the batch.
    /// A regulariser is the same on all.
    #[must_use]
    pub fn over(self, ranks: &Ranks) -> Self {
        Self { ranks: ranks.clone(), ..self }
    }

    /// The same losses in other units: the loss of task t, and with it the gradient of every parameter that it reaches, shared or
    /// private, is multiplied by `factors[t]`. Regularisers and the prediction head stay as they are.
    ///
    /// # Errors
    /// [`ModelError::Targets`] unless there is one positive, finite factor per task.
    pub fn in_units(self, factors: &[f64]) -> Result<Self> {
        if factors.len() != self.tasks.len() || factors.iter().any(|factor| !(factor.is_finite() && *factor > 0.0)) {
            let reason = format!(
                "loss scales {factors:?} for {} tasks; one positive number is needed for each",
                self.tasks.len()
            );
            return Err(ModelError::Targets(reason));
        }
        Ok(Self { units: factors.to_vec(), ..self })
    }

    /// Weights per task and class.
    pub fn class_weights(&self) -> &[Vec<f64>] {
        &self.class_weights
    }

    /// Loss of each task, scalars; `None` where no sample of the batch is labelled for the task.
    ///
    /// # Errors
    /// [`ModelError::Targets`] for targets that do not fit.
    pub fn losses(&self, outputs: &Outputs, targets: &TargetBatch) -> Result<Vec<Option<Tensor>>> {
        let compatible = self.tasks.compatible(targets)?;
        let tasks = self.tasks.tasks().iter().zip(&outputs.logits);
        tasks
            .zip(self.class_weights.iter().zip(&self.log_priors))
            .zip(&self.units)
            .map(|(((task, logits), (class_weights, log_priors)), &unit)| {
                let loss = if task.is_regression() {
                    regression::loss(logits, targets, &self.ranks)?
                } else {
                    self.of_classes(task, logits, (class_weights, log_priors), &compatible, targets)?
                };
                match loss {
                    Some(loss) if unit != 1.0 => Ok(Some((loss * unit)?)),
                    loss => Ok(loss),
                }
            })
            .collect()
    }

    /// Loss of a label map.
    fn of_classes(
        &self,
        task: &LabelMap,
        logits: &Tensor,
        (class_weights, log_priors): (&[f64], &[f64]),
        compatible: &[Vec<usize>],
        targets: &TargetBatch,
    ) -> Result<Option<Tensor>> {
        let rows: Vec<Option<Vec<usize>>> = compatible.iter().map(|codes| task.possible(codes)).collect();
        let sample_weights = self.sample_weights(task.reads_metastasis(), targets);
        let tau = self.config.logit_adjustment;
        if tau == 0.0 {
            return self.cross_entropy(logits, &rows, class_weights, &sample_weights);
        }
        let shift: Vec<f64> = log_priors.iter().map(|prior| tau * prior).collect();
        let shift = constant(shift, &[1, task.classes], logits)?;
        self.cross_entropy(&logits.broadcast_add(&shift)?, &rows, class_weights, &sample_weights)
    }

    /// Weight of each sample in a task that depends on the metastasis status, or does not.
    fn sample_weights(&self, reads_metastasis: bool, targets: &TargetBatch) -> Vec<f64> {
        (0..targets.len())
            .map(|row| {
                let sample = targets.weights.get(row).map_or(1.0, |weight| f64::from(*weight));
                let has_status = targets.metastasis.get(row).is_some_and(Option::is_some);
                let evidence = match targets.evidence.get(row) {
                    Some(&evidence) if reads_metastasis && has_status => self.config.evidence_weights.of(evidence),
                    _ => 1.0,
                };
                sample * evidence
            })
            .collect()
    }

    /// Cross-entropy of the pooled prediction head with detached heads (class weights 1): trains the prediction head's η only. `None` where η is
    /// not to be learned or nothing is pooled.
    ///
    /// # Errors
    /// [`ModelError::Targets`] for targets that do not fit.
    pub fn pooled(&self, model: &Model, outputs: &Outputs, targets: &TargetBatch) -> Result<Option<Tensor>> {
        if !self.config.learned_pool {
            return Ok(None);
        }
        let Some(scores) = pooled_scores(&self.tasks, outputs, model.eta())? else { return Ok(None) };
        let classes = self.tasks.space().classes();
        let rows: Vec<Option<Vec<usize>>> =
            self.tasks.compatible(targets)?.into_iter().map(|codes| (codes.len() < classes).then_some(codes)).collect();
        self.cross_entropy(&scores, &rows, &vec![1.0; classes], &self.sample_weights(true, targets))
    }

    fn cross_entropy(
        &self,
        logits: &Tensor,
        rows: &[Option<Vec<usize>>],
        class_weights: &[f64],
        sample_weights: &[f64],
    ) -> Result<Option<Tensor>> {
        let (batch, classes) = logits.dims2()?;
        if batch != rows.len() {
            return Err(ModelError::Targets(format!("{} targets for a batch of {batch}", rows.len())));
        }
        let mut outside = vec![0f64; batch * classes];
        let mut weights = vec![0f64; batch];
        for (row, possible) in rows.iter().enumerate() {
            let Some(possible) = possible else { continue };
            if possible.len() > 1 && !self.config.marginalise {
                continue;
            }
            // A set of classes weighs as much as its classes do on average.
            let weight = possible.iter().map(|&class| class_weights[class]).sum::<f64>() / possible.len() as f64;
            weights[row] = weight * sample_weights.get(row).copied().unwrap_or(1.0);
            for class in (0..classes).filter(|class| !possible.contains(class)) {
                outside[row * classes + class] = 1.0;
            }
        }
        let total = self.ranks.sum_of(weights.iter().sum())?;
        if total <= 0.0 {
            return Ok(None);
        }
        for weight in &mut weights {
            *weight /= total;
        }
        let hide = |hidden: &dyn Fn(f64) -> f64| {
            constant(outside.iter().map(|&outside| -1e9 * hidden(outside)).collect(), &[batch, classes], logits)
        };
        let weights = constant(weights, &[batch, 1], logits)?;
        let all = log_sum_exp(logits)?;
        let mut loss = (&all - log_sum_exp(&(logits + hide(&|outside| outside)?)?)?)?;
        if self.config.focal_gamma > 0.0 {
            // log (1 − p) from the classes outside the set, so that no 1 − p is ever rounded to 0.
            let rest = (log_sum_exp(&(logits + hide(&|outside| 1.0 - outside)?)?)? - &all)?;
            loss = (loss * (rest * self.config.focal_gamma)?.exp()?)?;
        }
        let smoothing = self.config.label_smoothing;
        if smoothing > 0.0 {
            let spread = (all - logits.mean_keepdim(1)?)?;
            loss = ((loss * (1.0 - smoothing))? + (spread * smoothing)?)?;
        }
        Ok(Some((loss * weights)?.sum_all()?))
    }

    /// Whether a regulariser judges the answers of heads, so that its gradient reaches what they read, and not only gates.
    pub(crate) fn regularises_heads(&self) -> bool {
        self.config.consistency_weight > 0.0
    }

    /// Everything beside the tasks' losses, weighted, a scalar: λ_b R_b + λ_e R_e of the gates to which they apply, the terms of the
    /// architecture itself, and the consistency of the heads. `None` when there is none of these.
    ///
    /// # Errors
    /// When candle refuses an operation.
    pub fn regulariser(&self, apply: GateTerms, outputs: &Outputs) -> Result<Option<Tensor>> {
        let LossConfig { branch_prior_weight, load_balance_weight, consistency_weight, .. } = self.config;
        let mut terms = Terms::default();
        for gates in outputs.lower_gates.iter().chain([&outputs.gates]) {
            add_gates(&mut terms, gates, apply, &self.ranks, branch_prior_weight, load_balance_weight)?;
        }
        if let Some(gates) = &outputs.gates_together {
            add_gates_together(&mut terms, gates, apply, branch_prior_weight, load_balance_weight)?;
        }
        for penalty in &outputs.penalties {
            terms.add(penalty, 1.0)?;
        }
        if consistency_weight > 0.0
            && let Some(term) = consistency(&self.tasks, outputs, &self.ranks)?
        {
            terms.add(&term, consistency_weight)?;
        }
        Ok(terms.total())
    }
}

/// A constant with the type and device of `like`.
fn constant(values: Vec<f64>, shape: &[usize], like: &Tensor) -> Result<Tensor> {
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(like.dtype())?.to_device(like.device())?)
}
