//! Sources are loaded over geometries that no pixel stands behind.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mtids_annotations::assign::SeriesIndex;
use mtids_annotations::write::write_mask_nifti;
use mtids_annotations::{
    AnnotationFiles, ClassRule, Classes, EntryOutcome, Images, InPlane, RefusedImage, RejectPlace, RejectReason,
    Resolved, Rules, SeriesGeometry, SliceUids, Sources, load, read_mask, read_report, read_segmentation,
};
use mtids_dicom::write::{Measurement, ReportedFinding, Segment, write_report, write_segmentation, write_structures};
use mtids_dicom::{FileOutcome, Limits, ReasonCode};
use mtids_domain::annotation::{AnnotationSource, Extent, Mask};
use mtids_domain::geometry::{PointMm, Voxel};
use mtids_domain::label::Metastasis;
use mtids_domain::same_person::SamePerson;
use mtids_domain::taxonomy::{Location, Station, StationMap};

use crate::written::{grid, identity};

/// The series that the writers refer to: 7 × 5 × 4 voxels.
pub(crate) fn series() -> SeriesGeometry<'static> {
    SeriesGeometry {
        patient_id: "TEST-1",
        series_uid: "2.25.3",
        part: 0,
        study_uid: "2.25.1",
        frame_of_reference_uid: Some("2.25.2"),
        affine: grid(),
        dimensions: [7, 5, 4],
        slices: SliceUids::Listed(&["2.25.3.1", "2.25.3.2", "2.25.3.3", "2.25.3.4"]),
    }
}

