//! `mtids-train export`.

use std::path::{Path, PathBuf};

use crate::error::TrainError;
use crate::export::{ExportPlaces, export, text};
use clap::{ArgGroup, Args};

use super::common::{print, refuse_product};

/// Write the network of a run for other programs: ONNX, safetensors, MONAI
///
/// The ONNX graph takes voxels as a row of the dataset stores them and computes the network's part of an evaluation, with the calibration of the network alone. The folder of
/// safetensors holds the weights and description.json. The dataset is not needed, and nothing of the run is changed. Research software, not for diagnosis.
///
/// Example: mtids-train export --run run --onnx mt-ids.onnx
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").required(true).multiple(true).args(["onnx", "safetensors", "monai"])))]
pub(crate) struct Export {
    /// Folder of the run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// The ONNX file
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    /// Folder of the weights with their description
    #[arg(long, value_name = "DIR")]
    safetensors: Option<PathBuf>,
    /// Folder of a MONAI bundle around the ONNX graph
    #[arg(long, value_name = "DIR")]
    monai: Option<PathBuf>,
    /// Print the description as JSON
    #[arg(long)]
    json: bool,
}

impl Export {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        if let Some(path) = &self.onnx {
            // A file beside a product is as much in its way as one inside.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            refuse_product("--onnx", folder)?;
            if path.exists() && path.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("onnx")) {
                let reason = format!("{} is there and is no .onnx file; give another name", path.display());
                return Err(TrainError::argument("--onnx", reason).into());
            }
        }
        for (argument, folder) in [("--safetensors", &self.safetensors), ("--monai", &self.monai)] {
            folder.as_ref().map_or(Ok(()), |folder| refuse_product(argument, folder))?;
        }
        let places = ExportPlaces { onnx: self.onnx, safetensors: self.safetensors, monai: self.monai };
        let exported = export(&self.run, &places)?;
        if self.json {
            return print(&format!("{}\n", serde_json::to_string_pretty(&exported.description)?));
        }
        print(&text(&exported))
    }
}
