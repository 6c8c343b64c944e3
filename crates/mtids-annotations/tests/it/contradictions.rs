//! Reports and segmentations that contradict themselves: absent findings, statuses and stations that codes, words and class rules say differently.

use std::path::Path;

use mtids_annotations::{AnnotationFiles, ClassRule, Images, Resolved, Sources, load};
use mtids_dicom::write::{Segment, StudyIdentity, write_segmentation};
use mtids_dicom::{FileOutcome, SkipReason};
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::Voxel;
use mtids_domain::label::{Evidence, Metastasis};
use mtids_domain::taxonomy::{Location, Station};

use crate::load::{rules, series};
use crate::report_places::of_groups;
use crate::sr_content::{Concept, FINDING, Item, SITE, asked, coded, group, scoord_3d, text};
use crate::written::{grid, identity};

const METASTATIC: Concept = ("94396002", "SCT");
const BENIGN: Concept = ("30807003", "SCT");
const OTHER: Concept = ("1", "99X");
const ABSENT: Concept = ("2667000", "SCT");

fn point() -> Item {
    scoord_3d("POINT", &grid().to_mm(Voxel([20.0, 30.0, 1.0])).0.map(|mm| mm as f32), "2.25.2")
}

fn of_code(code: &str) -> ClassRule {
    ClassRule { code: Some(code.into()), ..ClassRule::default() }
}

/// Rules for statuses by code.
fn statuses() -> [ClassRule; 2] {
    let of = |code: &str, status| ClassRule { metastasis: Some(status), evidence: Some(Evidence::A), ..of_code(code) };
    [of("SCT:94396002", Metastasis::Metastatic), of("SCT:30807003", Metastasis::Benign)]
}

/// What a group of this content gives: the only finding, and whether something is told of the group.
fn status(content: Vec<Item>) -> (Option<Metastasis>, Evidence, bool) {
    let resolved = of_groups(vec![group("node x", [content, vec![point()]].concat())], &statuses());
    let [finding] = resolved.findings[0].as_slice() else { panic!("{resolved:?}") };
    let is_told = resolved.told.iter().any(|told| told.contains("`node x`: ") && told.contains("contradict"));
    assert_eq!(resolved.contradictions, u64::from(is_told));
    (finding.metastasis, finding.evidence, is_told)
}

#[test]
fn a_status_that_the_group_itself_contradicts_is_unknown_and_told() {
    let metastatic = || coded(FINDING, METASTATIC, "Metastatic node");
    let benign = || coded(FINDING, BENIGN, "Benign node");
    let unknown = (None, Evidence::U, true);
    assert_eq!(status(vec![metastatic(), asked(OTHER, "Has interpretation", OTHER, "Negative")]), unknown);
    assert_eq!(status(vec![metastatic(), asked(OTHER, "Biopsy result", OTHER, "benign")]), unknown);
    assert_eq!(status(vec![metastatic(), text(OTHER, "no malignant cells")]), unknown);
    assert_eq!(status(vec![benign(), asked(OTHER, "Histology", OTHER, "Malignant")]), unknown);
    assert_eq!(status(vec![metastatic().content(vec![coded(OTHER, OTHER, "Benign")])]), unknown, "a modifier");
    assert_eq!(status(vec![metastatic(), benign()]), unknown);
    assert_eq!(status(vec![benign(), metastatic()]), unknown);
    // Nothing contradicts these.
    let read = |status| (Some(status), Evidence::A, false);
    assert_eq!(status(vec![metastatic()]), read(Metastasis::Metastatic));
    assert_eq!(status(vec![benign(), text(OTHER, "no malignant cells")]), read(Metastasis::Benign));
    assert_eq!(status(vec![metastatic(), asked(OTHER, "PD-L1", OTHER, "Negative")]), read(Metastasis::Metastatic));
    assert_eq!(
        status(vec![metastatic(), asked(OTHER, "Calcification", ABSENT, "Absent")]),
        read(Metastasis::Metastatic)
    );
    // The rule reads this code, whatever its meaning.
    assert_eq!(status(vec![coded(FINDING, METASTATIC, "benign")]), read(Metastasis::Metastatic));
}

#[test]
fn a_name_that_a_rule_for_a_code_does_not_read_contradicts_it_and_one_that_a_rule_reads_does_not() {
    let named = |classes: &[ClassRule]| {
        let content = vec![coded(FINDING, METASTATIC, "Metastatic node"), point()];
        of_groups(vec![group("LN 4R benign", content)], classes).findings[0][0].metastasis
    };
    assert_eq!(named(&statuses()), None);
    let by_name =
        ClassRule { name: Some("benign".into()), metastasis: Some(Metastasis::Metastatic), ..of_code("SCT:94396002") };
    assert_eq!(named(&[by_name]), Some(Metastasis::Metastatic));
}

