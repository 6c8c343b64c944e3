//! STEM: every task reads shared experts, its own, and those of all other tasks.

use mtids_models::experts::ExpertsConfig;

use crate::builder::Builder;
use crate::error::Result;
use crate::experts::ExpertSizes;
use crate::graph::Value;
use crate::plan::Plan;

/// Logits of every task.
pub(super) fn logits(
    builder: &mut Builder,
    experts: &ExpertsConfig,
    plan: &Plan,
    inputs: &[Value],
) -> Result<Vec<Value>> {
    let sizes = ExpertSizes::from(experts);
    let z = plan.joined_features(builder, "trunk", inputs)?;
    let shared = builder.expert_group("shared", experts.shared, sizes, &z)?;
    let private: Result<Vec<Value>> = plan
        .task_names()
        .map(|name| builder.expert_group(&format!("private.{name}"), experts.private, sizes, &z))
        .collect();
    let private = private?;
    let all = experts.shared + private.len() * experts.private;
    let task = |(task, name): (usize, &str)| {
        // The order of the gate's weights: shared experts, own ones, those of the others in task order.
        let mut read = vec![shared.clone()];
        read.extend(private.get(task).cloned());
        let others = private.iter().enumerate().filter(|(other, _)| *other != task);
        read.extend(others.map(|(_, experts)| experts.clone()));
        let read = builder.graph.concat(&read, 0)?;
        let weights = builder.softmax_gate(&format!("gate.{name}"), &z, all)?;
        let mixed = builder.mix(&weights, &read)?;
        plan.head(builder, task, &mixed)
    };
    plan.task_names().enumerate().map(task).collect()
}
