//! DBR, the Dual-control Branch Routing gate.
//!
//! Purpose: per sample and task, control 1 divides the weight between the shared and the private branch, control 2 divides
//! each branch between its experts. With r = [z ; m_t] and a learned task embedding m_t:
//! α = softmax((W^b r + c^b) / τ), π^s = TopKSoftmax(W^s r + c^s), π^p likewise; an expert's weight is α times π. The abstract
//! of MT-IDS gives the purpose (A); branch control and gate input are a choice of this reconstruction (O), soft-max and top-k over
//! experts are prior art (P: CGC, RecSys 2020; noisy top-k: Shazeer et al. 2017, arXiv 1701.06538). `SoftmaxGate` is the plain gate
//! of the baselines.
//! Invariants: weights are non-negative and sum to 1 per sample and task (except [`BranchControl::Sigmoid`]).

mod config;

use candle_core::{D, Tensor};
use rand_distr::{Distribution, StandardNormal};

use crate::error::{Result, config_error};
use crate::types::{GateOutput, Mode};
use mtids_layers::activation::{log_sum_exp, sigmoid, softmax, softplus};
use mtids_layers::linear::Linear;
use mtids_layers::parameters::{Init, Parameters};
use mtids_layers::stacked::Stacks;
use mtids_ranks::Ranks;

pub use config::{BranchControl, DbrConfig, ExpertControl, GateViews, OtherView};

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
            Some(linear) => Ok(softmax(&linear.forward(input)?)?),
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
    ranks: Ranks,
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
        Ok(Self {
            count,
            logits: layer(learned, "")?,
            noise: layer(noisy, ".noise")?,
            top_k,
            name: name.to_owned(),
            ranks: p.ranks().clone(),
        })
    }

    fn raw(&self, r: &Tensor) -> Result<Tensor> {
        match &self.logits {
            Some(linear) => Ok(linear.forward(r)?),
            None => Ok(Tensor::zeros((r.dim(0)?, self.count), r.dtype(), r.device())?),
        }
    }

    fn forward(&self, r: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut logits = self.raw(r)?;
        if self.logits.is_none() {
            return Ok(softmax(&logits)?);
        }
        if let (Some(noise), Mode::Train { seed, step }) = (&self.noise, mode) {
            let mut stream = mtids_runtime::random::rng_for(seed, &format!("gate noise {}", self.name), &[step]);
            // What belongs to the rows of the ranks before is drawn and passed over.
            let before = self.ranks.first_row() * self.count;
            let drawn = (0..before + logits.elem_count()).map(|_| StandardNormal.sample(&mut stream));
            let values: Vec<f64> = drawn.skip(before).collect();
            let values = Tensor::from_vec(values, logits.shape(), &candle_core::Device::Cpu)?;
            let values = values.to_dtype(logits.dtype())?.to_device(logits.device())?;
            logits = (logits + (softplus(&noise.forward(r)?)? * values)?)?;
        }
        if self.top_k < self.count {
            logits = (&logits + top_k_mask(&logits, self.top_k)?)?;
        }
        Ok(softmax(&logits)?)
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

    /// Whether gates like this one can be computed together: each control is a soft-max over all it divides.
    pub(crate) fn is_plain(&self) -> bool {
        let plain = |gate: &Option<ExpertGate>| {
            gate.as_ref().is_none_or(|gate| gate.logits.is_some() && gate.noise.is_none() && gate.top_k == gate.count)
        };
        self.control == BranchControl::Softmax && self.branch.is_some() && plain(&self.shared) && plain(&self.private)
    }

    /// The plain gates of `T` tasks for features `[T, B, d]`: decisions `[T B, ..]`, one product for each control.
    ///
    /// # Errors
    /// When the shapes do not fit, and for gates that are not plain.
    pub(crate) fn forward_together(gates: &[Self], z: &Tensor, stacks: &Stacks) -> Result<GateOutput> {
        let (count, batch, _) = z.dims3()?;
        let first = gates.first().filter(|_| gates.len() == count);
        let first = first.ok_or_else(|| config_error("tasks", "there must be a gate for each of them"))?;
        let of_experts = |gate: &Option<ExpertGate>| gate.as_ref().and_then(|gate| gate.logits.clone());
        let controls = |gate: &Self| [gate.branch.clone(), of_experts(&gate.shared), of_experts(&gate.private)];
        let layers: Vec<[Option<Linear>; 3]> = gates.iter().map(controls).collect();
        let mut lists: Vec<Vec<&Tensor>> = vec![gates.iter().map(|gate| &gate.embedding).collect()];
        for control in 0..3 {
            let of_control = || layers.iter().filter_map(|layers| layers.get(control)?.as_ref());
            lists.push(of_control().map(Linear::weight).collect());
            lists.push(of_control().filter_map(Linear::bias).collect());
        }
        lists.retain(|list| !list.is_empty());
        let mut stacked = stacks.stack(&lists)?.into_iter();
        let mut next = || stacked.next().ok_or_else(|| config_error("dbr", "a gate lacks a part of the others"));
        let embedding = next()?;
        // Of parts that are all contiguous the whole is too.
        let embedding = embedding.broadcast_as((count, batch, embedding.dim(2)?))?.contiguous()?;
        let r = Tensor::cat(&[z, &embedding], 2)?;
        let mut logits = || -> Result<Tensor> {
            let (weight, bias) = (next()?, next()?);
            Ok(r.matmul(&weight.transpose(1, 2)?)?.broadcast_add(&bias.unsqueeze(1)?)?.flatten(0, 1)?)
        };
        let branch = softmax(&(logits()? / first.temperature)?)?;
        let mut divide = |gate: &Option<ExpertGate>| -> Result<Option<Tensor>> {
            gate.as_ref().map(|_| Ok(softmax(&logits()?)?)).transpose()
        };
        Ok(GateOutput { branch, shared: divide(&first.shared)?, private: divide(&first.private)?, others: None })
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
