//! Groups of a report that give no finding: each is rejected by name with its reason, left out by a rule, or told.

use mtids_annotations::{ClassRule, Images, InPlane, RefusedImage, RejectReason, SeriesGeometry, Sources, load};
use mtids_dicom::{FileOutcome, ReasonCode, SkipReason};
use mtids_domain::geometry::Voxel;
use mtids_domain::label::Metastasis;
use proptest::prelude::*;

use crate::load::rules;
use crate::report_places::{SLICES, loaded, of_groups, wide};
use crate::sr_content::{
    FINDING, Item, LENGTH, SITE, coded, group, image, number, scoord, scoord_3d, scoord_3d_alone, scoord_alone, write,
    write_of,
};
use crate::written::grid;

/// A place in the series.
fn inside() -> [f32; 3] {
    grid().to_mm(Voxel([20.0, 30.0, 1.0])).0.map(|mm| mm as f32)
}

fn point() -> Item {
    scoord_3d("POINT", &inside(), "2.25.2")
}

#[test]
fn what_cannot_be_the_place_of_a_node_is_rejected_with_its_reason() {
    use RejectReason::{ImageNotHere, ImplausibleSize, OutsideImage, UnreadableCoordinates};
    let [x, y, z] = inside();
    let patient = |shape: &str, values: &[f32]| scoord_3d(shape, values, "2.25.2");
    let on = |shape: &str, values: &[f32]| scoord(shape, values, SLICES[1]);
    let several = |images: Vec<Item>| scoord_alone("POINT", &[3.5, 2.5]).content(images);
    let by_place =
        Item::default().text([0x0040, 0xA010], "CS", "SELECTED FROM").text([0x0040, 0xDB73], "UL", "\u{1}\0\0\0");
    let cases: Vec<(Vec<Item>, RejectReason, &str)> = vec![
        (vec![patient("POINT", &[x, y])], UnreadableCoordinates, "has 2 numbers"),
        (vec![patient("POINT", &[x, y, z, x, y, z])], UnreadableCoordinates, "has 6 numbers"),
        (vec![patient("POINT", &[])], UnreadableCoordinates, "missing or no numbers"),
        (vec![patient("POINT", &[x, f32::NAN, z])], UnreadableCoordinates, "missing or no numbers"),
        (vec![patient("POINT", &[x, f32::INFINITY, z])], UnreadableCoordinates, "missing or no numbers"),
        (vec![patient("CIRCLE", &[x, y, z, x, y, z])], UnreadableCoordinates, "`CIRCLE` is no shape that is read"),
        (vec![patient("", &[x, y, z])], UnreadableCoordinates, "`` is no shape"),
        (vec![scoord_3d_alone("POINT", &[x, y, z])], UnreadableCoordinates, "no frame of reference"),
        (vec![scoord_3d("POINT", &[x, y, z], "2.25.8")], ImageNotHere, ""),
        (vec![patient("POINT", &[0.0, 0.0, 0.0])], OutsideImage, "origin of coordinates"),
        (vec![patient("POINT", &[x, y, z + 500.0])], OutsideImage, "mm outside series 2.25.3"),
        (vec![patient("POINT", &[-x, -y, z])], OutsideImage, "signs of x and y turned"),
        (vec![patient("POLYLINE", &[x - 200.0, y, z, x + 200.0, y, z])], ImplausibleSize, "longer than 300 mm"),
        (vec![on("POLYLINE", &[3.0, 4.0])], UnreadableCoordinates, "has 2 numbers"),
        (vec![on("POLYLINE", &[3.0, 4.0, 5.0])], UnreadableCoordinates, "has 3 numbers"),
        // An arrow with two ends: nobody knows which is meant.
        (vec![on("POINT", &[3.0, 4.0, 9.0, 9.0])], UnreadableCoordinates, "has 4 numbers"),
        (vec![on("POLYGON", &[3.0, 4.0, 9.0, 9.0, 3.0, 9.0])], UnreadableCoordinates, "`POLYGON` is no shape"),
        (vec![on("ELLIPSE", &[2.0, 5.0, 12.0, 5.0, 40.0, 30.0, 40.0, 36.0])], UnreadableCoordinates, "the axes"),
        (vec![scoord_alone("POINT", &[3.5, 2.5])], UnreadableCoordinates, "do not name one image"),
        (
            vec![several(vec![image(SLICES[0], None), image(SLICES[1], None)])],
            UnreadableCoordinates,
            "do not name one image",
        ),
        (vec![several(vec![by_place])], UnreadableCoordinates, "by its place in the report"),
        (vec![scoord("POINT", &[3.5, 2.5], "2.25.77.1")], ImageNotHere, "2.25.77.1"),
        (vec![on("POINT", &[0.4, 0.6])], OutsideImage, "in parts of the sides"),
        (vec![on("POINT", &[60.6, 20.0])], OutsideImage, "outside series 2.25.3"),
        (vec![on("POINT", &[20.0, -3.0])], OutsideImage, "outside series 2.25.3"),
        (
            vec![on("POLYLINE", &[10.5, 20.5, 20.5, 20.5]), on("POLYLINE", &[40.5, 40.5, 50.5, 40.5])],
            UnreadableCoordinates,
            "are no one node",
        ),
        // Two nodes that one tool marked: between them lies none.
        (vec![on("MULTIPOINT", &[3.5, 4.5, 50.5, 40.5])], UnreadableCoordinates, "of its MULTIPOINT lie up to"),
        (vec![on("POINT", &[3.5, 4.5]), on("POINT", &[50.5, 40.5])], UnreadableCoordinates, "are no one node"),
        (vec![patient("MULTIPOINT", &[x, y, z, x + 3.0, y, z])], UnreadableCoordinates, "are no one node"),
        (vec![on("MULTIPOINT", &[9.5; 2 * 513])], UnreadableCoordinates, "more than 512 points"),
        // One of two cannot be read: where the node lies is not known.
        (vec![on("POLYLINE", &[10.5, 20.5, 20.5, 20.5]), on("POINT", &[3.0])], UnreadableCoordinates, "has 1 number,"),
    ];
    for (content, reason, words) in cases {
        let resolved = of_groups(vec![group("LN 7", content)], &[]);
        let [reject] = resolved.rejects.as_slice() else { panic!("{words}: {resolved:?}") };
        assert_eq!(reject.reason, reason, "{words}: {}", reject.detail);
        assert!(reject.detail.contains(words), "{words}: {}", reject.detail);
        assert_eq!(reject.place.to_string(), "group 1 `LN 7`");
        let too_long = reject.detail.split([';', ':']).any(|part| part.split_whitespace().count() > 25);
        assert!(!too_long, "{}", reject.detail);
        // An image is missing, or the place lies outside.
        let has_no_image = !matches!(reason, UnreadableCoordinates | ImplausibleSize);
        assert!(resolved.findings[0].is_empty() && resolved.unmatched == u64::from(has_no_image), "{words}");
        match &resolved.objects[..] {
            [FileOutcome::Refused(refused)] => {
                assert_eq!((refused.reason, reason), (ReasonCode::InvalidReport, UnreadableCoordinates));
            }
            [FileOutcome::Skipped { reason: SkipReason::ReportOfNoSegmentHere, .. }] => {}
            other => panic!("{words}: {other:?}"),
        }
    }
}