#[test]
fn two_sites_of_different_stations_give_none() {
    let at = |code: &str, station: &str| ClassRule { station: Some(station.into()), ..of_code(code) };
    let classes = [at("99X:4R", "4R"), at("99X:10L", "10L"), at("99X:M", "4R")];
    let of = |sites: &[&'static str]| {
        let sites: Vec<Item> = sites.iter().map(|site| coded(SITE, (site, "99X"), "site")).collect();
        let resolved = of_groups(vec![group("node x", [sites, vec![point()]].concat())], &classes);
        let told = resolved
            .told
            .iter()
            .any(|told| told.contains("`99X:4R` is station 4R by its class rule, and `99X:10L` is 10L"));
        (resolved.findings[0][0].station.and_then(Location::station), told)
    };
    assert_eq!(of(&["10L", "4R"]), (None, true));
    assert_eq!(of(&["M", "4R"]), (Some(Station::S4R), false));
}

#[test]
fn an_absent_finding_gives_no_node_and_is_told() {
    let absent = || asked(OTHER, "Presence", ABSENT, "Absent");
    let known = || {
        coded(FINDING, METASTATIC, "Metastatic node").content(vec![coded(
            ("408729009", "SCT"),
            ("410516002", "SCT"),
            "x",
        )])
    };
    let no_node = || coded(FINDING, OTHER, "No lymph node");
    for said in [absent(), known(), no_node()] {
        let resolved = of_groups(vec![group("node x", vec![said.clone(), point()])], &statuses());
        assert!(resolved.findings[0].is_empty() && resolved.rejects.is_empty(), "{resolved:?}");
        let [FileOutcome::Skipped { reason: SkipReason::ReportOfNoSegmentHere, detail, .. }] = &resolved.objects[..]
        else {
            panic!("{:?}", resolved.objects)
        };
        assert!(
            detail.contains("1 of 1 groups of measurements say that their finding is absent (`node x`)"),
            "{detail}"
        );
        let resolved = of_groups(vec![group("node x", vec![said, point()]), group("LN 7", vec![point()])], &[]);
        assert_eq!(resolved.findings[0].len(), 1);
        assert!(
            resolved.told.iter().any(|told| told.contains("1 of 2 groups of measurements say")),
            "{:?}",
            resolved.told
        );
    }
}

/// What a SEG of one segment gives.
fn segmented(folder: &Path, label: &str, classes: &[ClassRule]) -> Resolved {
    segmented_in(folder, label, classes, &identity())
}

fn segmented_in(folder: &Path, label: &str, classes: &[ClassRule], identity: &StudyIdentity) -> Resolved {
    let path = folder.join("seg.dcm");
    let mask = Mask { affine: grid(), voxels: vec![[1, 1, 1], [2, 1, 1]] };
    write_segmentation(&path, &[Segment { label: label.into(), mask }], [7, 5, 4], identity, "2.25.3").unwrap();
    let files = AnnotationFiles::default();
    let sources = Sources { files: &files, segmentations: &[path], reports: &[], structures: &[] };
    load(&sources, &Images { usable: &[series()], refused: &[], unread_files: 0 }, &rules(classes))
}

#[test]
fn the_label_of_a_segment_contradicts_a_rule_for_its_code() {
    let folder = tempfile::tempdir().unwrap();
    // The code of segments that our writer writes.
    let classes = [ClassRule { metastasis: Some(Metastasis::Metastatic), ..of_code("SCT:59441001") }];
    let plain = segmented(folder.path(), "LN 4R", &classes);
    assert_eq!((plain.findings[0][0].metastasis, plain.told.len()), (Some(Metastasis::Metastatic), 0));
    let benign = segmented(folder.path(), "LN 4R benign", &classes);
    assert_eq!((benign.findings[0][0].metastasis, benign.contradictions), (None, 1));
    assert!(
        benign.told[0].contains("`LN 4R benign`: `LN 4R benign`, and metastatic by the class rule"),
        "{:?}",
        benign.told
    );
}

#[test]
fn a_segmentation_in_another_frame_of_reference_than_its_image_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let other = StudyIdentity { frame_of_reference_uid: "2.25.77".into(), ..identity() };
    let resolved = segmented_in(folder.path(), "LN 4R", &[], &other);
    assert_eq!(resolved.findings[0].len(), 1);
    let words = "its frame of reference 2.25.77 is not that of the image that it names, 2.25.2 of series 2.25.3";
    assert!(matches!(&resolved.told[..], [told] if told.contains(words)), "{:?}", resolved.told);
}
