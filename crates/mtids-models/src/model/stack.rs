//! Layers of shared and private experts behind gates per task, stacked as in PLE (Tang et al., RecSys 2020).
//!
//! Purpose: the common frame of MT-IDS, CGC and PLE; they differ in the gate. In layer l, task t's gate mixes the shared experts
//! (which read h_s) with the task's own (which read h_t) into the next h_t; below the last layer, one more soft-max over *all*
//! experts mixes the next h_s. Both start as the features z of the views, of which a task may train only some (`views.rs`). With one
//! layer this is CGC's frame.
//!
//! Cut. One layer: z of each view and the outputs S of the shared experts. More layers: the gates of the last layer but one feed only their own
//! task, because the last h_s passes by them. So the cut runs below these gates: S of the last layer, all expert outputs of the
//! layer below it, and the inputs of its gates. Names: the last layer has plain names (`shared.*`, `private.<task>.*`,
//! `gate.<task>.*`), layer l below it the same behind `layer<l>.`, its mixing of h_s being `layer<l>.gate.shared`.

use std::fmt;

use candle_core::Tensor;

use crate::error::{ModelError, Result, config_error};
use crate::experts::{ExpertGroup, ExpertShape};
use crate::gate::SoftmaxGate;
use crate::model::network::{Head, MultiTaskModel, Together, mix, of_task};
use crate::model::views::Reading;
use crate::trunks::{Blueprint, Trunks, join};
use crate::types::{Boundary, GateOutput, GateTerms, GatesTogether, Mode, Outputs, TaskOutput};
use mtids_layers::stacked::Stacks;

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

    /// Whether gates like this one can be computed together.
    fn is_plain(&self) -> bool {
        false
    }

    /// The gates of `T` tasks for inputs `[T, B, d]`: decisions `[T B, ..]`.
    fn together(_gates: &[Self], _input: &Tensor, _stacks: &Stacks) -> Result<GateOutput>
    where
        Self: Sized,
    {
        Err(config_error("tasks", "gates like these are computed one by one"))
    }
}

/// Sizes of a stack.
#[derive(Clone, Debug)]
pub(crate) struct StackSizes {
    pub(crate) layers: usize,
    /// Of a shared expert of the first layer, which reads the features of all views.
    pub(crate) expert: ExpertShape,
    /// How the first layer reads the views.
    pub(crate) reading: Reading,
    /// Whether gates learn anything from what they read.
    pub(crate) gates_learn: bool,
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
    reading: Reading,
    /// Names of the views' trunks, and whether two or more tasks train them.
    trunks: Vec<(String, bool)>,
    /// Where layers of one shape are computed by one product.
    stacks: Option<Stacks>,
}

/// What a layer reads.
#[derive(Clone, Copy, Debug)]
enum Inputs<'a> {
    /// The first layer: features of each view.
    Views(&'a [Tensor]),
    /// The others: one tensor of each task.
    Tasks(&'a [Tensor]),
}

impl Inputs<'_> {
    fn private(self, task: usize, reading: &Reading) -> Result<Tensor> {
        match self {
            Self::Views(features) => reading.private(task, features),
            Self::Tasks(inputs) => Ok(inputs.get(task).ok_or_else(missing)?.clone()),
        }
    }

    fn gate(self, task: usize, reading: &Reading) -> Result<Tensor> {
        match self {
            Self::Views(features) => reading.gate(task, features),
            Self::Tasks(_) => self.private(task, reading),
        }
    }

    /// Of the gate of the shared experts, which read `shared`.
    fn shared_gate(self, shared: &Tensor, reading: &Reading) -> Result<Tensor> {
        match self {
            Self::Views(features) => reading.shared_gate(features),
            Self::Tasks(_) => Ok(shared.clone()),
        }
    }
}

