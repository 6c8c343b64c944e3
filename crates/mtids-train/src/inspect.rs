//! What a run is: what it was started with, where it stands, which layers it has.
//!
//! Invariant: the run is only read, and its dataset is not needed.

use std::collections::BTreeMap;
use std::path::Path;

use mtids_layers::Parameters;
use mtids_report::format::counted;
use mtids_report::table::{Align, Table};
use serde::Serialize;

use crate::calibration::Calibration;
use crate::error::TrainError;
use crate::network::{Trained, choose_device};
use crate::run_folder::{Origin, OriginKind, RunFolder, TrainingRange};

/// A view as the network takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedView {
    /// Name.
    pub name: String,
    /// Channels, depth, height, width.
    pub shape: [usize; 4],
}

/// A tensor of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedTensor {
    /// Name.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// It is trained; otherwise it is a running statistic.
    pub trained: bool,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Version of the program that trained.
    pub program: String,
    /// Seed.
    pub seed: u64,
    /// Digest of the dataset.
    pub dataset: String,
    /// Digest of the configuration.
    pub configuration: String,
    /// The run that it began from, where there is one.
    pub origin: Option<Origin>,
    /// Digest of the weights that an evaluation uses.
    pub weights: String,
    /// Step of those weights.
    pub step: u64,
    /// They are the best on the validation split; otherwise the last ones.
    pub best_on_validation: bool,
    /// Architecture.
    pub architecture: String,
    /// Balancer.
    pub balancer: String,
    /// Tasks.
    pub tasks: Vec<String>,
    /// Classes of the region dimension.
    pub regions: Vec<String>,
    /// Views.
    pub views: Vec<InspectedView>,
    /// Patients of the training and the validation split, where they are on record.
    pub patients: Option<[usize; 2]>,
    /// There is a calibration of these weights.
    pub calibrated: bool,
    /// What the training split was like is on record.
    pub has_training_range: bool,
    /// Numbers that are trained.
    pub parameters: usize,
    /// All tensors, trained ones first.
    pub tensors: Vec<InspectedTensor>,
}

/// All tensors of a network, trained ones first.
pub(crate) fn tensors_of(parameters: &Parameters) -> Vec<InspectedTensor> {
    let tensor = |name: String, shape: &[usize], trained| InspectedTensor { name, shape: shape.to_vec(), trained };
    let variables = parameters.variables().into_iter();
    let statistics = parameters.statistics().into_iter();
    variables
        .map(|(name, variable)| tensor(name, variable.dims(), true))
        .chain(statistics.map(|(name, statistic)| tensor(name, statistic.dims(), false)))
        .collect()
}

/// Looks at a run.
///
/// # Errors
/// [`TrainError`] for a missing or damaged run, or one without a checkpoint.
pub fn inspect(run: &Path) -> Result<Inspection, TrainError> {
    let folder = RunFolder::open(run)?;
    let description = folder.description()?;
    let device = choose_device(Some("cpu"), "cpu")?;
    let Trained { network, step, best_on_validation, weights } = Trained::load(&folder, &description, run, device)?;
    let identity = folder.identity();
    let tensors = tensors_of(&network.parameters);
    let views = network.transform.inputs().into_iter();
    Ok(Inspection {
        program: identity.program.version.clone(),
        seed: identity.seed,
        origin: identity.origin.clone(),
        dataset: identity.dataset_digest.to_string(),
        configuration: identity.config_digest.to_string(),
        calibrated: Calibration::read(&folder, &weights)?.is_some(),
        weights: weights.to_string(),
        step,
        best_on_validation,
        architecture: network.model.architecture().title().to_owned(),
        balancer: folder.config().balancer.method().to_owned(),
        tasks: network.model.tasks().tasks().iter().map(|task| task.name.clone()).collect(),
        regions: description.regions.regions().iter().map(|region| region.name.clone()).collect(),
        views: views.map(|view| InspectedView { name: view.name, shape: view.shape }).collect(),
        patients: folder.trained_on()?.map(|on| [on.train.len(), on.validation.len()]),
        has_training_range: TrainingRange::read(run)?.is_some(),
        parameters: network.parameters.count(),
        tensors,
    })
}

/// The part of a tensor's name that says what it belongs to: its first two words.
fn part(name: &str) -> String {
    name.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// A run in words: what it is, and its parameters by part, or every tensor where `all` is set.
pub fn text(inspection: &Inspection, all: bool) -> String {
    let Inspection { program, seed, step, architecture, balancer, .. } = inspection;
    let short = |digest: &str| digest.chars().take(16).collect::<String>();
    let weights = if inspection.best_on_validation { "best on validation" } else { "last" };
    let mut text = format!(
        "\n  {architecture} with {balancer}, mtids-train {program}, seed {seed}\n  {weights} weights, step {step}, {}{}\n",
        short(&inspection.weights),
        if inspection.calibrated { ", calibrated" } else { ", not calibrated" }
    );
    text.push_str(&format!(
        "  dataset {}, configuration {}\n",
        short(&inspection.dataset),
        short(&inspection.configuration)
    ));
    if let Some(Origin { kind, weights, step, epochs, .. }) = &inspection.origin {
        let weights = short(&weights.to_string());
        text.push_str(&match kind {
            OriginKind::Weights => format!("  began with weights {weights} of another run, step {step}\n"),
            OriginKind::Segment => format!("  a further segment of a training of {epochs} epochs, weights {weights}\n"),
        });
    }
    if let Some([train, validation]) = inspection.patients {
        text.push_str(&format!("  trained on {train} patients, watched on {validation}\n"));
    }
    text.push_str(&format!("  tasks: {}\n", inspection.tasks.join(", ")));
    text.push_str(&format!("  regions: {}\n", inspection.regions.join(", ")));
    for InspectedView { name, shape: [channels, d, h, w] } in &inspection.views {
        let channels = counted(*channels as u64, "channel", "channels");
        text.push_str(&format!("  view {name}: {channels} of {d} × {h} × {w}\n"));
    }
    text.push('\n');
    text.push_str(&if all { tensors(inspection) } else { parts(inspection) });
    text.push_str(&format!("  {} trained numbers\n", inspection.parameters));
    text
}

fn parts(inspection: &Inspection) -> String {
    let mut parts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for tensor in inspection.tensors.iter().filter(|tensor| tensor.trained) {
        let (tensors, numbers) = parts.entry(part(&tensor.name)).or_default();
        *tensors += 1;
        *numbers += tensor.shape.iter().product::<usize>();
    }
    let mut table = Table::new([("part", Align::Left), ("tensors", Align::Right), ("numbers", Align::Right)]);
    for (part, (tensors, numbers)) in parts {
        table.row([part, tensors.to_string(), numbers.to_string()]);
    }
    table.render()
}

fn tensors(inspection: &Inspection) -> String {
    let mut table = Table::new([("tensor", Align::Left), ("shape", Align::Left), ("", Align::Left)]);
    for tensor in &inspection.tensors {
        let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
        let note = if tensor.trained { "" } else { "running statistic" };
        table.row([tensor.name.clone(), shape.join(" × "), note.to_owned()]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_the_first_two_words_of_a_name() {
        assert_eq!(part("trunk.near.stem.weight"), "trunk.near");
        assert_eq!(part("eta"), "eta");
    }
}
