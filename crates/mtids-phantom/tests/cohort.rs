//! A small cohort, written and read back.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::collections::BTreeSet;
use std::path::Path;

use mtids_core::geometry::PointMm;
use mtids_core::interrupt::Interrupt;
use mtids_core::label::Metastasis;
use mtids_dicom::annotation::{read_segmentation, read_table};
use mtids_dicom::{FileKind, Limits, group, load_volume, read_header};
use mtids_phantom::{PhantomConfig, PhantomError, generate, render};

fn small() -> PhantomConfig {
    PhantomConfig {
        patients: 3,
        dimensions: [96, 80, 40],
        spacing_mm: [3.4, 3.4, 5.5],
        segmentation_fraction: 0.5,
        ..Default::default()
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
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

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let written: Vec<_> = [1, 3]
        .map(|threads| {
            let folder = tempfile::tempdir().unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| generate(&small(), folder.path(), &|_| {}, &Interrupt::new())).unwrap();
            bytes(folder.path())
        })
        .into();
    assert!(written[0] == written[1]);
}

#[test]
fn a_cohort_reads_back_as_volumes_and_findings() {
    let folder = tempfile::tempdir().unwrap();
    let summary = generate(&small(), folder.path(), &|_| {}, &Interrupt::new()).unwrap();
    assert_eq!(
        generate(&small(), folder.path(), &|_| {}, &Interrupt::new()).unwrap(),
        summary,
        "the second time nothing is done"
    );
    let other = PhantomConfig { seed: 1, ..small() };
    assert!(matches!(
        generate(&other, folder.path(), &|_| {}, &Interrupt::new()),
        Err(PhantomError::OtherCohort { .. })
    ));

    let rows = read_table(&folder.path().join("annotations.csv")).unwrap();
    assert_eq!(rows.len(), summary.nodes);
    let mut headers = Vec::new();
    let mut segmented = 0;
    for path in files(&folder.path().join("dicom")) {
        match read_header(&path, &Limits::default()).unwrap() {
            FileKind::Image(header) => headers.push(*header),
            FileKind::Segmentation { path } => {
                segmented += read_segmentation(&path, &Limits::default()).unwrap().into_findings().len();
            }
            _ => panic!("{}", path.display()),
        }
    }
    assert!(segmented > 0);
    let outcome = group(headers);
    assert_eq!(outcome.series.len(), 3);
    let (mut total_mask, mut total) = (0.0, 0.0);
    for (patient, series) in outcome.series.iter().enumerate() {
        let loaded = load_volume(series, &Limits::default()).unwrap();
        let rendered = render(&small(), patient as u32).unwrap();
        assert_eq!(loaded.volume.voxels(), rendered.volume.voxels());
        for (node, mask) in rendered.nodes.iter().zip(&rendered.masks) {
            let hu = loaded.volume.nearest(PointMm(node.center_mm)).unwrap();
            // The voxel nearest to the centre may lie half a voxel off, at the margin of a small node.
            assert!((-250..=250).contains(&hu), "{hu} HU in a node of {:?}", node.appearance);
            let volume = node.volume_mm3();
            let voxel = loaded.volume.affine().voxel_volume();
            // A mask of n voxels errs by about the square root of its surface.
            let allowed = 0.15 * volume + 3.0 * voxel * (volume / voxel).sqrt().clamp(1.0, 6.0);
            assert!((mask.volume_mm3() - volume).abs() < allowed, "{} mm³ for {volume}", mask.volume_mm3());
            total_mask += mask.volume_mm3();
            total += volume;
        }
    }
    assert!((total_mask / total - 1.0).abs() < 0.08, "masks hold {total_mask} mm³ of {total}");
}

#[test]
fn a_cohort_covers_both_dimensions_and_its_oracle_is_good_but_not_perfect() {
    let config = PhantomConfig { dimensions: [16, 16, 16], patients: 80, ..Default::default() };
    let nodes: Vec<_> = (0..config.patients).flat_map(|patient| render(&config, patient).unwrap().nodes).collect();
    let zones: BTreeSet<_> = nodes.iter().map(|node| node.station.zone()).collect();
    assert!(zones.len() >= 5, "{zones:?}");
    let metastatic = nodes.iter().filter(|node| node.metastasis == Metastasis::Metastatic).count();
    assert!((0.3..0.4).contains(&(metastatic as f64 / nodes.len() as f64)));
    let mut pairs = 0.0;
    let mut won = 0.0;
    for a in nodes.iter().filter(|node| node.metastasis == Metastasis::Metastatic) {
        for b in nodes.iter().filter(|node| node.metastasis == Metastasis::Benign) {
            pairs += 1.0;
            won += f64::from(a.posterior > b.posterior);
        }
    }
    let oracle = won / pairs;
    assert!((0.93..0.97).contains(&oracle), "{oracle}");
}

#[test]
fn nodes_lie_in_soft_tissue_and_apart() {
    let config = small();
    for patient in 0..6 {
        let study = render(&PhantomConfig { noise_hu: 0.0, ..config.clone() }, patient).unwrap();
        for (n, node) in study.nodes.iter().enumerate() {
            let [_, _, z] = node.center_mm;
            let carina = study.landmarks.carina_mm[2];
            match node.station.code() {
                "2R" | "2L" => assert!(z > study.landmarks.arch_top_mm[2]),
                "4R" | "4L" => assert!(z > carina),
                "5" => assert!(
                    z < study.landmarks.arch_top_mm[2] && z > study.landmarks.left_pulmonary_artery_top_mm[2] - 4.0
                ),
                "7" | "8R" | "8L" => assert!(z < carina),
                _ => {}
            }
            for (other, mask) in study.nodes.iter().zip(&study.masks).skip(n + 1) {
                assert!(
                    PointMm(node.center_mm).distance(PointMm(other.center_mm)) > node.appearance.short_axis_mm / 2.0
                );
                assert!(mask.voxels.iter().all(|voxel| !study.masks[n].voxels.contains(voxel)), "nodes share voxels");
            }
        }
    }
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
    let other = PhantomConfig { patients: 2, ..small() };
    assert!(matches!(
        generate(&other, folder.path(), &|_| {}, &Interrupt::new()),
        Err(PhantomError::OtherCohort { .. })
    ));
    generate(&small(), folder.path(), &|_| {}, &Interrupt::new()).unwrap();
    let whole = tempfile::tempdir().unwrap();
    generate(&small(), whole.path(), &|_| {}, &Interrupt::new()).unwrap();
    assert!(bytes(folder.path()) == bytes(whole.path()));

    let foreign = tempfile::tempdir().unwrap();
    std::fs::create_dir(foreign.path().join("dicom")).unwrap();
    assert!(matches!(
        generate(&small(), foreign.path(), &|_| {}, &Interrupt::new()),
        Err(PhantomError::OtherCohort { .. })
    ));
}

#[test]
fn impossible_settings_are_named() {
    for (config, key) in [
        (PhantomConfig { patients: 0, ..small() }, "patients"),
        (PhantomConfig { prevalence: 1.5, ..small() }, "prevalence"),
        (PhantomConfig { nodes_per_patient: [5, 2], ..small() }, "nodes_per_patient"),
    ] {
        assert!(config.validate().unwrap_err().to_string().contains(key));
    }
}
