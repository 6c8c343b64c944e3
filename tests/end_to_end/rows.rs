//! What a dataset can hold besides findings in volumes: places without finding, thin stacks, orthogonal planes, days between studies.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mtids_domain::label::Evidence;
use mtids_domain::pseudonym::SeriesKey;
use mtids_shards::{Dataset, Planes, RowKind, RowLabels, Split, read_row_group};
use serde_json::Value;

use crate::support::{build_arguments, build_arguments_of, cohort, dataset, run, text, tree};

fn build(out: &Path, sets: &[&str]) -> Dataset {
    let mut arguments = build_arguments(out);
    arguments.extend(sets.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
    run("mtids-prep", arguments).expect_code(0);
    Dataset::open(out).unwrap()
}

/// Trains two steps and evaluates.
fn train(out: &Path, run_folder: &Path) -> Value {
    let fit = ["fit", "--config", "pipelines/demo-short/train.toml", "--dataset", text(out), "--run", text(run_folder)];
    let done = run("mtids-train", fit.into_iter().chain(["--set", "max_steps=2", "--json"])).expect_code(0);
    run("mtids-train", ["evaluate", "--run", text(run_folder), "--dataset", text(out)]).expect_code(0);
    serde_json::from_str(&done.stdout).unwrap()
}

#[test]
fn places_without_finding_keep_their_distance_and_bear_no_label() {
    const SETS: [&str; 3] = ["negatives.per_series=3", "negatives.min_distance_mm=25", "samples_per_finding=2"];
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    let with = build(&out, &SETS);
    let rows = with.index().unwrap();
    let negatives: Vec<&RowLabels> = rows.iter().filter(|row| row.kind == RowKind::Negative).collect();
    let totals = &with.manifest().totals;
    assert_eq!((totals.negatives, totals.rows), (negatives.len() as u64, rows.len() as u64));
    let mut by_series: BTreeMap<&SeriesKey, Vec<&RowLabels>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.kind == RowKind::Finding) {
        assert_eq!(row.finding_distance_mm, None);
        by_series.entry(&row.series_key).or_default().push(row);
    }
    // A chest of this size has room everywhere.
    assert_eq!(negatives.len(), 3 * by_series.len());
    for negative in negatives {
        let labels = (negative.region, &negative.region_name, negative.station, negative.metastasis);
        assert_eq!(labels, (None, &None, None, None));
        assert_eq!((negative.evidence, negative.label_source.as_str()), (Evidence::U, "none"));
        let stated = f64::from(negative.finding_distance_mm.unwrap());
        assert!(stated >= 25.0, "{stated}");
        // Also from the shifted samples of a finding, whose shift is at most 4 mm along each axis.
        for finding in &by_series[&negative.series_key] {
            let between: f64 = (0..3).map(|n| (negative.center_mm[n] - finding.center_mm[n]).powi(2)).sum();
            assert!(between.sqrt() >= stated - 7.0, "{between}");
        }
    }

    // The findings are what they are without them, and the same bytes come from any number of workers.
    let without = build(&folder.path().join("without"), &SETS[2..]);
    let digests = |rows: Vec<RowLabels>| -> BTreeMap<String, String> {
        let findings = rows.into_iter().filter(|row| row.kind == RowKind::Finding);
        findings.map(|row| (row.sample_key, row.voxels_digest)).collect()
    };
    assert_eq!(digests(rows.clone()), digests(without.index().unwrap()));
    let alone = folder.path().join("alone");
    let mut arguments = build_arguments(&alone);
    arguments.extend(SETS.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
    arguments.extend(["--workers".to_owned(), "1".to_owned()]);
    run("mtids-prep", arguments).expect_code(0);
    assert_eq!(tree(&alone), tree(&out));

    // Training and audit look at findings only.
    let findings = rows.iter().filter(|row| row.kind == RowKind::Finding);
    let done = train(&out, &folder.path().join("run"));
    let taught = findings.clone().filter(|row| row.split == Split::Train).count();
    assert_eq!(done["training_rows"], taught);
    let report = folder.path().join("audit");
    let audit = ["report", text(&out), "--out", text(&report), "--set", "fail_on=error"];
    run("mtids-audit", audit).expect_code(0);
    let audit: Value = serde_json::from_slice(&fs::read(report.join("audit.json")).unwrap()).unwrap();
    assert_eq!(audit["overall"]["rows"], findings.count());
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    assert!(card.contains(&format!("{} negatives, up to", totals.negatives)), "{card}");
}

#[test]
fn stacks_and_orthogonal_planes_are_cut_told_and_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    for (planes, size, spacing) in
        [(Planes::Stack, "[5,32,32]", "[6.2,3.5,3.5]"), (Planes::Orthogonal, "[3,32,32]", "[6.0,3.5,3.5]")]
    {
        let out = folder.path().join(planes.name());
        let name = planes.name();
        let view = format!("views={{patch={{planes=\"{name}\",size={size},spacing_mm={spacing}}}}}");
        let dataset = build(&out, &[&view]);
        let geometry = dataset.manifest().description.views[0].geometry;
        assert_eq!(geometry.planes, planes);
        let shard = dataset.shards(Split::Train).next().unwrap();
        let group = read_row_group(&dataset, shard, 0).unwrap();
        let [d, h, w] = geometry.size;
        // All planes meet in the centre, up to their thickness.
        if planes == Planes::Orthogonal {
            for voxels in group.views[0].voxels.chunks(d * h * w) {
                let middle = |plane: usize, row: usize| f64::from(voxels[plane * h * w + row * w + w / 2]);
                // An even side has its centre between two voxels; the standing planes have their rows upside down.
                let around = |plane| (middle(plane, h / 2 - 1) + middle(plane, h / 2)) / 2.0;
                let [axial, coronal, sagittal] = [0, 1, 2].map(around);
                assert!(
                    (axial - coronal).abs() < 250.0 && (coronal - sagittal).abs() < 250.0,
                    "{axial} {coronal} {sagittal}"
                );
            }
        }
        train(&out, &folder.path().join(format!("run-{}", planes.name())));
    }
    let out = folder.path().join("orthogonal");
    let run_folder = folder.path().join("cropped");
    let fit = ["fit", "--dataset", text(&out), "--run", text(&run_folder), "--set", "crop.size=[2,24,24]"];
    let refused = run("mtids-train", fit).expect_code(2);
    assert!(
        refused.text().contains("crop.size") && refused.text().contains("three orthogonal views"),
        "{}",
        refused.text()
    );

    let mut arguments = build_arguments(&folder.path().join("never"));
    // A configuration without views, and the keys of older versions.
    let config = arguments.iter().position(|argument| argument.ends_with("dataset.toml")).unwrap();
    arguments[config] = "pipelines/demo/dataset.toml".into();
    arguments.extend(["--set", "patch.views=orthogonal"].map(str::to_owned));
    assert!(run("mtids-prep", arguments).expect_code(2).text().contains("3 × S × S"));
}

