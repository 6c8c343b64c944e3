//! What sources say and nobody reads is told: sizes, names, codes and segments that would be lost without a word.

use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, Tag};
use mtids_annotations::{
    AnnotationFiles, ClassRule, EntryOutcome, Images, RejectReason, Resolved, Sources, load, read_report,
    read_segmentation,
};
use mtids_dicom::Limits;
use mtids_dicom::write::{Measurement, ReportedFinding, Segment, write_report, write_segmentation, write_structures};
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::Voxel;
use mtids_domain::label::Metastasis;
use mtids_domain::taxonomy::StationMap;

use crate::load::{rules, series};
use crate::written::{grid, identity};

/// A SEG of two segments.
fn segmentation(folder: &Path, names: [&str; 2]) -> PathBuf {
    let path = folder.join("seg.dcm");
    let voxels = [vec![[0, 0, 0], [1, 0, 0], [1, 1, 0]], vec![[5, 4, 3], [5, 3, 3]]];
    let segments: Vec<Segment> = names
        .into_iter()
        .zip(voxels)
        .map(|(label, voxels)| Segment { label: label.into(), mask: Mask { affine: grid(), voxels } })
        .collect();
    write_segmentation(&path, &segments, [7, 5, 4], &identity(), "2.25.3").unwrap();
    path
}

fn report(folder: &Path, name: &str, measurements: Vec<Measurement>) -> PathBuf {
    let path = folder.join("sr.dcm");
    let finding = ReportedFinding { name: name.into(), segment: 1, measurements };
    write_report(&path, &[finding], 4, &identity(), "2.25.3").unwrap();
    path
}

pub(crate) fn loaded(tables: &[PathBuf], objects: [&[PathBuf]; 3], classes: &[ClassRule]) -> Resolved {
    let files = AnnotationFiles::read(tables, &Limits::default(), StationMap::Iaslc).unwrap();
    let [segmentations, reports, structures] = objects;
    let sources = Sources { files: &files, segmentations, reports, structures };
    load(&sources, &Images { usable: &[series()], refused: &[], unread_files: 0 }, &rules(classes))
}

fn rule(name: &str, ignore: bool) -> ClassRule {
    ClassRule { name: Some(name.into()), ignore, ..ClassRule::default() }
}

/// The rules that the guide prints.
pub(crate) fn rules_of_the_guide() -> [ClassRule; 2] {
    [rule("^LN (?<station>.+)$", false), rule(".", true)]
}

/// Changes an object and the items of all its sequences, however deep.
fn change(object: &mut InMemDicomObject, edit: &mut dyn FnMut(&mut InMemDicomObject)) {
    edit(object);
    let sequences = object.iter().filter(|element| element.items().is_some());
    let tags: Vec<Tag> = sequences.map(|element| element.header().tag).collect();
    for tag in tags {
        object.update_value(tag, |value| {
            for item in value.items_mut().into_iter().flatten() {
                change(item, edit);
            }
        });
    }
}

pub(crate) fn edited(path: &Path, mut edit: impl FnMut(&mut InMemDicomObject)) {
    let mut object = dicom_object::open_file(path).unwrap();
    change(&mut object, &mut edit);
    object.write_to_file(path).unwrap();
}

/// Replaces the text of an element.
pub(crate) fn put(object: &mut InMemDicomObject, tag: Tag, text: &str) {
    let vr = object.element(tag).unwrap().vr();
    object.put_str(tag, vr, text.to_owned());
}

/// Replaces the numbers of an element.
pub(crate) fn put_numbers(object: &mut InMemDicomObject, tag: Tag, numbers: &[u16]) {
    object.update_value(tag, |value| {
        value.truncate(0);
        value.primitive_mut().unwrap().extend_u16(numbers.iter().copied()).unwrap();
    });
}

