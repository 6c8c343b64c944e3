//! The files of a MONAI bundle around the ONNX graph.
//!
//! Purpose: `python -m monai.bundle run` asks the graph about the rows of a dataset. Layout by MONAI's specification of bundles: `configs/metadata.json`,
//! `configs/inference.json`, `models/`, `scripts/`, `docs/`. Invariants: nothing is downloaded; no path of this machine and no time of day.

use serde_json::{Map, Value, json};

use super::description::{DISCLAIMER, ExportDescription};

const INFERENCE: &str = include_str!("inference.json");
const ANSWERS: &str = include_str!("answers.py");
const README: &str = include_str!("README.md");

/// Versions of Python packages with which a bundle was run (`make check-monai`).
const MONAI: &str = "1.6.0";
const ONNXRUNTIME: &str = "1.32.0";

/// Where the graph lies in a bundle.
pub(super) const NETWORK: &str = "models/network.onnx";

/// Every file but the graph, with its place in the bundle.
pub(super) fn files(description: &ExportDescription) -> Vec<(&'static str, String)> {
    vec![
        ("configs/metadata.json", format!("{:#}\n", metadata(description))),
        ("configs/inference.json", INFERENCE.to_owned()),
        ("scripts/__init__.py", String::new()),
        ("scripts/answers.py", ANSWERS.to_owned()),
        ("docs/README.md", README.to_owned()),
    ]
}

/// `metadata.json`: the keys that MONAI asks for, and under `mtids` what the scripts need.
fn metadata(description: &ExportDescription) -> Value {
    let inputs: Map<String, Value> = description
        .views
        .iter()
        .map(|view| {
            let channels = &view.channel_names;
            let names: Map<String, Value> =
                channels.iter().enumerate().map(|(n, name)| (n.to_string(), json!(name))).collect();
            let input = json!({
                "type": "image",
                "format": "hounsfield",
                "modality": "CT",
                "num_channels": channels.len(),
                "spatial_shape": view.stored.size,
                "dtype": "float32",
                "value_range": [-32768, 32767],
                "is_patch_data": true,
                "channel_def": names,
                "spacing_mm": view.spacing_mm,
            });
            (view.stored.name.clone(), input)
        })
        .collect();
    let classes: Map<String, Value> =
        description.joint_classes.iter().enumerate().map(|(n, name)| (n.to_string(), json!(name))).collect();
    let shapes: Map<String, Value> = description
        .views
        .iter()
        .map(|view| {
            let [d, h, w] = view.stored.size;
            (view.stored.name.clone(), json!([view.channel_names.len(), d, h, w]))
        })
        .collect();
    json!({
    "version": env!("CARGO_PKG_VERSION"),
        "changelog": { env!("CARGO_PKG_VERSION"): "written by mtids-train export" },
        "monai_version": MONAI,
        "required_packages_version": { "onnxruntime": ONNXRUNTIME },
        "name": "Region and metastasis of mediastinal lymph nodes",
        "task": "classification of marked lymph nodes in chest CT",
        "description": format!(
            "{}: in which mediastinal region a lymph node lies, and whether it is metastatic",
            description.model.architecture().title()
        ),
        "authors": description.program,
        "copyright": "",
        "intended_use": DISCLAIMER,
        "data_type": "rows of a dataset of mtids-prep",
        "network_data_format": {
            "inputs": inputs,
            "outputs": {
                "pooled": {
                    "type": "probabilities",
                    "format": "classes",
                    "num_channels": description.joint_classes.len(),
                    "spatial_shape": [],
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": false,
                    "channel_def": classes,
                },
            },
        },
        "mtids": {
            "regions": description.regions,
            "joint_classes": description.joint_classes,
            "views": shapes,
            "weights": description.weights,
            "configuration": description.configuration,
            "dataset": description.dataset,
            "calibrated": description.calibration.is_some(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_reads_what_the_bundle_holds() {
        let inference: Value = serde_json::from_str(INFERENCE).unwrap();
        assert!(inference["session"]["path_or_bytes"].as_str().unwrap().ends_with(&format!("/{NETWORK}'")));
        for function in ["rows", "answer"] {
            assert!(ANSWERS.contains(&format!("def {function}(")), "{function}");
            assert!(INFERENCE.contains(&format!("import_module('scripts.answers').{function}(")), "{function}");
        }
        for key in ["dataset_dir", "split", "output", "bundle_root"] {
            assert!(inference.get(key).is_some() && README.contains(&format!("--{key}")), "{key}");
        }
    }
}
