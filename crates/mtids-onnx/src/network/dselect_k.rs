//! DSelect-k: shared experts, k smooth selectors per task.

use mtids_models::model::dselect_k::DSelectKConfig;

use crate::builder::Builder;
use crate::error::{Result, shape_error};
use crate::experts::ExpertSizes;
use crate::graph::Value;
use crate::plan::Plan;

/// Logits of every task.
pub(super) fn logits(
    builder: &mut Builder,
    config: &DSelectKConfig,
    plan: &Plan,
    inputs: &[Value],
) -> Result<Vec<Value>> {
    let z = plan.joined_features(builder, "trunk", inputs)?;
    let sizes = ExpertSizes::from(&config.experts);
    let experts = builder.expert_group("shared", config.experts.count, sizes, &z)?;
    let task = |(task, name): (usize, &str)| {
        let weights = gate(builder, &format!("gate.{name}"), config, &z)?;
        let mixed = builder.mix(&weights, &experts)?;
        plan.head(builder, task, &mixed)
    };
    plan.task_names().enumerate().map(task).collect()
}

/// Weights of the experts.
fn gate(builder: &mut Builder, name: &str, config: &DSelectKConfig, z: &Value) -> Result<Value> {
    let (experts, selectors) = (config.experts.count, config.selectors);
    let bits = experts.next_power_of_two().ilog2() as usize;
    let code = numbers(builder, &format!("{name}.code"), config, z, selectors * bits)?;
    let steps = smooth_step(builder, &code, config.gamma as f32)?;
    let steps = builder.graph.reshape(&steps, &[selectors, bits])?;
    // The first bit is the most significant one of an expert's code.
    let mut codes: Option<Value> = None;
    for bit in 0..bits {
        let one = builder.graph.slice(&steps, 1, bit, 1)?;
        let minus = builder.graph.with_number("Mul", &one, -1.0);
        let zero = builder.graph.with_number("Add", &minus, 1.0);
        let digit = builder.graph.concat(&[zero, one], 1)?;
        codes = Some(match codes {
            None => digit,
            Some(codes) => {
                let known = codes.axes().get(1).copied().unwrap_or(0);
                let codes = builder.graph.reshape(&codes, &[selectors, known, 1])?;
                let digit = builder.graph.reshape(&digit, &[selectors, 1, 2])?;
                let product = builder.graph.combine("Mul", &codes, &digit)?;
                builder.graph.reshape(&product, &[selectors, 2 * known])?
            }
        });
    }
    let codes = codes.ok_or_else(|| shape_error(name, &[experts], "at least two experts"))?;
    let selected = builder.graph.slice(&codes, 1, 0, experts)?;
    let weighted = if selectors > 1 {
        let mixture = numbers(builder, &format!("{name}.mixture"), config, z, selectors)?;
        let shares = builder.graph.normalised("Softmax", &mixture);
        let shares = builder.graph.reshape(&shares, &[selectors, 1])?;
        builder.graph.combine("Mul", &selected, &shares)?
    } else {
        selected
    };
    builder.graph.sum(&weighted, 0)
}

/// Numbers of a gate: linear in the features, or the same for all samples.
fn numbers(builder: &mut Builder, name: &str, config: &DSelectKConfig, z: &Value, count: usize) -> Result<Value> {
    if config.per_sample { builder.linear(name, z, count) } else { builder.weight_for_all(name, &[1, count], &[count]) }
}

/// S(z / γ) = −2 u³ + 3/2 u + ½ for u within ±½, 0 and 1 outside.
fn smooth_step(builder: &mut Builder, z: &Value, gamma: f32) -> Result<Value> {
    let graph = &mut builder.graph;
    let u = graph.with_number("Div", z, gamma);
    let u = graph.clip(&u, -0.5, 0.5);
    let square = graph.combine("Mul", &u, &u)?;
    let cube = graph.combine("Mul", &square, &u)?;
    let cubic = graph.with_number("Mul", &cube, -2.0);
    let linear = graph.with_number("Mul", &u, 1.5);
    let linear = graph.with_number("Add", &linear, 0.5);
    graph.combine("Add", &cubic, &linear)
}