#[test]
fn lengths_of_a_report_are_read_in_the_units_that_are_certain_and_others_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let length = |value: f64, unit: &str| {
        let unit = [unit.to_owned(), "unit".to_owned()];
        let path = report(folder.path(), "LN 7", vec![Measurement { value, unit, ..Measurement::short_axis_mm(1.0) }]);
        let read = read_report(&path, &Limits::default()).unwrap();
        (read.groups[0].short_axis_mm.map(|mm| (mm * 1e6).round() / 1e6), read.doubts())
    };
    for (value, unit) in [(9100.0, "um"), (9.1, "mm"), (0.91, "cm"), (0.0091, "m"), (0.091, "dm")] {
        assert_eq!(length(value, unit), (Some(9.1), None), "{unit}");
    }
    assert_eq!(length(0.5, "[in_i]"), (Some(12.7), None));
    for (value, unit) in [(9.1, "millimeter"), (9.1, "[px]"), (-9.1, "mm"), (0.0, "mm"), (9100.0, "mm")] {
        let (read, told) = length(value, unit);
        let told = told.unwrap();
        assert!(read.is_none() && told.contains("`LN 7`: `") && told.contains(unit), "{told}");
    }
    let path = report(folder.path(), "LN 7", vec![Measurement::short_axis_mm(9.1)]);
    edited(&path, |item| {
        if item.get(tags::NUMERIC_VALUE).is_some() {
            put(item, tags::NUMERIC_VALUE, "9,1");
        }
    });
    assert!(read_report(&path, &Limits::default()).unwrap().doubts().unwrap().contains("`9,1`"));
    // The older name of SNOMED RT, and two lengths of one group.
    let path = report(folder.path(), "LN 7", vec![Measurement::short_axis_mm(9.1)]);
    edited(&path, |item| {
        if item.get(tags::CODE_VALUE).is_some_and(|code| code.to_str().unwrap() == "103340004") {
            put(item, tags::CODE_VALUE, "G-A186");
            put(item, tags::CODING_SCHEME_DESIGNATOR, "SNM3");
        }
    });
    assert_eq!(read_report(&path, &Limits::default()).unwrap().groups[0].short_axis_mm, Some(9.1));
    let lengths = |all: [f64; 2]| {
        let path = report(folder.path(), "LN 7", all.map(Measurement::short_axis_mm).into());
        let read = read_report(&path, &Limits::default()).unwrap();
        (read.groups[0].short_axis_mm, read.doubts().is_some())
    };
    assert_eq!((lengths([9.1, 14.1]), lengths([9.1, 9.1])), ((None, true), (Some(9.1), false)));
}

#[test]
fn a_size_that_is_lost_by_its_name_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let seg = [segmentation(folder.path(), ["LN 7", "LN 4R"])];
    let told = |name: &str| {
        let sr = [report(folder.path(), name, vec![Measurement::short_axis_mm(9.1)])];
        loaded(&[], [&seg, &sr, &[]], &rules_of_the_guide()).told
    };
    let lost = told("Target 1");
    assert!(lost.len() == 1 && lost[0].contains("their short axes are not read: `Target 1` (1)"), "{lost:?}");
    assert_eq!(told("LN 7"), Vec::<String>::new());
}

#[test]
fn a_code_that_tells_a_status_which_no_rule_reads_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let seg = [segmentation(folder.path(), ["LN 7", "LN 4R"])];
    let sentence = |classes: &[ClassRule]| loaded(&[], [&seg, &[], &[]], classes).statuses_in_names.sentence();
    assert_eq!(sentence(&[]), None);
    let mut first = true;
    edited(&seg[0], |item| {
        if item.get(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE).is_some() && std::mem::take(&mut first) {
            item.update_value(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, |value| {
                for code in value.items_mut().into_iter().flatten() {
                    put(code, tags::CODE_MEANING, "Neoplasm, metastatic");
                }
            });
        }
    });
    let told = sentence(&[]).unwrap();
    assert!(told.contains("of 1 finding seem") && told.contains("`Neoplasm, metastatic` (1)"), "{told}");
    let status = ClassRule { metastasis: Some(Metastasis::Metastatic), ..rule("^LN 7$", false) };
    assert_eq!(sentence(&[status]), None);
    // A finding of a report.
    let plain = [segmentation(folder.path(), ["LN 7", "LN 4R"])];
    let sr = [report(folder.path(), "LN 7", vec![Measurement::short_axis_mm(9.1)])];
    let of_report = || loaded(&[], [&plain, &sr, &[]], &[]).statuses_in_names.sentence();
    assert_eq!(of_report(), None);
    edited(&sr[0], |item| {
        if item.get(tags::CODE_VALUE).is_some_and(|code| code.to_str().unwrap() == "59441001") {
            put(item, tags::CODE_MEANING, "Malignant lymph node");
        }
    });
    assert!(of_report().unwrap().contains("`Malignant lymph node` (1)"));
}

#[test]
fn a_weak_segment_of_a_fractional_object_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = segmentation(folder.path(), ["LN 7", "LN 4R"]);
    let mut object = dicom_object::open_file(&path).unwrap();
    let bits = object.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap().into_owned();
    let frames = object.element(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).unwrap().items().unwrap();
    let segments: Vec<u16> = frames
        .iter()
        .map(|frame| {
            let item = &frame.element(tags::SEGMENT_IDENTIFICATION_SEQUENCE).unwrap().items().unwrap()[0];
            item.element(tags::REFERENCED_SEGMENT_NUMBER).unwrap().to_int().unwrap()
        })
        .collect();
    let values = |weak: u16| -> Vec<u16> {
        let pixel = |n: usize| u16::from((bits[n / 8] >> (n % 8)) & 1);
        let of_pixel = |n: usize| pixel(n) * if segments[n / 35] == 2 { weak } else { 200 };
        // An even number of bytes.
        (0..35 * segments.len()).map(of_pixel).chain((segments.len() % 2 == 1).then_some(0)).collect()
    };
    let mut told = |weak: u16| {
        put(&mut object, tags::SEGMENTATION_TYPE, "FRACTIONAL");
        for (tag, value) in [(tags::BITS_ALLOCATED, 8), (tags::BITS_STORED, 8), (tags::HIGH_BIT, 7)] {
            put_numbers(&mut object, tag, &[value]);
        }
        put_numbers(&mut object, tags::PIXEL_DATA, &values(weak));
        object.write_to_file(&path).unwrap();
        let read = read_segmentation(&path, &Limits::default()).unwrap();
        (read.segments.len(), read.weak_segments())
    };
    assert_eq!(told(128), (2, None));
    let (segments, sentence) = told(100);
    let sentence = sentence.unwrap();
    assert!(segments == 1 && sentence.contains("segment 2 `LN 4R` (at most 100)"), "{sentence}");
}

