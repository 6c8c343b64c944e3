//! Contours of an RTSTRUCT: how those of a plane combine, what lies between planes, tips, oblique planes, and one bad structure among good
//! ones.

use std::path::Path;

use super::dicom::Object;
use super::objects::{ball, circle, contour, frame_item, structures, write_rules};
use super::study::{Ct, FRAME_OF_REFERENCE};
use super::{Case, Expect, Found, check_all};

const NODE: [f64; 3] = [0.0, -59.5, -285.0];

/// A study with these structures.
fn study(folder: &Path, regions: &[(&str, Vec<Object>)]) {
    study_with(folder, regions, |_| {});
}

/// As [`study`], the object edited before it is written.
fn study_with(folder: &Path, regions: &[(&str, Vec<Object>)], edit: impl Fn(&mut Object)) {
    let ct = Ct::new();
    ct.write(folder);
    write_rules(folder);
    let mut object = structures(&ct, regions);
    edit(&mut object);
    object.write(&folder.join("dicom/structures.dcm"));
}

fn planes(first: f64, step: f64, count: u32) -> Vec<f64> {
    (0..count).map(|n| first + step * f64::from(n)).collect()
}

/// The node on the slices.
fn node() -> Vec<Object> {
    ball(NODE, 6.0, &planes(-290.0, 2.5, 5))
}

/// Contours of the same circles with another type.
fn of_type(kind: &str, contours: Vec<Object>) -> Vec<Object> {
    let retyped = |mut item: Object| {
        item.text((0x3006, 0x0042), "CS", kind);
        item
    };
    contours.into_iter().map(retyped).collect()
}

/// Each plane as two overlapping circles.
fn crossing(folder: &Path) {
    let halves = |z: f64| [-3.0, 3.0].map(|x| circle([x, NODE[1], z], 6.0));
    study(folder, &[("LN 4R", planes(-290.0, 2.5, 5).into_iter().flat_map(halves).collect())]);
}

/// A copy of each contour with coordinates rounded to whole millimetres, wholly inside the first.
fn copies_with_other_rounding(folder: &Path) {
    let copies = planes(-290.0, 2.5, 5).into_iter().map(|z| circle([NODE[0], NODE[1], z], 5.9));
    let first = planes(-290.0, 2.5, 5).into_iter().map(|z| circle([NODE[0], NODE[1], z], 6.0));
    study(folder, &[("LN 4R", first.chain(copies).collect())]);
}

fn xor_that_cancels(folder: &Path) {
    let twice = [of_type("CLOSEDPLANAR_XOR", node()), of_type("CLOSEDPLANAR_XOR", node())].concat();
    let good = ball([-15.0, -72.0, -287.5], 6.0, &planes(-292.5, 2.5, 5));
    study(folder, &[("LN 4R", twice), ("LN 7", good)]);
}

/// Two lone voxels above the node, each a POINT, as writers do for whom two points are no closed curve.
fn points_as_tips(folder: &Path) {
    let tips = [[0.0, NODE[1], -277.5], [3.0, NODE[1], -277.5]].map(|at| contour("POINT", &[at]));
    study(folder, &[("LN 7", node().into_iter().chain(tips).collect())]);
}

/// A structure that is one contour smaller than a pixel.
fn speck(folder: &Path) {
    study(folder, &[("LN 4R", node()), ("LN 7", vec![circle([-18.4, -77.3, -290.0], 0.2)])]);
}

fn sagittal(folder: &Path) {
    let turned = |x: f64| {
        let half = (36.0 - x * x).max(0.0).sqrt();
        let points: Vec<[f64; 3]> = (0..24)
            .map(|n| {
                let (sin, cos) = (f64::from(n) * std::f64::consts::TAU / 24.0).sin_cos();
                [x, NODE[1] + half * cos, NODE[2] + half * sin]
            })
            .map(|point| point.map(|x| (x * 1e3).round() / 1e3))
            .collect();
        contour("CLOSED_PLANAR", &points)
    };
    study(folder, &[("LN 4R", [-4.0, -2.0, 0.0, 2.0, 4.0].map(turned).to_vec())]);
}

