//! The architectures: from the inputs of the views to the logits of all tasks.
//!
//! Purpose: one function for each architecture of [`ModelConfig`], which follows `mtids_models::model` in evaluation. Names of weights are
//! those of its modules. A new architecture does not compile until it is translated.

mod adatt;
mod attention;
mod cross_stitch;
mod dselect_k;
mod plain;
mod stack;
mod stem;

use mtids_models::{BackboneConfig, ModelConfig, Problem, TaskSet};

use crate::backbone::Backbone;
use crate::builder::Builder;
use crate::error::{OnnxError, Result};
use crate::graph::Value;

/// One view with its backbone.
#[derive(Clone, Debug)]
struct ViewPlan {
    name: String,
    shape: [usize; 4],
    backbone: BackboneConfig,
}

/// What every architecture is translated from.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    tasks: TaskSet,
    views: Vec<ViewPlan>,
}

impl Plan {
    /// The tasks and views of a model.
    ///
    /// # Errors
    /// Tasks that the problem does not allow.
    pub(crate) fn new(model: &ModelConfig, problem: &Problem) -> Result<Self> {
        problem.validate()?;
        let view = |view: &mtids_models::ViewInput| ViewPlan {
            name: view.name.clone(),
            shape: view.shape,
            backbone: model.trunk(&view.name),
        };
        Ok(Self {
            tasks: TaskSet::new(model.tasks(), problem.regions, problem.measures)?,
            views: problem.views.iter().map(view).collect(),
        })
    }

    /// The tasks.
    pub(crate) fn tasks(&self) -> &TaskSet {
        &self.tasks
    }

    /// Names of the tasks.
    fn task_names(&self) -> impl Iterator<Item = &str> {
        self.tasks.tasks().iter().map(|task| task.name.as_str())
    }

    /// `<prefix>` where there is one view, else `<prefix>.<view>`.
    fn name(&self, prefix: &str, view: &str) -> String {
        if self.views.len() == 1 { prefix.to_owned() } else { format!("{prefix}.{view}") }
    }

    /// One backbone for each view.
    fn backbones(&self, prefix: &str) -> Vec<Backbone> {
        let views = self.views.iter();
        views.map(|view| Backbone::new(&self.name(prefix, &view.name), &view.backbone, view.shape)).collect()
    }

    /// Features of each view.
    fn features(&self, builder: &mut Builder, prefix: &str, inputs: &[Value]) -> Result<Vec<Value>> {
        let backbones = self.backbones(prefix);
        backbones.iter().zip(inputs).map(|(backbone, input)| backbone.forward(builder, input)).collect()
    }

    /// Features of all views as one.
    fn joined_features(&self, builder: &mut Builder, prefix: &str, inputs: &[Value]) -> Result<Value> {
        let features = self.features(builder, prefix, inputs)?;
        builder.join(&features)
    }

    /// The head of a task.
    fn head(&self, builder: &mut Builder, task: usize, features: &Value) -> Result<Value> {
        let task = &self.tasks.tasks()[task];
        builder.linear(&format!("head.{}", task.name), features, task.classes)
    }
}

/// Logits of every task for inputs `[C, D, H, W]`, one for each view.
///
/// # Errors
/// [`OnnxError`] where configuration and weights do not fit.
pub(crate) fn logits(builder: &mut Builder, model: &ModelConfig, plan: &Plan, inputs: &[Value]) -> Result<Vec<Value>> {
    if inputs.len() != plan.views.len() {
        let view = plan.views.first().map(|view| view.name.clone()).unwrap_or_default();
        let reason = format!("{} inputs for {} views", inputs.len(), plan.views.len());
        return Err(OnnxError::View { view, reason });
    }
    match model {
        ModelConfig::MtIds(config) => stack::mt_ids(builder, config, plan, inputs),
        ModelConfig::SingleTask(_) => plain::single_task(builder, plan, inputs),
        ModelConfig::HardSharing(_) => plain::hard_sharing(builder, plan, inputs),
        ModelConfig::CrossStitch(_) => cross_stitch::logits(builder, plan, inputs),
        ModelConfig::Mtan(_) => attention::logits(builder, plan, inputs),
        ModelConfig::Mmoe(config) => plain::mmoe(builder, &config.experts, plan, inputs),
        ModelConfig::Cgc(config) => stack::flat(builder, 1, &config.experts, plan, inputs),
        ModelConfig::Ple(config) => stack::flat(builder, config.layers, &config.experts, plan, inputs),
        ModelConfig::DSelectK(config) => dselect_k::logits(builder, config, plan, inputs),
        ModelConfig::AdaTt(config) => adatt::logits(builder, config, plan, inputs),
        ModelConfig::Stem(config) => stem::logits(builder, &config.experts, plan, inputs),
    }
}

/// The prefix of a layer of several: the last one has plain names.
fn layer_prefix(layer: usize, layers: usize) -> String {
    if layer + 1 == layers { String::new() } else { format!("layer{layer}.") }
}
