//! `mtids-prep inventory` and `mtids-prep probe`: an operator's look at a folder. Raw names stay on the terminal.

use std::path::{Path, PathBuf};

use crate::error::PrepError;
use crate::identity::judge;
use crate::scan::{Scan, ScanOptions, scan};
use clap::Args;
use mtids_dicom::volume::SeriesGrid;
use mtids_dicom::{FileOutcome, Limits, check_series, group, load_pet, load_volume};
use mtids_domain::geometry::PointMm;
use mtids_domain::same_person::SamePerson;
use mtids_domain::volume::Volume;
use mtids_report::table::{Align, Table};
use mtids_runtime::exit::{Exit, ExitError};
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::text::one_line;
use serde::Serialize;
use serde_json::{Value, json};

use super::common::{pool, print};

/// List series and files of a folder, with the reason for each file that is not used
///
/// Example: mtids-prep inventory studies
#[derive(Debug, Args)]
pub(super) struct Inventory {
    /// Folder with files
    dir: PathBuf,
    /// Judge series as with reading.repair=true: tilt, single gaps and unequal steps are resampled
    #[arg(long)]
    repair: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Print the HU or SUV at points of the patient
///
/// HU for CT, SUV for PET, for each series that holds the point.
///
/// Example: mtids-prep probe studies --at -21.9,-120.5,-611.5
#[derive(Debug, Args)]
pub(super) struct Probe {
    /// Folder with files
    dir: PathBuf,
    /// Point in LPS mm; repeatable
    #[arg(long, value_name = "X,Y,Z", required = true, allow_hyphen_values = true)]
    at: Vec<String>,
    /// Read series as with reading.repair=true: tilt, single gaps and unequal steps are resampled
    #[arg(long)]
    repair: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A folder, and what became of its files.
fn look(dir: &Path) -> Result<(Scan, Vec<FileOutcome>), PrepError> {
    let options = ScanOptions { tables: &[], out: None, limits: &Limits::default() };
    scan(dir, &options, &|| {}, &Interrupt::new())
}

/// What the identifiers of a scan say against each other, in sentences; those that would stop a build first.
fn identity_faults(scanned: &Scan) -> Vec<String> {
    let verdict = judge(&scanned.headers, &scanned.objects, &SamePerson::default(), &Limits::default());
    let stops = verdict.contradictions.iter().map(|one| format!("{one} A build stops here."));
    stops.chain(verdict.warnings).collect()
}

impl Inventory {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let (scanned, outcomes, identity, grouped) = pool(None)?.install(|| {
            let (mut scanned, outcomes) = look(&self.dir)?;
            let identity = identity_faults(&scanned);
            let grouped = group(std::mem::take(&mut scanned.headers));
            Ok::<_, PrepError>((scanned, outcomes, identity, grouped))
        })?;
        let mut series = Vec::new();
        for one in &grouped.series {
            let limits = Limits { repair: self.repair, ..Limits::default() };
            let verdict = match check_series(one, &limits) {
                Ok(_) if *one.modality == *"PT" => "readable: PET with SUV".to_owned(),
                Ok(SeriesGrid { repaired: Some(repair), .. }) => format!("used, repaired: {}", repair.name()),
                Ok(_) => "used".to_owned(),
                Err(error) => format!("not used: {} ({})", error.reason(), error.detail()),
            };
            series.push(json!({
                "patient_id": &*one.patient_id, "series_uid": one.name(), "modality": &*one.modality,
                "slices": one.instances.len(), "verdict": verdict, "warnings": &one.warnings,
            }));
        }
        let mut left: Vec<Value> = Vec::new();
        let mut leave = |path: &Path, reason: &str, detail: &str| {
            left.push(json!({ "file": path.display().to_string(), "reason": reason, "detail": detail }));
        };
        let refused = outcomes.iter().filter_map(|outcome| match outcome {
            FileOutcome::Refused(refused) => Some(refused),
            _ => None,
        });
        refused.chain(&grouped.refused).for_each(|r| leave(&r.path, r.reason.as_str(), &r.detail));
        for outcome in outcomes.iter().chain(&grouped.scouts) {
            if let FileOutcome::Skipped { path, reason, detail } = outcome {
                leave(path, reason.as_str(), detail);
            }
        }
        grouped.duplicates.iter().for_each(|path| leave(path, "identical-copy", "another file has the same bytes"));
        scanned.reports.iter().for_each(|path| leave(path, "report", "read for annotations"));
        scanned.segmentations.iter().for_each(|path| leave(path, "segmentation", "read for annotations"));
        scanned
            .structures
            .iter()
            .for_each(|path| leave(path, "structures", "read for structures that a class rule matches"));
        if self.json {
            let value = json!({ "files": scanned.files, "series": series, "others": left, "identity": identity });
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
        for one in &grouped.series {
            for warning in &one.warnings {
                print(&format!("\n  {}\n", one_line(&format!("{}: {warning}", one.name()))))?;
            }
        }
        if !left.is_empty() {
            let mut table = Table::new([("other file", Align::Left), ("reason", Align::Left), ("detail", Align::Left)]);
            for one in &left {
                table.row(["file", "reason", "detail"].map(|key| text(&one[key])));
            }
            print(&format!("\n{}", table.render()))?;
        }
        if !identity.is_empty() {
            let lines: Vec<_> = identity.iter().map(|line| one_line(line)).collect();
            print(&format!("\nidentity\n  {}\n", lines.join("\n  ")))?;
        }
        Ok(Exit::Done)
    }
}

fn point(text: &str) -> Result<PointMm, ExitError> {
    let numbers: Vec<f64> = text.split(',').filter_map(|part| part.trim().parse().ok()).collect();
    match numbers.as_slice() {
        [x, y, z] if text.split(',').count() == 3 && numbers.iter().all(|number| number.is_finite()) => {
            Ok(PointMm::new(*x, *y, *z))
        }
        _ => Err(ExitError::usage(format!(
            "--at {text}: write three numbers in LPS mm, for example --at -21.9,-120.5,-611.5"
        ))),
    }
}

impl Probe {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let points: Vec<PointMm> = self.at.iter().map(|text| point(text)).collect::<Result<_, _>>()?;
        let Probed { found, faults, warnings } = pool(None)?.install(|| probe(&self.dir, &points, self.repair))?;
        if self.json {
            print(&format!("{:#}\n", json!({ "points": found, "unreadable": faults, "warnings": warnings })))?;
        } else {
            let mut table = Table::new([
                ("x,y,z mm", Align::Left),
                ("voxel i,j,k", Align::Left),
                ("nearest", Align::Right),
                ("linear", Align::Right),
                ("unit", Align::Left),
                ("series", Align::Left),
            ]);
            let list = |value: &Value| value.to_string().trim_matches(['[', ']']).to_owned();
            for one in &found {
                let unit = if one["nearest_suv"].is_null() { "hu" } else { "suv" };
                let number = |what: &str| one[format!("{what}_{unit}")].as_f64();
                let linear = number("linear").map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
                let nearest = number("nearest").map_or_else(String::new, |value| match unit {
                    "hu" => format!("{value:.0}"),
                    _ => format!("{value:.2}"),
                });
                let series = one["series_uid"].as_str().unwrap_or_default().to_owned();
                let places = [list(&one["at_mm"]), list(&one["voxel_ijk"])];
                let [at, voxel] = places;
                table.row([at, voxel, nearest, linear, unit.to_uppercase(), series]);
            }
            print(&table.render())?;
            for fault in &faults {
                print(&format!("  not readable: {}\n", one_line(fault)))?;
            }
            for warning in &warnings {
                print(&format!("  warning: {}\n", one_line(warning)))?;
            }
        }
        if found.is_empty() {
            let detail = "no CT or PET series holds any of these points".into();
            return Err(PrepError::Nothing { path: self.dir, detail }.into());
        }
        Ok(Exit::Done)
    }
}

/// What a folder says of points.
#[derive(Default)]
struct Probed {
    /// Values at points, for each series that holds them.
    found: Vec<Value>,
    /// Series that cannot be read.
    faults: Vec<String>,
    /// What must be known of the volumes that hold points.
    warnings: Vec<String>,
}

fn probe(dir: &Path, points: &[PointMm], repair: bool) -> Result<Probed, PrepError> {
    let grouped = group(look(dir)?.0.headers);
    let limits = Limits { refuse_lossy: false, repair, ..Limits::default() };
    let mut probed = Probed::default();
    for series in &grouped.series {
        let values = match &*series.modality {
            "CT" => {
                load_volume(series, &limits).map(|loaded| (values_at(&loaded.volume, points, "hu"), loaded.warnings))
            }
            "PT" => load_pet(series, &limits)
                .map(|loaded| (values_at(&loaded.volume, points, "suv"), series.warnings.clone())),
            _ => continue,
        };
        match values {
            Ok((values, warnings)) => {
                let is_held = !values.is_empty();
                probed.found.extend(values.into_iter().map(|mut value| {
                    value["series_uid"] = series.name().into();
                    value
                }));
                let told = warnings.into_iter().map(|warning| format!("series {}: {warning}", series.name()));
                probed.warnings.extend(told.filter(|_| is_held));
            }
            Err(error) => probed.faults.push(error.to_string()),
        }
    }
    Ok(probed)
}

fn values_at<T: Copy + Into<f64> + Serialize>(volume: &Volume<T>, points: &[PointMm], unit: &str) -> Vec<Value> {
    let value = |point: &PointMm| {
        let voxel = volume.affine().to_voxel(*point).nearest(volume.dimensions())?;
        Some(json!({
            "at_mm": point.0, "voxel_ijk": voxel,
            format!("nearest_{unit}"): volume.get(voxel), format!("linear_{unit}"): volume.linear(*point),
        }))
    };
    points.iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_three_finite_numbers() {
        assert_eq!(point("-21.9, -120.5,-611.5").unwrap(), PointMm::new(-21.9, -120.5, -611.5));
        for text in ["nan,0,0", "0,inf,0", "0,0,-infinity", "1,2", "1,2,3,4", "1,2,x", ""] {
            let error = point(text).unwrap_err();
            assert_eq!(error.exit, Exit::Usage, "{text}");
            assert!(error.message.contains("three numbers"), "{}", error.message);
        }
    }
}
