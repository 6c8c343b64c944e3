//! Small cohorts, written and read back.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mtids_annotations::{RegionOfInterest, read_mask, read_segmentation, read_structures, read_table};
use mtids_dicom::{FileKind, GroupingOutcome, Limits, group, load_pet, load_volume, read_header};
use mtids_domain::annotation::{Extent, Mask};
use mtids_domain::geometry::{PointMm, Voxel};
use mtids_domain::label::Evidence;
use mtids_domain::taxonomy::Station;
use mtids_phantom::{
    Defect, InsertConfig, Interference, LabelForms, PhantomConfig, PhantomError, Place, Site, generate, insert, render,
};
use mtids_runtime::interrupt::Interrupt;

fn small() -> PhantomConfig {
    PhantomConfig {
        patients: 3,
        dimensions: [96, 80, 40],
        spacing_mm: [3.4, 3.4, 5.5],
        sites: vec![Site::default()],
        ..Default::default()
    }
}

fn forms(table: f64, segmentation: f64, structures: f64, nifti: f64) -> LabelForms {
    LabelForms { table, segmentation, structures, nifti }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn bytes(folder: &Path) -> Vec<(String, Vec<u8>)> {
    files(folder)
        .into_iter()
        .map(|path| (path.strip_prefix(folder).unwrap().display().to_string(), std::fs::read(&path).unwrap()))
        .collect()
}

fn written(config: &PhantomConfig) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    generate(config, folder.path(), &|_| {}, &Interrupt::new()).unwrap();
    folder
}

/// Images of a folder in their series; other objects are left out, refused files are counted.
fn grouped(folder: &Path) -> (GroupingOutcome, usize) {
    let mut refused = 0;
    let mut headers = Vec::new();
    for path in files(folder) {
        match read_header(&path, &Limits::default()) {
            Ok(FileKind::Image(header)) => headers.push(*header),
            Ok(FileKind::Frames(frames)) => headers.extend(frames),
            Ok(_) => {}
            Err(_) => refused += 1,
        }
    }
    (group(headers), refused)
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let config = PhantomConfig {
        pet_fraction: 0.5,
        defect_fraction: 0.5,
        sites: Site::examples(),
        labels: forms(1.0, 1.0, 1.0, 1.0),
        patients: 4,
        ..small()
    };
    let written: Vec<_> = [1, 3]
        .map(|threads| {
            let folder = tempfile::tempdir().unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| generate(&config, folder.path(), &|_| {}, &Interrupt::new())).unwrap();
            bytes(folder.path())
        })
        .into();
    assert!(written[0] == written[1]);
}

#[test]
fn volumes_of_every_scanner_read_back_as_they_were_rendered() {
    for site in Site::examples() {
        let config = PhantomConfig { patients: 1, sites: vec![site], pet_fraction: 1.0, ..small() };
        let folder = written(&config);
        let (outcome, refused) = grouped(&folder.path().join("dicom"));
        assert_eq!(refused, 0);
        let rendered = render(&config, 0).unwrap();
        let of = |modality: &str| outcome.series.iter().find(|series| *series.modality == *modality).unwrap();
        let loaded = load_volume(of("CT"), &Limits::default()).unwrap();
        // Padding comes back as air.
        let expected: Vec<i16> =
            rendered.volume.voxels().iter().map(|&hu| if hu == -2000 { -1000 } else { hu }).collect();
        assert!(loaded.volume.voxels() == expected, "{:?}", config.sites[0]);
        assert!(loaded.volume.voxels().contains(&-1000) || !config.sites[0].padded);

        let pet = load_pet(of("PT"), &Limits::default()).unwrap().volume;
        let truth = rendered.pet.unwrap();
        let most = truth.voxels().iter().copied().fold(0.0, f32::max);
        assert!(pet.voxels().iter().zip(truth.voxels()).all(|(a, b)| (a - b).abs() < 1e-4 * most.max(1.0)));
        assert!((1.5..40.0).contains(&most), "{most}");
    }
}

