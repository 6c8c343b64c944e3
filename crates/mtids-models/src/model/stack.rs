//! Layers of shared and private experts behind gates per task, stacked as in PLE (Tang et al., RecSys 2020).
//!
//! Purpose: the common frame of MT-IDS, CGC and PLE; they differ in the gate. In layer l, task t's gate mixes the shared experts
//! (which read h_s) with the task's own (which read h_t) into the next h_t; below the last layer, one more soft-max over *all*
//! experts mixes the next h_s. Both start as the backbone's features z. With one layer this is CGC's frame.
//!
//! Cut. One layer: z and the outputs S of the shared experts. More layers: the gates of the last layer but one feed only their own
//! task, because the last h_s passes by them. So the cut runs below these gates: S of the last layer, all expert outputs of the
//! layer below it, and the inputs of its gates. Names: the last layer has plain names (`shared.*`, `private.<task>.*`,
//! `gate.<task>.*`), layer l below it the same behind `layer<l>.`, its mixing of h_s being `layer<l>.gate.shared`.

use std::fmt;

use candle_core::Tensor;

use crate::backbone::Backbone;
use crate::error::{ModelError, Result, config_error};
use crate::experts::{ExpertGroup, ExpertShape};
use crate::gate::SoftmaxGate;
use crate::model::network::{MultiTaskModel, at, mix, of_task};
use crate::tasks::TaskSet;
use crate::types::{Boundary, GateOutput, GateTerms, Mode, TaskOutput};
use mtids_layers::linear::Linear;
use mtids_layers::parameters::Parameters;

/// How a gate divides the weight between shared and private experts.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// `[B, E_s]`; absent without a shared branch.
    pub(crate) shared: Option<Tensor>,
    /// `[B, E_p]`; absent without a private branch.
    pub(crate) private: Option<Tensor>,
    /// The same for statistics and regularisers.
    pub(crate) gate: GateOutput,
}

/// A gate of one task over shared and private experts.
pub(crate) trait BranchGate: fmt::Debug + Send + Sync {
    /// Decides for the task's input `[B, d]`.
    fn route(&self, input: &Tensor, mode: Mode) -> Result<Route>;
}

/// Sizes of a stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackSizes {
    pub(crate) layers: usize,
    /// Of an expert of the first layer, which reads the backbone's features.
    pub(crate) expert: ExpertShape,
    /// Absent without a shared branch.
    pub(crate) shared: Option<usize>,
    /// Absent without a private branch.
    pub(crate) private: Option<usize>,
}

#[derive(Debug)]
struct Layer<G> {
    shared: Option<ExpertGroup>,
    private: Vec<Option<ExpertGroup>>,
    gates: Vec<G>,
    shared_gate: Option<SoftmaxGate>,
}

/// All layers.
#[derive(Debug)]
pub(crate) struct Stack<G> {
    layers: Vec<Layer<G>>,
}

impl<G: BranchGate> Stack<G> {
    /// Builds the layers; `gate` makes a gate from its name and the size of its input.
    pub(crate) fn new(
        tasks: &TaskSet,
        sizes: StackSizes,
        parameters: &Parameters,
        gate: impl Fn(&str, usize) -> Result<G>,
    ) -> Result<Self> {
        if sizes.layers == 0 {
            return Err(config_error("layers", "must be at least 1"));
        }
        if sizes.layers > 1 && (sizes.shared.is_none() || sizes.private.is_none()) {
            return Err(config_error("layers", "more than one layer needs shared and private experts"));
        }
        let mut layers = Vec::new();
        for index in 0..sizes.layers {
            let last = index + 1 == sizes.layers;
            let prefix = if last { String::new() } else { format!("layer{index}.") };
            let inputs = if index == 0 { sizes.expert.inputs } else { sizes.expert.outputs };
            let shape = ExpertShape { inputs, ..sizes.expert };
            let group = |name: &str, count: Option<usize>| -> Result<Option<ExpertGroup>> {
                let name = format!("{prefix}{name}");
                let make = |count| ExpertGroup::new(&name, count, shape, parameters);
                count.map(make).transpose()
            };
            let names = || tasks.tasks().iter().map(|task| task.name.as_str());
            let private: Result<Vec<Option<ExpertGroup>>> =
                names().map(|name| group(&format!("private.{name}"), sizes.private)).collect();
            let gates: Result<Vec<G>> = names().map(|name| gate(&format!("{prefix}gate.{name}"), inputs)).collect();
            let all = sizes.shared.unwrap_or(0) + tasks.len() * sizes.private.unwrap_or(0);
            layers.push(Layer {
                shared: group("shared", sizes.shared)?,
                private: private?,
                gates: gates?,
                shared_gate: (!last)
                    .then(|| SoftmaxGate::new(&format!("{prefix}gate.shared"), inputs, all, parameters))
                    .transpose()?,
            });
        }
        Ok(Self { layers })
    }

    /// Whether a parameter of the stack is reached by two or more tasks.
    pub(crate) fn is_shared(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix("layer") else { return name.starts_with("shared.") };
        let Some((layer, part)) = rest.split_once('.') else { return false };
        let own = part.starts_with("gate.") && !part.starts_with("gate.shared.");
        !(own && layer.parse() == Ok(self.layers.len().saturating_sub(2)))
    }

    fn last(&self) -> Result<&Layer<G>> {
        self.layers.last().ok_or_else(|| config_error("layers", "must be at least 1"))
    }