pub(crate) fn rules(classes: &[ClassRule]) -> Rules {
    Rules {
        read_segmentations: true,
        read_reports: true,
        classes: Classes::new(classes, StationMap::Iaslc).unwrap(),
        join_tolerance_mm: 1.0,
        people: SamePerson::default(),
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
    load(&sources, &Images { usable: &[series()], refused: &[], unread_files: 0 }, &rules(classes))
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
    let resolved = load(&sources, &Images { usable: &[series()], refused: &[], unread_files: 0 }, &rules(&[]));
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
    let mask_file = read_mask(&path, &Limits::default()).unwrap();
    let files = named(std::slice::from_ref(&path));
    let sources = Sources { files: &files, segmentations: &[], reports: &[], structures: &[] };
    let assigned = |usable: &[SeriesGeometry<'_>], refused: &[RefusedImage]| {
        let resolved = load(&sources, &Images { usable, refused, unread_files: 0 }, &rules(&classes));
        let reasons: Vec<RejectReason> = resolved.rejects.iter().map(|one| one.reason).collect();
        (resolved.findings.iter().map(Vec::len).collect::<Vec<_>>(), resolved.unmatched, reasons)
    };
    // Two series of one patient in one frame of reference show the same place; the rule takes the first UID.
    let two = [SeriesGeometry { series_uid: "2.25.4", ..series() }, series()];
    assert_eq!(assigned(&two, &[]), (vec![0, 1], 0, vec![]));
    // In two frames of reference, or of two patients, nobody knows whose the mask is.
    let elsewhere = SeriesGeometry { series_uid: "2.25.4", frame_of_reference_uid: None, ..series() };
    assert_eq!(assigned(&[series(), elsewhere], &[]), (vec![0, 0], 2, vec![RejectReason::SeveralImages]));
    let other = SeriesGeometry { patient_id: "TEST-2", ..series() };
    assert_eq!(assigned(&[series(), other], &[]), (vec![0, 0], 2, vec![RejectReason::SeveralImages]));
    // Also where the image of the other patient was refused.
    let refused = RefusedImage {
        patient_id: "TEST-2".into(),
        study_uid: "2.25.71".into(),
        series_uid: "2.25.73".into(),
        slices: Vec::new(),
        in_plane: Some(InPlane::of(&header_of(grid()))),
        reason: ReasonCode::MissingSlices,
    };
    assert_eq!(assigned(&[series()], std::slice::from_ref(&refused)), (vec![0], 2, vec![RejectReason::SeveralImages]));
    // A name that speaks of a patient settles it, and is never contradicted.
    let named_for = |patient: &str| {
        let own = folder.path().join(format!("{patient}_nodes.nii.gz"));
        std::fs::copy(&path, &own).unwrap();
        let files = named(&[own]);
        let sources = Sources { files: &files, segmentations: &[], reports: &[], structures: &[] };
        let images = Images { usable: &[series()], refused: std::slice::from_ref(&refused), unread_files: 0 };
        let resolved = load(&sources, &images, &rules(&classes));
        (resolved.findings[0].len(), resolved.rejects.first().map(|one| one.reason))
    };
    assert_eq!(named_for("TEST-1"), (1, None));
    assert_eq!(named_for("TEST-2"), (0, Some(RejectReason::OtherPatient)));
    assert_eq!(named_for("TEST-10"), (0, Some(RejectReason::SeveralImages)), "the id of nobody");
    assert_eq!(named_for("2.25.73"), (0, Some(RejectReason::ImageRefused)));
    // Files that nobody could read may be of its image: a mask that names nobody is placed with a warning.
    let people = SamePerson::default();
    let warning = |unread_files: u64, name: &str| {
        let images = Images { usable: &[series()], refused: &[], unread_files };
        let chosen = SeriesIndex::new(&images, &people).assign_mask_file(Path::new(name), &mask_file).unwrap();
        chosen.warning.is_some_and(|warning| warning.contains("by its grid alone"))
    };
    assert_eq!([(0, "a.nii"), (3, "a.nii"), (3, "TEST-1.nii")].map(|(n, name)| warning(n, name)), [false, true, false]);
    // Of a refused phase of the same study, too.
    let phase = RefusedImage { patient_id: "TEST-1".into(), study_uid: series().study_uid.into(), ..refused };
    let images = Images { usable: &[series()], refused: &[phase], unread_files: 0 };
    let chosen = SeriesIndex::new(&images, &people).assign_mask_file(Path::new("a.nii"), &mask_file).unwrap();
    assert!(chosen.warning.is_some_and(|warning| warning.contains("of the same study was refused")));
    // A slice of a monitoring scan has not the grid of a mask, be it of this patient or of another.
    for patient_id in ["TEST-1", "TEST-2"] {
        let slices = vec!["2.25.73.1".into()];
        let scan = RefusedImage { patient_id: patient_id.into(), slices, ..images.refused[0].clone() };
        let images = Images { refused: &[scan], ..images };
        let chosen = SeriesIndex::new(&images, &people).assign_mask_file(Path::new("a.nii"), &mask_file).unwrap();
        assert_eq!(chosen.warning, None, "{patient_id}");
    }
}

#[test]
fn a_mask_named_by_a_uid_that_no_image_has_is_placed_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.nii.gz");
    write_mask_nifti(&path, &[Mask { affine: grid(), voxels: vec![[1, 1, 1]] }], &grid(), [7, 5, 4]).unwrap();
    let mask_file = read_mask(&path, &Limits::default()).unwrap();
    let images = Images { usable: &[series()], refused: &[], unread_files: 0 };
    let people = SamePerson::default();
    let index = SeriesIndex::new(&images, &people);
    let is_told = |name: &str| {
        let chosen = index.assign_mask_file(Path::new(name), &mask_file).unwrap();
        chosen.warning.is_some_and(|warning| warning.contains("which is of no image here"))
    };
    let unknown = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192";
    assert!(is_told(&format!("{unknown}.nii.gz")) && is_told(&format!("TEST-1_{unknown}_seg.nii")));
    assert!(is_told("2.25.329800735698586629295641978511506172918.nii"));
    for name in [
        "nodes.nii",
        "TEST-1_20261130.101530.123456789.nii",
        "v1.2.3.4.5.6.7.nii",
        &format!("{}.nii", series().study_uid),
    ] {
        assert!(!is_told(name), "{name}");
    }
}

