//! Sources are loaded over geometries that no pixel stands behind.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mtids_annotations::write::write_mask_nifti;
use mtids_annotations::{
    AnnotationFiles, ClassRule, Classes, EntryOutcome, Resolved, Rules, SeriesGeometry, SliceUids, Sources, load,
    read_report, read_segmentation,
};
use mtids_dicom::write::{Measurement, ReportedFinding, Segment, write_report, write_segmentation, write_structures};
use mtids_dicom::{FileOutcome, Limits, ReasonCode};
use mtids_domain::annotation::{AnnotationSource, Extent, Mask};
use mtids_domain::geometry::{PointMm, Voxel};
use mtids_domain::label::Metastasis;
use mtids_domain::taxonomy::{Location, Station, StationMap};

use crate::written::{grid, identity};

/// The series that the writers refer to: 7 × 5 × 4 voxels.
fn series() -> SeriesGeometry<'static> {
    SeriesGeometry {
        series_uid: "2.25.3",
        study_uid: "2.25.1",
        frame_of_reference_uid: Some("2.25.2"),
        affine: grid(),
        dimensions: [7, 5, 4],
        slices: SliceUids::Listed(&["2.25.3.1", "2.25.3.2", "2.25.3.3", "2.25.3.4"]),
    }
}

fn rules(classes: &[ClassRule]) -> Rules {
    Rules {
        read_segmentations: true,
        read_reports: true,
        classes: Classes::new(classes, StationMap::Iaslc).unwrap(),
        join_tolerance_mm: 1.0,
        limits: Limits::default(),
    }
}

fn place(voxel: [f64; 3]) -> PointMm {
    grid().to_mm(Voxel(voxel))
}

/// A row of a table at a voxel.
fn row(voxel: [f64; 3], labels: &str) -> String {
    let [x, y, z] = place(voxel).0;
    format!("2.25.3,{x},{y},{z},{labels}\n")
}

fn table(folder: &Path, rows: &[String]) -> PathBuf {
    let path = folder.join("nodes.csv");
    std::fs::write(&path, format!("series_uid,x_mm,y_mm,z_mm,station,metastasis\n{}", rows.concat())).unwrap();
    path
}

fn named(paths: &[PathBuf]) -> AnnotationFiles {
    AnnotationFiles::read(paths, &Limits::default(), StationMap::Iaslc).unwrap()
}

fn load_files(paths: &[PathBuf], classes: &[ClassRule]) -> Resolved {
    let files = named(paths);
    let sources = Sources { files: &files, segmentations: &[], reports: &[], structures: &[] };
    load(&sources, &[series()], &rules(classes)).unwrap()
}

#[test]
fn every_row_of_a_table_has_its_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [
        row([1.0, 1.0, 1.0], "4R,benign"),
        row([1.0, 1.0, 1.0], "4R,benign"),
        row([5.0, 3.0, 2.0], "7,benign"),
        row([5.0, 3.0, 2.0], "7,metastatic"),
        row([900.0, 0.0, 0.0], "7,benign"),
        row([3.0, 0.0, 3.0], ","),
    ];
    let resolved = load_files(&[table(folder.path(), &rows)], &[]);
    use EntryOutcome::{Duplicate, Unmatched, Used};
    assert_eq!(resolved.files[0].entries, [Used, Duplicate, Used, Duplicate, Unmatched, Used]);
    assert_eq!((resolved.duplicates, resolved.unmatched, resolved.contradictions), (2, 1, 1));
    let mut found: Vec<_> = resolved.findings[0]
        .iter()
        .map(|one| (one.station.and_then(Location::station).map(Station::code), one.metastasis))
        .collect();
    found.sort();
    assert_eq!(found, [(None, None), (Some("4R"), Some(Metastasis::Benign)), (Some("7"), None)]);
}

