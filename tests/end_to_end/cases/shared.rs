//! The cases of ../shared/data/cases-2: inputs, one defect each, with the outcome that their `expected.json` demands.
//!
//! Where a case allows reading or refusing, the table below says which; values are those of the file. Steps that no single build shows
//! (training, permissions) stand in the modules of their areas.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{KEY, findings, probe, run_in, volumes};
use crate::support::shared_data;

/// How a case must end.
enum Outcome {
    /// Read, with this exit code: findings, volumes and HU are those of `right`.
    Read(i32),
    /// As [`Outcome::Read`], and the build says these words.
    Warned(i32, &'static [&'static str]),
    /// Stopped with this exit code, and a message with these words and those of `message_names`.
    Stopped(i32, &'static [&'static str]),
}

use Outcome::{Read, Stopped, Warned};

const CASES: [(&str, Outcome); 27] = [
    ("csv-crlf-line-number", Stopped(3, &[])),
    ("csv-float-labels", Read(0)),
    ("csv-row-twice-contradicting", Read(0)),
    ("csv-rows-without-image", Warned(1, &["line 2", "line 4", "RAS", "1.2.3.4"])),
    ("csv-semicolon-decimal-comma", Read(0)),
    ("ct-excess-pixel-padding", Warned(0, &["padding"])),
    ("ct-frame-of-reference-per-slice", Warned(0, &["FrameOfReferenceUID"])),
    ("ct-implicit-meta-no-preamble", Read(0)),
    ("ct-interleaved-acquisitions", Read(0)),
    ("ct-kernel-missing-in-some", Read(0)),
    ("ct-same-sop-uid", Warned(0, &["12", "SOPInstanceUID", "anonymiser"])),
    ("id-one-study-two-patients", Stopped(3, &["LUNG-902", "5541207", "same_person"])),
    ("nii-int64", Read(0)),
    ("nrrd-byte-skip", Read(0)),
    ("nrrd-detached", Read(0)),
    ("parquet-snappy", Read(0)),
    ("pet-dose-in-mbq", Warned(0, &["MBq"])),
    ("pet-injection-in-utc", Read(0)),
    ("rt-contour-twice", Read(0)),
    ("rt-every-second-slice", Read(0)),
    ("rt-one-bad-roi", Warned(1, &["LN 7"])),
    ("rt-two-point-contour", Read(0)),
    ("rt-two-series-second-is-meant", Read(0)),
    ("seg-all-empty", Stopped(3, &["empty-segmentation"])),
    ("seg-frame-of-reference-constant", Read(0)),
    ("seg-nrrd-names", Read(0)),
    ("seg-sparse-without-step", Read(0)),
];

#[test]
#[ignore = "needs ../shared/data"]
fn the_shared_cases_end_as_demanded() {
    let data = shared_data("cases-2");
    let faults: Vec<String> = CASES
        .iter()
        .filter_map(|(name, outcome)| check(&data.join(name), outcome).err().map(|e| format!("{name}: {e}")))
        .collect();
    assert!(faults.is_empty(), "{} of {} cases:\n\n{}", faults.len(), CASES.len(), faults.join("\n\n"));
}

/// The arguments of the command of a case behind `build`, with key and output in their places.
fn arguments(expected: &Value) -> Vec<String> {
    let command = expected["command"].as_str().unwrap();
    let words = command.strip_prefix("mtids-prep build ").unwrap().split_whitespace();
    words
        .map(|word| match word {
            "pseudonym.key_file=KEY" | "pseudonym.key_file=key.txt" => "pseudonym.key_file=\"key.txt\"".to_owned(),
            "DATASET" => "dataset".to_owned(),
            other => other.to_owned(),
        })
        .collect()
}

fn check(case: &Path, outcome: &Outcome) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    copy(case, folder.path());
    let folder = folder.path();
    if !folder.join("key.txt").exists() {
        fs::write(folder.join("key.txt"), KEY).unwrap();
    }
    let expected: Value = serde_json::from_str(&fs::read_to_string(case.join("expected.json")).unwrap()).unwrap();
    let right = &expected["right"];
    let arguments = arguments(&expected);
    let mut command = vec!["build", "--json"];
    command.extend(arguments.iter().map(String::as_str));
    let done = run_in(folder, "mtids-prep", &command);
    let said = done.text();
    let fail = |what: String| Err(format!("{what}\n--- stdout\n{}\n--- stderr\n{}", done.stdout, done.stderr));
    let (code, words) = match outcome {
        Read(code) => (*code, &[][..]),
        Warned(code, words) | Stopped(code, words) => (*code, *words),
    };
    if done.code != code {
        return fail(format!("exit code {}, expected {code}", done.code));
    }
    if let Some(missing) = words.iter().find(|words| !said.contains(**words)) {
        return fail(format!("it does not say `{missing}`"));
    }
    let forbidden = right["must_not"].as_str().filter(|_| name_of(case) == "seg-all-empty");
    if forbidden.is_some_and(|words| said.contains(words)) || said.contains("panicked") {
        return fail(format!("it says {forbidden:?}, or panicked"));
    }
    if let Stopped(..) = outcome {
        let names = right["message_names"].as_array().cloned().unwrap_or_default();
        let missing = names.iter().find(|name| !said.contains(name.as_str().unwrap()));
        return missing.map_or(Ok(()), |name| fail(format!("it does not say {name}")));
    }
    read_right(folder, right, &done.stdout).or_else(fail)
}

