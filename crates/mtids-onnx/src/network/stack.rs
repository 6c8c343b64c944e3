//! Layers of shared and private experts behind gates per task: MT-IDS, CGC and PLE.
//!
//! They differ in the gate, and in which views a task reads in the first layer.

use mtids_models::MtIdsConfig;
use mtids_models::experts::ExpertsConfig;
use mtids_models::gate::DbrConfig;
use mtids_models::model::SeenViews;

use crate::builder::Builder;
use crate::error::{Result, shape_error};
use crate::experts::ExpertSizes;
use crate::gate::Route;
use crate::graph::Value;
use crate::plan::{Plan, layer_prefix};

/// The gate of a task.
#[derive(Clone, Copy, Debug)]
enum GateKind<'a> {
    /// The gate of MT-IDS.
    Dbr(&'a DbrConfig),
    /// One soft-max over shared experts, then the task's own.
    Flat { shared: usize, private: usize },
}

impl GateKind<'_> {
    fn route(self, builder: &mut Builder, name: &str, input: &Value) -> Result<Route> {
        match self {
            Self::Dbr(config) => builder.dbr_gate(name, config, input),
            Self::Flat { shared, private } => {
                let weights = builder.softmax_gate(name, input, shared + private)?;
                Ok(Route {
                    shared: Some(builder.graph.slice(&weights, 0, 0, shared)?),
                    private: Some(builder.graph.slice(&weights, 0, shared, private)?),
                })
            }
        }
    }
}

/// All layers.
#[derive(Debug)]
struct Stack<'a> {
    layers: usize,
    sizes: ExpertSizes,
    /// Absent without a shared branch.
    shared: Option<usize>,
    /// Absent without a private branch.
    private: Option<usize>,
    gate: GateKind<'a>,
    /// By task; what is read in the first layer.
    seen: Vec<SeenViews>,
}

/// MT-IDS.
pub(super) fn mt_ids(builder: &mut Builder, config: &MtIdsConfig, plan: &Plan, inputs: &[Value]) -> Result<Vec<Value>> {
    let dbr = &config.dbr;
    let views: Vec<&str> = plan.views.iter().map(|view| view.name.as_str()).collect();
    let stack = Stack {
        layers: dbr.layers,
        sizes: ExpertSizes::from(dbr),
        shared: dbr.has_shared().then_some(dbr.shared_experts),
        private: dbr.has_private().then_some(dbr.private_experts),
        gate: GateKind::Dbr(dbr),
        seen: config.seen_views(&plan.tasks, &views)?,
    };
    stack.logits(builder, plan, inputs)
}

/// CGC, and with several layers PLE.
pub(super) fn flat(
    builder: &mut Builder,
    layers: usize,
    experts: &ExpertsConfig,
    plan: &Plan,
    inputs: &[Value],
) -> Result<Vec<Value>> {
    let all: Vec<usize> = (0..plan.views.len()).collect();
    let stack = Stack {
        layers,
        sizes: ExpertSizes::from(experts),
        shared: Some(experts.shared),
        private: Some(experts.private),
        gate: GateKind::Flat { shared: experts.shared, private: experts.private },
        seen: vec![SeenViews { private: all.clone(), gate: all }; plan.tasks.len()],
    };
    stack.logits(builder, plan, inputs)
}

/// What a layer reads of one task.
#[derive(Clone, Debug)]
struct TaskInputs {
    /// Absent without private experts.
    private: Option<Value>,
    gate: Value,
}

impl Stack<'_> {
    fn logits(&self, builder: &mut Builder, plan: &Plan, inputs: &[Value]) -> Result<Vec<Value>> {
        let features = plan.features(builder, "trunk", inputs)?;
        let mut shared_input = builder.join(&features)?;
        let mut of_tasks: Vec<TaskInputs> =
            self.seen.iter().map(|seen| self.first_inputs(builder, seen, &features)).collect::<Result<_>>()?;
        let mut mixed = Vec::new();
        for layer in 0..self.layers {
            let prefix = layer_prefix(layer, self.layers);
            let shared = self
                .shared
                .map(|count| builder.expert_group(&format!("{prefix}shared"), count, self.sizes, &shared_input));
            let shared = shared.transpose()?;
            let mut outputs: Vec<Value> = shared.iter().cloned().collect();
            mixed.clear();
            for (name, task) in plan.task_names().zip(&of_tasks) {
                let private = match (self.private, &task.private) {
                    (Some(count), Some(input)) => {
                        Some(builder.expert_group(&format!("{prefix}private.{name}"), count, self.sizes, input)?)
                    }
                    _ => None,
                };
                let route = self.gate.route(builder, &format!("{prefix}gate.{name}"), &task.gate)?;
                mixed.push(mix(builder, &route, shared.as_ref(), private.as_ref())?);
                outputs.extend(private);
            }
            if layer + 1 < self.layers {
                let all = builder.graph.concat(&outputs, 0)?;
                let count = all.axes().first().copied().unwrap_or(0);
                let weights = builder.softmax_gate(&format!("{prefix}gate.shared"), &shared_input, count)?;
                shared_input = builder.mix(&weights, &all)?;
                let next = mixed.iter().cloned();
                of_tasks = next.map(|mixed| TaskInputs { private: Some(mixed.clone()), gate: mixed }).collect();
            }
        }
        mixed.iter().enumerate().map(|(task, mixed)| plan.head(builder, task, mixed)).collect()
    }

    fn first_inputs(&self, builder: &mut Builder, seen: &SeenViews, features: &[Value]) -> Result<TaskInputs> {
        let mut join = |views: &[usize]| {
            let seen: Vec<Value> = views.iter().filter_map(|view| features.get(*view).cloned()).collect();
            builder.join(&seen)
        };
        let private = self.private.map(|_| join(&seen.private)).transpose()?;
        Ok(TaskInputs { private, gate: join(&seen.gate)? })
    }
}

/// What a task makes of the experts that its gate weighs.
fn mix(builder: &mut Builder, route: &Route, shared: Option<&Value>, private: Option<&Value>) -> Result<Value> {
    let mut parts = Vec::new();
    for (weights, experts) in [(&route.shared, shared), (&route.private, private)] {
        if let (Some(weights), Some(experts)) = (weights, experts) {
            parts.push(builder.mix(weights, experts)?);
        }
    }
    match &parts[..] {
        [one] => Ok(one.clone()),
        [shared, own] => builder.graph.combine("Add", shared, own),
        _ => Err(shape_error("experts", &[], "a shared or a private branch")),
    }
}
