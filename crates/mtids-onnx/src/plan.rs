//! What every architecture is translated from: tasks, and views with their backbones.
//!
//! Names of weights follow `mtids_models::trunks`: `<prefix>.*` with one view, `<prefix>.<view>.*` with several.

use mtids_models::{BackboneConfig, ModelConfig, Problem, TaskSet, ViewInput};

use crate::backbone::Backbone;
use crate::builder::Builder;
use crate::error::Result;
use crate::graph::Value;

/// One view with its backbone.
#[derive(Clone, Debug)]
pub(crate) struct ViewPlan {
    pub(crate) name: String,
    shape: [usize; 4],
    backbone: BackboneConfig,
}

/// What every architecture is translated from.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) tasks: TaskSet,
    pub(crate) views: Vec<ViewPlan>,
}

impl Plan {
    /// The tasks and views of a model.
    ///
    /// # Errors
    /// Tasks that the problem does not allow.
    pub(crate) fn new(model: &ModelConfig, problem: &Problem) -> Result<Self> {
        problem.validate()?;
        let view = |view: &ViewInput| ViewPlan {
            name: view.name.clone(),
            shape: view.shape,
            backbone: model.trunk(&view.name),
        };
        Ok(Self {
            tasks: TaskSet::new(model.tasks(), problem.regions, problem.measures)?,
            views: problem.views.iter().map(view).collect(),
        })
    }

    /// Names of the tasks.
    pub(crate) fn task_names(&self) -> impl Iterator<Item = &str> {
        self.tasks.tasks().iter().map(|task| task.name.as_str())
    }

    /// `<prefix>` where there is one view, else `<prefix>.<view>`.
    pub(crate) fn name(&self, prefix: &str, view: &str) -> String {
        if self.views.len() == 1 { prefix.to_owned() } else { format!("{prefix}.{view}") }
    }

    /// One backbone for each view.
    pub(crate) fn backbones(&self, prefix: &str) -> Vec<Backbone> {
        let views = self.views.iter();
        views.map(|view| Backbone::new(&self.name(prefix, &view.name), &view.backbone, view.shape)).collect()
    }

    /// Features of each view.
    pub(crate) fn features(&self, builder: &mut Builder, prefix: &str, inputs: &[Value]) -> Result<Vec<Value>> {
        let backbones = self.backbones(prefix);
        backbones.iter().zip(inputs).map(|(backbone, input)| backbone.forward(builder, input)).collect()
    }

    /// Features of all views as one.
    pub(crate) fn joined_features(&self, builder: &mut Builder, prefix: &str, inputs: &[Value]) -> Result<Value> {
        let features = self.features(builder, prefix, inputs)?;
        builder.join(&features)
    }

    /// The head of a task.
    pub(crate) fn head(&self, builder: &mut Builder, task: usize, features: &Value) -> Result<Value> {
        let task = &self.tasks.tasks()[task];
        builder.linear(&format!("head.{}", task.name), features, task.classes)
    }
}

/// The prefix of a layer of several: the last one has plain names.
pub(crate) fn layer_prefix(layer: usize, layers: usize) -> String {
    if layer + 1 == layers { String::new() } else { format!("layer{layer}.") }
}