impl<G: BranchGate> Stack<G> {
    /// Builds the layers; `gate` makes a gate from its name and the size of its input.
    pub(crate) fn new(
        blueprint: &Blueprint<'_>,
        sizes: StackSizes,
        gate: impl Fn(&str, usize) -> Result<G>,
    ) -> Result<Self> {
        if sizes.layers == 0 {
            return Err(config_error("layers", "must be at least 1"));
        }
        let parameters = blueprint.parameters;
        if sizes.layers > 1 && (sizes.shared.is_none() || sizes.private.is_none()) {
            return Err(config_error("layers", "more than one layer needs shared and private experts"));
        }
        let mut layers = Vec::new();
        for index in 0..sizes.layers {
            let last = index + 1 == sizes.layers;
            let prefix = if last { String::new() } else { format!("layer{index}.") };
            let inputs = if index == 0 { sizes.expert.inputs } else { sizes.expert.outputs };
            let group = |name: &str, count: Option<usize>, inputs: usize| -> Result<Option<ExpertGroup>> {
                let (name, shape) = (format!("{prefix}{name}"), ExpertShape { inputs, ..sizes.expert });
                let make = |count| ExpertGroup::new(&name, count, shape, parameters);
                count.map(make).transpose()
            };
            let (mut private, mut gates) = (Vec::new(), Vec::new());
            for (task, name) in blueprint.task_names().enumerate() {
                let [of_private, of_gate] =
                    if index == 0 { sizes.reading.widths(task, &blueprint.widths())? } else { [inputs; 2] };
                private.push(group(&format!("private.{name}"), sizes.private, of_private)?);
                gates.push(gate(&format!("{prefix}gate.{name}"), of_gate)?);
            }
            let all = sizes.shared.unwrap_or(0) + blueprint.tasks.len() * sizes.private.unwrap_or(0);
            layers.push(Layer {
                shared: group("shared", sizes.shared, inputs)?,
                private,
                gates,
                shared_gate: (!last)
                    .then(|| SoftmaxGate::new(&format!("{prefix}gate.shared"), inputs, all, parameters))
                    .transpose()?,
            });
        }
        let StackSizes { reading, gates_learn, .. } = sizes;
        let trunk = |(place, view): (usize, &crate::trunks::ViewPlan)| {
            // Shared experts carry every task into every trunk.
            let shared =
                sizes.shared.is_some() || reading.trained_by(place, gates_learn) >= blueprint.tasks.len().min(2);
            (format!("{}.", blueprint.name("trunk", &view.name)), shared)
        };
        let trunks = blueprint.views.iter().enumerate().map(trunk).collect();
        let stacks = parameters.layers_at_once().then(|| parameters.stacks().clone());
        Ok(Self { layers, reading, trunks, stacks })
    }

    /// Whether a parameter of a trunk is reached by two or more tasks.
    fn is_shared_trunk(&self, name: &str) -> bool {
        self.trunks.iter().any(|(prefix, shared)| *shared && name.starts_with(prefix))
    }

    /// Whether what lies below a tensor of the boundary is shared: with one layer, the trunks of the views come first.
    fn is_shared_place(&self, place: usize) -> bool {
        self.layers.len() > 1 || self.trunks.get(place).is_none_or(|(_, shared)| *shared)
    }

