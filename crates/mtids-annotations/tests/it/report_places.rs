//! Reports that place nodes by coordinates: of the patient, and of one image, as viewers write them.

use std::path::{Path, PathBuf};

use mtids_annotations::{
    AnnotationFiles, ClassRule, Finding, Images, RejectReason, Resolved, SeriesGeometry, SliceUids, Sources, load,
    read_report,
};
use mtids_dicom::uid::uid_from;
use mtids_dicom::write::{
    CtOptions, DerivedObject, DescribedFinding, Measurement, ReportedPlace, Segment, SourceImages, write_ct_series,
    write_described_report, write_enhanced_ct, write_segmentation,
};
use mtids_dicom::{FileKind, FileOutcome, InstanceHeader, Limits, SkipReason, read_header};
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{Affine, PointMm, Voxel};
use mtids_domain::label::Metastasis;
use mtids_domain::taxonomy::{Location, Station};
use mtids_domain::volume::Volume;

use crate::load::{rules, series};
use crate::sr_content::{
    FINDING, Item, LENGTH, LONG_AXIS, SHORT_AXIS, SITE, coded, group, image, number, scoord, scoord_3d, segment, write,
};
use crate::written::{grid, identity};

/// The slices of the series.
pub(crate) const SLICES: [&str; 4] = ["2.25.3.1", "2.25.3.2", "2.25.3.3", "2.25.3.4"];

/// A series of 60 × 50 pixels, on the grid of the tests.
pub(crate) fn wide() -> SeriesGeometry<'static> {
    SeriesGeometry { dimensions: [60, 50, 4], slices: SliceUids::Listed(&SLICES), ..series() }
}

pub(crate) fn loaded(reports: &[PathBuf], usable: &[SeriesGeometry<'_>], classes: &[ClassRule]) -> Resolved {
    let files = AnnotationFiles::default();
    let sources = Sources { files: &files, segmentations: &[], reports, structures: &[] };
    load(&sources, &Images { usable, refused: &[], unread_files: 0 }, &rules(classes))
}

/// What a report of these groups gives on the wide series.
pub(crate) fn of_groups(groups: Vec<Item>, classes: &[ClassRule]) -> Resolved {
    let folder = tempfile::tempdir().unwrap();
    loaded(&[write(folder.path(), groups)], &[wide()], classes)
}

fn at(i: f64, j: f64, k: f64) -> PointMm {
    grid().to_mm(Voxel([i, j, k]))
}

/// The only finding.
fn only(resolved: &Resolved) -> &Finding {
    assert!(resolved.rejects.is_empty(), "{:?}", resolved.rejects);
    let [finding] = resolved.findings[0].as_slice() else { panic!("{:?}", resolved.findings) };
    finding
}

fn is_at(groups: Vec<Item>, place: PointMm) {
    let resolved = of_groups(groups, &[]);
    let found = only(&resolved).center;
    assert!(found.distance(place) < 1e-3, "{found:?} instead of {place:?}");
    assert!(matches!(resolved.objects[..], [FileOutcome::Used { .. }]), "{:?}", resolved.objects);
}

fn floats(points: &[PointMm]) -> Vec<f32> {
    points.iter().flat_map(|point| point.0.map(|mm| mm as f32)).collect()
}

/// A report by our own writer, of points.
fn own(folder: &Path, findings: &[(&str, PointMm, f64)], algorithm: Option<&str>) -> PathBuf {
    let path = folder.join("own.sr.dcm");
    let describe = |(name, place, mm): &(&str, PointMm, f64)| DescribedFinding {
        name: (*name).to_owned(),
        tracking_uid: uid_from(&["tracking", name]),
        place: ReportedPlace::Point(place.0),
        measurements: vec![Measurement::short_axis_mm(*mm)],
        evaluations: Vec::new(),
        comments: Vec::new(),
    };
    let findings: Vec<DescribedFinding> = findings.iter().map(describe).collect();
    let derived = DerivedObject {
        series_uid: "2.25.910".into(),
        instance_uid: "2.25.911".into(),
        series_number: 9002,
        series_description: None,
        description: String::new(),
        algorithm: algorithm.map(|name| [name.to_owned(), "1".to_owned()]),
        algorithm_parameters: None,
    };
    let source = SourceImages::written(&identity(), "2.25.3", 4);
    write_described_report(&path, &findings, &source, &derived, None).unwrap();
    path
}

fn rule(name: &str) -> ClassRule {
    ClassRule { name: Some(name.into()), ..ClassRule::default() }
}

#[test]
fn a_report_by_our_own_writer_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let places = [at(10.3, 20.7, 1.2), at(40.1, 5.9, 2.8)];
    let nodes = [("LN 4R met", places[0], 12.5), ("LN 7", places[1], 8.25)];
    let path = own(folder.path(), &nodes, None);
    let classes = [
        ClassRule { metastasis: Some(Metastasis::Metastatic), ..rule("^LN (?<station>[0-9]+[RL]?) met$") },
        ClassRule { metastasis: Some(Metastasis::Benign), ..rule("^LN (?<station>[0-9]+[RL]?)$") },
    ];
    let resolved = loaded(std::slice::from_ref(&path), &[wide()], &classes);
    assert!(resolved.rejects.is_empty() && resolved.findings[0].len() == 2, "{resolved:?}");
    let expected = [(Station::S4R, Metastasis::Metastatic), (Station::S7, Metastasis::Benign)];
    for ((_, place, mm), (station, status)) in nodes.iter().zip(expected) {
        let near = |one: &&Finding| one.center.distance(*place) < 0.01;
        let finding = resolved.findings[0].iter().find(near).unwrap();
        assert_eq!(finding.station.and_then(Location::station), Some(station));
        assert_eq!((finding.metastasis, finding.short_axis_mm), (Some(status), Some(*mm)));
    }
    let read = read_report(&path, &Limits::default()).unwrap();
    let uids: Vec<Option<String>> = read.groups.iter().map(|group| group.tracking_uid.clone()).collect();
    assert_eq!(uids, nodes.map(|(name, ..)| Some(uid_from(&["tracking", name]))));
    assert!(read.unread(&[]).is_none() && read.unplaced().is_none());
    // The observer of our own writer is a device.
    assert!(resolved.told.iter().any(|told| told.contains("2 of 2 findings of a report were measured by a program")));
}

