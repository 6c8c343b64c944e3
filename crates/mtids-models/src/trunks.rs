//! One backbone for each view, and what every network is built from.
//!
//! Parameters are named `<prefix>.*` where there is one view, and `<prefix>.<view>.*` where there are several: names of saved weights
//! stay. Invariant: a view's features are a function of that view alone.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::backbone::{Backbone, BackboneConfig, BackboneKeys};
use crate::error::{ModelError, Result, config_error};
use crate::problem::Problem;
use crate::tasks::TaskSet;
use crate::types::Mode;
use mtids_layers::parameters::Parameters;

/// Dropout where it is not given, by the number of views.
const SEVERAL_VIEWS_DROPOUT: f64 = 0.2;

/// One view and its backbone.
#[derive(Clone, Debug)]
pub(crate) struct ViewPlan {
    pub(crate) name: String,
    pub(crate) shape: [usize; 4],
    pub(crate) backbone: BackboneConfig,
}

/// What every network is built from, whatever its architecture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blueprint<'a> {
    pub(crate) tasks: &'a TaskSet,
    pub(crate) views: &'a [ViewPlan],
    pub(crate) dropout: f64,
    pub(crate) parameters: &'a Parameters,
}

impl Blueprint<'_> {
    /// Features of each view.
    pub(crate) fn widths(&self) -> Vec<usize> {
        self.views.iter().map(|view| view.backbone.features).collect()
    }

    /// Features of all views together.
    pub(crate) fn features(&self) -> usize {
        self.widths().iter().sum()
    }

    /// `<prefix>` where there is one view, else `<prefix>.<view>`.
    pub(crate) fn name(&self, prefix: &str, view: &str) -> String {
        if self.views.len() == 1 { prefix.to_owned() } else { format!("{prefix}.{view}") }
    }

    /// Names of the tasks.
    pub(crate) fn task_names(&self) -> impl Iterator<Item = &str> {
        self.tasks.tasks().iter().map(|task| task.name.as_str())
    }
}

/// The backbone of a view by the keys of all views and its own.
pub(crate) fn trunk_of(backbone: &BackboneKeys, trunks: &BTreeMap<String, BackboneKeys>, view: &str) -> BackboneConfig {
    match trunks.get(view) {
        Some(own) => backbone.under(own).of_view(view),
        None => backbone.of_view(view),
    }
}

/// The views of a problem with their backbones.
///
/// # Errors
/// [`ModelError::Config`] for a table of a view that does not exist, and for settings out of range.
pub(crate) fn plans(
    backbone: &BackboneKeys,
    trunks: &BTreeMap<String, BackboneKeys>,
    problem: &Problem,
) -> Result<Vec<ViewPlan>> {
    problem.validate()?;
    known_views("trunks", trunks.keys(), &problem.view_names())?;
    let plan = |view: &crate::problem::ViewInput| {
        let config = trunk_of(backbone, trunks, &view.name);
        config.validate(&table_of(trunks, &view.name))?;
        Ok(ViewPlan { name: view.name.clone(), shape: view.shape, backbone: config })
    };
    problem.views.iter().map(plan).collect()
}

/// The table that says the most about a view's backbone.
pub(crate) fn table_of(trunks: &BTreeMap<String, BackboneKeys>, view: &str) -> String {
    if trunks.contains_key(view) { format!("trunks.{view}") } else { "backbone".to_owned() }
}

/// Refuses a key below `table` that names no view.
pub(crate) fn known_views<'k>(table: &str, named: impl Iterator<Item = &'k String>, names: &[&str]) -> Result<()> {
    for name in named {
        if !names.contains(&name.as_str()) {
            let reason = format!("names no view of the data; there are: {}", names.join(", "));
            return Err(config_error(&format!("{table}.{name}"), reason));
        }
    }
    Ok(())
}

/// The given dropout, or the default for this many views.
pub(crate) fn dropout_of(given: Option<f64>, views: usize) -> f64 {
    given.unwrap_or(if views > 1 { SEVERAL_VIEWS_DROPOUT } else { 0.0 })
}

/// One backbone for each view.
#[derive(Clone, Debug)]
pub(crate) struct Trunks(Vec<Backbone>);

impl Trunks {
    /// Backbones named `<prefix>.*`, or `<prefix>.<view>.*` where there are several views.
    pub(crate) fn new(prefix: &str, blueprint: &Blueprint<'_>) -> Result<Self> {
        let backbone = |view: &ViewPlan| {
            Backbone::new(&blueprint.name(prefix, &view.name), &view.backbone, view.shape, blueprint.parameters)
        };
        Ok(Self(blueprint.views.iter().map(backbone).collect::<Result<_>>()?))
    }

    /// The backbones, in the order of the views.
    pub(crate) fn backbones(&self) -> &[Backbone] {
        &self.0
    }

    /// Each backbone with its view.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for another number of views, or views of different numbers of samples.
    pub(crate) fn with<'t>(&'t self, inputs: &'t [Tensor]) -> Result<impl Iterator<Item = (&'t Backbone, &'t Tensor)>> {
        let samples = |input: &Tensor| input.dims().first().copied().unwrap_or(0);
        let found: Vec<usize> = inputs.iter().map(samples).collect();
        if inputs.len() != self.0.len() || found.iter().any(|samples| Some(samples) != found.first()) {
            return Err(ModelError::Shape {
                what: "samples of the views of a batch",
                found,
                expected: format!("one tensor for each of {} views, of equal numbers of samples", self.0.len()),
            });
        }
        Ok(self.0.iter().zip(inputs))
    }

    /// Features `[B, d_v]` of each view.
    pub(crate) fn features(&self, inputs: &[Tensor], mode: Mode) -> Result<Vec<Tensor>> {
        self.with(inputs)?.map(|(backbone, input)| backbone.forward(input, mode)).collect()
    }

    /// Features `[B, Σ d_v]` of all views.
    pub(crate) fn forward(&self, inputs: &[Tensor], mode: Mode) -> Result<Tensor> {
        join(&self.features(inputs, mode)?)
    }
}

/// Features of several views as one; those of a single view are not copied.
pub(crate) fn join(features: &[Tensor]) -> Result<Tensor> {
    Ok(Tensor::cat(features, 1)?)
}