#[test]
fn nodes_that_the_rule_for_all_other_names_leaves_out_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let sentence = |names: [&str; 2]| {
        let seg = [segmentation(folder.path(), names)];
        loaded(&[], [&seg, &[], &[]], &rules_of_the_guide()).ignored_nodes.sentence()
    };
    assert!(sentence(["LN4R", "LN 7"]).unwrap().contains("`LN4R` (1)"));
    assert_eq!(sentence(["Heart", "LN 7"]), None);
}

#[test]
fn a_structure_that_is_asked_for_and_has_no_contours_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rs.dcm");
    let voxels: Vec<[u32; 3]> = (0..9).map(|n| [1 + n % 3, 1 + n / 3, 1]).collect();
    let regions = [Segment { label: "LN 7".into(), mask: Mask { affine: grid(), voxels } }];
    write_structures(&path, &regions, [7, 5, 4], &identity(), "2.25.3").unwrap();
    let told = |path: &Path| loaded(&[], [&[], &[], &[path.to_owned()]], &rules_of_the_guide()).told;
    assert_eq!(told(&path), Vec::<String>::new());
    edited(&path, |item| _ = item.remove_element(tags::CONTOUR_SEQUENCE));
    let said = told(&path);
    assert!(said.len() == 1 && said[0].contains("without contours") && said[0].contains("`LN 7`"), "{said:?}");
}

#[test]
fn places_that_stand_for_unknown_and_a_slice_that_is_one_off_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nodes.csv");
    let entries = |table: &str| {
        std::fs::write(&path, table).unwrap();
        let resolved = loaded(std::slice::from_ref(&path), [&[], &[], &[]], &[]);
        let details: Vec<(RejectReason, String)> =
            resolved.rejects.iter().map(|one| (one.reason, one.detail.clone())).collect();
        (resolved.files[0].entries.clone(), details)
    };
    let [x, y, z] = grid().to_mm(Voxel([3.0, 2.0, 1.0])).0;
    for unknown in ["0,0,0", "-1,-1,-1", "1,1,1", "0.31,0.36,0.25", "-0.023,-0.15,-0.3"] {
        let (found, details) = entries(&format!("series_uid,x_mm,y_mm,z_mm\n2.25.3,{x},{y},{z}\n2.25.3,{unknown}\n"));
        assert_eq!(found, [EntryOutcome::Used, EntryOutcome::Unmatched], "{unknown}");
        assert!(details[0].0 == RejectReason::OutsideImage && details[0].1.contains("at the origin"), "{details:?}");
    }
    let (_, details) = entries("series_uid,x_mm,y_mm,z_mm\n2.25.3,-9,-9,-9\n2.25.3,99,99,99\n");
    assert!(details.iter().all(|(_, detail)| detail.contains("one code for unknown")), "{details:?}");
    let header = "series_uid,sop_instance_uid,i,j,k";
    let (found, details) =
        entries(&format!("{header}\n2.25.3,2.25.3.2,3,2,1\n2.25.3,2.25.3.2,3,2,1.5\n2.25.3,2.25.3.2,3,2,2\n"));
    assert_eq!(found, [EntryOutcome::Used, EntryOutcome::Used, EntryOutcome::Unmatched]);
    assert!(details[0].1.contains("does `k` count from 1"), "{details:?}");
    let (found, _) = entries(&format!("{header},index_base\n2.25.3,2.25.3.2,4,3,2,1\n"));
    assert_eq!(found, [EntryOutcome::Used]);
}

#[test]
fn a_coordinate_that_is_0_in_all_rows_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nodes.csv");
    let told = |rows: &str| {
        std::fs::write(&path, format!("series_uid,i,j,k\n{rows}")).unwrap();
        loaded(std::slice::from_ref(&path), [&[], &[], &[]], &[]).told
    };
    let of_lost = told("2.25.3,3,2,0\n2.25.3,5,4,0\n");
    assert!(of_lost.len() == 1 && of_lost[0].contains("k is 0 in all 2 rows"), "{of_lost:?}");
    assert_eq!(told("2.25.3,3,2,0\n"), Vec::<String>::new(), "by chance");
    assert_eq!(told("2.25.3,3,2,0\n2.25.3,5,4,1\n"), Vec::<String>::new());
}