#[test]
fn an_answer_of_predict_with_points_is_no_annotation_and_another_program_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = [("node 1", at(10.0, 20.0, 1.0), 12.5)];
    let answer = loaded(&[own(folder.path(), &nodes, Some("mtids"))], &[wide()], &[]);
    assert!(answer.findings[0].is_empty() && answer.rejects.is_empty());
    let [FileOutcome::Skipped { reason: SkipReason::AnswerOfPredict, .. }] = answer.objects[..] else {
        panic!("{:?}", answer.objects)
    };
    // As the SEG of another program: its places are read, and nothing it says is a status.
    let other = loaded(&[own(folder.path(), &nodes, Some("nodule finder"))], &[wide()], &[]);
    assert_eq!((other.findings[0].len(), only(&other).metastasis), (1, None));
    assert!(other.told.iter().any(|told| told.contains("measured by a program")), "{:?}", other.told);
}

#[test]
fn columns_and_rows_count_from_the_corner_of_the_first_pixel() {
    // The centre of pixel (20, 30) from 0 is (20.5, 30.5).
    is_at(vec![group("LN 7", vec![scoord("POINT", &[20.5, 30.5], SLICES[2])])], at(20.0, 30.0, 2.0));
    is_at(vec![group("LN 7", vec![scoord("POINT", &[0.5, 2.5], SLICES[0])])], at(0.0, 2.0, 0.0));
    // Beyond the middle of the last pixel, and still in it.
    is_at(vec![group("LN 7", vec![scoord("POINT", &[59.9, 49.9], SLICES[3])])], at(59.4, 49.4, 3.0));
    // A slice is no matrix of tiles, whatever is said of the origin of its pixels.
    let whole = scoord("POINT", &[20.5, 30.5], SLICES[2]).text([0x0048, 0x0301], "CS", "VOLUME");
    is_at(vec![group("LN 7", vec![whole])], at(20.0, 30.0, 2.0));
    // Oblique to the body, rows and columns keep their meaning.
    let (sin, cos) = 0.3f64.sin_cos();
    let steps = [[0.7 * cos, 0.0, 0.7 * sin], [0.0, 0.8, 0.0], [-2.5 * sin, 0.0, 2.5 * cos]];
    let affine = Affine::new(PointMm::new(-20.0, 10.0, -300.0), steps).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), vec![group("LN 7", vec![scoord("POINT", &[11.0, 7.25], SLICES[1])])]);
    let resolved = loaded(&[path], &[SeriesGeometry { affine, ..wide() }], &[]);
    assert!(only(&resolved).center.distance(affine.to_mm(Voxel([10.5, 6.75, 1.0]))) < 1e-3);
}

