//! Answers of `mtids-train predict` in the data folder are no annotations.

use std::path::{Path, PathBuf};

use mtids_annotations::{AnnotationFiles, Images, Sources, load, read_segmentation};
use mtids_dicom::answer::is_answer;
use mtids_dicom::dataset::{Elements, open};
use mtids_dicom::uid::uid_from;
use mtids_dicom::write::{
    DerivedObject, DescribedFinding, DescribedSegment, ReportedPlace, Segment, SourceImages, write_described_report,
    write_described_segmentation, write_report, write_segmentation,
};
use mtids_dicom::{FileOutcome, Limits, SkipReason};
use mtids_domain::annotation::Mask;

use crate::load::{rules, series};
use crate::written::{grid, identity};

/// A SEG and a report, as `predict` writes them, or as drawn.
fn write(folder: &Path, algorithm: Option<[String; 2]>) -> [PathBuf; 2] {
    let [seg, sr] = ["seg.dcm", "sr.dcm"].map(|name| folder.join(name));
    let segment = Segment { label: "node".into(), mask: Mask { affine: grid(), voxels: vec![[1, 1, 1]] } };
    let source = SourceImages::written(&identity(), "2.25.3", 4);
    let derived = |what: &str| DerivedObject {
        series_uid: uid_from(&["answer", what]),
        instance_uid: uid_from(&["answer instance", what]),
        series_number: 9001,
        series_description: None,
        description: String::new(),
        algorithm: algorithm.clone(),
        algorithm_parameters: None,
    };
    let described = DescribedSegment { segment, description: None, tracking: None };
    write_described_segmentation(&seg, &[described], [7, 5, 4], &source, &derived("seg")).unwrap();
    let finding = DescribedFinding {
        name: "node 1".into(),
        tracking_uid: "2.25.77".into(),
        place: ReportedPlace::Segment(1),
        measurements: Vec::new(),
        evaluations: Vec::new(),
        comments: Vec::new(),
    };
    let uids = [derived("seg").series_uid, derived("seg").instance_uid];
    write_described_report(&sr, &[finding], &source, &derived("sr"), Some(&uids)).unwrap();
    [seg, sr]
}

#[test]
fn an_answer_is_skipped_and_what_was_drawn_is_read() {
    let load_all = |[seg, sr]: [PathBuf; 2]| {
        let files = AnnotationFiles::default();
        let sources = Sources { files: &files, segmentations: &[seg], reports: &[sr], structures: &[] };
        load(&sources, &Images { usable: &[series()], refused: &[], unread_files: 0 }, &rules(&[]))
    };
    let folder = tempfile::tempdir().unwrap();
    let answer = load_all(write(folder.path(), Some(["mtids".into(), "0.1.0".into()])));
    assert!(answer.findings[0].is_empty() && answer.rejects.is_empty());
    let reasons = answer.objects.iter().map(|outcome| match outcome {
        FileOutcome::Skipped { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reasons.collect::<Vec<_>>(), [Some(SkipReason::AnswerOfPredict); 2]);
    let folder = tempfile::tempdir().unwrap();
    let drawn = load_all(write(folder.path(), None));
    assert_eq!(drawn.findings[0].len(), 1);
    assert!(drawn.objects.iter().all(|outcome| matches!(outcome, FileOutcome::Used { .. })));
    // Another program's algorithm is somebody else's segmentation.
    let folder = tempfile::tempdir().unwrap();
    let other = load_all(write(folder.path(), Some(["nnU-Net".into(), "2".into()])));
    assert_eq!(other.findings[0].len(), 1);
}

#[test]
fn objects_of_a_phantom_are_no_answers() {
    let folder = tempfile::tempdir().unwrap();
    let [seg, sr] = ["seg.dcm", "sr.dcm"].map(|name| folder.path().join(name));
    let segment = Segment { label: "node".into(), mask: Mask { affine: grid(), voxels: vec![[1, 1, 1]] } };
    write_segmentation(&seg, &[segment], [7, 5, 4], &identity(), "2.25.3").unwrap();
    write_report(&sr, &[], 4, &identity(), "2.25.3").unwrap();
    assert!(!read_segmentation(&seg, &Limits::default()).unwrap().is_answer);
    for path in [seg, sr] {
        assert!(!is_answer(&open(&path, &Limits::default(), Elements::All).unwrap().object));
    }
}