#[test]
fn every_form_of_labels_gives_the_voxels_that_were_painted() {
    let limits = Limits::default();
    for (labels, form, flipped) in [
        (forms(0.0, 1.0, 0.0, 0.0), "segmentation", 0.0),
        (forms(0.0, 0.0, 1.0, 0.0), "structures", 0.0),
        (forms(0.0, 0.0, 0.0, 1.0), "nifti", 0.0),
        // Stored turned by 180 degrees, the masks must turn with the voxels.
        (forms(0.0, 1.0, 0.0, 0.0), "segmentation", 1.0),
        (forms(0.0, 0.0, 1.0, 0.0), "structures", 1.0),
        (forms(0.0, 0.0, 0.0, 1.0), "nifti", 1.0),
    ] {
        let defects = vec![Defect::ProneFlipped];
        let config = PhantomConfig { patients: 1, labels, defects, defect_fraction: flipped, ..small() };
        let folder = written(&config);
        let rendered = render(&config, 0).unwrap();
        let (outcome, _) = grouped(&folder.path().join("dicom"));
        let study = folder.path().join("dicom/PHANTOM-00001/study-1");
        let affine = *load_volume(&outcome.series[0], &limits).unwrap().volume.affine();
        let findings = match form {
            "segmentation" => {
                read_segmentation(&study.join("SEG.dcm"), &limits).unwrap().findings_on(None, &limits).into_findings()
            }
            "structures" => {
                let set = read_structures(&study.join("RS.dcm"), &limits).unwrap();
                let of_region =
                    |region| RegionOfInterest::findings(region, &affine, config.dimensions, &limits).unwrap();
                set.regions.iter().flat_map(of_region).collect()
            }
            _ => {
                let path = files(&folder.path().join("masks")).remove(0);
                assert!(path.to_str().unwrap().contains(&*outcome.series[0].series_uid));
                read_mask(&path, &limits).unwrap().findings(&Default::default(), &limits).unwrap()
            }
        };
        // A SEG has a grid of its own, which starts at its first frame: places are compared, in hundredths of a mm.
        let places = |mask: &Mask| -> BTreeSet<[i64; 3]> {
            let place = |voxel: &[u32; 3]| mask.affine.to_mm(Voxel(voxel.map(f64::from))).0;
            mask.voxels.iter().map(|voxel| place(voxel).map(|x| (x * 100.0).round() as i64)).collect()
        };
        let found: BTreeSet<_> = findings
            .iter()
            .map(|finding| match &finding.extent {
                Extent::Mask(mask) => places(mask),
                other => panic!("{other:?}"),
            })
            .collect();
        let painted: BTreeSet<_> = rendered.masks.iter().filter(|mask| !mask.voxels.is_empty()).map(places).collect();
        assert_eq!(found.len(), painted.len(), "{form}");
        assert!(found == painted, "{form}");
    }
}

#[test]
fn nodes_look_as_they_were_drawn() {
    let config = PhantomConfig { dimensions: [128, 112, 76], spacing_mm: [2.2, 2.2, 3.0], ..small() };
    let (mut masks, mut solids) = (0.0, 0.0);
    for patient in 0..4 {
        let study = render(&config, patient).unwrap();
        for (node, mask) in study.nodes.iter().zip(&study.masks) {
            let hu = study.volume.nearest(PointMm(node.center_mm)).unwrap();
            // The voxel nearest to the centre may lie half a voxel off, at the margin of a small node.
            assert!((-250..=700).contains(&hu), "{hu} HU in a node of {:?}", node.appearance);
            let Some(volume) = node.volume_mm3() else { continue };
            masks += mask.volume_mm3();
            solids += volume;
        }
    }
    assert!((masks / solids - 1.0).abs() < 0.08, "masks hold {masks} mm³ of {solids}");
}

