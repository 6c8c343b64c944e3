//! DSelect-k: shared experts behind differentiable k-sparse gates (Hazimeh et al., NeurIPS 2021, arXiv 2106.03760).
//!
//! A gate has k selectors. Selector i has one number z_b per bit of an expert's binary code; its weight on expert e is
//! r_i(e) = Π_b (S(z_b) where bit b of e is 1, else 1 − S(z_b)), with the smooth step S(z) = −2 (z/γ)³ + 3/2 (z/γ) + ½ between −γ/2
//! and γ/2, 0 below and 1 above. The task's mixture is Σ_i softmax(w)_i Σ_e r_i(e) f_e(z): once every S is 0 or 1, at most k experts.
//! Two terms are added to the loss: the selectors' entropy −Σ r log(r + 1e-6), and, where the number of experts is no power of
//! 2, Σ_i 1 / Σ_e r_i(e), which keeps weight on codes that have an expert. Numbers z and w are parameters of the task, or linear in the
//! features (`per_sample`). Adapted: experts read the backbone's features; both terms are means over the batch, not sums, so that their
//! weight does not depend on the batch size; 1e-6 is added below the fraction; parameters start normal with the variance of the
//! authors' uniform law.
//!
//! A selector whose z lies outside (−γ/2, γ/2) for all samples has made its choice for good: its gradient is exactly 0.
//!
//! Cut: z and the experts' outputs. Parameters: `trunk.*`, `shared.<e>.*` (shared), `gate.<task>.code`, `gate.<task>.mixture` (with
//! `.weight` and `.bias` per sample), `head.<task>.*`.

use candle_core::{D, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

use crate::backbone::BackboneKeys;
use crate::error::{Result, config_error};
use crate::experts::{ExpertGroup, SharedExpertsConfig};
use crate::model::network::{Head, MultiTaskModel, at, heads, mix, of_task};
use crate::tasks::{TaskKind, default_tasks};
use crate::trunks::{Blueprint, Trunks};
use crate::types::{Boundary, GateOutput, Mode, TaskOutput};
use mtids_layers::activation::softmax;
use mtids_layers::linear::Linear;
use mtids_layers::mean_of_rows;
use mtids_layers::parameters::{Init, Parameters};
use mtids_ranks::Ranks;

/// Keeps logarithm and fraction finite.
const EPSILON: f64 = 1e-6;

/// Settings of DSelect-k.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DSelectKConfig {
    /// The backbone of every view.
    pub backbone: BackboneKeys,
    /// What differs in the backbone of one view, by the view's name.
    pub trunks: BTreeMap<String, BackboneKeys>,
    /// Dropout before heads and in the hidden layer of experts. Default: 0.2 with several views, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Tasks, main task first by custom.
    pub tasks: Vec<TaskKind>,
    /// The experts.
    pub experts: SharedExpertsConfig,
    /// Selectors k, the most experts in use at the end.
    pub selectors: usize,
    /// Width γ of the smooth step.
    pub gamma: f64,
    /// Weight of the entropy of the selectors.
    pub entropy_weight: f64,
    /// Whether the gate depends on the sample; otherwise it is one choice per task.
    pub per_sample: bool,
}

impl Default for DSelectKConfig {
    fn default() -> Self {
        Self {
            backbone: BackboneKeys::default(),
            trunks: BTreeMap::new(),
            dropout: None,
            tasks: default_tasks(),
            experts: SharedExpertsConfig::default(),
            selectors: 2,
            gamma: 1.0,
            entropy_weight: 0.01,
            per_sample: true,
        }
    }
}

impl DSelectKConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        self.experts.validate()?;
        if self.experts.count < 2 {
            return Err(config_error("experts.count", "must be at least 2"));
        }
        if !(1..=self.experts.count).contains(&self.selectors) {
            return Err(config_error("selectors", "must be 1 to the number of experts"));
        }
        if !(self.gamma.is_finite() && self.gamma > 0.0) {
            return Err(config_error("gamma", "must be positive"));
        }
        if !(self.entropy_weight.is_finite() && self.entropy_weight >= 0.0) {
            return Err(config_error("entropy_weight", "must be 0 or positive"));
        }
        Ok(())
    }
}

/// S(z / γ), exactly 0 and 1 outside.
///
/// # Errors
/// When candle refuses an operation.
pub fn smooth_step(z: &Tensor, gamma: f64) -> Result<Tensor> {
    let u = (z / gamma)?.clamp(-0.5, 0.5)?;
    let cubic = (u.sqr()? * &u)?;
    Ok(((cubic * -2.0)? + (u * 1.5)?.affine(1.0, 0.5)?)?)
}

/// Numbers of a gate: the same for all samples, or linear in the features.
#[derive(Debug)]
enum Numbers {
    Fixed(Tensor),
    Linear(Linear),
}

impl Numbers {
    /// Entries start with mean 0 and this deviation.
    fn new(
        name: &str,
        features: usize,
        count: usize,
        deviation: f64,
        per_sample: bool,
        parameters: &Parameters,
    ) -> Result<Self> {
        Ok(if per_sample {
            Self::Linear(Linear::unrounded(name, features, count, deviation * (features as f64).sqrt(), parameters)?)
        } else {
            Self::Fixed(parameters.get_or_init(name, &[1, count], Init::Normal(deviation))?)
        })
    }

