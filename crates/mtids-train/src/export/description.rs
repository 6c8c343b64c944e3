//! What an exported network is: everything that somebody needs to feed it and to read its answers.
//!
//! Invariant: no path, host or time of day, so equal runs have equal descriptions. Units: mm, voxels (d, h, w).

use mtids_models::{ModelConfig, TaskKind};
use mtids_onnx::{Platt, StoredView, Turn};
use mtids_shards::{DatasetDescription, Planes};
use serde::Serialize;

use crate::calibration::Calibration;
use crate::inspect::{InspectedTensor, tensors_of};
use crate::network::Trained;
use crate::run_folder::RunFolder;

/// What every exported file says of itself.
pub const DISCLAIMER: &str = "Research software, not for diagnosis.";

/// A task of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportedTask {
    /// Its name, part of the names of its weights.
    pub name: String,
    /// Its kind.
    pub kind: TaskKind,
    /// Outputs of its head.
    pub outputs: usize,
    /// Its class for each joint class; empty for a regression.
    pub class_of_joint: Vec<Option<usize>>,
}

/// A view of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExportedView {
    /// What is stored, and what is done with it.
    #[serde(flatten)]
    pub stored: StoredView,
    /// Names of the stored channels.
    pub channel_names: Vec<&'static str>,
    /// Distance of neighbouring voxels along (d, h, w).
    pub spacing_mm: [f64; 3],
    /// What d runs over.
    pub planes: Planes,
    /// Shape `[C, d, h, w]` of the network's input.
    pub input: [usize; 4],
}

/// An exported network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExportDescription {
    /// Version of this description.
    pub version: u32,
    /// What it is not for.
    pub disclaimer: &'static str,
    /// Program that exported.
    pub program: String,
    /// Digest of the weights as an evaluation uses them; that of the file of weights.
    pub weights: String,
    /// Step of the weights.
    pub step: u64,
    /// They are the best on the validation split; otherwise the last ones.
    pub best_on_validation: bool,
    /// Digest of the run's configuration.
    pub configuration: String,
    /// Digest of the dataset that the run was trained on.
    pub dataset: String,
    /// Seed of the run.
    pub seed: u64,
    /// The network's settings, with nothing left open.
    pub model: ModelConfig,
    /// Tasks, in the order of the network's.
    pub tasks: Vec<ExportedTask>,
    /// Regions, in the order of their codes.
    pub regions: Vec<String>,
    /// Joint classes, in the order of their codes.
    pub joint_classes: Vec<String>,
    /// Views, in the order of the network's inputs.
    pub views: Vec<ExportedView>,
    /// Symmetries over which probabilities are averaged.
    pub symmetries: Vec<Turn>,
    /// The map of the logit of metastasis, where the weights are calibrated: that of the network alone, without measures.
    pub calibration: Option<Platt>,
    /// All tensors of the weights.
    pub tensors: Vec<InspectedTensor>,
}

impl ExportDescription {
    /// Version of this form.
    const VERSION: u32 = 1;

    /// Describes a loaded run.
    pub(super) fn of(
        folder: &RunFolder,
        dataset: &DatasetDescription,
        trained: &Trained,
        calibration: Option<&Calibration>,
    ) -> Self {
        let (network, identity) = (&trained.network, folder.identity());
        let regions: Vec<String> = dataset.regions.regions().iter().map(|region| region.name.clone()).collect();
        let joint_classes =
            regions.iter().flat_map(|region| ["benign", "metastatic"].map(|state| format!("{region} {state}")));
        let tasks = network.model.tasks().tasks().iter().map(|task| ExportedTask {
            name: task.name.clone(),
            kind: task.kind,
            outputs: task.classes,
            class_of_joint: task.table.clone(),
        });
        let stored = network.transform.stored_views().into_iter().zip(network.transform.inputs());
        let views = stored.zip(&dataset.views).map(|((stored, input), view)| ExportedView {
            stored,
            channel_names: view.channels.iter().map(|channel| channel.name()).collect(),
            spacing_mm: view.geometry.spacing_mm,
            planes: view.geometry.planes,
            input: input.shape,
        });
        Self {
            version: Self::VERSION,
            disclaimer: DISCLAIMER,
            program: format!("mtids-train {}", env!("CARGO_PKG_VERSION")),
            weights: trained.weights.to_string(),
            step: trained.step,
            best_on_validation: trained.best_on_validation,
            configuration: identity.config_digest.to_string(),
            dataset: identity.dataset_digest.to_string(),
            seed: identity.seed,
            model: folder.config().model.clone(),
            tasks: tasks.collect(),
            joint_classes: joint_classes.collect(),
            regions,
            views: views.collect(),
            symmetries: network.transform.turns(),
            calibration: calibration.map(Calibration::platt),
            tensors: tensors_of(&network.parameters),
        }
    }

    /// Measures that the network predicts; 0 without a task for them.
    pub(super) fn measures(&self) -> usize {
        self.tasks.iter().find(|task| task.kind == TaskKind::Measures).map_or(0, |task| task.outputs)
    }
}