#[test]
fn nodes_lie_in_their_stations_and_apart() {
    for patient in 0..8 {
        let study = render(&PhantomConfig { dimensions: [16, 16, 16], ..small() }, patient).unwrap();
        let marks = study.landmarks;
        for (n, node) in study.nodes.iter().enumerate() {
            let [x, _, z] = node.center_mm;
            match node.station {
                Station::S2R => assert!(z > marks.vein_crossing_mm[2] && x < marks.trachea_left_wall_mm[0]),
                Station::S4R => assert!(z > marks.azygos_lower_border_mm[2] && z < marks.vein_crossing_mm[2]),
                Station::S2L => assert!(z > marks.arch_top_mm[2] && x > marks.trachea_left_wall_mm[0]),
                Station::S4L => assert!(z < marks.arch_top_mm[2] && z > marks.left_pulmonary_artery_top_mm[2]),
                Station::S5 => assert!(z < marks.arch_bottom_mm[2] && z > marks.left_pulmonary_artery_top_mm[2]),
                Station::S7 | Station::S8R | Station::S8L => assert!(z < marks.carina_mm[2]),
                _ => {}
            }
            for other in study.nodes.iter().skip(n + 1) {
                let apart = PointMm(node.center_mm).distance(PointMm(other.center_mm));
                assert!(apart > 0.5 * (node.appearance.short_axis_mm + other.appearance.short_axis_mm));
            }
        }
    }
}

#[test]
fn a_cohort_covers_both_dimensions_and_tells_how_far_readers_come() {
    let config =
        PhantomConfig { dimensions: [16, 16, 16], patients: 300, labels: forms(1.0, 0.0, 0.0, 0.0), ..small() };
    let folder = tempfile::tempdir().unwrap();
    let summary = generate(&config, folder.path(), &|_| {}, &Interrupt::new()).unwrap();
    assert_eq!(summary.stations.len(), 15);
    let share = summary.metastatic as f64 / summary.nodes as f64;
    assert!((0.30..0.40).contains(&share), "{share}");
    let [patient, node, fitted, size] =
        [summary.oracle_in_patient_auroc, summary.oracle_auroc, summary.logistic_auroc, summary.short_axis_auroc]
            .map(Option::unwrap);
    // The whole patient tells more than a node, the exact rule more than a fitted one, and size alone least by far.
    assert!(patient > node && node > fitted - 0.01 && fitted > size + 0.05, "{patient} {node} {fitted} {size}");
    assert!((0.85..0.97).contains(&node) && (0.7..0.85).contains(&size), "{node} {size}");
}

#[test]
fn the_voxel_reader_sees_less_than_the_truth_and_only_what_a_build_takes() {
    let config = PhantomConfig {
        dimensions: [96, 88, 56],
        spacing_mm: [2.2, 2.2, 4.2],
        patients: 48,
        defect_fraction: 0.25,
        defects: vec![Defect::MissingSlice, Defect::JpegLs],
        labels: forms(1.0, 0.0, 0.0, 0.0),
        ..small()
    };
    let written = [1, 3].map(|threads| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let summary = pool.install(|| generate(&config, folder.path(), &|_| {}, &Interrupt::new())).unwrap();
        (summary, std::fs::read(folder.path().join("truth.json")).unwrap())
    });
    assert!(written[0] == written[1], "one thread and three read alike");
    let (summary, truth) = &written[0];
    let [oracle, labelled, read] =
        [summary.oracle_auroc, summary.voxel_reader_auroc, summary.voxel_reader_true_auroc].map(Option::unwrap);
    assert!(read > 0.6 && read < oracle && labelled > 0.6, "{labelled} {read} of {oracle}");
    let truth: serde_json::Value = serde_json::from_slice(truth).unwrap();
    let mut seen = [0, 0];
    for patient in truth.as_array().unwrap() {
        let refused = !patient["expected_reason"].is_null();
        seen[usize::from(refused)] += 1;
        for node in patient["nodes"].as_array().unwrap() {
            assert_eq!(node["voxel_reader"].is_null(), refused, "{patient}");
        }
    }
    assert!(seen.iter().all(|&patients| patients > 0), "{seen:?}");
}

