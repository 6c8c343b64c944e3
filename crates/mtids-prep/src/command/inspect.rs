//! `mtids-prep inventory` and `mtids-prep probe`: an operator's look at a folder. Raw names stay on the terminal.

use std::path::{Path, PathBuf};

use clap::Args;
use mtids_core::exit::{Exit, ExitError};
use mtids_core::geometry::PointMm;
use mtids_core::interrupt::Interrupt;
use mtids_dicom::volume::check_geometry;
use mtids_dicom::{GroupingOutcome, Limits, group, load_volume};
use mtids_prep::error::PrepError;
use mtids_prep::scan::{Scan, scan};
use mtids_report::table::{Align, Table};
use serde_json::{Value, json};

use super::print;

/// List what a folder holds: which series would be taken, and why each other file would not.
///
/// Example: mtids-prep inventory studies
#[derive(Debug, Args)]
pub(super) struct Inventory {
    /// Folder with files
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Print the HU at points of the patient, for each CT series that holds them.
///
/// Example: mtids-prep probe studies --at -21.9,-120.5,-611.5
#[derive(Debug, Args)]
pub(super) struct Probe {
    /// Folder with files
    dir: PathBuf,
    /// Point in LPS mm; repeatable
    #[arg(long, value_name = "X,Y,Z", required = true, allow_hyphen_values = true)]
    at: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn look(dir: &Path) -> Result<(Scan, GroupingOutcome), PrepError> {
    let mut scanned = scan(dir, &[], &Limits::default(), &|| {}, &Interrupt::new())?;
    let grouped = group(std::mem::take(&mut scanned.headers));
    Ok((scanned, grouped))
}

impl Inventory {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let (scanned, grouped) = look(&self.dir)?;
        let mut series = Vec::new();
        for one in &grouped.series {
            let verdict = match check_geometry(one, &Limits::default()) {
                _ if one.modality != "CT" => "left: not CT".to_owned(),
                Ok(_) => "taken".to_owned(),
                Err(error) => format!("left: {} ({})", error.reason(), error.detail()),
            };
            series.push(json!({
                "patient_id": one.patient_id, "series_uid": one.name(), "modality": one.modality,
                "slices": one.instances.len(), "verdict": verdict,
            }));
        }
        let mut left: Vec<Value> = Vec::new();
        let mut leave = |path: &Path, reason: &str, detail: &str| {
            left.push(json!({ "file": path.display().to_string(), "reason": reason, "detail": detail }));
        };
        scanned.refused.iter().chain(&grouped.refused).for_each(|r| leave(&r.path, r.reason.as_str(), &r.detail));
        scanned.skipped_files.iter().for_each(|(path, reason)| leave(path, reason, "skipped"));
        grouped.duplicates.iter().for_each(|path| leave(path, "identical-copy", "skipped"));
        scanned.segmentations.iter().for_each(|path| leave(path, "segmentation", "read for findings"));
        scanned
            .structures
            .iter()
            .for_each(|path| leave(path, "structures", "read for findings that structure_names chooses"));
        if self.json {
            let value = json!({ "files": scanned.files, "series": series, "others": left });
            print(&format!("{value:#}\n"))?;
            return Ok(Exit::Done);
        }
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut table = Table::new([
            ("patient", Align::Left),
            ("modality", Align::Left),
            ("slices", Align::Right),
            ("verdict", Align::Left),
            ("series", Align::Left),
        ]);
        for one in &series {
            table.row(["patient_id", "modality", "slices", "verdict", "series_uid"].map(|key| text(&one[key])));
        }
        print(&format!("{} files, {} series\n\n{}", scanned.files, series.len(), table.render()))?;
        if !left.is_empty() {
            let mut table = Table::new([("other file", Align::Left), ("reason", Align::Left), ("detail", Align::Left)]);
            for one in &left {
                table.row(["file", "reason", "detail"].map(|key| text(&one[key])));
            }
            print(&format!("\n{}", table.render()))?;
        }
        Ok(Exit::Done)
    }
}

fn point(text: &str) -> Result<PointMm, ExitError> {
    let numbers: Vec<f64> = text.split(',').filter_map(|part| part.trim().parse().ok()).collect();
    match numbers.as_slice() {
        [x, y, z] if text.split(',').count() == 3 => Ok(PointMm::new(*x, *y, *z)),
        _ => Err(ExitError::usage(format!(
            "--at {text}: write three numbers in LPS mm, for example --at -21.9,-120.5,-611.5"
        ))),
    }
}

impl Probe {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let points: Vec<PointMm> = self.at.iter().map(|text| point(text)).collect::<Result<_, _>>()?;
        let (_, grouped) = look(&self.dir)?;
        let mut found = Vec::new();
        let mut faults = Vec::new();
        for series in grouped.series.iter().filter(|series| series.modality == "CT") {
            let limits = Limits { refuse_lossy: false, ..Limits::default() };
            let volume = match load_volume(series, &limits) {
                Ok(loaded) => loaded.volume,
                Err(error) => {
                    faults.push(error.to_string());
                    continue;
                }
            };
            for point in &points {
                let Some(voxel) = volume.affine().to_voxel(*point).nearest(volume.dimensions()) else { continue };
                found.push(json!({
                    "series_uid": series.name(), "at_mm": point.0, "voxel_ijk": voxel,
                    "nearest_hu": volume.get(voxel), "linear_hu": volume.linear_hu(*point),
                }));
            }
        }
        if self.json {
            print(&format!("{:#}\n", json!({ "points": found, "unreadable": faults })))?;
        } else {
            let mut table = Table::new([
                ("x,y,z mm", Align::Left),
                ("voxel i,j,k", Align::Left),
                ("nearest HU", Align::Right),
                ("linear HU", Align::Right),
                ("series", Align::Left),
            ]);
            let list = |value: &Value| value.to_string().trim_matches(['[', ']']).to_owned();
            for one in &found {
                let linear = one["linear_hu"].as_f64().map_or_else(|| "–".to_owned(), |hu| format!("{hu:.2}"));
                let series = one["series_uid"].as_str().unwrap_or_default().to_owned();
                table.row([list(&one["at_mm"]), list(&one["voxel_ijk"]), list(&one["nearest_hu"]), linear, series]);
            }
            print(&table.render())?;
            for fault in &faults {
                print(&format!("  not readable: {fault}\n"))?;
            }
        }
        if found.is_empty() {
            return Err(
                PrepError::Nothing { path: self.dir, detail: "no CT series holds any of these points".into() }.into()
            );
        }
        Ok(Exit::Done)
    }
}
