//! Inputs that users of other tools reported, as small synthetic cases: the kind of source, the outcome, the values.
//!
//! Purpose: no label is ever silently wrong. Each area has a table of [`Case`]s; [`check_all`] runs the programs on every case and names
//! all that end otherwise. Inputs are written by the tests themselves ([`study`], [`objects`]), element by element, so that they owe
//! nothing to the readers under test. Units: LPS mm, HU.

mod assignment;
mod contours;
mod dicom;
mod filesystem;
mod identity;
mod masks;
mod objects;
mod pet;
mod pixels;
mod rejections;
mod reports;
mod series;
mod shared;
mod stations;
mod study;
mod tables;
mod training;

use std::path::Path;

use mtids_domain::pseudonym::PseudonymSecret;
use mtids_shards::{Dataset, RowKind, RowLabels};
use serde_json::Value;

use crate::support::{Finished, program, text};

/// The secret of all cases.
pub(crate) const KEY: &str = "a secret of at least sixteen bytes";

/// An input and how it must end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// Short name.
    pub(crate) name: &'static str,
    /// Public report of the kind, or the part of the standard.
    pub(crate) source: &'static str,
    /// Writes the input into an empty folder: `dicom/` with DICOM files, and annotation files beside it.
    pub(crate) make: fn(&Path),
    /// Arguments behind `mtids-prep build --data dicom`; paths are relative to the folder.
    pub(crate) arguments: &'static [&'static str],
    /// How it must end.
    pub(crate) expect: Expect,
}

/// How a case must end. [`Expect::NOTHING`] expects exit code 0 and says nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expect {
    /// Exit code of the build.
    pub(crate) code: i32,
    /// All findings, in any order; `None` where they do not matter.
    pub(crate) findings: Option<&'static [Found]>,
    /// What the build must say.
    pub(crate) says: &'static [&'static str],
    /// What the build must not say.
    pub(crate) never_says: &'static [&'static str],
    /// Slices of the usable CT volumes, in ascending order.
    pub(crate) volumes: Option<&'static [usize]>,
    /// HU at places, one of the volumes must have it within 1 HU.
    pub(crate) probes: &'static [([f64; 3], f64)],
    /// Numbers in the JSON summary of the build, by pointer, for example `/totals/skipped`.
    pub(crate) counts: &'static [(&'static str, u64)],
}

impl Expect {
    /// Exit code 0.
    pub(crate) const NOTHING: Self =
        Self { code: 0, findings: None, says: &[], never_says: &["panicked"], volumes: None, probes: &[], counts: &[] };

    /// Exit code 0 and exactly these findings.
    pub(crate) const fn found(findings: &'static [Found]) -> Self {
        Self { findings: Some(findings), ..Self::NOTHING }
    }

    /// This exit code, and a message with these words.
    pub(crate) const fn refused(code: i32, says: &'static [&'static str]) -> Self {
        Self { code, says, ..Self::NOTHING }
    }

    /// This exit code.
    pub(crate) const fn code(self, code: i32) -> Self {
        Self { code, ..self }
    }

    /// A message with these words.
    pub(crate) const fn says(self, says: &'static [&'static str]) -> Self {
        Self { says, ..self }
    }
}

/// A finding of the dataset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Its place in LPS mm.
    pub(crate) at_mm: [f64; 3],
    /// How far it may lie from there.
    pub(crate) tolerance_mm: f64,
    /// Station; `Some("")` where it must be unknown.
    pub(crate) station: Option<&'static str>,
    /// Region; `Some("")` where it must be unknown.
    pub(crate) region: Option<&'static str>,
    /// Status 0 or 1; `Some(-1)` where it must be unknown.
    pub(crate) metastasis: Option<i8>,
    /// PatientID.
    pub(crate) patient: Option<&'static str>,
}

impl Found {
    /// A finding at a place, within 1.5 mm.
    pub(crate) const fn at(x: f64, y: f64, z: f64) -> Self {
        let at_mm = [x, y, z];
        Self { at_mm, tolerance_mm: 1.5, station: None, region: None, metastasis: None, patient: None }
    }

    /// With a station.
    pub(crate) const fn station(self, station: &'static str) -> Self {
        Self { station: Some(station), ..self }
    }

    /// With a region.
    pub(crate) const fn region(self, region: &'static str) -> Self {
        Self { region: Some(region), ..self }
    }

    /// With a status.
    pub(crate) const fn metastasis(self, metastasis: i8) -> Self {
        Self { metastasis: Some(metastasis), ..self }
    }

    /// Of a patient.
    pub(crate) const fn patient(self, patient: &'static str) -> Self {
        Self { patient: Some(patient), ..self }
    }

    /// Within another distance.
    pub(crate) const fn within(self, tolerance_mm: f64) -> Self {
        Self { tolerance_mm, ..self }
    }

    /// Whether a row is this finding.
    fn is(&self, row: &RowLabels) -> bool {
        let distance = (0..3).map(|axis| (row.center_mm[axis] - self.at_mm[axis]).powi(2)).sum::<f64>().sqrt();
        let station = row.station.map_or("", |station| station.code());
        let region = row.region_name.as_deref().unwrap_or_default();
        let metastasis = row.metastasis.map_or(-1, |status| i8::from(status.name() == "metastatic"));
        let secret = PseudonymSecret::from_bytes(KEY.as_bytes()).unwrap();
        distance <= self.tolerance_mm
            && self.station.is_none_or(|expected| expected == station)
            && self.region.is_none_or(|expected| expected == region)
            && self.metastasis.is_none_or(|expected| expected == metastasis)
            && self.patient.is_none_or(|expected| secret.patient(expected) == row.patient_key)
    }
}