#[test]
fn shapes_on_an_image_have_their_centre_on_its_plane() {
    let place = at(20.0, 30.0, 1.0);
    for (shape, values) in [
        ("POLYLINE", &[15.5, 28.5, 25.5, 32.5][..]),
        ("CIRCLE", &[20.5, 30.5, 26.5, 30.5]),
        ("ELLIPSE", &[12.5, 30.5, 28.5, 30.5, 20.5, 26.5, 20.5, 34.5]),
        ("MULTIPOINT", &[19.5, 30.5, 21.5, 29.5, 20.5, 31.5]),
        ("POLYLINE", &[16.5, 26.5, 24.5, 26.5, 24.5, 34.5, 16.5, 34.5, 16.5, 26.5]),
    ] {
        is_at(vec![group("LN 7", vec![number(LENGTH, 9.0, vec![scoord(shape, values, SLICES[1])])])], place);
    }
}

#[test]
fn shapes_in_the_patient_have_their_centre_in_space() {
    let PointMm([x, y, z]) = at(20.0, 30.0, 1.3);
    let by = |dx: f64, dy: f64, dz: f64| PointMm([x + dx, y + dy, z + dz]);
    let axes = [by(-6.0, 0.0, 0.0), by(6.0, 0.0, 0.0), by(0.0, -3.0, 0.0), by(0.0, 3.0, 0.0)];
    let third = [by(0.0, 0.0, -2.0), by(0.0, 0.0, 2.0)];
    let dots = [by(-0.9, 0.0, -0.2), by(0.9, 0.0, 0.2), by(-0.9, 0.9, 0.0), by(0.9, -0.9, 0.0)];
    let square = [by(-3.0, -3.0, 0.0), by(3.0, -3.0, 0.0), by(3.0, 3.0, 0.0), by(-3.0, 3.0, 0.0), by(-3.0, -3.0, 0.0)];
    for (shape, points) in [
        ("POINT", vec![by(0.0, 0.0, 0.0)]),
        ("POLYLINE", axes[..2].to_vec()),
        ("MULTIPOINT", dots.to_vec()),
        ("POLYGON", square.to_vec()),
        ("ELLIPSE", axes.to_vec()),
        ("ELLIPSOID", [&axes[..], &third[..]].concat()),
    ] {
        is_at(vec![group("LN 7", vec![scoord_3d(shape, &floats(&points), "2.25.2")])], by(0.0, 0.0, 0.0));
    }
}

/// A long and a short axis, as a viewer writes them.
fn bidirectional(name: &str, long: &[f32], short: &[f32]) -> Item {
    let axis = |concept, mm, line| number(concept, mm, vec![scoord("POLYLINE", line, SLICES[1])]);
    group(name, vec![axis(LONG_AXIS, 14.0, long), axis(SHORT_AXIS, 8.5, short)])
}

#[test]
fn two_axes_are_one_node_with_its_short_axis() {
    let axes = bidirectional("LN 7", &[10.5, 20.5, 30.5, 20.5], &[22.5, 16.5, 22.5, 26.5]);
    let resolved = of_groups(vec![axes.clone()], &[]);
    let finding = only(&resolved);
    assert!(finding.center.distance(at(21.0, 20.5, 1.0)) < 1e-3, "{finding:?}");
    assert_eq!((finding.short_axis_mm, finding.mask.is_none()), (Some(8.5), true));
    // Area and radius of one circle are one circle.
    let circle = || vec![scoord("CIRCLE", &[20.5, 30.5, 26.5, 30.5], SLICES[1])];
    let twice = vec![number(("G-A166", "SRT"), 60.0, circle()), number(("131190003", "SCT"), 6.0, circle())];
    is_at(vec![group("LN 7", twice)], at(20.0, 30.0, 1.0));
    // Two groups are two nodes; a group that is written twice is one, and counted.
    let other = bidirectional("LN 4R", &[40.5, 40.5, 50.5, 40.5], &[45.5, 37.5, 45.5, 43.5]);
    let resolved = of_groups(vec![axes.clone(), axes, other], &[]);
    assert_eq!((resolved.findings[0].len(), resolved.duplicates), (2, 1));
}