#[test]
fn a_segmentation_takes_labels_from_a_table_and_each_object_has_its_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let segment =
        |voxels: &[[u32; 3]]| Segment { label: "node".into(), mask: Mask { affine: grid(), voxels: voxels.to_vec() } };
    let segments = [segment(&[[1, 1, 1], [2, 1, 1]]), segment(&[[5, 4, 3]])];
    write_segmentation(&path("seg.dcm"), &segments, [7, 5, 4], &identity(), "2.25.3").unwrap();
    write_segmentation(&path("other.dcm"), &segments, [7, 5, 4], &other(), "2.25.9").unwrap();
    std::fs::write(path("broken.dcm"), "no DICOM").unwrap();
    write_structures(&path("rs.dcm"), &segments[1..], [7, 5, 4], &identity(), "2.25.3").unwrap();
    let files = named(&[table(folder.path(), &[row([1.5, 1.0, 1.0], "4R,metastatic")])]);
    let objects = [path("broken.dcm"), path("other.dcm"), path("seg.dcm")];
    let structures = [path("rs.dcm")];
    let sources = Sources { files: &files, segmentations: &objects, reports: &[], structures: &structures };
    let resolved = load(&sources, &[series()], &rules(&[])).unwrap();
    let short: Vec<&str> = resolved
        .objects
        .iter()
        .map(|outcome| match outcome {
            FileOutcome::Used { .. } => "used",
            FileOutcome::Skipped { reason, .. } => reason.as_str(),
            FileOutcome::Refused(refused) => refused.reason.as_str(),
        })
        .collect();
    let expected =
        [ReasonCode::NotDicom.as_str(), "segmentation-of-no-series-here", "used", "structures-not-asked-for"];
    assert_eq!(short, expected);
    let paths: Vec<PathBuf> = objects.iter().chain(&structures).cloned().collect();
    assert_eq!(resolved.objects.iter().map(FileOutcome::path).collect::<Vec<_>>(), paths);
    assert_eq!(resolved.unmatched, 2, "the findings of the other segmentation");
    let findings = &resolved.findings[0];
    assert_eq!(findings.len(), 2);
    let labelled = findings.iter().find(|one| one.station.is_some()).unwrap();
    assert_eq!(labelled.source, AnnotationSource::SegmentationWithTable);
    assert_eq!(labelled.metastasis, Some(Metastasis::Metastatic));
    assert!(labelled.center.distance(place([1.5, 1.0, 1.0])) < 1e-3, "the place is that of the mask");
}

fn other() -> mtids_dicom::write::StudyIdentity {
    mtids_dicom::write::StudyIdentity {
        study_uid: "2.25.7".into(),
        frame_of_reference_uid: "2.25.8".into(),
        ..identity()
    }
}

#[test]
fn a_label_map_is_assigned_by_its_grid_and_classes_say_what_it_means() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.nii.gz");
    let mask = |voxel| Mask { affine: grid(), voxels: vec![voxel] };
    write_mask_nifti(&path, &[mask([1, 1, 1]), mask([5, 4, 3])], &grid(), [7, 5, 4]).unwrap();
    let rule = |name: &str| ClassRule { name: Some(name.into()), ..ClassRule::default() };
    let classes =
        [ClassRule { station: Some("7".into()), ..rule("^label 1$") }, ClassRule { ignore: true, ..rule("^label 2$") }];
    let resolved = load_files(std::slice::from_ref(&path), &classes);
    assert_eq!(resolved.files[0].entries, [EntryOutcome::Used, EntryOutcome::LeftOut]);
    assert_eq!(resolved.findings[0].len(), 1);
    assert_eq!(resolved.findings[0][0].station, Some(Station::S7.into()));
    // Two series with this grid: nobody knows whose the mask is.
    let files = named(&[path]);
    let sources = Sources { files: &files, segmentations: &[], reports: &[], structures: &[] };
    let two = [series(), SeriesGeometry { series_uid: "2.25.4", ..series() }];
    let resolved = load(&sources, &two, &rules(&classes)).unwrap();
    assert_eq!((resolved.unmatched, resolved.findings.concat().len()), (2, 0));
}

#[test]
fn a_report_shares_the_masks_of_its_segmentation() {
    let folder = tempfile::tempdir().unwrap();
    let (seg, sr) = (folder.path().join("seg.dcm"), folder.path().join("sr.dcm"));
    let segments = [Segment { label: "node".into(), mask: Mask { affine: grid(), voxels: vec![[1, 1, 1]] } }];
    write_segmentation(&seg, &segments, [7, 5, 4], &identity(), "2.25.3").unwrap();
    let finding = ReportedFinding { name: "a".into(), segment: 1, measurements: vec![Measurement::short_axis_mm(9.0)] };
    write_report(&sr, &[finding], 4, &identity(), "2.25.3").unwrap();
    let segmentation = read_segmentation(&seg, &Limits::default()).unwrap().findings_on(None, &Limits::default());
    let found: Vec<_> = segmentation.findings().collect();
    let report = read_report(&sr, &Limits::default()).unwrap();
    let reported = report.findings(std::slice::from_ref(&segmentation));
    let (Extent::Mask(mask), Extent::Mask(same)) = (&found[0].extent, &reported[0].extent) else { panic!("masks") };
    assert!(Arc::ptr_eq(mask, same), "one mask in memory, not two");
    // Both are one finding, with the measure of the mask.
    let files = AnnotationFiles::default();
    let sources = Sources { files: &files, segmentations: &[seg], reports: &[sr], structures: &[] };
    let resolved = load(&sources, &[series()], &rules(&[])).unwrap();
    assert_eq!((resolved.findings[0].len(), resolved.duplicates), (1, 0));
}