/// Runs a program in a folder.
pub(crate) fn run_in(folder: &Path, name: &str, arguments: &[&str]) -> Finished {
    let output = program(name).current_dir(folder).args(arguments).output().unwrap();
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs every case of a table and fails with all that end otherwise.
pub(crate) fn check_all(cases: &[Case]) {
    let faults: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            assert!(!case.source.is_empty(), "{}: name the public report or the part of the standard", case.name);
            let folder = tempfile::tempdir().unwrap();
            (case.make)(folder.path());
            check(folder.path(), case.arguments, &case.expect)
                .map_err(|fault| format!("{} ({}): {fault}", case.name, case.source))
                .err()
        })
        .collect();
    assert!(faults.is_empty(), "{} of {} cases:\n\n{}", faults.len(), cases.len(), faults.join("\n\n"));
}

/// Builds the input of `folder` and compares with what is expected.
pub(crate) fn check(folder: &Path, arguments: &[&str], expect: &Expect) -> Result<(), String> {
    std::fs::write(folder.join("secret.key"), KEY).unwrap();
    let mut build = vec!["build", "--data", "dicom", "--out", "dataset", "--json"];
    build.extend(["--set", "pseudonym.key_file=\"secret.key\""]);
    build.extend(arguments);
    let done = run_in(folder, "mtids-prep", &build);
    let fail = |what: String| Err(format!("{what}\n--- stdout\n{}\n--- stderr\n{}", done.stdout, done.stderr));
    if done.code != expect.code {
        return fail(format!("exit code {}, expected {}", done.code, expect.code));
    }
    let said = done.text();
    if let Some(missing) = expect.says.iter().find(|words| !said.contains(**words)) {
        return fail(format!("it does not say `{missing}`"));
    }
    if let Some(words) = expect.never_says.iter().find(|words| said.contains(**words)) {
        return fail(format!("it says `{words}`"));
    }
    if let Some(expected) = expect.findings {
        let rows = findings(&folder.join("dataset"));
        let places: Vec<String> = rows.iter().map(describe).collect();
        if let Some(missing) = expected.iter().find(|one| rows.iter().filter(|row| one.is(row)).count() != 1) {
            return fail(format!("not exactly one finding is {missing:?}; there are {places:#?}"));
        }
        if rows.len() != expected.len() {
            return fail(format!("{} findings, expected {}: {places:#?}", rows.len(), expected.len()));
        }
    }
    let summary: Value = serde_json::from_str(&done.stdout).unwrap_or_default();
    for (pointer, expected) in expect.counts {
        if summary.pointer(pointer).and_then(Value::as_u64) != Some(*expected) {
            return fail(format!("{pointer} is {:?}, expected {expected}", summary.pointer(pointer)));
        }
    }
    if let Some(expected) = expect.volumes {
        let volumes = volumes(folder);
        if volumes != expected {
            return fail(format!("usable volumes of {volumes:?} slices, expected {expected:?}"));
        }
    }
    for (at, expected) in expect.probes {
        let values = probe(folder, *at, "hu");
        if !values.iter().any(|value| (value - expected).abs() <= 1.0) {
            return fail(format!("{values:?} HU at {at:?}, expected {expected}"));
        }
    }
    Ok(())
}

/// The rows of findings of a dataset; none where there is no dataset.
pub(crate) fn findings(dataset: &Path) -> Vec<RowLabels> {
    let Ok(dataset) = Dataset::open(dataset) else { return Vec::new() };
    let rows = dataset.index().unwrap();
    rows.into_iter().filter(|row| row.kind == RowKind::Finding).collect()
}

fn describe(row: &RowLabels) -> String {
    let station = row.station.map(|station| station.code());
    let status = row.metastasis.map(|status| status.name());
    format!("{:?} {station:?} {:?} {status:?} of {}", row.center_mm, row.region_name, row.patient_key.as_str())
}

/// Slices of the CT volumes that an inventory calls used, in ascending order.
pub(crate) fn volumes(folder: &Path) -> Vec<usize> {
    let inventory = run_in(folder, "mtids-prep", &["inventory", "dicom", "--json"]);
    let inventory: Value = serde_json::from_str(&inventory.stdout).unwrap();
    let series = inventory["series"].as_array().unwrap();
    let used = series.iter().filter(|one| one["modality"] == "CT" && one["verdict"] == "used");
    let mut volumes: Vec<usize> = used.map(|one| one["slices"].as_u64().unwrap() as usize).collect();
    volumes.sort_unstable();
    volumes
}

/// HU (`hu`) or SUV (`suv`) of every series that holds a place, interpolated.
pub(crate) fn probe(folder: &Path, at: [f64; 3], unit: &str) -> Vec<f64> {
    let place = at.map(|x| x.to_string()).join(",");
    let probed = run_in(folder, "mtids-prep", &["probe", text(Path::new("dicom")), "--at", &place, "--json"]);
    let probed: Value = serde_json::from_str(&probed.stdout).unwrap_or_default();
    let points = probed["points"].as_array().cloned().unwrap_or_default();
    points.iter().filter_map(|point| point[format!("linear_{unit}")].as_f64()).collect()
}