#[test]
fn outlines_of_one_node_on_several_slices_are_one_node() {
    let outline = |k: usize| scoord("CIRCLE", &[20.5, 30.5, 26.5, 30.5], SLICES[k]);
    is_at(vec![group("LN 7", (0..4).map(outline).collect())], at(20.0, 30.0, 1.5));
    // Slices of 5 mm, farther apart than half the 8 mm of the node.
    let affine = Affine::new(PointMm::new(-20.0, 10.0, -300.0), [[0.8, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 5.0]]);
    let thick = SeriesGeometry { affine: affine.unwrap(), ..wide() };
    let of_slices = |slices: [usize; 2]| {
        let folder = tempfile::tempdir().unwrap();
        let outline = |k: usize| scoord("CIRCLE", &[20.5, 30.5, 25.5, 30.5], SLICES[k]);
        loaded(&[write(folder.path(), vec![group("LN 7", slices.map(outline).to_vec())])], &[thick], &[])
    };
    let resolved = of_slices([1, 2]);
    assert!(only(&resolved).center.distance(thick.affine.to_mm(Voxel([20.0, 30.0, 1.5]))) < 1e-3);
    assert_eq!(of_slices([0, 2]).rejects[0].reason, RejectReason::UnreadableCoordinates, "a slice between them");
}

/// Headers of a written CT: a file for each slice, or one of frames.
fn headers(folder: &Path, enhanced: bool) -> Vec<InstanceHeader> {
    let volume = Volume::new(vec![0; 7 * 5 * 4], [7, 5, 4], grid()).unwrap();
    let options = CtOptions::new("2.25.3".into(), String::new(), Default::default());
    let paths = if enhanced {
        let path = folder.join("enhanced.dcm");
        write_enhanced_ct(&path, &volume, &identity(), &options).unwrap();
        vec![path]
    } else {
        write_ct_series(folder, &volume, &identity(), &options).unwrap()
    };
    let read = |path: &PathBuf| match read_header(path, &Limits::default()).unwrap() {
        FileKind::Image(header) => vec![*header],
        FileKind::Frames(frames) => frames,
        other => panic!("{other:?}"),
    };
    paths.iter().flat_map(read).collect()
}

#[test]
fn a_frame_of_an_enhanced_ct_is_named_by_its_number() {
    for enhanced in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let headers = headers(folder.path(), enhanced);
        let series = SeriesGeometry { slices: SliceUids::Headers(&headers), ..series() };
        let uid = &headers[2].sop_instance_uid;
        let resolved = |frame: Option<u32>| {
            let point = crate::sr_content::scoord_alone("POINT", &[3.5, 2.5]).content(vec![image(uid, frame)]);
            loaded(&[write(folder.path(), vec![group("LN 7", vec![point])])], &[series], &[])
        };
        let found = resolved(Some(if enhanced { 3 } else { 1 }));
        assert!(only(&found).center.distance(at(3.0, 2.0, 2.0)) < 1e-3, "{enhanced}");
        assert_eq!(resolved(None).findings[0].len(), usize::from(!enhanced), "a file of frames needs a number");
        for frame in [0, 9] {
            let lost = resolved(Some(frame));
            assert!(lost.findings[0].is_empty() && lost.rejects[0].reason == RejectReason::ImageNotHere, "{frame}");
        }
    }
}