    /// Whether there is any shared parameter.
    fn balances(&self) -> bool {
        self.layers.iter().any(|layer| layer.shared.is_some()) || self.trunks.iter().any(|(_, shared)| *shared)
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

    /// Everything that two or more tasks read, from the features of each view.
    pub(crate) fn boundary(&self, features: &[Tensor], mode: Mode) -> Result<Boundary> {
        let (last, reading, z) = (self.last()?, &self.reading, join(features)?);
        let Some((above, below)) = self.layers.split_last().and_then(|(_, rest)| rest.split_last()) else {
            let mut tensors = features.to_vec();
            tensors.extend(last.shared.as_ref().map(|shared| shared.forward(&z, mode)).transpose()?);
            return Ok(Boundary { tensors, gates: Vec::new() });
        };
        let (mut shared_input, mut gates) = (z, Vec::new());
        let mut of_tasks: Option<Vec<Tensor>> = None;
        for layer in below {
            let inputs = of_tasks.as_deref().map_or(Inputs::Views(features), Inputs::Tasks);
            let outputs = layer.experts(&shared_input, inputs, reading, mode)?;
            let (mut next, mut decided) = (Vec::new(), Vec::new());
            for task in 0..layer.gates.len() {
                let (mixed, gate) = layer.mix(task, &inputs.gate(task, reading)?, &outputs, mode)?;
                next.push(mixed);
                decided.push(gate);
            }
            shared_input = layer.mix_all(&inputs.shared_gate(&shared_input, reading)?, &outputs)?;
            of_tasks = Some(next);
            gates.push(decided);
        }
        let inputs = of_tasks.as_deref().map_or(Inputs::Views(features), Inputs::Tasks);
        let outputs = above.experts(&shared_input, inputs, reading, mode)?;
        let shared_input = above.mix_all(&inputs.shared_gate(&shared_input, reading)?, &outputs)?;
        let shared = last.shared.as_ref().ok_or_else(missing)?.forward(&shared_input, mode)?;
        let mut tensors = vec![shared];
        tensors.extend(outputs);
        tensors.extend(of_tasks.unwrap_or_else(|| features.to_vec()));
        Ok(Boundary { tensors, gates })
    }

    /// How the tasks can be computed together: with one layer of plain gates, and views that all tasks read alike.
    fn together(&self) -> Option<Together> {
        let [layer] = self.layers.as_slice() else { return None };
        let alike = self.reading.is_alike() && layer.gates.len() > 1 && layer.gates.iter().all(BranchGate::is_plain);
        if self.stacks.is_none() || !alike || layer.shared.is_none() || layer.private.iter().any(Option::is_none) {
            return None;
        }
        let views = |task| (0..self.trunks.len()).map(move |view| self.reading.trains(task, view));
        // Behind the views come the outputs of the shared experts, which every task trains.
        let trains = (0..layer.gates.len()).map(|task| views(task).chain([true]).collect()).collect();
        Some(Together { trains, by_gates: self.reading.by_gates() })
    }

    /// What all tasks read in the end, `[T, B, width]`, and the decisions of their gates, from tensors `[T, B, ..]` of the boundary.
    fn tasks(&self, boundary: &[Tensor], mode: Mode) -> Result<(Tensor, GatesTogether)> {
        let (layer, stacks) = (self.last()?, self.stacks.as_ref().ok_or_else(missing)?);
        let (features, shared) = boundary.split_at_checked(self.trunks.len()).ok_or_else(missing)?;
        let private: Option<Vec<&ExpertGroup>> = layer.private.iter().map(Option::as_ref).collect();
        let (private, shared) = (private.ok_or_else(missing)?, shared.first().ok_or_else(missing)?);
        // What a task does not train of the views is dropped from its gradient by the step.
        let z = Tensor::cat(features, 2)?;
        let gate = G::together(&layer.gates, &if self.reading.by_gates() { z.clone() } else { z.detach() }, stacks)?;
        let (shared_weights, private_weights) = (gate.shared_weights()?, gate.private_weights()?);
        let own = ExpertGroup::forward_together(&private, &z, mode)?;
        let of = |weights: &Option<Tensor>, experts: &Tensor| -> Result<Tensor> {
            mix(weights.as_ref().ok_or_else(missing)?, &experts.flatten(0, 1)?)
        };
        let mixed = (of(&shared_weights, shared)? + of(&private_weights, &own)?)?;
        let (tasks, batch, _) = z.dims3()?;
        Ok((mixed.reshape((tasks, batch, ()))?, GatesTogether { tasks, gate, shared_weights, private_weights }))
    }

    /// What one task reads in the end, `[B, width]`, and the decisions of its gates above the cut.
    pub(crate) fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<(Tensor, Vec<GateOutput>)> {
        let (last, reading) = (self.last()?, &self.reading);
        let mut gates = Vec::new();
        let (private_input, gate_input, shared) =
            match self.layers.len().checked_sub(2).and_then(|below| self.layers.get(below)) {
                None => {
                    let (features, rest) = boundary.split_at_checked(self.trunks.len()).ok_or_else(missing)?;
                    let inputs = Inputs::Views(features);
                    (inputs.private(task, reading)?, inputs.gate(task, reading)?, rest.first())
                }
                Some(below) => {
                    let count = 1 + below.gates.len();
                    let (outputs, inputs) = match boundary.get(1..) {
                        Some(rest) if rest.len() > count => rest.split_at(count),
                        _ => return Err(missing()),
                    };
                    let inputs = if self.layers.len() == 2 { Inputs::Views(inputs) } else { Inputs::Tasks(inputs) };
                    let (mixed, gate) = below.mix(task, &inputs.gate(task, reading)?, outputs, mode)?;
                    gates.push(gate);
                    (mixed.clone(), mixed, boundary.first())
                }
            };
        let route = of_task(&last.gates, task)?.route(&gate_input, mode)?;
        let mut mixed: Option<Tensor> = None;
        if let (Some(weights), Some(shared)) = (&route.shared, shared) {
            mixed = Some(mix(weights, shared)?);
        }
        if let (Some(weights), Some(private)) = (&route.private, of_task(&last.private, task)?) {
            let own = mix(weights, &private.forward(&private_input, mode)?)?;
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

impl<G: BranchGate> Layer<G> {
    /// Outputs of the shared experts, then of each task's own, `[B, E, width]` each.
    fn experts(&self, shared_input: &Tensor, inputs: Inputs<'_>, reading: &Reading, mode: Mode) -> Result<Vec<Tensor>> {
        let mut outputs = vec![self.shared.as_ref().ok_or_else(missing)?.forward(shared_input, mode)?];
        for (task, private) in self.private.iter().enumerate() {
            outputs.push(private.as_ref().ok_or_else(missing)?.forward(&inputs.private(task, reading)?, mode)?);
        }
        Ok(outputs)
    }

    fn mix(&self, task: usize, input: &Tensor, outputs: &[Tensor], mode: Mode) -> Result<(Tensor, GateOutput)> {
        let Route { shared, private, gate } = of_task(&self.gates, task)?.route(input, mode)?;
        let (shared, private) = (shared.ok_or_else(missing)?, private.ok_or_else(missing)?);
        let own = mix(&private, of_task(outputs, 1 + task)?)?;
        Ok(((mix(&shared, of_task(outputs, 0)?)? + own)?, gate))
    }

    /// The input of the next layer's shared experts; `input` is what its gate reads.
    fn mix_all(&self, input: &Tensor, outputs: &[Tensor]) -> Result<Tensor> {
        let weights = self.shared_gate.as_ref().ok_or_else(missing)?.forward(input)?;
        mix(&weights, &Tensor::cat(outputs, 1)?)
    }
}

/// Trunks, stack and one linear head per task: the network of MT-IDS, CGC and PLE on either side of its cut.
#[derive(Debug)]
pub(crate) struct StackNetwork<G> {
    pub(crate) trunks: Trunks,
    pub(crate) stack: Stack<G>,
    pub(crate) heads: Vec<Head>,
    pub(crate) terms: GateTerms,
}

impl<G: BranchGate> MultiTaskModel for StackNetwork<G> {
    fn boundary(&self, inputs: &[Tensor], mode: Mode) -> Result<Boundary> {
        self.stack.boundary(&self.trunks.features(inputs, mode)?, mode)
    }

    fn task(&self, task: usize, boundary: &[Tensor], mode: Mode) -> Result<TaskOutput> {
        let (mixed, gates) = self.stack.task(task, boundary, mode)?;
        Ok(TaskOutput { logits: of_task(&self.heads, task)?.forward(&mixed, mode)?, gates, penalty: None })
    }

    fn together(&self) -> Option<Together> {
        self.stack.together()
    }

    fn tasks(&self, boundary: &[Tensor], mode: Mode) -> Result<Outputs> {
        let (mixed, gates) = self.stack.tasks(boundary, mode)?;
        let heads = self.heads.iter().enumerate();
        let logits: Result<Vec<Tensor>> = heads.map(|(task, head)| head.forward(&mixed.get(task)?, mode)).collect();
        Ok(Outputs { logits: logits?, gates_together: Some(gates), ..Outputs::default() })
    }

    fn is_shared(&self, name: &str) -> bool {
        self.stack.is_shared_trunk(name) || self.stack.is_shared(name)
    }

    fn is_shared_place(&self, place: usize) -> bool {
        self.stack.is_shared_place(place)
    }

    fn balances(&self) -> bool {
        self.stack.balances()
    }

    fn gate_terms(&self) -> GateTerms {
        self.terms
    }
}
