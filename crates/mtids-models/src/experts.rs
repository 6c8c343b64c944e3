//! Experts: two-layer perceptrons with GELU, beside which the input passes, or behind which a layer norm stands.
//!
//! Purpose: what the branches of a model are made of, the same for MT-IDS and its baselines. With m(z) = W₂ gelu(W₁ z + c₁) + c₂ an
//! expert is z + m(z), or S z + m(z) where its input and output differ in size (P: He et al., CVPR 2016), or, as the design first had it,
//! LayerNorm(m(z)). In training, hidden units are left out by a key of seed, step and name (dropout). That the first is the default is our choice (O); ARCHITECTURE.md has the figures.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Result, config_error};
use crate::types::Mode;
use mtids_layers::activation::gelu;
use mtids_layers::dropout::Dropout;
use mtids_layers::linear::Linear;
use mtids_layers::norm::LayerNorm;
use mtids_layers::parameters::Parameters;
use mtids_layers::stacked::Stacks;

/// Form of an expert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExpertForm {
    /// The input is added: z + m(z), or S z + m(z) where the sizes differ.
    #[default]
    Residual,
    /// A layer norm stands behind it.
    Normalised,
}

/// Sizes and form of one expert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertShape {
    /// Inputs d.
    pub inputs: usize,
    /// Hidden units.
    pub hidden: usize,
    /// Outputs d_e.
    pub outputs: usize,
    /// What becomes of the perceptron.
    pub form: ExpertForm,
    /// Share of the hidden units that is left out in a training step.
    pub dropout: f64,
}

/// Shared and private experts of a baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExpertsConfig {
    /// Experts shared by all tasks.
    pub shared: usize,
    /// Experts of each task.
    pub private: usize,
    /// Hidden units of an expert.
    pub hidden: usize,
    /// Outputs of an expert.
    pub width: usize,
    /// Form of an expert.
    pub form: ExpertForm,
}

impl Default for ExpertsConfig {
    fn default() -> Self {
        Self { shared: 3, private: 2, hidden: 64, width: 64, form: ExpertForm::default() }
    }
}

/// Refuses a size of 0 below the table `experts`.
fn at_least_one(sizes: &[(&str, usize)]) -> Result<()> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        Some((key, _)) => Err(config_error(&format!("experts.{key}"), "must be at least 1")),
        None => Ok(()),
    }
}

impl ExpertsConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        let Self { shared, private, hidden, width, form: _ } = *self;
        at_least_one(&[("shared", shared), ("private", private), ("hidden", hidden), ("width", width)])
    }

    /// Of one expert that reads `inputs` numbers.
    pub(crate) fn expert_shape(&self, inputs: usize, dropout: f64) -> ExpertShape {
        ExpertShape { inputs, hidden: self.hidden, outputs: self.width, form: self.form, dropout }
    }
}

/// Shared experts of a baseline that has no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SharedExpertsConfig {
    /// Number of experts.
    pub count: usize,
    /// Hidden units of an expert.
    pub hidden: usize,
    /// Outputs of an expert.
    pub width: usize,
    /// Form of an expert.
    pub form: ExpertForm,
}

impl Default for SharedExpertsConfig {
    fn default() -> Self {
        Self { count: 4, hidden: 64, width: 64, form: ExpertForm::default() }
    }
}

impl SharedExpertsConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        at_least_one(&[("count", self.count), ("hidden", self.hidden), ("width", self.width)])
    }

    /// Of one expert that reads `inputs` numbers.
    pub(crate) fn expert_shape(&self, inputs: usize, dropout: f64) -> ExpertShape {
        ExpertShape { inputs, hidden: self.hidden, outputs: self.width, form: self.form, dropout }
    }
}

/// What is done to the perceptron's output.
#[derive(Clone, Debug)]
enum Finish {
    Add,
    AddSkipped(Linear),
    Normalise(LayerNorm),
}

/// One expert, `[B, d]` to `[B, d_e]`.
#[derive(Clone, Debug)]
pub struct Expert {
    first: Linear,
    dropout: Dropout,
    second: Linear,
    finish: Finish,
}