/// Planes of another reconstruction: 4 mm apart, none of them on a slice.
fn planes_of_another_reconstruction(folder: &Path) {
    study(folder, &[("LN 4R", ball(NODE, 6.0, &planes(-289.0, 4.0, 3)))]);
}

/// A node on two planes, in an object whose planes are three slices apart, as drawn on another reconstruction.
fn two_planes_of_a_coarse_object(folder: &Path) {
    let node = [-290.0, -282.5].map(|z| circle([0.0, -59.5, z], 5.0)).to_vec();
    let heart = [-297.5, -290.0, -282.5].map(|z| circle([15.0, -40.0, z], 9.0)).to_vec();
    study(folder, &[("LN 4R", node), ("Heart", heart)]);
}

/// Two nodes of one structure above one another, with three undrawn slices between.
fn two_nodes_above_one_another(folder: &Path) {
    let low = planes(-297.5, 2.5, 3).into_iter().map(|z| circle([0.0, -59.5, z], 4.0));
    let high = planes(-282.5, 2.5, 3).into_iter().map(|z| circle([0.0, -59.5, z], 4.0));
    study(folder, &[("LN 4R", low.chain(high).collect())]);
}

/// Contours of a number that no structure has, beside a good structure.
fn contours_of_no_structure(folder: &Path) {
    study_with(folder, &[("LN 4R", node()), ("LN 7", ball([-15.0, -72.0, -287.5], 6.0, &[-287.5]))], |object| {
        renumber_last(object, "9", (0x3006, 0x0039), (0x3006, 0x0084));
    });
}

/// Two structures with one number, beside a good one.
fn one_number_twice(folder: &Path) {
    let other = |x: f64| ball([x, -72.0, -287.5], 5.0, &planes(-290.0, 2.5, 3));
    study_with(folder, &[("LN 4R", node()), ("LN 7", other(-15.0)), ("LN 10L", other(15.0))], |object| {
        renumber_last(object, "2", (0x3006, 0x0020), (0x3006, 0x0022));
    });
}

fn renumber_last(object: &mut Object, number: &str, sequence: (u16, u16), tag: (u16, u16)) {
    if let Some(super::dicom::Element::Sequence(items)) = object.0.get_mut(&sequence) {
        items.last_mut().unwrap().text(tag, "IS", number);
    }
}

/// Numbers with decimal commas, in one structure of two.
fn decimal_commas(folder: &Path) {
    let mut broken = contour("CLOSED_PLANAR", &[[0.0; 3]; 4]);
    broken.text((0x3006, 0x0050), "DS", "1,5\\2,5\\-285\\4,5\\2,5\\-285\\4,5\\6,5\\-285");
    study(folder, &[("LN 4R", node()), ("LN 7", vec![broken])]);
}

/// One object over two series of one study, each in its own frame of reference.
fn two_frames_of_reference(folder: &Path) {
    let first = Ct::new();
    let mut second = Ct::of("P1", "s2").nodes(&[[-15.0, -72.0, -287.5]]);
    second.frame = "another frame".into();
    first.write(folder);
    second.write(folder);
    write_rules(folder);
    let regions = [("LN 4R", node()), ("LN 7", ball([-15.0, -72.0, -287.5], 6.0, &planes(-292.5, 2.5, 5)))];
    let mut object = structures(&first, &regions);
    object.items((0x3006, 0x0010), vec![frame_item(&first), frame_item(&second)]);
    assert_ne!(first.frame_uid(), second.frame_uid());
    if let Some(super::dicom::Element::Sequence(items)) = object.0.get_mut(&(0x3006, 0x0020)) {
        items[1].text((0x3006, 0x0024), "UI", second.frame_uid());
    }
    assert!(!object.0.contains_key(&FRAME_OF_REFERENCE));
    object.write(&folder.join("dicom/structures.dcm"));
}