#[test]
fn without_signal_nothing_tells_the_status() {
    let interference = Interference {
        region_association: 0.0,
        size_signal: 0.0,
        appearance_signal: 0.0,
        site_association: 0.0,
        ..Default::default()
    };
    let config = PhantomConfig {
        interference,
        dimensions: [16, 16, 16],
        patients: 300,
        labels: forms(1.0, 0.0, 0.0, 0.0),
        ..small()
    };
    let folder = tempfile::tempdir().unwrap();
    let summary = generate(&config, folder.path(), &|_| {}, &Interrupt::new()).unwrap();
    // Every posterior is the prior; floats aside, all are tied.
    for patient in 0..20 {
        for node in render(&config, patient).unwrap().nodes {
            assert!((node.posterior - config.prevalence).abs() < 1e-9);
            assert!((node.posterior_in_patient - config.prevalence).abs() < 1e-9);
        }
    }
    for auroc in [summary.logistic_auroc, summary.short_axis_auroc].map(Option::unwrap) {
        assert!((0.45..0.55).contains(&auroc), "{auroc}");
    }
}

#[test]
fn every_defect_ends_as_it_says() {
    for &defect in Defect::ALL {
        let config = PhantomConfig { patients: 1, defect_fraction: 1.0, defects: vec![defect], ..small() };
        let folder = written(&config);
        let (outcome, refused) = grouped(&folder.path().join("dicom"));
        let truth: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.path().join("truth.json")).unwrap()).unwrap();
        let uid = truth[0]["series_uid"].as_str().unwrap();
        let series = outcome.series.iter().find(|series| *series.series_uid == *uid).unwrap();
        match (load_volume(series, &Limits::default()), defect.reason()) {
            (Err(error), Some(reason)) => assert_eq!(error.reason(), reason, "{defect:?}"),
            (Ok(loaded), None) => {
                let clean = render(&PhantomConfig { defect_fraction: 0.0, ..config.clone() }, 0).unwrap().volume;
                for k in [1usize, 17, 33] {
                    let point = clean.affine().to_mm(Voxel([40.0, 33.0, k as f64]));
                    assert_eq!(loaded.volume.nearest(point), clean.get([40, 33, k]), "{defect:?}");
                }
            }
            (read, wanted) => panic!("{defect:?}: {:?} for {wanted:?}", read.map(|_| ())),
        }
        assert_eq!(truth[0]["expected_reason"].as_str(), defect.reason().map(|reason| reason.as_str()));
        match defect {
            Defect::DuplicateInstance => assert_eq!(outcome.duplicates.len(), 1),
            Defect::Truncated => assert_eq!(refused, 2),
            Defect::MixedFolder => assert!(refused >= 3 && outcome.series.len() == 2),
            _ => assert_eq!(refused, 0, "{defect:?}"),
        }
    }
}

#[test]
fn the_table_says_what_the_knobs_ask_for() {
    let interference =
        Interference { label_noise: 0.2, unknown_fraction: 0.25, evidence: [1.0, 1.0, 1.0, 1.0], ..Default::default() };
    let config = PhantomConfig {
        interference,
        pet_fraction: 0.5,
        dimensions: [16, 16, 16],
        patients: 150,
        labels: forms(1.0, 0.0, 0.0, 0.0),
        ..small()
    };
    let folder = written(&config);
    let rows = read_table(&folder.path().join("annotations.csv")).unwrap();
    let truth: Vec<_> = (0..config.patients).flat_map(|patient| render(&config, patient).unwrap().nodes).collect();
    assert_eq!(rows.len(), truth.len());
    let mut wrong: BTreeMap<Evidence, (f64, f64)> = BTreeMap::new();
    for (row, node) in rows.iter().zip(&truth) {
        assert_eq!((row.station, row.metastasis), (Some(node.station.into()), node.label));
        if let Some(label) = node.label {
            let (errors, all) = wrong.entry(node.evidence).or_default();
            *errors += f64::from(u8::from(label != node.metastasis));
            *all += 1.0;
        }
    }
    let share = |grade| wrong[&grade].0 / wrong[&grade].1;
    let open = truth.iter().filter(|node| node.label.is_none()).count() as f64 / truth.len() as f64;
    assert!((0.2..0.3).contains(&open), "{open}");
    assert!((0.14..0.26).contains(&share(Evidence::A)), "{}", share(Evidence::A));
    // By size and by uptake much is wrong beside the noise.
    assert!(share(Evidence::D) > share(Evidence::A) + 0.05 && share(Evidence::C) > share(Evidence::A));
}

