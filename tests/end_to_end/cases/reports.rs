//! Structured reports that place nodes by coordinates, as viewers write them: each becomes a node at its place, or is rejected by name.

use std::path::Path;

use super::dicom::Object;
use super::objects::{identity, write_rules};
use super::study::Ct;
use super::{Case, Expect, Found, check_all};

/// The node of the series, in columns and rows from the corner of the first pixel, and its slice.
const NODE: ([f32; 2], usize) = ([12.5, 13.5], 6);

pub(super) fn code(value: &str, scheme: &str, meaning: &str) -> Vec<Object> {
    let mut code = Object::default();
    code.text((0x0008, 0x0100), "SH", value).text((0x0008, 0x0102), "SH", scheme).text((0x0008, 0x0104), "LO", meaning);
    vec![code]
}

pub(super) fn item(relation: &str, kind: &str, [value, scheme]: [&str; 2]) -> Object {
    let mut item = Object::default();
    item.text((0x0040, 0xA010), "CS", relation)
        .text((0x0040, 0xA040), "CS", kind)
        .items((0x0040, 0xA043), code(value, scheme, "concept"));
    item
}

fn shape(kind: &str, name: &str, values: &[f32]) -> Object {
    let mut shape = item("INFERRED FROM", kind, ["111030", "DCM"]);
    shape.bytes((0x0070, 0x0022), "FL", values.iter().flat_map(|value| value.to_le_bytes()).collect()).text(
        (0x0070, 0x0023),
        "CS",
        name,
    );
    shape
}

/// A shape on a slice of the series.
fn on_slice(ct: &Ct, name: &str, values: &[f32], slice: usize) -> Object {
    let mut reference = Object::default();
    reference.text((0x0008, 0x1150), "UI", "1.2.840.10008.5.1.4.1.1.2").text(
        (0x0008, 0x1155),
        "UI",
        ct.instance_uid(slice),
    );
    let mut image = item("SELECTED FROM", "IMAGE", ["121112", "DCM"]);
    image.items((0x0008, 0x1199), vec![reference]);
    let mut shape = shape("SCOORD", name, values);
    shape.items((0x0040, 0xA730), vec![image]);
    shape
}

/// A shape in the frame of reference of a series.
fn in_patient(ct: &Ct, name: &str, values: &[f32]) -> Object {
    let mut shape = shape("SCOORD3D", name, values);
    shape.text((0x3006, 0x0024), "UI", ct.frame_uid());
    shape
}

/// A length in mm of a shape.
fn length(concept: [&str; 2], mm: f64, of: Object) -> Object {
    let mut value = Object::default();
    value.decimals((0x0040, 0xA30A), &[mm]).items((0x0040, 0x08EA), code("mm", "UCUM", "millimeter"));
    let mut number = item("CONTAINS", "NUM", concept);
    number.items((0x0040, 0xA300), vec![value]).items((0x0040, 0xA730), vec![of]);
    number
}

fn group(name: &str, content: Vec<Object>) -> Object {
    let mut tracking = item("HAS OBS CONTEXT", "TEXT", ["112039", "DCM"]);
    tracking.text((0x0040, 0xA160), "UT", name);
    let mut group = item("CONTAINS", "CONTAINER", ["125007", "DCM"]);
    group.items((0x0040, 0xA730), [vec![tracking], content].concat());
    group
}

/// Writes the series, the rules, and a report of these groups by this maker.
fn write(folder: &Path, ct: &Ct, maker: &str, groups: Vec<Object>) {
    ct.write(folder);
    write_rules(folder);
    let mut measurements = item("CONTAINS", "CONTAINER", ["126010", "DCM"]);
    measurements.items((0x0040, 0xA730), groups);
    let mut report = identity(ct, "1.2.840.10008.5.1.4.1.1.88.34", "report");
    report
        .text((0x0008, 0x0060), "CS", "SR")
        .text((0x0008, 0x0070), "LO", maker)
        .text((0x0040, 0xA040), "CS", "CONTAINER")
        .items((0x0040, 0xA043), code("126000", "DCM", "Imaging Measurement Report"))
        .items((0x0040, 0xA730), vec![measurements]);
    report.write(&folder.join("dicom/report.dcm"));
}

/// A long and a short axis, whose name a person typed.
fn two_axes(folder: &Path) {
    let ct = Ct::new();
    let ([column, row], slice) = NODE;
    let long = on_slice(&ct, "POLYLINE", &[column - 2.0, row, column + 2.0, row], slice);
    let short = on_slice(&ct, "POLYLINE", &[column, row - 1.5, column, row + 1.5], slice);
    let mut typed = item("CONTAINS", "CODE", ["121071", "DCM"]);
    typed.items((0x0040, 0xA168), code("CORNERSTONEFREETEXT", "CORNERSTONEJS", "LN 4R"));
    let content = vec![typed, length(["G-A185", "SRT"], 12.0, long), length(["G-A186", "SRT"], 7.5, short)];
    write(folder, &ct, "OHIF", vec![group("cornerstoneTools@^4.0.0:Bidirectional", content)]);
}