    /// Everything that two or more tasks read, from the backbone's features.
    pub(crate) fn boundary(&self, z: &Tensor, mode: Mode) -> Result<Boundary> {
        let last = self.last()?;
        let Some((above, below)) = self.layers.split_last().and_then(|(_, rest)| rest.split_last()) else {
            let mut tensors = vec![z.clone()];
            tensors.extend(last.shared.as_ref().map(|shared| shared.forward(z)).transpose()?);
            return Ok(Boundary { tensors, gates: Vec::new() });
        };
        let mut shared_input = z.clone();
        let mut inputs = vec![z.clone()];
        let mut gates = Vec::new();
        for layer in below {
            let outputs = layer.experts(&shared_input, &inputs)?;
            let (mut next, mut decided) = (Vec::new(), Vec::new());
            for task in 0..layer.gates.len() {
                let (mixed, gate) = layer.mix(task, input_of(&inputs, task)?, &outputs, mode)?;
                next.push(mixed);
                decided.push(gate);
            }
            shared_input = layer.mix_all(&shared_input, &outputs)?;
            inputs = next;
            gates.push(decided);
        }
        let outputs = above.experts(&shared_input, &inputs)?;
        let shared_input = above.mix_all(&shared_input, &outputs)?;
        let shared = last.shared.as_ref().ok_or_else(missing)?.forward(&shared_input)?;
        let mut tensors = vec![shared];
        tensors.extend(outputs);
        tensors.extend(inputs);
        Ok(Boundary { tensors, gates })
    }

    /// What one task reads in the end, `[B, width]`, and the decisions of its gates above the cut.
    pub(crate) fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<(Tensor, Vec<GateOutput>)> {
        let last = self.last()?;
        let mut gates = Vec::new();
        let (input, shared) = match self.layers.len().checked_sub(2).and_then(|below| self.layers.get(below)) {
            None => (at(boundary, 0)?.clone(), boundary.get(1)),
            Some(below) => {
                let count = 1 + below.gates.len();
                let (outputs, inputs) = match boundary.get(1..) {
                    Some(rest) if rest.len() > count => rest.split_at(count),
                    _ => return Err(missing()),
                };
                let (mixed, gate) = below.mix(task, input_of(inputs, task)?, outputs, mode)?;
                gates.push(gate);
                (mixed, boundary.first())
            }
        };
        let route = of_task(&last.gates, task)?.route(&input, mode)?;
        let mut mixed: Option<Tensor> = None;
        if let (Some(weights), Some(shared)) = (&route.shared, shared) {
            mixed = Some(mix(weights, shared)?);
        }
        if let (Some(weights), Some(private)) = (&route.private, of_task(&last.private, task)?) {
            let own = mix(weights, &private.forward(&input)?)?;
            mixed = Some(match mixed {
                Some(shared) => (shared + own)?,
                None => own,
            });
        }
        gates.push(route.gate);
        Ok((mixed.ok_or_else(missing)?, gates))
    }
}

fn missing() -> ModelError {
    config_error("layers", "the outputs of the experts are missing")
}

/// The input of a task's gate: its own, or the one that all tasks have in the first layer.
fn input_of(inputs: &[Tensor], task: usize) -> Result<&Tensor> {
    inputs.get(if inputs.len() == 1 { 0 } else { task }).ok_or_else(missing)
}

impl<G: BranchGate> Layer<G> {
    /// Outputs of the shared experts, then of each task's own, `[B, E, width]` each.
    fn experts(&self, shared_input: &Tensor, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let mut outputs = vec![self.shared.as_ref().ok_or_else(missing)?.forward(shared_input)?];
        for (task, private) in self.private.iter().enumerate() {
            outputs.push(private.as_ref().ok_or_else(missing)?.forward(input_of(inputs, task)?)?);
        }
        Ok(outputs)
    }

    fn mix(&self, task: usize, input: &Tensor, outputs: &[Tensor], mode: Mode) -> Result<(Tensor, GateOutput)> {
        let Route { shared, private, gate } = of_task(&self.gates, task)?.route(input, mode)?;
        let (shared, private) = (shared.ok_or_else(missing)?, private.ok_or_else(missing)?);
        let own = mix(&private, of_task(outputs, 1 + task)?)?;
        Ok(((mix(&shared, of_task(outputs, 0)?)? + own)?, gate))
    }

    fn mix_all(&self, shared_input: &Tensor, outputs: &[Tensor]) -> Result<Tensor> {
        let weights = self.shared_gate.as_ref().ok_or_else(missing)?.forward(shared_input)?;
        mix(&weights, &Tensor::cat(outputs, 1)?)
    }
}

/// Backbone, stack and one linear head per task: the network of MT-IDS, CGC and PLE on either side of its cut.
#[derive(Debug)]
pub(crate) struct StackNetwork<G> {
    pub(crate) backbone: Backbone,
    pub(crate) stack: Stack<G>,
    pub(crate) heads: Vec<Linear>,
    pub(crate) terms: GateTerms,
}

impl<G: BranchGate> MultiTaskModel for StackNetwork<G> {
    fn boundary(&self, x: &Tensor, mode: Mode) -> Result<Boundary> {
        self.stack.boundary(&self.backbone.forward(x)?, mode)
    }

    fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<TaskOutput> {
        let (mixed, gates) = self.stack.task(task, boundary, mode)?;
        Ok(TaskOutput { logits: of_task(&self.heads, task)?.forward(&mixed)?, gates, penalty: None })
    }

    fn is_shared(&self, name: &str) -> bool {
        name.starts_with("trunk.") || self.stack.is_shared(name)
    }

    fn gate_terms(&self) -> GateTerms {
        self.terms
    }
}