#[test]
fn confounding_by_scanner_is_there_when_asked_for() {
    let interference = Interference { site_association: 0.8, region_association: 0.2, ..Default::default() };
    let config = PhantomConfig {
        interference,
        dimensions: [16, 16, 16],
        sites: vec![Site::default(), Site { kernel: "other".into(), ..Site::default() }],
        patients: 150,
        labels: forms(1.0, 0.0, 0.0, 0.0),
        ..small()
    };
    let folder = written(&config);
    let truth: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("truth.json")).unwrap()).unwrap();
    let (outcome, _) = grouped(&folder.path().join("dicom"));
    let mut shares: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for (patient, series) in truth.as_array().unwrap().iter().zip(&outcome.series) {
        let (metastatic, all) = shares.entry(series.facts.kernel.clone().unwrap()).or_default();
        for node in patient["nodes"].as_array().unwrap() {
            *metastatic += f64::from(u8::from(node["metastasis"] == "metastatic"));
            *all += 1.0;
        }
    }
    let share = |kernel: &str| shares[kernel].0 / shares[kernel].1;
    assert!(share("standard") > share("other") + 0.25, "{shares:?}");
}

#[test]
fn an_unfinished_cohort_is_continued_and_a_foreign_folder_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let stop = Interrupt::new();
    let seen = std::sync::atomic::AtomicUsize::new(0);
    let count = |finished: usize| {
        seen.fetch_max(finished, std::sync::atomic::Ordering::SeqCst);
        stop.raise();
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let stopped = pool.install(|| generate(&small(), folder.path(), &count, &stop));
    assert!(matches!(stopped, Err(PhantomError::Interrupted)));
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 1);
    let refuses = |config: &PhantomConfig, folder: &Path| {
        let refused = generate(config, folder, &|_| {}, &Interrupt::new());
        assert!(matches!(refused, Err(PhantomError::OtherCohort { .. })));
    };
    refuses(&PhantomConfig { patients: 2, ..small() }, folder.path());
    let summary = generate(&small(), folder.path(), &|_| {}, &Interrupt::new()).unwrap();
    assert!(bytes(folder.path()) == bytes(written(&small()).path()));
    let again = generate(&small(), folder.path(), &|_| {}, &Interrupt::new()).unwrap();
    assert_eq!(again, summary, "the second time nothing is done");
    refuses(&PhantomConfig { seed: 1, ..small() }, folder.path());

    let foreign = tempfile::tempdir().unwrap();
    std::fs::create_dir(foreign.path().join("dicom")).unwrap();
    refuses(&small(), foreign.path());
}