#[test]
fn a_fault_of_one_group_costs_no_other() {
    let bad = group("LN 4R", vec![scoord_3d("POINT", &[1.0], "2.25.2")]);
    let resolved = of_groups(vec![bad, group("LN 7", vec![point()])], &[]);
    assert_eq!((resolved.findings[0].len(), resolved.rejects.len()), (1, 1));
    assert!(matches!(resolved.objects[..], [FileOutcome::Used { .. }]));
}

#[test]
fn another_frame_of_reference_is_told_with_both() {
    // The image that the coordinates are of is of the series, and they are in another frame of reference.
    let content = vec![scoord_3d("POINT", &inside(), "2.25.8"), scoord("POINT", &[20.5, 30.5], SLICES[1])];
    let resolved = of_groups(vec![group("LN 7", content)], &[]);
    let [reject] = resolved.rejects.as_slice() else { panic!("{resolved:?}") };
    assert_eq!(reject.reason, RejectReason::ImageNotHere);
    assert!(reject.detail.contains("2.25.8") && reject.detail.contains("is 2.25.2"), "{}", reject.detail);
}

#[test]
fn a_report_of_another_patient_or_of_a_refused_image_goes_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let on_slice = || vec![group("LN 7", vec![scoord("POINT", &[20.5, 30.5], SLICES[1])])];
    let path = write_of(folder.path(), "TEST-9", on_slice());
    let resolved = loaded(&[path], &[wide()], &[]);
    assert_eq!(resolved.rejects[0].reason, RejectReason::OtherPatient);
    assert!(matches!(
        resolved.objects[..],
        [FileOutcome::Skipped { reason: SkipReason::AnnotationOfAnotherPatient, .. }]
    ));
    // The slice is one of a series that was refused, and another series of the study has its frame of reference.
    let path = write(folder.path(), on_slice());
    let phase =
        SeriesGeometry { series_uid: "2.25.4", slices: mtids_annotations::SliceUids::Listed(&["2.25.4.1"]), ..wide() };
    let refused = RefusedImage {
        patient_id: wide().patient_id.into(),
        study_uid: wide().study_uid.into(),
        series_uid: "2.25.3".into(),
        slices: SLICES.map(str::to_owned).into(),
        in_plane: Some(InPlane::of(&crate::load::header_of(grid()))),
        reason: ReasonCode::MissingSlices,
    };
    let files = mtids_annotations::AnnotationFiles::default();
    let sources = Sources { files: &files, segmentations: &[], reports: &[path], structures: &[] };
    let resolved = load(&sources, &Images { usable: &[phase], refused: &[refused], unread_files: 0 }, &rules(&[]));
    assert!(resolved.findings[0].is_empty());
    assert!(resolved.rejects[0].detail.contains("is here and was refused"), "{:?}", resolved.rejects);
}

