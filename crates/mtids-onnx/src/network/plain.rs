//! Architectures of one step: single-task networks, hard sharing, MMoE.

use mtids_models::experts::SharedExpertsConfig;

use crate::builder::Builder;
use crate::error::Result;
use crate::experts::ExpertSizes;
use crate::graph::Value;
use crate::plan::Plan;

/// One whole network per task.
pub(super) fn single_task(builder: &mut Builder, plan: &Plan, inputs: &[Value]) -> Result<Vec<Value>> {
    let task = |(task, name): (usize, &str)| {
        let features = plan.joined_features(builder, &format!("trunk.{name}"), inputs)?;
        plan.head(builder, task, &features)
    };
    plan.task_names().enumerate().map(task).collect()
}

/// One backbone, one head per task.
pub(super) fn hard_sharing(builder: &mut Builder, plan: &Plan, inputs: &[Value]) -> Result<Vec<Value>> {
    let features = plan.joined_features(builder, "trunk", inputs)?;
    (0..plan.tasks.len()).map(|task| plan.head(builder, task, &features)).collect()
}

/// Shared experts, one soft-max gate per task.
pub(super) fn mmoe(
    builder: &mut Builder,
    experts: &SharedExpertsConfig,
    plan: &Plan,
    inputs: &[Value],
) -> Result<Vec<Value>> {
    let z = plan.joined_features(builder, "trunk", inputs)?;
    let outputs = builder.expert_group("shared", experts.count, ExpertSizes::from(experts), &z)?;
    let task = |(task, name): (usize, &str)| {
        let weights = builder.softmax_gate(&format!("gate.{name}"), &z, experts.count)?;
        let mixed = builder.mix(&weights, &outputs)?;
        plan.head(builder, task, &mixed)
    };
    plan.task_names().enumerate().map(task).collect()
}