impl Expert {
    /// Builds an expert; parameters are `<name>.first`, `<name>.second`, and by form and sizes `<name>.skip` or `<name>.norm`.
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(name: &str, shape: ExpertShape, parameters: &Parameters) -> Result<Self> {
        let ExpertShape { inputs, hidden, outputs, form, dropout } = shape;
        Ok(Self {
            first: Linear::new(&format!("{name}.first"), inputs, hidden, std::f64::consts::SQRT_2, parameters)?,
            dropout: Dropout::new(name, dropout, parameters.ranks())?,
            second: Linear::new(&format!("{name}.second"), hidden, outputs, 1.0, parameters)?,
            finish: match form {
                ExpertForm::Residual if inputs == outputs => Finish::Add,
                ExpertForm::Residual => {
                    Finish::AddSkipped(Linear::without_bias(&format!("{name}.skip"), inputs, outputs, 1.0, parameters)?)
                }
                ExpertForm::Normalised => {
                    Finish::Normalise(LayerNorm::new(&format!("{name}.norm"), outputs, parameters)?)
                }
            },
        })
    }

    /// Weights and biases of its layers, in their order.
    fn weights(&self) -> Vec<&Tensor> {
        let layers = [&self.first, &self.second];
        let mut weights: Vec<&Tensor> =
            layers.iter().flat_map(|layer| std::iter::once(layer.weight()).chain(layer.bias())).collect();
        match &self.finish {
            Finish::Add => {}
            Finish::AddSkipped(skip) => weights.push(skip.weight()),
            Finish::Normalise(norm) => weights.extend(norm.parameters()),
        }
        weights
    }

    /// Applies the expert.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, z: &Tensor, mode: Mode) -> Result<Tensor> {
        let hidden = self.dropout.forward(&gelu(&self.first.forward(z)?)?, mode.draw())?;
        let perceptron = self.second.forward(&hidden)?;
        match &self.finish {
            Finish::Add => Ok((z + perceptron)?),
            Finish::AddSkipped(skip) => Ok((skip.forward(z)? + perceptron)?),
            Finish::Normalise(norm) => Ok(norm.forward(&perceptron)?),
        }
    }
}

/// Several experts on the same input: on a card by one product for all, elsewhere one by one.
#[derive(Clone, Debug)]
pub struct ExpertGroup {
    experts: Vec<Expert>,
    /// Where there is one product for all.
    stacks: Option<Stacks>,
}

impl ExpertGroup {
    /// `count` experts named `<name>.0`, `<name>.1`, ...
    ///
    /// # Errors
    /// When a parameter exists with another shape.
    pub fn new(name: &str, count: usize, shape: ExpertShape, parameters: &Parameters) -> Result<Self> {
        let experts: Result<Vec<Expert>> =
            (0..count).map(|index| Expert::new(&format!("{name}.{index}"), shape, parameters)).collect();
        Ok(Self { experts: experts?, stacks: parameters.layers_at_once().then(|| parameters.stacks().clone()) })
    }

    /// Number of experts.
    pub fn len(&self) -> usize {
        self.experts.len()
    }

    /// True for a group without experts.
    pub fn is_empty(&self) -> bool {
        self.experts.is_empty()
    }

    /// `[B, d]` to `[B, E, d_e]`.
    ///
    /// # Errors
    /// When the shape does not fit or the group is empty.
    pub fn forward(&self, z: &Tensor, mode: Mode) -> Result<Tensor> {
        if let Some(stacks) = &self.stacks {
            return Ok(at_once(&[self], stacks, &z.unsqueeze(0)?, mode)?.squeeze(0)?);
        }
        let outputs: Result<Vec<Tensor>> = self.experts.iter().map(|expert| expert.forward(z, mode)).collect();
        Ok(Tensor::stack(&outputs?, 1)?)
    }

    /// Several groups of one shape, each on an input of its own: `[G, B, d]` to `[G, B, E, d_e]`.
    ///
    /// # Errors
    /// When the shapes do not fit, and for groups that are computed one by one.
    pub(crate) fn forward_together(groups: &[&Self], x: &Tensor, mode: Mode) -> Result<Tensor> {
        match groups.first().and_then(|group| group.stacks.as_ref()) {
            Some(stacks) => at_once(groups, stacks, x, mode),
            None => Err(config_error("experts", "these are computed one by one")),
        }
    }
}