/// A point, an ellipse on a slice, and a measurement of a whole image.
fn points_and_ellipses(folder: &Path) {
    let ct = Ct::new().nodes(&[[0.0, -59.5, -285.0], [-15.0, -72.0, -285.0]]);
    let ([column, row], slice) = NODE;
    let ellipse = [column - 2.0, row, column + 2.0, row, column, row - 1.0, column, row + 1.0];
    let groups = vec![
        group("LN 4R", vec![on_slice(&ct, "ELLIPSE", &ellipse, slice)]),
        group("LN 7", vec![in_patient(&ct, "POINT", &[-15.0, -72.0, -285.0])]),
        group("LN window", Vec::new()),
    ];
    write(folder, &ct, "A viewer", groups);
}

/// Beside a node one in another frame of reference, one on an image that is not here, and one far away.
fn elsewhere(folder: &Path) {
    let (ct, other) = (Ct::new(), Ct::of("P1", "another"));
    let other = Ct { frame: "another frame".into(), ..other };
    let ([column, row], slice) = NODE;
    let groups = vec![
        group("LN 4R", vec![on_slice(&ct, "POINT", &[column, row], slice)]),
        group("LN 7", vec![in_patient(&other, "POINT", &[0.0, -59.5, -285.0])]),
        group("LN 8", vec![on_slice(&other, "POINT", &[column, row], slice)]),
        group("LN 9R", vec![in_patient(&ct, "POINT", &[0.0, -59.5, 285.0])]),
        group("LN 10R", vec![in_patient(&ct, "POINT", &[0.0, -59.5])]),
    ];
    write(folder, &ct, "A viewer", groups);
}

/// An answer of `mtids-train predict`, with a point.
fn answer(folder: &Path) {
    let ct = Ct::new();
    let mut algorithm = item("HAS OBS CONTEXT", "TEXT", ["111001", "DCM"]);
    algorithm.text((0x0040, 0xA160), "UT", "mtids");
    let point = in_patient(&ct, "POINT", &[0.0, -59.5, -285.0]);
    write(folder, &ct, "mtids", vec![group("LN 4R", vec![point, algorithm])]);
    ct.write_table(folder);
}

const CLASSES: &[&str] = &["--classes", "classes.toml"];

const CASES: &[Case] = &[
    Case {
        name: "two-axes-of-ohif",
        source: "OHIF/Viewers, cornerstone3D adapters: Bidirectional; PS3.3 C.18.6",
        make: two_axes,
        arguments: CLASSES,
        expect: Expect::found(&[Found::at(0.0, -59.5, -285.0).within(0.01).station("4R").metastasis(-1)]),
    },
    Case {
        name: "points-and-ellipses",
        source: "PS3.3 C.18.6 and C.18.9, PS3.16 TID 1410",
        make: points_and_ellipses,
        arguments: CLASSES,
        expect: Expect::found(&[
            Found::at(0.0, -59.5, -285.0).within(0.01).station("4R"),
            Found::at(-15.0, -72.0, -285.0).within(0.01).station("7"),
        ])
        .says(&["1 of 3 groups of measurements have neither coordinates nor a segment (`LN window`)"]),
    },
    Case {
        name: "coordinates-elsewhere",
        source: "PS3.3 C.18.9: Referenced Frame of Reference UID",
        make: elsewhere,
        arguments: CLASSES,
        expect: Expect {
            counts: &[("/totals/skipped", 0)],
            ..Expect::found(&[Found::at(0.0, -59.5, -285.0).within(0.01).station("4R")]).code(1).says(&[
                "group 2 `LN 7`",
                "frame of reference",
                "group 3 `LN 8`",
                "is no slice of series",
                "group 4 `LN 9R`",
                "mm outside series",
                "group 5 `LN 10R`",
                "unreadable-coordinates",
            ])
        },
    },
    Case {
        name: "answer-of-predict-with-points",
        source: "mtids-train predict: a candidate without outline is a point",
        make: answer,
        arguments: &["--annotations", "nodes.csv"],
        expect: Expect {
            counts: &[("/totals/skipped_by_reason/answer-of-predict", 1)],
            ..Expect::found(&[Found::at(0.0, -59.5, -285.0)])
        },
    },
];

#[test]
fn reports_place_nodes_where_they_are_drawn() {
    check_all(CASES);
}
