//! AdaTT: adaptive task-to-task fusion (Li et al., KDD 2023, arXiv 2304.04959), the form with shared experts.
//!
//! One module per task and one shared module, each with experts on the module's own input h. In each layer a module's output is
//! Σ_e softmax(W_t h_t)_e f_e over *all* experts of all modules plus the residual Σ_e v_te f_e over its own, with free weights v (the
//! constant 1 where every module has one expert, as in the authors' code). The shared module has no output in the last layer. Adapted:
//! the first input of all modules is the backbone's features; the experts are those of every baseline here; v starts normal with the variance
//! of the authors' uniform law, 1 / (3 n) for n own experts.
//!
//! Every task trains the experts of every other, so all experts are shared parameters. Cut: the outputs of all experts of the last
//! layer, and the inputs of its gates. Parameters: `trunk.*`, `shared.*`, `private.<task>.*` (all shared), `gate.<task>.*`,
//! `residual.<task>`, `head.<task>.*`, and `layer<l>.*` below the last layer (shared, with `gate.shared` and `residual.shared`).

use candle_core::Tensor;

use crate::error::{Result, config_error};
use crate::experts::ExpertGroup;
use crate::gate::SoftmaxGate;
use crate::model::network::{Head, MultiTaskModel, at, heads, mix, of_task};
use crate::model::settings::LayeredConfig;
use crate::trunks::{Blueprint, Trunks};
use crate::types::{Boundary, GateOutput, Mode, TaskOutput};
use mtids_layers::parameters::Init;

/// Settings of AdaTT.
pub type AdaTtConfig = LayeredConfig;

/// How one module fuses all experts of a layer.
#[derive(Debug)]
struct Fusion {
    gate: SoftmaxGate,
    /// Weights v of the module's own experts, `[1, n]`; absent where they are the constant 1.
    residual: Option<Tensor>,
    /// Place and number of the module's own experts.
    own: [usize; 2],
}

impl Fusion {
    /// The module's output `[B, d_e]`, and the soft-max `[B, E]`.
    fn forward(&self, input: &Tensor, experts: &Tensor) -> Result<(Tensor, Tensor)> {
        let weights = self.gate.forward(input)?;
        let [from, count] = self.own;
        let own = experts.narrow(1, from, count)?;
        let residual = match &self.residual {
            Some(v) => own.broadcast_mul(&v.unsqueeze(2)?)?.sum(1)?,
            None => own.sum(1)?,
        };
        Ok(((mix(&weights, experts)? + residual)?, weights))
    }
}

/// Modules in task order, the shared one last.
#[derive(Debug)]
struct Layer {
    experts: Vec<ExpertGroup>,
    fusions: Vec<Fusion>,
}

impl Layer {
    fn new(config: &AdaTtConfig, index: usize, blueprint: &Blueprint<'_>) -> Result<Self> {
        let (tasks, parameters) = (blueprint.tasks, blueprint.parameters);
        let (experts, last) = (&config.experts, index + 1 == config.layers);
        let prefix = if last { String::new() } else { format!("layer{index}.") };
        let inputs = if index == 0 { blueprint.features() } else { experts.width };
        let all = experts.shared + tasks.len() * experts.private;
        let mut layer = Self { experts: Vec::new(), fusions: Vec::new() };
        let modules = tasks.tasks().iter().map(|task| (format!("private.{}", task.name), task.name.as_str()));
        let modules = modules.map(|(group, name)| (group, name, experts.private));
        let shared = ("shared".to_owned(), "shared", experts.shared);
        let mut from = 0;
        for (module, (group, name, count)) in modules.chain([shared]).enumerate() {
            layer.experts.push(ExpertGroup::new(
                &format!("{prefix}{group}"),
                count,
                experts.expert_shape(inputs, blueprint.dropout),
                parameters,
            )?);
            if module < tasks.len() || !last {
                let start = Init::Normal((3.0 * count as f64).sqrt().recip());
                layer.fusions.push(Fusion {
                    gate: SoftmaxGate::new(&format!("{prefix}gate.{name}"), inputs, all, parameters)?,
                    residual: (experts.private > 1 || experts.shared > 1)
                        .then(|| parameters.get_or_init(&format!("{prefix}residual.{name}"), &[1, count], start))
                        .transpose()?,
                    own: [from, count],
                });
            }
            from += count;
        }
        Ok(layer)
    }

