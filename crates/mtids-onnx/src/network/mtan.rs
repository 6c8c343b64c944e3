//! MTAN: one backbone per view, an attention mask per task and stage.

use crate::backbone::Backbone;
use crate::builder::Builder;
use crate::error::{Result, shape_error};
use crate::graph::Value;
use crate::plan::Plan;

/// Logits of every task.
pub(super) fn logits(builder: &mut Builder, plan: &Plan, inputs: &[Value]) -> Result<Vec<Value>> {
    let backbones = plan.backbones("trunk");
    let maps: Result<Vec<Vec<Value>>> =
        backbones.iter().zip(inputs).map(|(backbone, input)| backbone.all_stages(builder, input)).collect();
    let maps = maps?;
    let mut logits = Vec::with_capacity(plan.tasks.len());
    for (task, name) in plan.task_names().enumerate() {
        let mut features = Vec::with_capacity(backbones.len());
        for ((view, backbone), maps) in plan.views.iter().zip(&backbones).zip(&maps) {
            let prefix = plan.name(&format!("attention.{name}"), &view.name);
            let masked = attend(builder, &prefix, backbone, maps)?;
            features.push(backbone.finish(builder, &masked)?);
        }
        let features = builder.join(&features)?;
        logits.push(plan.head(builder, task, &features)?);
    }
    Ok(logits)
}

/// The last masked map of one task and view.
fn attend(builder: &mut Builder, prefix: &str, backbone: &Backbone, maps: &[Value]) -> Result<Value> {
    let norm = backbone.config().stages().norm;
    let mut below: Option<(Value, &[usize])> = None;
    for (stage, ((channels, size), map)) in backbone.maps().zip(maps).enumerate() {
        let name = |part: &str| format!("{prefix}.stage{stage}.{part}");
        let still = vec![1; size.len()];
        let seen = match &below {
            Some((masked, before)) => {
                let halved: Vec<usize> =
                    before.iter().zip(size).map(|(before, after)| if before > after { 2 } else { 1 }).collect();
                let bridge = builder.conv_block(&name("bridge"), masked, channels, 3, &halved, (&norm, true))?;
                builder.graph.concat(&[map.clone(), bridge], 0)?
            }
            None => map.clone(),
        };
        let first = builder.conv_block(&name("first"), &seen, channels, 1, &still, (&norm, true))?;
        let second = builder.conv_block(&name("second"), &first, channels, 1, &still, (&norm, false))?;
        let mask = builder.graph.map("Sigmoid", &second);
        below = Some((builder.graph.combine("Mul", &mask, map)?, size));
    }
    let (masked, _) = below.ok_or_else(|| shape_error(prefix, &[], "at least one stage"))?;
    Ok(masked)
}
