//! Reports that name segments in other ways than by number alone, and what stands outside of their groups.

use std::path::{Path, PathBuf};

use mtids_annotations::{AnnotationFiles, ClassRule, Images, Resolved, Sources, load};
use mtids_dicom::write::{DerivedObject, DescribedSegment, Segment, SourceImages, write_described_segmentation};
use mtids_dicom::{FileOutcome, SkipReason};
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::Voxel;
use mtids_domain::taxonomy::{Location, Station};

use crate::load::{rules, series};
use crate::report_places::{loaded, wide};
use crate::sr_content::{
    Document, Item, SHORT_AXIS, group, number, scoord_3d, segment, segment_frame, tracking_uid, write,
};
use crate::written::{grid, identity};

const SEG: &str = "2.25.920";

/// A SEG of two tracked segments.
fn segmentation(folder: &Path) -> PathBuf {
    let path = folder.join("seg.dcm");
    let of = |name: &str, voxel: [u32; 3], uid: &str| DescribedSegment {
        segment: Segment { label: name.into(), mask: Mask { affine: grid(), voxels: vec![voxel] } },
        description: None,
        tracking: Some([name.into(), uid.into()]),
    };
    let segments = [of("a", [1, 1, 1], "2.25.71"), of("b", [5, 3, 2], "2.25.72")];
    let derived = DerivedObject {
        series_uid: "2.25.921".into(),
        instance_uid: SEG.into(),
        series_number: 9003,
        series_description: None,
        description: String::new(),
        algorithm: None,
        algorithm_parameters: None,
    };
    let source = SourceImages::written(&identity(), "2.25.3", 4);
    write_described_segmentation(&path, &segments, [7, 5, 4], &source, &derived).unwrap();
    path
}

/// What the SEG gives with a report of these groups, and the stations of its two segments.
fn of(groups: Vec<Item>) -> (Resolved, Vec<Option<Station>>) {
    let folder = tempfile::tempdir().unwrap();
    let (seg, sr) = ([segmentation(folder.path())], [write(folder.path(), groups)]);
    let files = AnnotationFiles::default();
    let sources = Sources { files: &files, segmentations: &seg, reports: &sr, structures: &[] };
    let classes = [ClassRule { name: Some("^LN (?<station>.+)$".into()), ..ClassRule::default() }];
    let resolved = load(&sources, &Images { usable: &[series()], refused: &[], unread_files: 0 }, &rules(&classes));
    let mut found: Vec<_> = resolved.findings[0].iter().collect();
    found.sort_by(|a, b| a.center.0[0].total_cmp(&b.center.0[0]));
    let stations = found.iter().map(|one| one.station.and_then(Location::station)).collect();
    (resolved, stations)
}

#[test]
fn a_frame_of_a_segmentation_names_its_segment() {
    let of_frame = |number_of: Option<u16>| {
        let content = vec![segment_frame(SEG, number_of), number(SHORT_AXIS, 7.0, Vec::new())];
        of(vec![group("LN 4R", content)])
    };
    let (resolved, stations) = of_frame(Some(2));
    assert_eq!(stations, [None, Some(Station::S4R)]);
    assert!(resolved.findings[0].iter().any(|one| one.short_axis_mm == Some(7.0)), "{:?}", resolved.findings);
    assert_eq!(resolved.told, Vec::<String>::new());
    // A frame without the number of its segment is no reference to all of them.
    assert_eq!(of_frame(None).1, [None, None]);
}

#[test]
fn a_segment_that_number_and_tracking_uid_name_differently_takes_nothing_of_the_report() {
    let of_pair = |first: u16, second: u16| {
        let one = |name: &str, uid: &str, number: u16| group(name, vec![tracking_uid(uid), segment(SEG, number)]);
        of(vec![one("LN 4R", "2.25.71", first), one("LN 7", "2.25.72", second)])
    };
    let (resolved, stations) = of_pair(1, 2);
    assert_eq!((stations, resolved.told), (vec![Some(Station::S4R), Some(Station::S7)], Vec::new()));
    let (resolved, stations) = of_pair(2, 1);
    assert_eq!(stations, [None, None]);
    let skipped = resolved.objects.iter().find_map(|object| match object {
        FileOutcome::Skipped { reason: SkipReason::ReportOfNoSegmentHere, detail, .. } => Some(detail.as_str()),
        _ => None,
    });
    assert!(skipped.unwrap().contains("another one by its Tracking UID (`LN 4R`, `LN 7`)"), "{skipped:?}");
    // A Tracking UID of the report's own says nothing.
    let (_, stations) = of(vec![group("LN 4R", vec![tracking_uid("2.25.79"), segment(SEG, 1)])]);
    assert_eq!(stations, [Some(Station::S4R), None]);
}

#[test]
fn shapes_outside_of_groups_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let point = || scoord_3d("POINT", &grid().to_mm(Voxel([20.0, 30.0, 1.0])).0.map(|mm| mm as f32), "2.25.2");
    let beside = |groups: Vec<Item>| {
        let document =
            Document { beside: vec![point(), Item::default().content(vec![point()])], ..Document::default() };
        loaded(&[document.write(folder.path(), groups)], &[wide()], &[])
    };
    let sentence = "2 shapes are drawn outside of groups of measurements";
    let alone = beside(Vec::new());
    let [FileOutcome::Skipped { reason: SkipReason::ReportOfNoSegmentHere, detail, .. }] = &alone.objects[..] else {
        panic!("{:?}", alone.objects)
    };
    assert!(detail.contains(sentence), "{detail}");
    let with_group = beside(vec![group("LN 7", vec![point()])]);
    assert_eq!(with_group.findings[0].len(), 1);
    assert!(with_group.told.iter().any(|told| told.contains(sentence)), "{:?}", with_group.told);
}
