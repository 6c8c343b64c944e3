//! Cross-stitch networks: one backbone per task, mixed after each stage.

use crate::backbone::Backbone;
use crate::builder::Builder;
use crate::error::{Result, shape_error};
use crate::graph::Value;
use crate::plan::Plan;

/// Logits of every task.
pub(super) fn logits(builder: &mut Builder, plan: &Plan, inputs: &[Value]) -> Result<Vec<Value>> {
    let tasks: Vec<&str> = plan.task_names().collect();
    // By task, then by view.
    let backbones: Vec<Vec<Backbone>> = tasks.iter().map(|task| plan.backbones(&format!("trunk.{task}"))).collect();
    let mut features: Vec<Vec<Value>> = vec![Vec::new(); tasks.len()];
    for (at, (view, input)) in plan.views.iter().zip(inputs).enumerate() {
        let of_view: Vec<&Backbone> = backbones.iter().filter_map(|of_task| of_task.get(at)).collect();
        let prefix = plan.name("stitch", &view.name);
        let maps = mixed_maps(builder, &prefix, &tasks, &of_view, input)?;
        for ((backbone, map), features) in of_view.iter().zip(&maps).zip(&mut features) {
            features.push(backbone.finish(builder, map)?);
        }
    }
    let head = |(task, features): (usize, &Vec<Value>)| {
        let features = builder.join(features)?;
        plan.head(builder, task, &features)
    };
    features.iter().enumerate().map(head).collect()
}

/// The maps of all tasks behind the last mixing.
fn mixed_maps(
    builder: &mut Builder,
    prefix: &str,
    tasks: &[&str],
    backbones: &[&Backbone],
    input: &Value,
) -> Result<Vec<Value>> {
    let maps: Result<Vec<Value>> = backbones.iter().map(|backbone| backbone.stem(builder, input)).collect();
    let mut maps = maps?;
    let stages = backbones.first().map_or(0, |backbone| backbone.stages());
    for stage in 0..stages {
        let next = backbones.iter().zip(&maps).map(|(backbone, map)| backbone.stage(builder, stage, map));
        let next: Result<Vec<Value>> = next.collect();
        let next = next?;
        let mix = |(task, name): (usize, &&str)| row(builder, &format!("{prefix}.stage{stage}.{name}"), task, &next);
        let mixed: Result<Vec<Value>> = tasks.iter().enumerate().map(mix).collect();
        maps = mixed?;
    }
    Ok(maps)
}

/// Row `task` of a mixing matrix: its own weight and those of the others.
fn row(builder: &mut Builder, name: &str, task: usize, maps: &[Value]) -> Result<Value> {
    let own = builder.weights.read(&format!("{name}.own"), &[1])?;
    let mut weights = match maps.len() {
        1 => Vec::new(),
        several => builder.weights.read(&format!("{name}.others"), &[several - 1])?,
    };
    // In the order of the maps.
    own.into_iter().for_each(|weight| weights.insert(task, weight));
    let mut total: Option<Value> = None;
    for (map, weight) in maps.iter().zip(weights) {
        let term = builder.graph.with_number("Mul", map, weight);
        total = Some(match total {
            Some(total) => builder.graph.combine("Add", &total, &term)?,
            None => term,
        });
    }
    total.ok_or_else(|| shape_error(name, &[], "at least one map"))
}