#[test]
fn slices_of_a_repaired_series_lie_where_the_files_say() {
    let folder = tempfile::tempdir().unwrap();
    let mut headers = headers(folder.path(), false);
    headers.remove(1);
    // The grid of the repaired series has the missing slice.
    let series = SeriesGeometry { slices: SliceUids::OffGrid(&headers), ..series() };
    let point = scoord("POINT", &[3.5, 2.5], &headers[1].sop_instance_uid);
    let resolved = loaded(&[write(folder.path(), vec![group("LN 7", vec![point])])], &[series], &[]);
    assert!(only(&resolved).center.distance(at(3.0, 2.0, 2.0)) < 1e-3, "{:?}", resolved.findings);
}

/// Writes a SEG of one segment of two voxels beside each other, and returns its path and UID.
fn segmentation(folder: &Path, label: &str) -> (PathBuf, String) {
    let path = folder.join("seg.dcm");
    let mask = Mask { affine: grid(), voxels: vec![[1, 1, 1], [2, 1, 1]] };
    write_segmentation(&path, &[Segment { label: label.into(), mask }], [7, 5, 4], &identity(), "2.25.3").unwrap();
    let uid = mtids_annotations::read_segmentation(&path, &Limits::default()).unwrap().sop_instance_uid;
    (path, uid)
}

/// What a SEG gives with a report of these groups.
fn with_segmentation(seg: &Path, groups: Vec<Item>, classes: &[ClassRule]) -> Resolved {
    let folder = tempfile::tempdir().unwrap();
    let (files, seg, sr) = (AnnotationFiles::default(), [seg.to_owned()], [write(folder.path(), groups)]);
    let sources = Sources { files: &files, segmentations: &seg, reports: &sr, structures: &[] };
    load(&sources, &Images { usable: &[series()], refused: &[], unread_files: 0 }, &rules(classes))
}

#[test]
fn a_status_of_a_report_is_told_though_its_point_lies_in_a_mask() {
    let folder = tempfile::tempdir().unwrap();
    let (seg, _) = segmentation(folder.path(), "LN 4R");
    let point = || scoord_3d("POINT", &floats(&[at(2.2, 1.0, 1.0)]), "2.25.2");
    let status = || coded(("1", "99X"), ("2", "99X"), "Malignant");
    let of = |content: Vec<Item>, classes: &[ClassRule]| {
        let resolved = with_segmentation(&seg, vec![group("LN 4R", content)], classes);
        assert!(only(&resolved).mask.is_some(), "joined");
        resolved.statuses_in_names.sentence()
    };
    assert!(of(vec![status(), point()], &[]).unwrap().contains("of 1 finding seem"));
    assert!(of(vec![status(), point()], &[]).unwrap().contains("`Malignant` (1)"));
    assert_eq!(of(vec![point()], &[]), None);
    let read = ClassRule { metastasis: Some(Metastasis::Metastatic), ..rule("LN") };
    assert_eq!(of(vec![status(), point()], &[read]), None, "a rule reads one");
}

#[test]
fn two_groups_are_two_nodes_though_one_lies_beside_the_mask_of_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let (seg, uid) = segmentation(folder.path(), "node");
    // Less than a millimetre from the surface.
    let point = || group("LN 7", vec![scoord_3d("POINT", &floats(&[at(3.6, 1.0, 1.0)]), "2.25.2")]);
    let found = |groups: Vec<Item>| with_segmentation(&seg, groups, &[]).findings[0].len();
    assert_eq!(found(vec![group("LN 4R", vec![segment(&uid, 1)]), point()]), 2);
    assert_eq!(found(vec![point()]), 1, "the mask is of another source");
}

