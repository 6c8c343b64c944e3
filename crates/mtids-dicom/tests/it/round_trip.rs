//! What we write, we read: HU, geometry and masks survive, whatever the orientation.

use mtids_dicom::write::{CtOptions, Segment, StudyIdentity, write_ct_series, write_segmentation};
use mtids_dicom::{AcquisitionFacts, FileKind, Limits, ReasonCode, load_volume, read_header};
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{Affine, PointMm};
use mtids_domain::volume::Volume;

use crate::{grouped, headers};

pub(crate) fn identity() -> StudyIdentity {
    StudyIdentity {
        patient_id: "TEST-1".into(),
        patient_name: "TEST^SYNTHETIC".into(),
        study_uid: "2.25.1".into(),
        frame_of_reference_uid: "2.25.2".into(),
        study_date: "20260101".into(),
        ..StudyIdentity::default()
    }
}

fn options() -> CtOptions {
    CtOptions::new("2.25.3".into(), "round trip".into(), facts())
}

pub(crate) fn facts() -> AcquisitionFacts {
    AcquisitionFacts {
        manufacturer: Some("Maker".into()),
        model: None,
        kernel: Some("B30".into()),
        slice_thickness_mm: Some(2.5),
        kvp: Some(120.0),
        contrast: Some(true),
    }
}

/// Steps of an upright grid: 0.7 × 0.8 × 2.5 mm.
pub(crate) const STEPS: [[f64; 3]; 3] = [[0.7, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 2.5]];

/// Writes a volume as the series of these tests.
pub(crate) fn write(folder: &std::path::Path, volume: &Volume) -> Vec<std::path::PathBuf> {
    write_ct_series(folder, volume, &identity(), &options()).unwrap()
}

/// A volume of 7 × 5 × 4 voxels, all different from their neighbours.
pub(crate) fn volume(steps: [[f64; 3]; 3]) -> Volume {
    let affine = Affine::new(PointMm::new(-12.5, 30.25, -100.0), steps).unwrap();
    let voxels = (0..7 * 5 * 4).map(|n| (n * 37 % 3000) as i16 - 1000).collect();
    Volume::new(voxels, [7, 5, 4], affine).unwrap()
}

#[test]
fn a_written_series_reads_back_with_its_hu_and_its_place() {
    let oblique = 0.3f64.sin_cos();
    for steps in [
        [[0.7, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 2.5]],
        [[-0.7, 0.0, 0.0], [0.0, -0.8, 0.0], [0.0, 0.0, 2.5]],
        [[0.7, 0.0, 0.0], [0.0, 0.0, -0.8], [0.0, 2.5, 0.0]],
        [[0.7 * oblique.1, 0.7 * oblique.0, 0.0], [-0.8 * oblique.0, 0.8 * oblique.1, 0.0], [0.0, 0.0, 2.5]],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let written = volume(steps);
        write_ct_series(folder.path(), &written, &identity(), &options()).unwrap();
        let outcome = grouped(folder.path());
        assert_eq!(outcome.series.len(), 1);
        assert_eq!(*outcome.series[0].facts, facts());
        let read = load_volume(&outcome.series[0], &Limits::default()).unwrap().volume;
        assert_eq!(read.voxels(), written.voxels());
        assert_eq!(read.dimensions(), written.dimensions());
        for (a, b) in read.affine().steps().iter().flatten().zip(written.affine().steps().iter().flatten()) {
            assert!((a - b).abs() < 1e-6, "{:?} for {:?}", read.affine(), written.affine());
        }
        assert!(read.affine().origin().distance(written.affine().origin()) < 1e-6);
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let written: Vec<Vec<u8>> = (0..2)
        .map(|_| {
            let folder = tempfile::tempdir().unwrap();
            let volume = volume([[0.7, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 2.5]]);
            let paths = write_ct_series(folder.path(), &volume, &identity(), &options()).unwrap();
            let mask = Mask { affine: *volume.affine(), voxels: vec![[1, 1, 1]] };
            let segmentation = folder.path().join("seg.dcm");
            let segments = [Segment { label: "node".into(), mask }];
            write_segmentation(&segmentation, &segments, volume.dimensions(), &identity(), "2.25.3").unwrap();
            paths.iter().chain([&segmentation]).flat_map(|path| std::fs::read(path).unwrap()).collect()
        })
        .collect();
    assert_eq!(written[0], written[1]);
}

#[test]
fn every_defect_of_a_series_has_its_reason() {
    let reason = |break_it: &dyn Fn(&std::path::Path)| {
        let folder = tempfile::tempdir().unwrap();
        write_ct_series(
            folder.path(),
            &volume([[0.7, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 2.5]]),
            &identity(),
            &options(),
        )
        .unwrap();
        break_it(folder.path());
        let outcome = grouped(folder.path());
        match outcome.series.first() {
            Some(series) => load_volume(series, &Limits::default()).err().map(|error| error.reason()),
            None => outcome.refused.first().map(|refused| refused.reason),
        }
    };
    assert_eq!(reason(&|_| {}), None);
    assert_eq!(
        reason(&|folder| std::fs::remove_file(folder.join("IM0002.dcm")).unwrap()),
        Some(ReasonCode::MissingSlices)
    );
    let keep_two = |folder: &std::path::Path| {
        std::fs::remove_file(folder.join("IM0002.dcm")).unwrap();
        std::fs::remove_file(folder.join("IM0003.dcm")).unwrap();
    };
    assert_eq!(reason(&keep_two), Some(ReasonCode::TooFewSlices));
    let copy = |folder: &std::path::Path| {
        std::fs::copy(folder.join("IM0002.dcm"), folder.join("copy.dcm")).unwrap();
    };
    assert_eq!(reason(&copy), None, "an identical copy is dropped");
    let conflict = |folder: &std::path::Path| {
        let mut bytes = std::fs::read(folder.join("IM0002.dcm")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(folder.join("other.dcm"), bytes).unwrap();
    };
    assert_eq!(reason(&conflict), Some(ReasonCode::ConflictingInstances));
}

#[test]
fn a_file_cut_anywhere_is_refused_or_still_whole_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    write_ct_series(
        folder.path(),
        &volume([[0.7, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 2.5]]),
        &identity(),
        &options(),
    )
    .unwrap();
    let bytes = std::fs::read(folder.path().join("IM0001.dcm")).unwrap();
    let cut = folder.path().join("cut.dcm");
    for length in 0..bytes.len() {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        // A cut between two elements leaves a shorter but well-formed file; it then lacks something or is no image with pixels.
        if let Ok(FileKind::Image(header)) = read_header(&cut, &Limits::default()) {
            let alone = mtids_dicom::group(vec![*header; 1]);
            assert!(load_volume(&alone.series[0], &Limits { min_slices: 2, ..Limits::default() }).is_err());
        }
    }
    let (all, _) = headers(folder.path());
    assert!(all.len() >= 4);
}
