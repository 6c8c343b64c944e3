//! DBR, the Dual-control Branch Routing gate.
//!
//! Purpose: per sample and task, control 1 divides the weight between the shared and the private branch, control 2 divides
//! each branch between its experts. With r = [z ; m_t] and a learned task embedding m_t:
//! α = softmax((W^b r + c^b) / τ), π^s = TopKSoftmax(W^s r + c^s), π^p likewise; an expert's weight is α times π. The abstract
//! of MT-IDS gives the purpose (A); branch control and gate input are a choice of this reconstruction (O), soft-max and top-k over
//! experts are prior art (P: CGC, RecSys 2020; noisy top-k: Shazeer et al. 2017, arXiv 1701.06538). `SoftmaxGate` is the plain gate
//! of the rivals.
//! Invariants: weights are non-negative and sum to 1 per sample and task (except [`BranchControl::Sigmoid`]).

use candle_core::{D, Tensor};
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::activation::{log_sum_exp, sigmoid, softmax, softplus};
use crate::error::{Result, config_error};
use crate::linear::Linear;
use crate::model::Mode;
use crate::parameters::{Init, Parameters};

/// Control 1: how the weight is divided between the shared and the private branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BranchControl {
    /// Learned soft-max over the two branches.
    #[default]
    Softmax,
    /// One learned sigmoid per branch; the two need not sum to 1.
    Sigmoid,
    /// Half each: two expert gates without branch control.
    Fixed,
    /// One flat soft-max over all experts (CGC).
    Flat,
    /// No private branch (MMoE; with one shared expert, a shared bottom).
    SharedOnly,
    /// No shared branch: separate experts on a common trunk.
    PrivateOnly,
}

/// Control 2: how a branch is divided between its experts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExpertControl {
    /// Learned soft-max over the `top_k` largest logits.
    #[default]
    Softmax,
    /// Equal weights.
    Uniform,
}

/// Experts and gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DbrConfig {
    /// Layers of experts and gates; more than one stacks them as PLE does. Default 1.
    pub layers: usize,
    /// Shared experts E_s.
    pub shared_experts: usize,
    /// Private experts E_p of each task.
    pub private_experts: usize,
    /// Hidden units of an expert.
    pub expert_hidden: usize,
    /// Outputs d_e of an expert.
    pub expert_width: usize,
    /// Size d_g of the task embedding.
    pub embedding: usize,
    /// Temperature τ of the branch control.
    pub temperature: f64,
    /// Form of control 1.
    pub branch_control: BranchControl,
    /// Form of control 2.
    pub expert_control: ExpertControl,
    /// Shared experts used per sample; 0 means all (soft routing).
    pub shared_top_k: usize,
    /// Private experts used per sample; 0 means all (soft routing).
    pub private_top_k: usize,
}

impl Default for DbrConfig {
    fn default() -> Self {
        Self {
            layers: 1,
            shared_experts: 3,
            private_experts: 2,
            expert_hidden: 64,
            expert_width: 64,
            embedding: 16,
            temperature: 1.0,
            branch_control: BranchControl::Softmax,
            expert_control: ExpertControl::Softmax,
            shared_top_k: 0,
            private_top_k: 0,
        }
    }
}