#[test]
fn nodes_are_inserted_into_a_ct_that_keeps_everything_else() {
    let source =
        written(&PhantomConfig { patients: 1, dimensions: [128, 112, 76], spacing_mm: [2.2, 2.2, 3.0], ..small() });
    let (outcome, _) = grouped(&source.path().join("dicom"));
    let before = load_volume(&outcome.series[0], &Limits::default()).unwrap().volume;
    let folder = tempfile::tempdir().unwrap();
    let config = InsertConfig::default();
    let summary = insert(&outcome.series[0], &Limits::default(), &config, &folder.path().join("a")).unwrap();
    assert!(summary.nodes.len() >= 3, "{} nodes found room", summary.nodes.len());
    let (inserted, _) = grouped(&folder.path().join("a/dicom"));
    let after = load_volume(&inserted.series[0], &Limits::default()).unwrap().volume;
    assert_ne!(inserted.series[0].series_uid, outcome.series[0].series_uid);
    assert_ne!(inserted.series[0].patient_id, outcome.series[0].patient_id);
    for (n, (a, b)) in before.voxels().iter().zip(after.voxels()).enumerate() {
        if a != b {
            let [columns, rows, _] = before.dimensions();
            let index = [n % columns, n / columns % rows, n / columns / rows].map(|x| x as f64);
            let point = before.affine().to_mm(Voxel(index));
            let near = summary.nodes.iter().any(|node| PointMm(node.center_mm).distance(point) < 40.0);
            assert!(near, "a voxel far from every node has changed");
        }
    }
    let rows = read_table(&folder.path().join("a/annotations.csv")).unwrap();
    assert_eq!(rows.len(), summary.nodes.len());
    assert!(rows.iter().all(|row| row.station.is_none() && row.metastasis.is_some()));
    // The same again gives the same bytes; a folder that holds something is left alone.
    insert(&outcome.series[0], &Limits::default(), &config, &folder.path().join("b")).unwrap();
    assert!(bytes(&folder.path().join("a")) == bytes(&folder.path().join("b")));
    let refused = insert(&outcome.series[0], &Limits::default(), &config, &folder.path().join("b"));
    assert!(matches!(refused, Err(PhantomError::OtherCohort { .. })));
}

#[test]
fn named_places_get_their_nodes_and_stations_or_a_reason() {
    let source = written(&PhantomConfig { patients: 1, ..small() });
    let (outcome, _) = grouped(&source.path().join("dicom"));
    let folder = tempfile::tempdir().unwrap();
    let place = |center_mm, station: Option<&str>| Place { center_mm, station: station.map(str::to_owned) };
    let config = |places| InsertConfig { nodes: 0, places, ..Default::default() };
    let try_insert =
        |name: &str, places| insert(&outcome.series[0], &Limits::default(), &config(places), &folder.path().join(name));
    let places = vec![place([-15.0, 0.0, 20.0], Some("4R")), place([0.0, 20.0, -20.0], None)];
    let summary = try_insert("a", places).unwrap();
    assert_eq!(summary.nodes.len(), 2);
    let rows = read_table(&folder.path().join("a/annotations.csv")).unwrap();
    assert_eq!(rows.iter().map(|row| row.station).collect::<Vec<_>>(), [Some(Station::S4R.into()), None]);
    let truth: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("a/truth.json")).unwrap()).unwrap();
    assert_eq!(
        (&truth["nodes"][0]["station"], &truth["nodes"][1]["station"]),
        (&"4R".into(), &serde_json::Value::Null)
    );
    for (name, wrong, words) in [
        ("b", place([0.0, 0.0, 5000.0], None), "outside the image"),
        ("c", place([0.0; 3], Some("9R")), "no place for station"),
    ] {
        let error = try_insert(name, vec![wrong]).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(!folder.path().join(name).exists(), "nothing is written then");
    }
}

#[test]
fn impossible_settings_are_named() {
    let knob = |change: fn(&mut Interference)| {
        let mut config = small();
        change(&mut config.interference);
        config
    };
    for (config, key) in [
        (PhantomConfig { patients: 0, ..small() }, "patients"),
        (PhantomConfig { prevalence: 1.5, ..small() }, "prevalence"),
        (PhantomConfig { nodes_per_patient: [5, 2], ..small() }, "nodes_per_patient"),
        (PhantomConfig { sites: Vec::new(), ..small() }, "sites"),
        (PhantomConfig { sites: vec![Site { slope: 0.0, ..Site::default() }], ..small() }, "slope"),
        (knob(|knobs| knobs.evidence = [0.0; 4]), "evidence"),
        (knob(|knobs| knobs.size_signal = 1.5), "size_signal"),
        (knob(|knobs| knobs.site_association = 0.5), "site_association"),
    ] {
        assert!(config.validate().unwrap_err().to_string().contains(key), "{key}");
    }
    let config = PhantomConfig { labels: forms(0.0, 0.0, 0.0, 0.0), ..small() };
    assert!(config.validate().is_err());
}