#[test]
fn groups_without_place_are_counted_and_told() {
    let whole_image = || group("window", vec![number(LENGTH, 5.0, vec![image(SLICES[0], None)])]);
    let alone = of_groups(vec![whole_image(), group("", Vec::new())], &[]);
    let [FileOutcome::Skipped { reason: SkipReason::ReportOfNoSegmentHere, detail, .. }] = &alone.objects[..] else {
        panic!("{:?}", alone.objects)
    };
    assert!(detail.contains("2 of 2 groups of measurements have neither") && detail.contains("(`window`)"), "{detail}");
    let beside = of_groups(vec![whole_image(), group("LN 7", vec![point()])], &[]);
    assert_eq!((beside.findings[0].len(), beside.rejects.len()), (1, 0));
    assert!(beside.told.iter().any(|told| told.contains("1 of 2 groups")), "{:?}", beside.told);
    let rejected = of_groups(vec![whole_image(), group("LN 7", vec![scoord_3d("POINT", &[1.0], "2.25.2")])], &[]);
    assert!(rejected.rejects.len() == 1 && rejected.told.iter().any(|told| told.contains("1 of 2 groups")));
    // None at all.
    let empty = of_groups(Vec::new(), &[]);
    assert!(matches!(&empty.objects[..], [FileOutcome::Skipped { detail, .. }] if detail.is_empty()));
}