impl DbrConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`crate::NnError::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        for (key, value, used) in [
            ("layers", self.layers, true),
            ("shared_experts", self.shared_experts, self.has_shared()),
            ("private_experts", self.private_experts, self.has_private()),
            ("expert_hidden", self.expert_hidden, true),
            ("expert_width", self.expert_width, true),
            ("embedding", self.embedding, true),
        ] {
            if used && value == 0 {
                return Err(config_error(&format!("dbr.{key}"), "must be at least 1 for this branch control"));
            }
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(config_error("dbr.temperature", "must be positive"));
        }
        for (key, k, count) in [
            ("shared_top_k", self.shared_top_k, self.shared_experts),
            ("private_top_k", self.private_top_k, self.private_experts),
        ] {
            if k > count {
                return Err(config_error(&format!("dbr.{key}"), format!("must be 0 (all) to {count}")));
            }
        }
        if self.layers > 1 && !(self.has_shared() && self.has_private()) {
            return Err(config_error("dbr.layers", "more than one layer needs both branches"));
        }
        if self.branch_control == BranchControl::Flat
            && (self.expert_control == ExpertControl::Uniform || self.shared_top_k + self.private_top_k > 0)
        {
            return Err(config_error("dbr.branch_control", "flat needs soft-max experts and no top-k"));
        }
        if self.expert_control == ExpertControl::Uniform && self.shared_top_k + self.private_top_k > 0 {
            return Err(config_error(
                "dbr.expert_control",
                "uniform gives every expert the same weight: leave top-k at 0",
            ));
        }
        Ok(())
    }

    /// Whether there is a shared branch.
    pub fn has_shared(&self) -> bool {
        self.branch_control != BranchControl::PrivateOnly
    }

    /// Whether there are private branches.
    pub fn has_private(&self) -> bool {
        self.branch_control != BranchControl::SharedOnly
    }
}

/// What a gate decided.
#[derive(Clone, Debug)]
pub struct GateOutput {
    /// α, `[B, 2]`: shared, private; `[B, 3]` where a task also reads the experts of the other tasks.
    pub branch: Tensor,
    /// π^s, `[B, E_s]`; absent without a shared branch.
    pub shared: Option<Tensor>,
    /// π^p, `[B, E_p]`; absent without a private branch.
    pub private: Option<Tensor>,
    /// Division among the experts of the other tasks, in task order; absent where the task does not read them.
    pub others: Option<Tensor>,
}

impl GateOutput {
    /// Of weights `[B, E]` over shared experts alone.
    ///
    /// # Errors
    /// When candle refuses an operation.
    pub(crate) fn of_shared(weights: Tensor) -> Result<Self> {
        let shared = weights.sum_keepdim(1)?;
        let branch = Tensor::cat(&[&shared, &shared.zeros_like()?], 1)?;
        Ok(Self { branch, shared: Some(weights), private: None, others: None })
    }

    /// Of flat weights over shared, own and, where given, the other tasks' experts. For statistics.
    ///
    /// # Errors
    /// When candle refuses an operation.
    pub(crate) fn of_flat(shared: &Tensor, private: &Tensor, others: Option<&Tensor>) -> Result<Self> {
        let parts: Vec<&Tensor> = [Some(shared), Some(private), others].into_iter().flatten().collect();
        let sums: Result<Vec<Tensor>> = parts.iter().map(|part| Ok(part.sum_keepdim(1)?)).collect();
        let sums = sums?;
        let within: Result<Vec<Tensor>> = parts
            .iter()
            .zip(&sums)
            // A branch may have no weight at all in single precision.
            .map(|(part, sum)| Ok(part.broadcast_div(&(sum + f64::from(f32::MIN_POSITIVE))?)?))
            .collect();
        let mut within = within?.into_iter();
        Ok(Self {
            branch: Tensor::cat(&sums, 1)?,
            shared: within.next(),
            private: within.next(),
            others: within.next(),
        })
    }

    /// Weights α^s π^s of the shared experts, `[B, E_s]`.
    ///
    /// # Errors
    /// When candle refuses the operation.
    pub fn shared_weights(&self) -> Result<Option<Tensor>> {
        self.weights(0, self.shared.as_ref())
    }

    /// Weights α^p π^p of the private experts, `[B, E_p]`.
    ///
    /// # Errors
    /// When candle refuses the operation.
    pub fn private_weights(&self) -> Result<Option<Tensor>> {
        self.weights(1, self.private.as_ref())
    }

    /// Weights of the other tasks' experts, `[B, (T − 1) E_p]`.
    ///
    /// # Errors
    /// When candle refuses the operation.
    pub fn other_weights(&self) -> Result<Option<Tensor>> {
        self.weights(2, self.others.as_ref())
    }

    fn weights(&self, branch: usize, within: Option<&Tensor>) -> Result<Option<Tensor>> {
        within.map(|pi| Ok(pi.broadcast_mul(&self.branch.narrow(1, branch, 1)?)?)).transpose()
    }
}

/// A soft-max over experts, linear in its input: the gate of MMoE, CGC, PLE, AdaTT and STEM.
#[derive(Clone, Debug)]
pub(crate) struct SoftmaxGate {
    /// Absent for one expert, which gets all the weight.
    logits: Option<Linear>,
}

impl SoftmaxGate {
    pub(crate) fn new(name: &str, inputs: usize, experts: usize, parameters: &Parameters) -> Result<Self> {
        let linear = (experts > 1).then(|| Linear::unrounded(name, inputs, experts, 1.0, parameters)).transpose()?;
        Ok(Self { logits: linear })
    }

    /// `[B, d]` to weights `[B, E]`.
    pub(crate) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        match &self.logits {
            Some(linear) => softmax(&linear.forward(input)?),
            None => Ok(Tensor::ones((input.dim(0)?, 1), input.dtype(), input.device())?),
        }
    }
}

#[derive(Clone, Debug)]
struct ExpertGate {
    count: usize,
    logits: Option<Linear>,
    noise: Option<Linear>,
    top_k: usize,
    name: String,
}

impl ExpertGate {
    fn new(name: &str, inputs: usize, count: usize, top_k: usize, uniform: bool, p: &Parameters) -> Result<Self> {
        let top_k = if top_k == 0 { count } else { top_k };
        let learned = !uniform && count > 1;
        let noisy = learned && top_k < count;
        let layer = |wanted: bool, suffix: &str| -> Result<Option<Linear>> {
            if wanted {
                Ok(Some(Linear::unrounded(&format!("{name}{suffix}"), inputs, count, 1.0, p)?))
            } else {
                Ok(None)
            }
        };
        Ok(Self { count, logits: layer(learned, "")?, noise: layer(noisy, ".noise")?, top_k, name: name.to_owned() })
    }

    fn raw(&self, r: &Tensor) -> Result<Tensor> {
        match &self.logits {
            Some(linear) => linear.forward(r),
            None => Ok(Tensor::zeros((r.dim(0)?, self.count), r.dtype(), r.device())?),
        }
    }

    fn forward(&self, r: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut logits = self.raw(r)?;
        if self.logits.is_none() {
            return softmax(&logits);
        }
        if let (Some(noise), Mode::Train { seed, step }) = (&self.noise, mode) {
            let mut stream = mtids_core::random::stream(seed, &format!("gate noise {}", self.name), &[step]);
            let values: Vec<f64> = (0..logits.elem_count()).map(|_| StandardNormal.sample(&mut stream)).collect();
            let values = Tensor::from_vec(values, logits.shape(), &candle_core::Device::Cpu)?;
            let values = values.to_dtype(logits.dtype())?.to_device(logits.device())?;
            logits = (logits + (softplus(&noise.forward(r)?)? * values)?)?;
        }
        if self.top_k < self.count {
            logits = (&logits + top_k_mask(&logits, self.top_k)?)?;
        }
        softmax(&logits)
    }
}

/// 0 for the `k` largest of each row (ties: the first), −1e9 elsewhere; without gradient, and without the host looking at a logit.
fn top_k_mask(logits: &Tensor, k: usize) -> Result<Tensor> {
    let logits = logits.detach();
    let (one, other) = (logits.unsqueeze(2)?, logits.unsqueeze(1)?);
    let larger = other.broadcast_gt(&one)?.to_dtype(logits.dtype())?;
    let equal = other.broadcast_eq(&one)?.to_dtype(logits.dtype())?;
    let count = logits.dim(1)?;
    let earlier: Vec<f64> = (0..count * count).map(|at| f64::from(u8::from(at % count < at / count))).collect();
    let earlier = Tensor::from_vec(earlier, (1, count, count), &candle_core::Device::Cpu)?;
    let earlier = earlier.to_dtype(logits.dtype())?.to_device(logits.device())?;
    let ahead = (larger + equal.broadcast_mul(&earlier)?)?.sum(2)?;
    Ok(ahead.ge(k as f64)?.to_dtype(logits.dtype())?.affine(-1e9, 0.0)?)
}

/// The gate of one task.
#[derive(Clone, Debug)]
pub struct Gate {
    embedding: Tensor,
    branch: Option<Linear>,
    shared: Option<ExpertGate>,
    private: Option<ExpertGate>,
    control: BranchControl,
    temperature: f64,
}

impl Gate {
    /// Builds the gate `<name>.*` for an input of size `features`.
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(name: &str, features: usize, config: &DbrConfig, parameters: &Parameters) -> Result<Self> {
        let inputs = features + config.embedding;
        let learned_branch = matches!(config.branch_control, BranchControl::Softmax | BranchControl::Sigmoid);
        let uniform = config.expert_control == ExpertControl::Uniform;
        let expert_gate = |wanted: bool, part: &str, count: usize, k: usize| -> Result<Option<ExpertGate>> {
            let name = format!("{name}.{part}");
            wanted.then(|| ExpertGate::new(&name, inputs, count, k, uniform, parameters)).transpose()
        };
        Ok(Self {
            embedding: parameters.get_or_init(
                &format!("{name}.embedding"),
                &[1, config.embedding],
                Init::Normal(1.0 / (config.embedding as f64).sqrt()),
            )?,
            branch: learned_branch
                .then(|| Linear::unrounded(&format!("{name}.branch"), inputs, 2, 0.1, parameters))
                .transpose()?,
            shared: expert_gate(config.has_shared(), "shared", config.shared_experts, config.shared_top_k)?,
            private: expert_gate(config.has_private(), "private", config.private_experts, config.private_top_k)?,
            control: config.branch_control,
            temperature: config.temperature,
        })
    }

    /// Decides for features `z` `[B, d]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, z: &Tensor, mode: Mode) -> Result<GateOutput> {
        let batch = z.dim(0)?;
        let embedding = self.embedding.broadcast_as((batch, self.embedding.dim(1)?))?;
        let r = Tensor::cat(&[z, &embedding], 1)?;
        let constant = |shared: f64, private: f64| -> Result<Tensor> {
            let row = Tensor::new(&[[shared, private]], &candle_core::Device::Cpu)?.to_dtype(z.dtype())?;
            Ok(row.to_device(z.device())?.broadcast_as((batch, 2))?.contiguous()?)
        };
        let branch = match (self.control, &self.branch, &self.shared, &self.private) {
            (BranchControl::SharedOnly, ..) => constant(1.0, 0.0)?,
            (BranchControl::PrivateOnly, ..) => constant(0.0, 1.0)?,
            (BranchControl::Softmax, Some(linear), ..) => softmax(&(linear.forward(&r)? / self.temperature)?)?,
            (BranchControl::Sigmoid, Some(linear), ..) => sigmoid(&(linear.forward(&r)? / self.temperature)?)?,
            // The branch weights that make the product of both controls one flat soft-max.
            (BranchControl::Flat, _, Some(shared), Some(private)) => {
                let pair = [log_sum_exp(&shared.raw(&r)?)?, log_sum_exp(&private.raw(&r)?)?];
                softmax(&Tensor::cat(&pair, D::Minus1)?)?
            }
            _ => constant(0.5, 0.5)?,
        };
        Ok(GateOutput {
            branch,
            shared: self.shared.as_ref().map(|gate| gate.forward(&r, mode)).transpose()?,
            private: self.private.as_ref().map(|gate| gate.forward(&r, mode)).transpose()?,
            others: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_largest_stay_and_of_equals_the_first() {
        let logits = Tensor::new(&[[1.0, 3.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0], [-1.0, 0.0, -2.0, 0.5]], &Device::Cpu);
        let mask = top_k_mask(&logits.unwrap(), 2).unwrap().to_vec2::<f64>().unwrap();
        let out = -1e9;
        assert_eq!(mask, [[out, 0.0, 0.0, out], [0.0, 0.0, out, out], [out, 0.0, out, 0.0]]);
    }
}