/// All experts of these groups, which are of one shape, by one product for each layer.
fn at_once(groups: &[&ExpertGroup], stacks: &Stacks, x: &Tensor, mode: Mode) -> Result<Tensor> {
    let (count, batch, _) = x.dims3()?;
    let experts = || groups.iter().flat_map(|group| &group.experts);
    let each = groups.first().map_or(0, |group| group.len());
    let Some(first) = experts().next().filter(|_| groups.iter().all(|group| group.len() == each)) else {
        return Err(config_error("experts", "a group without experts, or groups of several sizes"));
    };
    let list = |place: usize| experts().filter_map(|expert| expert.weights().get(place).copied()).collect();
    let lists: Vec<Vec<&Tensor>> = (0..first.weights().len()).map(list).collect();
    let stacked = stacks.stack(&lists)?;
    let [weight, bias, second, shift, rest @ ..] = &stacked[..] else {
        return Err(config_error("experts", "a layer without bias"));
    };
    // Experts of a group read the same input: their rows behind each other.
    let product = |linear: &Linear, weight: &Tensor| -> Result<Tensor> {
        let rows = weight.reshape((count, (), weight.dim(2)?))?;
        Ok(linear.precision().product([x, &rows], |x, rows| Ok(x.matmul(&rows.transpose(1, 2)?)?))?)
    };
    let hidden = gelu(&product(&first.first, weight)?.broadcast_add(&bias.reshape((count, 1, ()))?)?)?;
    let mut hidden = hidden.reshape((count, batch, each, ()))?.transpose(1, 2)?.contiguous()?.flatten(0, 1)?;
    let mut masks = Vec::new();
    for expert in experts() {
        masks.extend(expert.dropout.mask(batch, hidden.dim(2)?, mode.draw())?.unwrap_or_default());
    }
    if !masks.is_empty() {
        hidden = (&hidden * Tensor::from_vec(masks, hidden.shape(), x.device())?.to_dtype(x.dtype())?)?;
    }
    let precision = first.second.precision();
    let outputs = precision.product([&hidden, second], |x, weight| Ok(x.matmul(&weight.transpose(1, 2)?)?))?;
    let by_expert = |weight: &Tensor| weight.reshape((count, 1, each, ()));
    let outputs = outputs.reshape((count, each, batch, ()))?.transpose(1, 2)?;
    let perceptrons = outputs.broadcast_add(&by_expert(shift)?)?;
    match (&first.finish, rest) {
        (Finish::Add, _) => Ok(x.unsqueeze(2)?.broadcast_add(&perceptrons)?),
        (Finish::AddSkipped(skip), [weight]) => {
            Ok((product(skip, weight)?.reshape((count, batch, each, ()))? + perceptrons)?)
        }
        (Finish::Normalise(_), [weight, bias]) => {
            Ok(LayerNorm::with(&perceptrons, [&by_expert(weight)?, &by_expert(bias)?])?)
        }
        _ => Err(config_error("experts", "experts of several forms")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    fn expert(outputs: usize, form: ExpertForm, parameters: &Parameters) -> Expert {
        Expert::new("e", ExpertShape { inputs: 3, hidden: 5, outputs, form, dropout: 0.0 }, parameters).unwrap()
    }

    #[test]
    fn a_silent_perceptron_lets_its_input_by_and_trains_it() {
        for outputs in [3, 2] {
            let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
            let expert = expert(outputs, ExpertForm::Residual, &parameters);
            for (name, variable) in parameters.variables() {
                if name.starts_with("e.second.") {
                    variable.set(&variable.zeros_like().unwrap()).unwrap();
                }
            }
            let z = Var::new(&[[0.3f64, -1.0, 2.0], [0.0, 4.0, -0.5]], &Device::Cpu).unwrap();
            let skip = parameters.variables().into_iter().find(|(name, _)| name == "e.skip.weight");
            let expected = match skip {
                Some((_, skip)) => z.matmul(&skip.t().unwrap()).unwrap(),
                None => z.as_tensor().clone(),
            };
            let out = expert.forward(&z, Mode::Evaluate).unwrap();
            assert_eq!(out.to_vec2::<f64>().unwrap(), expected.to_vec2::<f64>().unwrap());
            let store = out.sum_all().unwrap().backward().unwrap();
            let slopes = store.get(&z).unwrap().abs().unwrap().to_vec2::<f64>().unwrap();
            assert!(slopes.iter().flatten().all(|slope| *slope > 0.0), "{slopes:?}");
        }
    }

    #[test]
    fn one_product_for_all_gives_what_each_gives_by_itself() {
        let forms = [(3, ExpertForm::Residual), (2, ExpertForm::Residual), (3, ExpertForm::Normalised)];
        for ((outputs, form), dropout) in forms.into_iter().zip([0.0, 0.5, 0.3]) {
            let run = |at_once: bool| -> Vec<(String, Vec<f64>)> {
                let parameters = Parameters::new(1, DType::F64, &Device::Cpu).with_layers_at_once(at_once);
                let shape = ExpertShape { inputs: 3, hidden: 5, outputs, form, dropout };
                let group = ExpertGroup::new("e", 4, shape, &parameters).unwrap();
                let z = Var::new(&[[0.3f64, -1.0, 2.0], [0.0, 4.0, -0.5]], &Device::Cpu).unwrap();
                let out = group.forward(&z, Mode::Train { seed: 3, step: 1 }).unwrap();
                assert_eq!(out.dims(), [2, 4, outputs]);
                let slopes: Vec<f64> = (0..out.elem_count()).map(|at| (at as f64 * 0.7).sin()).collect();
                let slopes = Tensor::from_vec(slopes, out.shape(), &Device::Cpu).unwrap();
                let store = (&out * slopes).unwrap().sum_all().unwrap().backward().unwrap();
                let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
                let mut found = vec![("out".to_owned(), flat(&out)), ("z".to_owned(), flat(store.get(&z).unwrap()))];
                for (name, variable) in parameters.variables() {
                    let gradient = parameters.stacks().gradient(&store, &variable).unwrap().unwrap();
                    assert_eq!(gradient.dims(), variable.dims());
                    found.push((name, flat(&gradient)));
                }
                found
            };
            for ((name, one), (other, all)) in run(false).into_iter().zip(run(true)) {
                assert_eq!(name, other);
                for (one, all) in one.iter().zip(&all) {
                    assert!((one - all).abs() < 1e-12, "{name}: {one} {all}");
                }
            }
        }
    }

    #[test]
    fn each_form_has_its_own_parameters() {
        let names = |outputs, form| -> Vec<String> {
            let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
            expert(outputs, form, &parameters);
            let own = |name: &String| !name.starts_with("e.first") && !name.starts_with("e.second");
            parameters.variables().into_iter().map(|(name, _)| name).filter(own).collect()
        };
        assert!(names(3, ExpertForm::Residual).is_empty());
        assert_eq!(names(2, ExpertForm::Residual), ["e.skip.weight"]);
        assert_eq!(names(3, ExpertForm::Normalised), ["e.norm.scale", "e.norm.shift"]);
    }

    #[test]
    fn the_slope_of_gelu_has_all_its_digits() {
        let points = [-3.0, -1.0, -0.2, 0.0, 0.7, 1.0, 2.5f64];
        let x = Var::new(&points, &Device::Cpu).unwrap();
        let store = gelu(&x).unwrap().sum_all().unwrap().backward().unwrap();
        let slopes: Vec<f64> = store.get(&x).unwrap().to_vec1().unwrap();
        let phi = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let halves: Vec<f64> = Tensor::new(&points, &Device::Cpu).unwrap().gelu_erf().unwrap().to_vec1().unwrap();
        for ((x, slope), value) in points.into_iter().zip(slopes).zip(halves) {
            // Φ(x) = gelu(x) / x, and ½ at 0.
            let distribution = if x == 0.0 { 0.5 } else { value / x };
            assert!((slope - (distribution + x * phi(x))).abs() < 1e-14, "{x}: {slope}");
        }
    }
}
