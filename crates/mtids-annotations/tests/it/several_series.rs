//! A study of several series, or a series of several volumes: objects go where the slices that they name lie.

use std::path::Path;

use dicom_dictionary_std::tags;
use mtids_annotations::{
    AnnotationFiles, ClassRule, EntryOutcome, Images, InPlane, RefusedImage, Resolved, SeriesGeometry, SliceUids,
    Sources, load,
};
use mtids_dicom::write::{
    CtOptions, Measurement, ReportedFinding, Segment, SourceImages, write_ct_series, write_report, write_segmentation,
    write_structures,
};
use mtids_dicom::{FileKind, FileOutcome, InstanceHeader, Limits, ReasonCode, read_header};
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{Affine, PointMm};
use mtids_domain::taxonomy::StationMap;
use mtids_domain::volume::Volume;

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
    let rule = ClassRule { name: Some("node".into()), ..ClassRule::default() };
    for (segmentations, structures) in [(vec![seg], vec![]), (vec![], vec![rs])] {
        let sources = Sources { files: &files, segmentations: &segmentations, reports: &[], structures: &structures };
        let images = Images { usable: &[first, second], refused: &[], unread_files: 0 };
        let resolved = load(&sources, &images, &rules(std::slice::from_ref(&rule)));
        assert_eq!(resolved.findings.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1]);
    }
}

/// Headers of the slices of series 2.25.3.
fn headers() -> Vec<InstanceHeader> {
    let folder = tempfile::tempdir().unwrap();
    let volume = Volume::new(vec![0; 7 * 5 * 4], [7, 5, 4], grid()).unwrap();
    let options = CtOptions::new("2.25.3".into(), String::new(), Default::default());
    let paths = write_ct_series(folder.path(), &volume, &identity(), &options).unwrap();
    let header = |path: &std::path::PathBuf| match read_header(path, &Limits::default()).unwrap() {
        FileKind::Image(header) => *header,
        other => panic!("{other:?}"),
    };
    paths.iter().map(header).collect()
}

/// Series 2.25.3, or a volume of it, as one that cannot be used.
fn refused() -> RefusedImage {
    RefusedImage {
        patient_id: series().patient_id.into(),
        study_uid: series().study_uid.into(),
        series_uid: "2.25.3".into(),
        slices: slices("2.25.3"),
        in_plane: Some(InPlane::of(&headers()[0])),
        reason: ReasonCode::MissingSlices,
    }
}

#[test]
fn what_was_drawn_on_a_refused_series_never_goes_to_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_segmentation(&path("seg.dcm"), &node(), [7, 5, 4], &identity(), "2.25.3").unwrap();
    write_segmentation(&path("by slices.dcm"), &node(), [7, 5, 4], &identity(), "2.25.3").unwrap();
    forget_series(&path("by slices.dcm"));
    write_structures(&path("rs.dcm"), &node(), [7, 5, 4], &identity(), "2.25.3").unwrap();
    let files = AnnotationFiles::default();
    let rule = ClassRule { name: Some("node".into()), ..ClassRule::default() };
    let loaded = |usable: &[SeriesGeometry<'_>]| -> Resolved {
        let segmentations = [path("seg.dcm"), path("by slices.dcm")];
        let structures = [path("rs.dcm")];
        let sources = Sources { files: &files, segmentations: &segmentations, reports: &[], structures: &structures };
        load(&sources, &Images { usable, refused: &[refused()], unread_files: 0 }, &rules(std::slice::from_ref(&rule)))
    };
    // The other phase of the study, and the other volume under the same UID: each has the grid of what was refused.
    let phase = SeriesGeometry { series_uid: "2.25.4", slices: SliceUids::Listed(&["2.25.4.1"]), ..series() };
    let volume = SeriesGeometry { slices: SliceUids::Listed(&["2.25.5.1"]), ..series() };
    for usable in [phase, volume] {
        let resolved = loaded(&[usable]);
        assert!(resolved.findings[0].is_empty(), "{:?}", resolved.findings);
        for outcome in &resolved.objects {
            let FileOutcome::Skipped { detail, .. } = outcome else { panic!("{outcome:?}") };
            assert!(detail.contains("is here and was refused"), "{detail}");
        }
    }
    // Beside a volume that holds its slices, the refused one takes nothing away.
    let uids = slices("2.25.3");
    let uids: Vec<&str> = uids.iter().map(String::as_str).collect();
    assert_eq!(loaded(&[SeriesGeometry { slices: SliceUids::Listed(&uids), ..series() }]).findings[0].len(), 1);
}

#[test]
fn boxes_on_a_repaired_series_are_those_of_its_files() {
    let headers = headers();
    // Resampled, the grid has more rows than the slices.
    let repaired = SeriesGeometry { dimensions: [7, 9, 4], slices: SliceUids::OffGrid(&headers), ..series() };
    let folder = tempfile::tempdir().unwrap();
    let uid = &headers[1].sop_instance_uid;
    let outcome = |height: u32, ymax: u32| {
        let path = folder.path().join("box.xml");
        let text = format!(
            "<annotation><filename>{uid}.png</filename><size><width>7</width><height>{height}</height></size><object><name>node</name><bndbox>\
             <xmin>2</xmin><ymin>1</ymin><xmax>4</xmax><ymax>{ymax}</ymax></bndbox></object></annotation>"
        );
        std::fs::write(&path, text).unwrap();
        let files = AnnotationFiles::read(&[path], &Limits::default(), StationMap::Iaslc).unwrap();
        let sources = Sources { files: &files, segmentations: &[], reports: &[], structures: &[] };
        let images = Images { usable: &[repaired], refused: &[], unread_files: 0 };
        load(&sources, &images, &rules(&[])).files[0].entries[0]
    };
    assert_eq!(outcome(5, 3), EntryOutcome::Used);
    assert_eq!(outcome(9, 3), EntryOutcome::Unmatched, "drawn on another image");
    assert_eq!(outcome(5, 7), EntryOutcome::Unmatched, "below the last row");
}