#[test]
fn a_mask_whose_name_speaks_of_another_image_is_refused_by_a_uid_and_told_by_a_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.nii.gz");
    write_mask_nifti(&path, &[Mask { affine: grid(), voxels: vec![[1, 1, 1]] }], &grid(), [7, 5, 4]).unwrap();
    let mask_file = read_mask(&path, &Limits::default()).unwrap();
    let [own_study, other_study] = ["1.2.826.0.1.3680043.8.498.70001", "1.2.826.0.1.3680043.8.498.70002"];
    let own = SeriesGeometry { study_uid: own_study, ..series() };
    let other = SeriesGeometry {
        patient_id: "LUNG-002",
        series_uid: "2.25.4",
        study_uid: other_study,
        frame_of_reference_uid: None,
        dimensions: [7, 5, 3],
        ..series()
    };
    let later = SeriesGeometry { patient_id: "TEST-1", ..other };
    let people = SamePerson::default();
    let assigned = |others: &[SeriesGeometry<'_>], name: &str| {
        let usable = [&[own], others].concat();
        let images = Images { usable: &usable, refused: &[], unread_files: 0 };
        let chosen = SeriesIndex::new(&images, &people).assign_mask_file(Path::new(name), &mask_file);
        chosen.map(|chosen| chosen.warning).map_err(|error| error.reason)
    };
    let by_study = |study: &str| format!("{study}_nodes.nii.gz");
    assert_eq!(assigned(&[other], &by_study(own_study)), Ok(None));
    assert_eq!(assigned(&[other], &by_study(other_study)), Err(RejectReason::OtherPatient));
    assert_eq!(assigned(&[later], &by_study(other_study)), Err(RejectReason::NoImageOfThisGrid));
    // Two patients have its grid: the study says which one is meant.
    let twin = SeriesGeometry { dimensions: own.dimensions, ..other };
    assert_eq!(assigned(&[twin], "nodes.nii.gz"), Err(RejectReason::SeveralImages));
    assert_eq!(assigned(&[twin], &by_study(own_study)), Ok(None));
    for name in ["LUNG_002.nii.gz", "lung002_nodes.nii.gz", "Lung 002/nodes.nii.gz"] {
        let told = assigned(&[other], name).unwrap().unwrap_or_default();
        assert!(told.contains("its name reads like patient LUNG-002"), "{name}: {told}");
    }
    for name in ["test_1.nii.gz", "LUNG_003.nii.gz", "LUNG_0021.nii.gz", "nodes_002.nii.gz"] {
        assert_eq!(assigned(&[other], name), Ok(None), "{name}");
    }
    let number = SeriesGeometry { patient_id: "007", ..other };
    assert_eq!(assigned(&[number], "mask007.nii.gz"), Ok(None), "it may count nodes");
}