const CLASSES: &[&str] = &["--classes", "classes.toml"];
const ONE: &[Found] = &[Found::at(0.0, -59.5, -285.0).station("4R")];

/// A character set that the library does not know, first among several.
fn japanese_characters(folder: &Path) {
    study_with(folder, &[("LN 4R", node())], |object| {
        object.text((0x0008, 0x0005), "CS", "\\ISO 2022 IR 87");
    });
}

const fn case(name: &'static str, source: &'static str, make: fn(&Path), expect: Expect) -> Case {
    Case { name, source, make, arguments: CLASSES, expect }
}

const CASES: &[Case] = &[
    case(
        "japanese-characters",
        "PS3.3 C.12.1.1.2; a warning of a library that names no file would come once a file",
        japanese_characters,
        Expect { never_says: &["haracter set"], ..Expect::found(ONE) },
    ),
    case("crossing-contours", "medical-physics-usz/z-rad#181, PS3.3 C.8.8.6.3", crossing, Expect::found(ONE)),
    case("copies-with-other-rounding", "pyplati/platipy#271", copies_with_other_rounding, Expect::found(ONE)),
    case(
        "xor-that-cancels",
        "PS3.3 C.8.8.6.3 (CLOSEDPLANAR_XOR)",
        xor_that_cancels,
        Expect::found(&[Found::at(-15.0, -72.0, -287.5).station("7")]).code(1).says(&["LN 4R", "cancel one another"]),
    ),
    case(
        "points-as-tips",
        "qurit/rt-utils#16",
        points_as_tips,
        Expect::found(&[Found::at(0.0, -59.5, -285.0).station("7")]),
    ),
    case(
        "speck",
        "open-vv/vv#117",
        speck,
        Expect::found(&[
            Found::at(0.0, -59.5, -285.0).station("4R"),
            Found::at(-18.0, -77.0, -290.0).station("7").within(2.0),
        ]),
    ),
    case("sagittal-planes", "cerr/CERR#18, pyplati/platipy#165", sagittal, Expect::found(ONE)),
    case(
        "planes-of-another-reconstruction",
        "SlicerRt/SlicerRT#334",
        planes_of_another_reconstruction,
        Expect::found(ONE),
    ),
    case(
        "two-planes-of-a-coarse-object",
        "SlicerRt/SlicerRT#334",
        two_planes_of_a_coarse_object,
        Expect::found(&[Found::at(0.0, -59.5, -286.25).station("4R")]),
    ),
    case(
        "two-nodes-above-one-another",
        "SlicerRt/SlicerRT#303",
        two_nodes_above_one_another,
        Expect::found(&[Found::at(0.0, -59.5, -295.0).station("4R"), Found::at(0.0, -59.5, -280.0).station("4R")]),
    ),
    case(
        "contours-of-no-structure",
        "bhklab/med-imagetools#147, dicompyler/dicompyler-core#22",
        contours_of_no_structure,
        Expect::found(ONE).code(1).says(&["ROI number 9", "StructureSetROISequence"]),
    ),
    case(
        "one-number-twice",
        "bhklab/med-imagetools#147",
        one_number_twice,
        Expect::found(ONE).code(1).says(&["LN 7", "LN 10L", "ROINumber 2"]),
    ),
    case(
        "decimal-commas",
        "fo-dicom/fo-dicom#1915",
        decimal_commas,
        Expect::found(ONE).code(1).says(&["LN 7", "ContourData"]),
    ),
    case(
        "two-frames-of-reference",
        "OHIF/Viewers#3537, qurit/rt-utils#76",
        two_frames_of_reference,
        Expect::found(&[Found::at(0.0, -59.5, -285.0).station("4R"), Found::at(-15.0, -72.0, -287.5).station("7")]),
    ),
];

#[test]
fn contours_mean_what_they_enclose() {
    check_all(CASES);
}