    /// Outputs of all experts, `[B, E, d_e]`.
    fn forward(&self, inputs: &[Tensor], mode: Mode) -> Result<Tensor> {
        let module = |(module, experts): (usize, &ExpertGroup)| experts.forward(input_of(inputs, module)?, mode);
        let outputs: Result<Vec<Tensor>> = self.experts.iter().enumerate().map(module).collect();
        Ok(Tensor::cat(&outputs?, 1)?)
    }
}

/// The input of a module: its own, or the one that all have in the first layer.
fn input_of(inputs: &[Tensor], module: usize) -> Result<&Tensor> {
    at(inputs, if inputs.len() == 1 { 0 } else { module })
}

/// Every module reads all experts.
#[derive(Debug)]
pub struct AdaTt {
    trunks: Trunks,
    layers: Vec<Layer>,
    heads: Vec<Head>,
}

impl AdaTt {
    pub(crate) fn new(config: &AdaTtConfig, blueprint: &Blueprint<'_>) -> Result<Self> {
        let layers: Result<Vec<Layer>> = (0..config.layers).map(|index| Layer::new(config, index, blueprint)).collect();
        Ok(Self {
            trunks: Trunks::new("trunk", blueprint)?,
            layers: layers?,
            heads: heads(config.experts.width, blueprint)?,
        })
    }
}

impl MultiTaskModel for AdaTt {
    fn boundary(&self, inputs: &[Tensor], mode: Mode) -> Result<Boundary> {
        let mut inputs = vec![self.trunks.forward(inputs, mode)?];
        let mut experts = None;
        for layer in &self.layers {
            if let Some((outputs, below)) = experts.take() {
                let below: &Layer = below;
                let fused = |(module, fusion): (usize, &Fusion)| -> Result<Tensor> {
                    Ok(fusion.forward(input_of(&inputs, module)?, &outputs)?.0)
                };
                let next: Result<Vec<Tensor>> = below.fusions.iter().enumerate().map(fused).collect();
                inputs = next?;
            }
            experts = Some((layer.forward(&inputs, mode)?, layer));
        }
        let (outputs, _) = experts.ok_or_else(|| config_error("layers", "must be at least 1"))?;
        // The shared module's input has done its work: no gate above reads it.
        inputs.truncate(self.heads.len());
        let tensors = [outputs].into_iter().chain(inputs).collect();
        Ok(Boundary { tensors, gates: Vec::new() })
    }

    fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<TaskOutput> {
        let last = self.layers.last().ok_or_else(|| config_error("layers", "must be at least 1"))?;
        let inputs = boundary.get(1..).unwrap_or_default();
        let fusion = of_task(&last.fusions, task)?;
        let (fused, weights) = fusion.forward(input_of(inputs, task)?, at(boundary, 0)?)?;
        let tasks = self.heads.len();
        let [from, count] = fusion.own;
        let shared = weights.narrow(1, tasks * count, weights.dim(1)? - tasks * count)?;
        let own = weights.narrow(1, from, count)?;
        let of_other = |task: usize| Ok(weights.narrow(1, task * count, count)?);
        let others: Result<Vec<Tensor>> = (0..tasks).filter(|other| *other != task).map(of_other).collect();
        let others = others?;
        let others = (!others.is_empty()).then(|| Tensor::cat(&others, 1)).transpose()?;
        let gate = GateOutput::of_flat(&shared, &own, others.as_ref())?;
        Ok(TaskOutput::gated(of_task(&self.heads, task)?.forward(&fused, mode)?, gate))
    }

    fn is_shared(&self, name: &str) -> bool {
        ["trunk.", "shared.", "private.", "layer"].iter().any(|prefix| name.starts_with(prefix))
    }
}