/// Compares a dataset with the values of a case.
fn read_right(folder: &Path, right: &Value, summary: &str) -> Result<(), String> {
    let of_or = |key: &str| right.get(key).or_else(|| right["or"].get(key)).cloned();
    let rows = findings(&folder.join("dataset"));
    if let Some(expected) = of_or("findings").and_then(|list| list.as_array().cloned()) {
        let places: Vec<[f64; 3]> = rows.iter().map(|row| row.center_mm).collect();
        if rows.len() != expected.len() {
            return Err(format!("{} findings, expected {}: {places:?}", rows.len(), expected.len()));
        }
        for one in &expected {
            let at: Vec<f64> = one["at_mm"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
            let distance = |row: &&mtids_shards::RowLabels| {
                (0..3).map(|axis| (row.center_mm[axis] - at[axis]).powi(2)).sum::<f64>().sqrt()
            };
            let nearest = rows.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap();
            if distance(&nearest) > one["tolerance_mm"].as_f64().unwrap() {
                return Err(format!("no finding at {at:?}: {places:?}"));
            }
            let station = nearest.station.map(|station| station.code());
            if one["station"].as_str().is_some_and(|expected| station != Some(expected)) {
                return Err(format!("station {station:?} at {at:?}, expected {}", one["station"]));
            }
            let status = nearest.metastasis.map(|status| u64::from(status.name() == "metastatic"));
            if one["metastasis"].as_u64().is_some_and(|expected| status != Some(expected)) {
                return Err(format!("status {status:?} at {at:?}, expected {}", one["metastasis"]));
            }
            // Every finding without status in these cases is of unknown status.
            if one["metastasis"].is_null() && status.is_some() && one.get("station").is_some() {
                return Err(format!("status {status:?} at {at:?}, expected none"));
            }
            let secret = mtids_domain::pseudonym::PseudonymSecret::from_bytes(KEY.as_bytes()).unwrap();
            if one["patient"].as_str().is_some_and(|patient| secret.patient(patient) != nearest.patient_key) {
                return Err(format!("the finding at {at:?} belongs to another patient than {}", one["patient"]));
            }
            if one["series_uid"].as_str().is_some_and(|uid| secret.series(uid) != nearest.series_key) {
                return Err(format!("the finding at {at:?} lies in another series than {}", one["series_uid"]));
            }
            if let Some(hu) = one["hu_at_centre"].as_f64() {
                let center = nearest.center_mm.map(f64::round);
                let values = probe(folder, center, "hu");
                if !values.iter().any(|value| (value - hu).abs() <= 1.0) {
                    return Err(format!("{values:?} HU at {center:?}, expected {hu}"));
                }
            }
        }
    }
    // Where the alternative to a refusal is reading, it is a text: `volumes [12]`.
    let alternative = right["or"].as_str().and_then(|text| text.strip_prefix("volumes "));
    let read = alternative.and_then(|list| serde_json::from_str::<Value>(list).ok());
    if let Some(expected) = read.or_else(|| of_or("volumes")).and_then(|list| list.as_array().cloned()) {
        let expected: Vec<usize> = expected.iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let found = volumes(folder);
        if found != expected {
            return Err(format!("usable volumes of {found:?} slices, expected {expected:?}"));
        }
    }
    for one in of_or("probes_lps_mm_hu").and_then(|list| list.as_array().cloned()).unwrap_or_default() {
        let [x, y, z, hu] = [0, 1, 2, 3].map(|n| one[n].as_f64().unwrap());
        let values = probe(folder, [x, y, z], "hu");
        if !values.iter().any(|value| (value - hu).abs() <= 1.0) {
            return Err(format!("{values:?} HU at {one}"));
        }
    }
    if let Some(suv) = right.get("suv") {
        let values = probe(folder, [0.0, -59.5, -285.0], "suv");
        let tolerance = right["tolerance"].as_f64().unwrap_or(0.0);
        let is_right = match suv.as_f64() {
            None => values.is_empty(),
            Some(suv) => values.iter().any(|value| (value - suv).abs() <= tolerance),
        };
        if !is_right {
            return Err(format!("SUV {values:?}, expected {suv}"));
        }
    }
    if let Some(expected) = right["contradictions"].as_u64() {
        let summary: Value = serde_json::from_str(summary).unwrap();
        if summary["contradicting_labels"].as_u64() != Some(expected) {
            return Err(format!("{} contradictions, expected {expected}", summary["contradicting_labels"]));
        }
    }
    Ok(())
}

fn name_of(case: &Path) -> &str {
    case.file_name().unwrap().to_str().unwrap()
}

/// Copies a folder, whose files may be read-only.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::write(&target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}