/// The header of a slice of a grid.
pub(crate) fn header_of(affine: mtids_domain::geometry::Affine) -> mtids_dicom::InstanceHeader {
    let folder = tempfile::tempdir().unwrap();
    let volume = mtids_domain::volume::Volume::new(vec![0; 7 * 5 * 4], [7, 5, 4], affine).unwrap();
    let options = mtids_dicom::write::CtOptions::new("2.25.73".into(), String::new(), Default::default());
    let paths = mtids_dicom::write::write_ct_series(folder.path(), &volume, &identity(), &options).unwrap();
    match mtids_dicom::read_header(&paths[2], &Limits::default()).unwrap() {
        mtids_dicom::FileKind::Image(header) => *header,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_row_without_image_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let [x, y, z] = place([3.0, 2.0, 1.0]).0;
    let table = folder.path().join("nodes.csv");
    let rows = [
        format!("2.25.3,{},{},{z},7", -x, -y),
        "2.25.3,3,2,1,7".to_owned(),
        format!("2.25.3,{y},{x},{z},7"),
        format!("2.25.3,{},{},{},7", x / 10.0, y / 10.0, z / 10.0),
        "2.25.3,900,900,900,7".to_owned(),
        format!("2.25.1,{x},{y},{z},7"),
        format!("2.25.3.1,{x},{y},{z},7"),
        format!("2.25E+38,{x},{y},{z},7"),
        format!("2.25.99,{x},{y},{z},7"),
        format!("2.25.73,{x},{y},{z},7"),
    ];
    std::fs::write(&table, format!("series_uid,x_mm,y_mm,z_mm,station\n{}\n", rows.join("\n"))).unwrap();
    let files = named(&[table]);
    let sources = Sources { files: &files, segmentations: &[], reports: &[], structures: &[] };
    let refused = [RefusedImage {
        patient_id: "TEST-2".into(),
        study_uid: "2.25.71".into(),
        series_uid: "2.25.73".into(),
        slices: Vec::new(),
        in_plane: Some(InPlane::of(&header_of(grid()))),
        reason: ReasonCode::MissingSlices,
    }];
    let resolved = load(&sources, &Images { usable: &[series()], refused: &refused, unread_files: 0 }, &rules(&[]));
    assert_eq!(resolved.findings[0].len(), 0);
    let expected = [
        "RAS",
        "voxel index",
        "x and y swapped",
        "cm instead of mm",
        "no common mistake",
        "study_uid",
        "sop_instance_uid",
        "turned the UID into a number",
        "series 2.25.3 holds its place",
        "missing-slices",
    ];
    for (n, words) in expected.iter().enumerate() {
        let reject = &resolved.rejects[n];
        assert_eq!(reject.place, RejectPlace::Line(n as u64 + 2));
        assert!(reject.detail.contains(words), "{words}: {}", reject.detail);
    }
    assert_eq!(resolved.rejects.len(), expected.len());
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
    // Both are one finding, with the length of the report.
    let files = AnnotationFiles::default();
    let sources = Sources { files: &files, segmentations: &[seg], reports: &[sr], structures: &[] };
    let resolved = load(&sources, &Images { usable: &[series()], refused: &[], unread_files: 0 }, &rules(&[]));
    assert_eq!((resolved.findings[0].len(), resolved.duplicates), (1, 0));
    assert_eq!(resolved.findings[0][0].short_axis_mm, Some(9.0));
}

#[test]
fn a_mask_of_noise_costs_no_other_mask() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(format!("{name}_2.25.3.nii.gz"));
    let mask = |voxels: &[[u32; 3]]| [Mask { affine: grid(), voxels: voxels.to_vec() }];
    let noise = mask(&[[0, 0, 0], [2, 0, 0], [4, 0, 0], [6, 0, 0]]);
    write_mask_nifti(&path("a"), &noise, &grid(), [7, 5, 4]).unwrap();
    write_mask_nifti(&path("b"), &mask(&[[1, 1, 1]]), &grid(), [7, 5, 4]).unwrap();
    let files = named(&[folder.path().to_owned()]);
    let sources = Sources { files: &files, segmentations: &[], reports: &[], structures: &[] };
    let rules = Rules { limits: Limits { max_findings: 3, ..Limits::default() }, ..rules(&[]) };
    let images = Images { usable: &[series()], refused: &[], unread_files: 0 };
    let resolved = load(&sources, &images, &rules);
    assert_eq!((resolved.findings[0].len(), resolved.files.len(), resolved.rejects.len()), (1, 1, 1));
    let reject = &resolved.rejects[0];
    assert_eq!((&reject.path, &reject.place), (&path("a"), &RejectPlace::File));
    assert!(reject.detail.contains("more than 3 connected components"), "{}", reject.detail);
    assert_eq!(reject.reason, RejectReason::UnreadableFile);
}

