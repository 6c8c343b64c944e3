//! AdaTT: every module reads all experts of its layer, with a residual over its own.

use mtids_models::experts::ExpertsConfig;
use mtids_models::model::adatt::AdaTtConfig;

use crate::builder::Builder;
use crate::error::{Result, shape_error};
use crate::experts::ExpertSizes;
use crate::graph::Value;
use crate::plan::{Plan, layer_prefix};

/// A task, or the shared module, which comes last.
#[derive(Clone, Debug)]
struct Module {
    /// Name of its experts.
    group: String,
    /// Name of its gate.
    name: String,
    /// Place and number of its own experts.
    own: [usize; 2],
}

fn modules(experts: &ExpertsConfig, plan: &Plan) -> Vec<Module> {
    let tasks = plan.task_names().map(|name| (format!("private.{name}"), name.to_owned(), experts.private));
    let shared = ("shared".to_owned(), "shared".to_owned(), experts.shared);
    let mut from = 0;
    let place = |(group, name, count): (String, String, usize)| {
        let own = [from, count];
        from += count;
        Module { group, name, own }
    };
    tasks.chain([shared]).map(place).collect()
}

/// Logits of every task.
pub(super) fn logits(builder: &mut Builder, config: &AdaTtConfig, plan: &Plan, inputs: &[Value]) -> Result<Vec<Value>> {
    let (sizes, modules) = (ExpertSizes::from(&config.experts), modules(&config.experts, plan));
    // In the first layer all modules read the same.
    let mut inputs = vec![plan.joined_features(builder, "trunk", inputs)?];
    for layer in 0..config.layers {
        let prefix = layer_prefix(layer, config.layers);
        let mut outputs = Vec::with_capacity(modules.len());
        for (at, module) in modules.iter().enumerate() {
            let group = format!("{prefix}{}", module.group);
            outputs.push(builder.expert_group(&group, module.own[1], sizes, input_of(&inputs, at)?)?);
        }
        let outputs = builder.graph.concat(&outputs, 0)?;
        let last = layer + 1 == config.layers;
        // The shared module has no output in the last layer.
        let fused = if last { plan.tasks.len() } else { modules.len() };
        let mut next = Vec::with_capacity(fused);
        for (at, module) in modules.iter().enumerate().take(fused) {
            next.push(fuse(builder, &prefix, module, &config.experts, input_of(&inputs, at)?, &outputs)?);
        }
        inputs = next;
    }
    (0..plan.tasks.len()).map(|task| plan.head(builder, task, input_of(&inputs, task)?)).collect()
}

/// The input of a module: its own, or the one that all have.
fn input_of(inputs: &[Value], module: usize) -> Result<&Value> {
    let at = if inputs.len() == 1 { 0 } else { module };
    inputs.get(at).ok_or_else(|| shape_error("inputs of AdaTT's modules", &[inputs.len()], format!("more than {at}")))
}

/// A module's output.
fn fuse(
    builder: &mut Builder,
    prefix: &str,
    module: &Module,
    experts: &ExpertsConfig,
    input: &Value,
    outputs: &Value,
) -> Result<Value> {
    let all = outputs.axes().first().copied().unwrap_or(0);
    let weights = builder.softmax_gate(&format!("{prefix}gate.{}", module.name), input, all)?;
    let mixed = builder.mix(&weights, outputs)?;
    let [from, count] = module.own;
    let mut own = builder.graph.slice(outputs, 0, from, count)?;
    if experts.private > 1 || experts.shared > 1 {
        let name = format!("{prefix}residual.{}", module.name);
        let v = builder.weight_for_all(&name, &[1, count], &[count, 1])?;
        own = builder.graph.combine("Mul", &own, &v)?;
    }
    let residual = builder.graph.sum(&own, 0)?;
    builder.graph.combine("Add", &mixed, &residual)
}
