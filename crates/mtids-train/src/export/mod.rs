//! A trained network for other programs: an ONNX graph, a MONAI bundle around it, and the weights with a description.
//!
//! Purpose: [`export`] writes the network's part of an evaluation, with the calibration of the network alone: no measure is in it. The graph takes voxels as a row of the dataset stores them and answers with
//! probabilities (`mtids-onnx`); the safetensors hold the weights as an evaluation uses them, with averages in their place. Invariants: the
//! run is only read; a file appears whole or not at all, the description last; equal runs give equal bytes.

mod bundle;
mod description;

use std::path::{Path, PathBuf};

use mtids_models::Problem;
use mtids_onnx::{Export, Turn};
use mtids_report::format::counted;
use mtids_runtime::atomic;

pub use description::{DISCLAIMER, ExportDescription, ExportedTask, ExportedView};

use crate::calibration::Calibration;
use crate::error::TrainError;
use crate::measured::Dimension;
use crate::network::{Network, Trained, choose_device};
use crate::run_folder::RunFolder;

/// File of the weights in the folder of safetensors.
const WEIGHTS: &str = "weights.safetensors";
/// File of their description.
const DESCRIPTION: &str = "description.json";

/// Where an export goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportPlaces {
    /// The ONNX file.
    pub onnx: Option<PathBuf>,
    /// The folder of weights and description.
    pub safetensors: Option<PathBuf>,
    /// The folder of a MONAI bundle.
    pub monai: Option<PathBuf>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    /// Each file with its bytes.
    pub files: Vec<(PathBuf, usize)>,
    /// What the network is.
    pub description: ExportDescription,
    /// The calibration of the run joins measures, which no exported network has.
    pub leaves_out_measures: bool,
}

/// Writes the network of a run for other programs.
///
/// # Errors
/// [`TrainError`] for a missing or damaged run, one without a checkpoint, a bundle of a run that does not tell both dimensions, or a place that cannot
/// be written.
pub fn export(run: &Path, places: &ExportPlaces) -> Result<Exported, TrainError> {
    let folder = RunFolder::open(run)?;
    let dataset = folder.description()?;
    let device = choose_device(Some("cpu"), "cpu")?;
    let trained = Trained::load(&folder, &dataset, run, device)?;
    let untold = Dimension::untold(trained.network.model.tasks());
    if places.monai.is_some() && !untold.is_empty() {
        let reason = "no task of the run tells the region, or none the status, and a bundle answers both";
        return Err(TrainError::Mismatch { path: run.to_owned(), reason: reason.to_owned() });
    }
    let calibration = Calibration::read(&folder, &trained.weights)?;
    for dimension in &untold {
        tracing::warn!(
            "no task of {} tells the {}, so the ONNX file has no such output",
            run.display(),
            dimension.name()
        );
    }
    if calibration.is_none() && untold.is_empty() {
        tracing::warn!(
            "{} is not calibrated, so the export has no calibrated probability; run `mtids-train calibrate` before",
            run.display()
        );
    }
    let description = ExportDescription::of(&folder, &dataset, &trained, calibration.as_ref());
    let mut files = Vec::new();
    let mut write = |path: PathBuf, bytes: &[u8]| -> Result<(), TrainError> {
        atomic::write(&path, bytes).map_err(|error| TrainError::io(&path, error))?;
        files.push((path, bytes.len()));
        Ok(())
    };
    if let Some(path) = &places.onnx {
        write(path.clone(), &onnx(&trained.network, &description)?)?;
    }
    if let Some(place) = &places.monai {
        write(place.join(bundle::NETWORK), &onnx(&trained.network, &description)?)?;
        for (name, text) in bundle::files(&description) {
            write(place.join(name), text.as_bytes())?;
        }
    }
    if let Some(place) = &places.safetensors {
        let mut json = serde_json::to_value(&description).map_err(|error| TrainError::io(place, error.into()))?;
        json.sort_all_objects();
        write(place.join(WEIGHTS), &trained.network.parameters.to_bytes()?)?;
        write(place.join(DESCRIPTION), format!("{json:#}\n").as_bytes())?;
    }
    let leaves_out_measures = calibration.is_some_and(|calibration| calibration.fusion.is_some());
    Ok(Exported { files, description, leaves_out_measures })
}

/// The bytes of the ONNX file.
fn onnx(network: &Network, description: &ExportDescription) -> Result<Vec<u8>, TrainError> {
    let problem = Problem {
        regions: description.regions.len(),
        measures: description.measures(),
        views: network.transform.inputs(),
    };
    let views = network.transform.stored_views();
    let turns: Vec<Turn> = network.transform.turns();
    let properties = properties(description);
    let meaning = format!(
        "{} of mtids: the region of a lymph node and whether it is metastatic, from voxels around it. {DISCLAIMER}",
        description.model.architecture().title()
    );
    let export = Export {
        model: &description.model,
        problem: &problem,
        parameters: &network.parameters,
        views: &views,
        turns: &turns,
        calibration: description.calibration,
        meaning: &meaning,
        properties: &properties,
    };
    Ok(export.to_bytes()?)
}

/// What the ONNX file says of itself; values that are lists are JSON.
fn properties(description: &ExportDescription) -> Vec<(String, String)> {
    let json = |value: serde_json::Value| value.to_string();
    let views = description.views.iter().map(|view| {
        serde_json::json!({
            "name": view.stored.name, "channels": view.channel_names, "size": view.stored.size,
            "spacing_mm": view.spacing_mm, "planes": view.planes.name(),
        })
    });
    let pairs = [
        ("disclaimer", DISCLAIMER.to_owned()),
        ("program", description.program.clone()),
        ("architecture", description.model.architecture().key().to_owned()),
        ("weights", description.weights.clone()),
        ("configuration", description.configuration.clone()),
        ("dataset", description.dataset.clone()),
        ("regions", json(serde_json::json!(description.regions))),
        ("joint_classes", json(serde_json::json!(description.joint_classes))),
        ("views", json(views.collect())),
        ("symmetries", description.symmetries.len().to_string()),
        ("calibrated", description.calibration.is_some().to_string()),
    ];
    pairs.map(|(key, value)| (format!("mtids.{key}"), value)).to_vec()
}

/// What was written, for the terminal.
pub fn text(exported: &Exported) -> String {
    let description = &exported.description;
    let mut text = String::new();
    for (path, bytes) in &exported.files {
        text.push_str(&format!("  {} ({:.1} MB)\n", path.display(), *bytes as f64 / 1e6));
    }
    for view in &description.views {
        let ([d, h, w], channels) = (view.stored.size, view.channel_names.join(", "));
        text.push_str(&format!("  input {}: {channels}, {d} × {h} × {w} voxels as stored\n", view.stored.name));
    }
    let symmetries = counted(description.symmetries.len() as u64, "orientation", "orientations");
    let calibrated = if description.calibration.is_some() { "calibrated" } else { "not calibrated" };
    text.push_str(&format!("  probabilities over {symmetries}, {calibrated}\n"));
    if exported.leaves_out_measures {
        text.push_str(
            "  probabilities are the network's alone; `mtids-train predict` joins them with measures of the node\n",
        );
    }
    text.push_str(&format!("  {DISCLAIMER}\n"));
    text
}
