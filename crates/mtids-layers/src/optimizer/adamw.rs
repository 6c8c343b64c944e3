//! Adam with decoupled weight decay.
//!
//! Update (Loshchilov and Hutter, ICLR 2019), step t from 1: m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²;
//! p ← p − lr·λ·p (weights only) − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε).
//! The t of a parameter counts the steps that had a gradient for it, as its moments do: a head that is first taught late starts as all others did.
//! On the CPU all three are updated in place, in one pass over each parameter; on a card by one launch for all parameters of the same t; elsewhere
//! by candle's operations.

use std::collections::BTreeMap;

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Tensor, Var};
use mtids_cuda::update::{Held, Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::state::{self, Counts};
use super::{Gradients, decays, in_unit_range, not_negative, paired};
use crate::device::at_once;
use crate::error::{Result, config_error};
use crate::kernels::{Loop, Real, vectorised};
use crate::parameters::Parameters;
use crate::storage::{entries, entries_mut};

/// Settings of AdamW; the learning rate comes from the schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled decay of weight matrices and kernels; biases, scales, shifts, embeddings and η are never decayed.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 1e-2 }
    }
}

impl AdamWConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`crate::LayerError::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        in_unit_range("optimizer.beta1", self.beta1)?;
        in_unit_range("optimizer.beta2", self.beta2)?;
        if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            return Err(config_error("optimizer.epsilon", "must be positive"));
        }
        not_negative("optimizer.weight_decay", self.weight_decay)
    }
}

/// The optimiser of one set of parameters.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    moments: BTreeMap<String, [Tensor; 2]>,
    /// Steps of each parameter that has moments.
    steps: BTreeMap<String, u64>,
    step: u64,
}

const KINDS: [&str; 2] = ["first", "second"];

impl AdamW {
    /// A fresh optimiser.
    ///
    /// # Errors
    /// [`crate::LayerError::Config`] for settings out of range.
    pub fn new(config: &AdamWConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config: config.clone(), moments: BTreeMap::new(), steps: BTreeMap::new(), step: 0 })
    }

    /// Steps taken.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// One update. Parameters without a gradient are left alone, their moments too.
    ///
    /// # Errors
    /// [`crate::LayerError::Parameter`] for a gradient of a parameter that does not exist; then nothing is changed.
    pub fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        let pairs = paired(parameters, gradients)?;
        self.step += 1;
        if pairs.iter().all(|(_, variable, gradient)| at_once(variable) && at_once(gradient)) {
            return self.step_at_once(pairs, learning_rate);
        }
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        for (name, variable, gradient) in pairs {
            let steps = self.count(name);
            let [correction1, correction2] = self.corrections(steps);
            let moments = match self.moments.remove(name) {
                Some(moments) => moments,
                None => [gradient.zeros_like()?, gradient.zeros_like()?],
            };
            let kept = if decays(name) { 1.0 - learning_rate * weight_decay } else { 1.0 };
            let update = Update { kept, rate: learning_rate / correction1, correction2, epsilon };
            let moments = if gradient.device().is_cpu() {
                moments[0].inplace_op2(&gradient, &Moment { beta: beta1, square: false })?;
                moments[1].inplace_op2(&gradient, &Moment { beta: beta2, square: true })?;
                variable.inplace_op3(&moments[0], &moments[1], &update)?;
                moments
            } else {
                update.composed(&variable, [beta1, beta2], moments, &gradient)?
            };
            self.moments.insert(name.clone(), moments);
        }
        Ok(())
    }

    /// Counts one more step of a parameter.
    fn count(&mut self, name: &str) -> u64 {
        let steps = self.steps.entry(name.to_owned()).or_default();
        *steps += 1;
        *steps
    }

    /// `1 − βᵗ` of both moments.
    fn corrections(&self, steps: u64) -> [f64; 2] {
        [self.config.beta1, self.config.beta2].map(|beta| 1.0 - beta.powf(steps as f64))
    }

    /// The update of the step that was counted, by one launch for all parameters of the same number of steps.
    fn step_at_once(&mut self, pairs: Vec<(&String, Var, Tensor)>, learning_rate: f64) -> Result<()> {
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let mut held = BTreeMap::<u64, Vec<Held>>::new();
        for (name, variable, source) in pairs {
            let states = match self.moments.get(name) {
                Some(moments) => moments.clone(),
                None => {
                    let moments = [source.zeros_like()?, source.zeros_like()?];
                    self.moments.insert(name.clone(), moments.clone());
                    moments
                }
            };
            let factor = if decays(name) { 1.0 - learning_rate * weight_decay } else { 1.0 };
            let values = variable.into_inner();
            let same = held.entry(self.count(name)).or_default();
            same.push(Held { source, values, states: states.to_vec(), factor });
        }
        for (steps, held) in held {
            let [correction1, correction] = self.corrections(steps);
            let rule = Rule::AdamW { betas: [beta1, beta2], rate: learning_rate / correction1, correction, epsilon };
            mtids_cuda::update::update(rule, &held)?;
        }
        Ok(())
    }

    /// Moments and step counters as the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`crate::LayerError::State`] when a tensor cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        state::to_bytes(&Counts { step: self.step, of: self.steps.clone() }, KINDS, &self.moments)
    }

    /// Restores what [`AdamW::to_bytes`] gave, for the same parameters.
    ///
    /// # Errors
    /// [`crate::LayerError::State`] for damaged bytes, [`crate::LayerError::Parameter`] for moments that fit no parameter; then
    /// nothing is changed.
    pub fn load_bytes(&mut self, bytes: &[u8], parameters: &Parameters) -> Result<()> {
        let (counts, moments) = state::from_bytes(bytes, KINDS, parameters.variables(), parameters.device())?;
        (self.step, self.steps, self.moments) = (counts.step, counts.of, moments);
        Ok(())
    }
}

/// `m ← β m + (1 − β) g`, of g² if `square`.
struct Moment {
    beta: f64,
    square: bool,
}

impl Moment {
    fn apply<T: Real>(&self, moment: &mut [T], gradient: &[T]) {
        vectorised(MomentLoop { of: self, moment, gradient });
    }
}

struct MomentLoop<'a, T> {
    of: &'a Moment,
    moment: &'a mut [T],
    gradient: &'a [T],
}

impl<T: Real> Loop for MomentLoop<'_, T> {
    #[inline(always)]
    fn run(self) {
        let (beta, share) = (T::narrow(self.of.beta), T::narrow(1.0 - self.of.beta));
        for (moment, gradient) in self.moment.iter_mut().zip(self.gradient) {
            let new = if self.of.square { *gradient * *gradient } else { *gradient };
            *moment = beta * *moment + share * new;
        }
    }
}

impl InplaceOp2 for Moment {
    fn name(&self) -> &'static str {
        "mtids-moment"
    }

    fn cpu_fwd(
        &self,
        moment: &mut CpuStorage,
        moment_layout: &Layout,
        gradient: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<()> {
        match moment {
            CpuStorage::F32(moment) => self.apply(entries_mut(moment, moment_layout)?, entries(gradient, layout)?),
            CpuStorage::F64(moment) => self.apply(entries_mut(moment, moment_layout)?, entries(gradient, layout)?),
            _ => candle_core::bail!("moments are f32 or f64"),
        }
        Ok(())
    }
}

/// `p ← kept p − rate m / (√(v / correction2) + ε)`.
struct Update {
    kept: f64,
    rate: f64,
    correction2: f64,
    epsilon: f64,
}

/// A square root, which candle's trait of numbers lacks.
trait Root {
    fn root(self) -> Self;
}

impl Root for f32 {
    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }
}

impl Root for f64 {
    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }
}

struct UpdateLoop<'a, T> {
    of: &'a Update,
    values: &'a mut [T],
    first: &'a [T],
    second: &'a [T],
}

impl<T: Real + Root> Loop for UpdateLoop<'_, T> {
    #[inline(always)]
    fn run(self) {
        let (kept, rate) = (T::narrow(self.of.kept), T::narrow(self.of.rate));
        let (scale, epsilon) = (T::narrow(1.0 / self.of.correction2), T::narrow(self.of.epsilon));
        for ((value, m), v) in self.values.iter_mut().zip(self.first).zip(self.second) {
            *value = kept * *value - rate * *m / ((*v * scale).root() + epsilon);
        }
    }
}

impl Update {
    fn apply<T: Real + Root>(&self, values: &mut [T], first: &[T], second: &[T]) {
        vectorised(UpdateLoop { of: self, values, first, second });
    }

    fn composed(
        &self,
        variable: &Var,
        [beta1, beta2]: [f64; 2],
        [m, v]: [Tensor; 2],
        gradient: &Tensor,
    ) -> Result<[Tensor; 2]> {
        let m = ((m * beta1)? + (gradient * (1.0 - beta1))?)?;
        let v = ((v * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
        let root = ((&v / self.correction2)?.sqrt()? + self.epsilon)?;
        let update = ((&m * self.rate)? / root)?;
        variable.set(&((variable.as_detached_tensor() * self.kept)? - update)?)?;
        Ok([m, v])
    }
}

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "mtids-adamw"
    }

    fn cpu_fwd(
        &self,
        values: &mut CpuStorage,
        layout: &Layout,
        first: &CpuStorage,
        first_layout: &Layout,
        second: &CpuStorage,
        second_layout: &Layout,
    ) -> candle_core::Result<()> {
        macro_rules! apply {
            ($values:ident) => {
                self.apply(
                    entries_mut($values, layout)?,
                    entries(first, first_layout)?,
                    entries(second, second_layout)?,
                )
            };
        }
        match values {
            CpuStorage::F32(values) => apply!(values),
            CpuStorage::F64(values) => apply!(values),
            _ => candle_core::bail!("parameters are f32 or f64"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn one_launch_for_all_is_the_same_function() {
        let parameters = || {
            let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
            for name in ["a.weight", "b.bias"] {
                parameters.get_or_init(name, &[300], crate::parameters::Init::Normal(1.0)).unwrap();
            }
            parameters
        };
        let ([one, other], config) =
            ([parameters(), parameters()], AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() });
        let mut optimizers = [AdamW::new(&config).unwrap(), AdamW::new(&config).unwrap()];
        for step in 0..3 {
            let gradient =
                |seed: f64| (Tensor::arange(0.0, 300.0, &Device::Cpu).unwrap() * seed).unwrap().sin().unwrap();
            let mut gradients = Gradients::from([("a.weight".to_owned(), gradient(0.3 + f64::from(step)))]);
            if step != 1 {
                gradients.insert("b.bias".to_owned(), gradient(0.7));
            }
            optimizers[0].step(&one, &gradients, 0.05).unwrap();
            optimizers[1].step += 1;
            optimizers[1].step_at_once(paired(&other, &gradients).unwrap(), 0.05).unwrap();
        }
        let tensors = |parameters: &Parameters, optimizer: &AdamW| -> Vec<Tensor> {
            let values = parameters.variables().into_iter().map(|(_, variable)| variable.into_inner());
            values.chain(optimizer.moments.values().flatten().cloned()).collect()
        };
        for (a, b) in tensors(&one, &optimizers[0]).iter().zip(tensors(&other, &optimizers[1])) {
            let difference = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(difference < 1e-13, "{difference}");
        }
    }

    #[test]
    fn the_composed_update_is_the_same_function() {
        let tensor = |seed: f64| Tensor::new(&[0.3 + seed, -1.2, 4.0 * seed, 1e-3], &Device::Cpu).unwrap();
        let (m, v, gradient) = (tensor(0.1), tensor(0.2).sqr().unwrap(), tensor(0.7));
        let [ours, theirs] = [0, 1].map(|_| Var::from_tensor(&tensor(0.5).copy().unwrap()).unwrap());
        let update = Update { kept: 0.9, rate: 0.01, correction2: 0.3, epsilon: 1e-8 };
        let [other_m, other_v] = update.composed(&theirs, [0.9, 0.99], [m.clone(), v.clone()], &gradient).unwrap();
        m.inplace_op2(&gradient, &Moment { beta: 0.9, square: false }).unwrap();
        v.inplace_op2(&gradient, &Moment { beta: 0.99, square: true }).unwrap();
        ours.inplace_op3(&m, &v, &update).unwrap();
        for (a, b) in [(ours.as_tensor(), theirs.as_tensor()), (&m, &other_m), (&v, &other_v)] {
            let difference = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_dtype(DType::F64).unwrap();
            assert!(difference.to_scalar::<f64>().unwrap() < 1e-14);
        }
    }
}