#[test]
fn a_report_is_left_out_by_rules_only_where_each_of_its_groups_is() {
    let folder = tempfile::tempdir().unwrap();
    let (seg, uid) = segmentation(folder.path(), "aorta");
    let ignored = [ClassRule { ignore: true, ..rule("^aorta$") }];
    let aorta = || group("aorta", vec![scoord_3d("POINT", &floats(&[at(6.0, 4.0, 3.0)]), "2.25.2")]);
    let named = |name: &str, uid: &str| group(name, vec![segment(uid, 1)]);
    let far = || group("LN 7", vec![scoord_3d("POINT", &[0.0, 0.0, 900.0], "2.25.2")]);
    let arrow = || group("LN 8", vec![scoord("POINT", &[3.5, 2.5, 4.5, 2.5], SLICES[1])]);
    let of = |groups: Vec<Item>| {
        let resolved = with_segmentation(&seg, groups, &ignored);
        assert!(resolved.findings[0].is_empty());
        let reason = match &resolved.objects[..] {
            [_, FileOutcome::Skipped { reason, .. }] => reason.as_str(),
            [_, FileOutcome::Refused(refused)] => refused.reason.as_str(),
            other => panic!("{other:?}"),
        };
        (reason, resolved.rejects.len(), resolved.unmatched)
    };
    let (left_out, nowhere) = ("left-out-by-classes", "report-of-no-segment-here");
    assert_eq!(of(vec![aorta(), aorta()]), (left_out, 0, 0));
    assert_eq!(of(vec![aorta(), named("aorta", &uid)]), (left_out, 0, 0));
    assert_eq!(of(vec![named("aorta", &uid)]), (left_out, 0, 0));
    // Another group was rejected, names a SEG that is not here, or has no place.
    assert_eq!(of(vec![aorta(), far()]), (nowhere, 1, 1));
    assert_eq!(of(vec![named("aorta", &uid), far()]), (nowhere, 1, 1));
    assert_eq!(of(vec![aorta(), named("LN 4R", "2.25.77")]), (nowhere, 0, 0));
    assert_eq!(of(vec![aorta(), group("LN 4R", Vec::new())]), (nowhere, 0, 0));
    // All that a rule does not ignore cannot be read; no image is missing.
    assert_eq!(of(vec![aorta(), aorta(), arrow()]), ("invalid-report", 1, 0));
    assert_eq!(of(vec![named("aorta", &uid), group("LN 4R", Vec::new()), arrow()]), ("invalid-report", 1, 0));
    assert_eq!(of(vec![aorta(), far(), arrow()]), (nowhere, 2, 1));
    assert_eq!(of(vec![arrow(), named("LN 4R", "2.25.77")]), (nowhere, 1, 0));
}

#[test]
fn a_group_with_a_segment_takes_its_place_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let (seg, uid) = segmentation(folder.path(), "node");
    let far = scoord_3d("POINT", &floats(&[at(6.0, 4.0, 3.0)]), "2.25.2");
    let path =
        write(folder.path(), vec![group("LN 7", vec![segment(&uid, 1), far.clone()]), group("LN 4R", vec![far])]);
    let files = AnnotationFiles::default();
    let sources = Sources { files: &files, segmentations: &[seg], reports: &[path], structures: &[] };
    let station = rule("^LN (?<station>.+)$");
    let resolved = load(
        &sources,
        &Images { usable: &[series()], refused: &[], unread_files: 0 },
        &rules(&[station, rule("node")]),
    );
    assert!(resolved.rejects.is_empty(), "{:?}", resolved.rejects);
    let mut found: Vec<(String, bool, PointMm)> = resolved.findings[0]
        .iter()
        .map(|one| (one.station.unwrap().to_string(), one.mask.is_some(), one.center))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let [(point, false, point_at), (drawn, true, drawn_at)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((point.as_str(), drawn.as_str()), ("4R", "7"));
    assert!(point_at.distance(at(6.0, 4.0, 3.0)) < 1e-3 && drawn_at.distance(at(1.5, 1.0, 1.0)) < 1e-3);
}

#[test]
fn what_a_person_typed_in_a_viewer_is_the_name() {
    let typed = |concept| coded(concept, ("CORNERSTONEFREETEXT", "CORNERSTONEJS"), "LN 4R");
    let station = [rule("^LN (?<station>.+)$")];
    for concept in [FINDING, SITE] {
        let tool = "cornerstoneTools@^4.0.0:Length";
        let line = || number(LENGTH, 9.0, vec![scoord("POLYLINE", &[15.5, 28.5, 25.5, 32.5], SLICES[1])]);
        let resolved = of_groups(vec![group(tool, vec![typed(concept), line()])], &station);
        assert_eq!(only(&resolved).station, Some(Station::S4R.into()));
        let without = of_groups(vec![group(tool, vec![line()])], &station);
        assert_eq!(only(&without).station, None);
        assert!(without.names_without_rule.sentence().unwrap().contains(tool));
    }
}