#[test]
fn rules_leave_out_groups_before_anything_is_looked_for() {
    let rule = |name: &str, ignore: bool| ClassRule { name: Some(name.into()), ignore, ..ClassRule::default() };
    let ignored = [rule("^aorta$", true)];
    let lost = || group("aorta", vec![scoord_3d("POINT", &[1.0], "2.25.99")]);
    let resolved = of_groups(vec![lost()], &ignored);
    assert!(resolved.rejects.is_empty(), "{:?}", resolved.rejects);
    assert!(matches!(resolved.objects[..], [FileOutcome::Skipped { reason: SkipReason::LeftOutByClasses, .. }]));
    let resolved = of_groups(vec![lost(), group("LN 7", vec![point()])], &ignored);
    assert_eq!(resolved.findings[0].len(), 1);
    assert!(resolved.names_without_rule.sentence().unwrap().contains("`LN 7` (1)"));
    // The rule for all other names leaves out a node.
    let resolved = of_groups(vec![group("LN7", vec![point()])], &[rule("^LN (?<station>.+)$", false), rule(".", true)]);
    assert!(resolved.ignored_nodes.sentence().unwrap().contains("`LN7` (1)"));
    // A station that is not understood.
    let resolved = of_groups(vec![group("LN 4", vec![point()])], &[rule("^LN (?<station>.+)$", false)]);
    assert_eq!((resolved.lost_stations.findings(), resolved.findings[0][0].station), (1, None));
}

#[test]
fn what_may_be_no_node_and_what_seems_to_tell_a_status_is_told() {
    let told = |content: Vec<Item>, name: &str| {
        let resolved = of_groups(vec![group(name, [content, vec![point()]].concat())], &[]);
        assert_eq!(resolved.findings[0][0].metastasis, None);
        let no_node = resolved.told.iter().any(|told| told.contains("have no name or code of lymph nodes"));
        (no_node, resolved.statuses_in_names.sentence())
    };
    let node = || coded(FINDING, ("59441001", "SCT"), "Structure");
    assert_eq!(told(Vec::new(), "Measurement 1"), (true, None));
    assert_eq!(told(vec![node()], "Measurement 1"), (false, None));
    assert_eq!(told(vec![coded(SITE, ("1", "99X"), "Mediastinal lymph node")], "Measurement 1"), (false, None));
    assert_eq!(told(Vec::new(), "LN 4R"), (false, None));
    let (_, status) = told(vec![node(), coded(("1", "99X"), ("2", "99X"), "Malignant")], "LN 4R");
    assert!(status.unwrap().contains("`Malignant` (1)"));
    assert!(told(Vec::new(), "LN 4R +").1.unwrap().contains("`LN 4R +` (1)"));
    // A rule reads it.
    let rule =
        ClassRule { name: Some("\\+$".into()), metastasis: Some(Metastasis::Metastatic), ..ClassRule::default() };
    let read = of_groups(vec![group("LN 4R +", vec![point()])], &[rule]);
    assert_eq!(read.findings[0][0].metastasis, Some(Metastasis::Metastatic));
    assert_eq!(read.statuses_in_names.sentence(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is drawn, a group is a finding inside the image, or rejected.
    #[test]
    fn any_coordinates_end(
        shapes in prop::collection::vec(
            (0usize..9, any::<bool>(), prop::collection::vec(prop::num::f32::ANY, 0..14), any::<bool>()), 1..5,
        ),
    ) {
        const NAMES: [&str; 9] =
            ["POINT", "MULTIPOINT", "POLYLINE", "POLYGON", "CIRCLE", "ELLIPSE", "ELLIPSOID", "", "OTHER"];
        let draw = |(name, of_patient, mut values, tame): (usize, bool, Vec<f32>, bool)| {
            if tame {
                values.iter_mut().for_each(|value| *value = if value.is_finite() { *value % 60.0 } else { 7.0 });
            }
            match of_patient {
                true => scoord_3d(NAMES[name], &values, "2.25.2"),
                false => scoord(NAMES[name], &values, SLICES[1]),
            }
        };
        let resolved = of_groups(vec![group("LN 7", shapes.into_iter().map(draw).collect())], &[]);
        prop_assert_eq!(resolved.findings[0].len() + resolved.rejects.len(), 1);
        prop_assert_eq!(resolved.objects.len(), 1);
        for finding in &resolved.findings[0] {
            prop_assert!(wide().holds(finding.center));
        }
    }
}