    fn forward(&self, z: &Tensor) -> Result<Tensor> {
        match self {
            Self::Fixed(values) => Ok(values.broadcast_as((z.dim(0)?, values.dim(1)?))?.contiguous()?),
            Self::Linear(linear) => Ok(linear.forward(z)?),
        }
    }
}

/// The gate of one task.
#[derive(Debug)]
struct Gate {
    code: Numbers,
    /// Absent for a single selector.
    mixture: Option<Numbers>,
    experts: usize,
    selectors: usize,
    gamma: f64,
    entropy_weight: f64,
    ranks: Ranks,
}

impl Gate {
    fn new(task: &str, config: &DSelectKConfig, blueprint: &Blueprint<'_>) -> Result<Self> {
        let (features, selectors, parameters) = (blueprint.features(), config.selectors, blueprint.parameters);
        let numbers = |part: &str, count: usize, bound: f64| {
            let name = format!("gate.{task}.{part}");
            Numbers::new(&name, features, count, bound / 3f64.sqrt(), config.per_sample, parameters)
        };
        let bits = config.experts.count.next_power_of_two().ilog2() as usize;
        Ok(Self {
            code: numbers("code", selectors * bits, config.gamma / 100.0)?,
            mixture: (selectors > 1).then(|| numbers("mixture", selectors, 0.05)).transpose()?,
            experts: config.experts.count,
            selectors,
            gamma: config.gamma,
            entropy_weight: config.entropy_weight,
            ranks: parameters.ranks().clone(),
        })
    }

    /// Weights of the experts `[B, E]`, and the two terms for the loss.
    fn forward(&self, z: &Tensor) -> Result<(Tensor, Tensor)> {
        let batch = z.dim(0)?;
        let steps = smooth_step(&self.code.forward(z)?.reshape((batch, self.selectors, ()))?, self.gamma)?;
        let mut codes = Tensor::ones((batch, self.selectors, 1), steps.dtype(), steps.device())?;
        for bit in 0..steps.dim(2)? {
            let one = steps.narrow(2, bit, 1)?;
            let digit = Tensor::cat(&[&one.affine(-1.0, 1.0)?, &one], 2)?.unsqueeze(2)?;
            codes = codes.unsqueeze(3)?.broadcast_mul(&digit)?.flatten_from(2)?;
        }
        let selected = codes.narrow(2, 0, self.experts)?.contiguous()?;
        let shares = match &self.mixture {
            Some(mixture) => softmax(&mixture.forward(z)?)?,
            None => Tensor::ones((batch, 1), z.dtype(), z.device())?,
        };
        let weights = selected.broadcast_mul(&shares.unsqueeze(2)?)?.sum(1)?;
        // The mean over the samples of all ranks of what each sample's entries add up to.
        let mean = |entries: &Tensor, factor: f64| -> Result<Tensor> {
            if self.ranks.is_alone() {
                return Ok((entries.sum_all()? * (factor / batch as f64))?);
            }
            Ok((mean_of_rows(&entries.flatten_from(1)?.sum(1)?, &self.ranks)? * factor)?)
        };
        let mut penalty = mean(&(&selected * (&selected + EPSILON)?.log()?)?, -self.entropy_weight)?;
        if !self.experts.is_power_of_two() {
            let reachable = (selected.sum(D::Minus1)? + EPSILON)?;
            penalty = (penalty + mean(&reachable.recip()?, 1.0)?)?;
        }
        Ok((weights, penalty))
    }
}

/// Shared experts, k smooth selectors per task.
#[derive(Debug)]
pub struct DSelectK {
    trunks: Trunks,
    experts: ExpertGroup,
    gates: Vec<Gate>,
    heads: Vec<Head>,
}

impl DSelectK {
    pub(crate) fn new(config: &DSelectKConfig, blueprint: &Blueprint<'_>) -> Result<Self> {
        let experts = &config.experts;
        let shape = experts.expert_shape(blueprint.features(), blueprint.dropout);
        let gates: Result<Vec<Gate>> = blueprint.task_names().map(|task| Gate::new(task, config, blueprint)).collect();
        Ok(Self {
            trunks: Trunks::new("trunk", blueprint)?,
            experts: ExpertGroup::new("shared", experts.count, shape, blueprint.parameters)?,
            gates: gates?,
            heads: heads(experts.width, blueprint)?,
        })
    }
}

impl MultiTaskModel for DSelectK {
    fn boundary(&self, inputs: &[Tensor], mode: Mode) -> Result<Boundary> {
        let z = self.trunks.forward(inputs, mode)?;
        let experts = self.experts.forward(&z, mode)?;
        Ok(Boundary { tensors: vec![z, experts], gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<TaskOutput> {
        let (weights, penalty) = of_task(&self.gates, task)?.forward(at(boundary, 0)?)?;
        let mixed = mix(&weights, at(boundary, 1)?)?;
        let logits = of_task(&self.heads, task)?.forward(&mixed, mode)?;
        Ok(TaskOutput { logits, gates: vec![GateOutput::of_shared(&weights)?], penalty: Some(penalty) })
    }

    fn is_shared(&self, name: &str) -> bool {
        name.starts_with("trunk.") || name.starts_with("shared.")
    }
}