#[test]
fn names_that_no_rule_matches_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let segment =
        |label: &str, voxel| Segment { label: label.into(), mask: Mask { affine: grid(), voxels: vec![voxel] } };
    let segments = [segment("LN 4R", [1, 1, 1]), segment("L 7", [5, 4, 3]), segment("Heart", [3, 3, 3])];
    write_segmentation(&path("seg.dcm"), &segments, [7, 5, 4], &identity(), "2.25.3").unwrap();
    write_structures(&path("rs.dcm"), &segments[..2], [7, 5, 4], &identity(), "2.25.3").unwrap();
    let mask = Mask { affine: grid(), voxels: vec![[6, 0, 0]] };
    write_mask_nifti(&path("mask.nii.gz"), &[mask], &grid(), [7, 5, 4]).unwrap();
    let free_text = path("nodes.csv");
    let [x, y, z] = place([3.0, 0.0, 3.0]).0;
    std::fs::write(&free_text, format!("series_uid,x_mm,y_mm,z_mm,finding\n2.25.3,{x},{y},{z},free text\n")).unwrap();
    let files = named(&[path("mask.nii.gz"), free_text]);
    let (seg, rs) = ([path("seg.dcm")], [path("rs.dcm")]);
    let sources = Sources { files: &files, segmentations: &seg, reports: &[], structures: &rs };
    let told = |classes: &[ClassRule]| {
        let images = Images { usable: &[series()], refused: &[], unread_files: 0 };
        load(&sources, &images, &rules(classes)).names_without_rule
    };
    let rule = |name: &str, ignore| ClassRule { name: Some(name.into()), ignore, ..ClassRule::default() };
    let names = told(&[rule("^LN (?<station>.+)$", false), rule("^Heart$", true)]);
    assert_eq!(names.count(), 3);
    let sentence = names.sentence().unwrap();
    assert!(sentence.contains("3 findings or structures: `L 7` (2), `label 1` (1);"), "{sentence}");
    assert_eq!(told(&[rule("^LN", false), rule(".", true)]).count(), 0);
    assert_eq!(told(&[]).count(), 0, "without rules no name has a meaning");
}

/// Writes a SEG with two segments of eight voxels each, and returns its path.
fn two_segments(folder: &Path, labels: [&str; 2]) -> PathBuf {
    let path = folder.join("seg.dcm");
    let segment = |label: &str, first: u32| {
        let voxels = (0..8).map(|n| [first + n % 2, n / 2 % 2, n / 4]).collect();
        Segment { label: label.into(), mask: Mask { affine: grid(), voxels } }
    };
    let segments = [segment(labels[0], 0), segment(labels[1], 4)];
    write_segmentation(&path, &segments, [7, 5, 4], &identity(), "2.25.3").unwrap();
    path
}

#[test]
fn a_status_in_a_name_that_no_rule_reads_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let seg = [two_segments(folder.path(), ["LN 7 +", "LN 4R"])];
    let told = |classes: &[ClassRule], table: Option<&str>| {
        let path = folder.path().join("nodes.csv");
        std::fs::write(&path, table.unwrap_or_default()).unwrap();
        let files = named(table.map(|_| path).as_slice());
        let sources = Sources { files: &files, segmentations: &seg, reports: &[], structures: &[] };
        let images = Images { usable: &[series()], refused: &[], unread_files: 0 };
        load(&sources, &images, &rules(classes)).statuses_in_names.sentence()
    };
    let sentence = told(&[], None).unwrap();
    assert!(sentence.contains("of 1 finding seem") && sentence.contains("`LN 7 +` (1)"), "{sentence}");
    let rule =
        ClassRule { name: Some(r"\+$".into()), metastasis: Some(Metastasis::Metastatic), ..ClassRule::default() };
    assert_eq!(told(&[rule], None), None);
    // Another source tells it.
    let [x, y, z] = place([0.5, 0.5, 0.5]).0;
    assert_eq!(
        told(&[], Some(&format!("series_uid,x_mm,y_mm,z_mm,metastasis\n2.25.3,{x},{y},{z},metastatic\n"))),
        None
    );
}

#[test]
fn an_organ_that_no_rule_ignores_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = two_segments(folder.path(), ["Heart", "node"]);
    let (seg, files) = ([path], named(&[]));
    let sources = Sources { files: &files, segmentations: &seg, reports: &[], structures: &[] };
    let told = |classes: &[ClassRule]| {
        let images = Images { usable: &[series()], refused: &[], unread_files: 0 };
        load(&sources, &images, &rules(classes)).mask_doubts.sentences()
    };
    let sentences = told(&[]);
    assert!(sentences.len() == 1 && sentences[0].contains("`Heart` (1)"), "{sentences:?}");
    let ignored = ClassRule { name: Some("^Heart$".into()), ignore: true, ..ClassRule::default() };
    assert_eq!(told(&[ignored]), Vec::<String>::new());
}