#[test]
fn findings_at_the_border_are_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dataset");
    let all = Dataset::open(dataset()).unwrap().index().unwrap();
    let most = 0.1;
    let beyond = all.iter().filter(|row| row.pad_fraction > most).count() as u64;
    assert!(beyond > 0, "the cohort has no finding at a border, so nothing is tried here");
    let strict = build(&out, &["max_pad_fraction=0.1"]);
    let totals = &strict.manifest().totals;
    assert_eq!((totals.findings_at_border, totals.rows), (beyond, all.len() as u64 - beyond));
    assert!(strict.index().unwrap().iter().all(|row| row.pad_fraction <= most));
}

/// Files of a cohort, by patient: the series' folders are named in `truth.json` order, so patients are told by their files' PatientID.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Where the value of an element with an 8-byte explicit header lies, for a file that has it.
fn value_of(bytes: &[u8], header: [u8; 6]) -> Option<std::ops::Range<usize>> {
    let at = bytes.windows(6).position(|window| window == header)?;
    let length = usize::from(u16::from_le_bytes([bytes[at + 6], bytes[at + 7]]));
    Some(at + 8..at + 8 + length)
}

const STUDY_DATE: [u8; 6] = [0x08, 0, 0x20, 0, b'D', b'A'];
const PATIENT_ID: [u8; 6] = [0x10, 0, 0x20, 0, b'L', b'O'];

#[test]
fn the_days_between_studies_are_kept_and_no_date() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("cohort"), folder.path().join("dataset"));
    let source = cohort().join("cohort");
    let mut patients: BTreeMap<Vec<u8>, Vec<PathBuf>> = BTreeMap::new();
    for path in files(&source) {
        let copy = data.join(path.strip_prefix(&source).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&copy, &bytes).unwrap();
        if let Some(id) = value_of(&bytes, PATIENT_ID) {
            patients.entry(bytes[id].to_vec()).or_default().push(copy);
        }
    }
    // Two patients become one, whose second study was 59 days after the first, over a leap day.
    let (first, second): (&[u8], &[PathBuf]) = {
        let mut two = patients
            .iter()
            .filter(|(_, files)| files.iter().all(|file| value_of(&fs::read(file).unwrap(), STUDY_DATE).is_some()));
        let (a, b) = (two.next().unwrap(), two.next().unwrap());
        assert_eq!(a.0.len(), b.0.len());
        for (files, date) in [(a.1, b"20240115"), (b.1, b"20240314")] {
            for file in files {
                let mut bytes = fs::read(file).unwrap();
                let place = value_of(&bytes, STUDY_DATE).unwrap();
                bytes[place].copy_from_slice(date);
                fs::write(file, bytes).unwrap();
            }
        }
        (a.0, b.1)
    };
    for file in second {
        let mut bytes = fs::read(file).unwrap();
        let place = value_of(&bytes, PATIENT_ID).unwrap();
        bytes[place].copy_from_slice(first);
        fs::write(file, bytes).unwrap();
    }
    run("mtids-prep", build_arguments_of(&data, &out)).expect_code(0);
    let rows = Dataset::open(&out).unwrap().index().unwrap();
    let mut days: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for row in &rows {
        let of_patient = days.entry(row.patient_key.as_str()).or_default();
        of_patient.extend(row.study_day.filter(|day| !of_patient.contains(day)));
        of_patient.sort_unstable();
    }
    let two_studies: Vec<&Vec<i32>> = days.values().filter(|days| days.len() > 1).collect();
    assert_eq!(two_studies, [&vec![0, 59]]);
    assert!(days.values().all(|days| days[0] == 0));
}
