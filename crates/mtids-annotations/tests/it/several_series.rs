//! A study of several series, or a series of several volumes: objects go where the slices that they name lie.

use std::path::Path;

use dicom_dictionary_std::tags;
use mtids_annotations::{AnnotationFiles, Images, SeriesGeometry, SliceUids, Sources, load};
use mtids_dicom::write::{
    Measurement, ReportedFinding, Segment, SourceImages, write_report, write_segmentation, write_structures,
};
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{Affine, PointMm};

use crate::load::{rules, series};
use crate::written::{grid, identity};

/// Without the sequence that says of which series an object is.
fn forget_series(path: &Path) {
    let mut object = dicom_object::open_file(path).unwrap();
    assert!(object.remove_element(tags::REFERENCED_SERIES_SEQUENCE));
    object.write_to_file(path).unwrap();
}

fn node() -> [Segment; 1] {
    let voxels = vec![[1, 1, 1], [2, 1, 1]];
    [Segment { label: "node".into(), mask: Mask { affine: grid(), voxels } }]
}

/// The slices of a series that the writers of tests name.
fn slices(series_uid: &str) -> Vec<String> {
    let written = SourceImages::written(&identity(), series_uid, 4);
    written.slices.into_iter().map(|slice| slice.instance_uid).collect()
}

#[test]
fn a_report_goes_to_the_series_whose_slices_its_segmentation_names() {
    let folder = tempfile::tempdir().unwrap();
    let (seg, sr) = (folder.path().join("seg.dcm"), folder.path().join("sr.dcm"));
    write_segmentation(&seg, &node(), [7, 5, 4], &identity(), "2.25.3").unwrap();
    forget_series(&seg);
    let finding = ReportedFinding { name: "a".into(), segment: 1, measurements: vec![Measurement::short_axis_mm(9.0)] };
    write_report(&sr, &[finding], 4, &identity(), "2.25.3").unwrap();
    let uids = slices("2.25.3");
    let uids: Vec<&str> = uids.iter().map(String::as_str).collect();
    let own = SeriesGeometry { slices: SliceUids::Listed(&uids), ..series() };
    // Of one study and frame of reference, and preferred where nothing else is known: it has more slices.
    let finer = SeriesGeometry {
        series_uid: "2.25.4",
        affine: Affine::new(PointMm::new(-12.5, 30.25, -100.0), [[0.7, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 1.25]])
            .unwrap(),
        dimensions: [7, 5, 8],
        slices: SliceUids::Listed(&["2.25.4.1", "2.25.4.2"]),
        ..series()
    };
    let files = AnnotationFiles::default();
    let sources = Sources { files: &files, segmentations: &[seg], reports: &[sr], structures: &[] };
    let resolved = load(&sources, &Images { usable: &[finer, own], refused: &[], unread_files: 0 }, &rules(&[]));
    let found: Vec<usize> = resolved.findings.iter().map(Vec::len).collect();
    assert_eq!(
        (found, resolved.findings[1][0].short_axis_mm),
        (vec![0, 1], Some(9.0)),
        "one node, with both its sources"
    );
}

#[test]
fn objects_go_to_the_volume_of_a_series_whose_slices_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let (seg, rs) = (folder.path().join("seg.dcm"), folder.path().join("rs.dcm"));
    write_segmentation(&seg, &node(), [7, 5, 4], &identity(), "2.25.3").unwrap();
    write_structures(&rs, &node(), [7, 5, 4], &identity(), "2.25.3").unwrap();
    let uids = slices("2.25.3");
    let uids: Vec<&str> = uids.iter().map(String::as_str).collect();
    // Two phases under one UID, on one grid.
    let first =
        SeriesGeometry { slices: SliceUids::Listed(&["2.25.5.1", "2.25.5.2", "2.25.5.3", "2.25.5.4"]), ..series() };
    let second = SeriesGeometry { part: 1, slices: SliceUids::Listed(&uids), ..series() };
    let files = AnnotationFiles::default();
    let rule = mtids_annotations::ClassRule { name: Some("node".into()), ..Default::default() };
    for (segmentations, structures) in [(vec![seg], vec![]), (vec![], vec![rs])] {
        let sources = Sources { files: &files, segmentations: &segmentations, reports: &[], structures: &structures };
        let images = Images { usable: &[first, second], refused: &[], unread_files: 0 };
        let resolved = load(&sources, &images, &rules(std::slice::from_ref(&rule)));
        assert_eq!(resolved.findings.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1]);
    }
}
