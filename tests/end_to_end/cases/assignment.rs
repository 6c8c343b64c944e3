//! Which image an annotation belongs to: objects, masks and rows never slip to another patient, and what is lost is named.

use std::path::Path;

use super::dicom::uid;
use super::objects::{ball, segmentation, structures, write_rules};
use super::study::Ct;
use super::{Case, Expect, Found, check_all};

/// Pixels of a square of 3 × 3 around a place on the grid of the slices.
pub(super) fn square([x, y]: [f64; 2]) -> Vec<[usize; 2]> {
    let [i, j] = [(x + 36.0) / 3.0, (y + 92.0) / 2.5].map(|index| index.round() as usize);
    (i - 1..=i + 1).flat_map(|i| (j - 1..=j + 1).map(move |j| [i, j])).collect()
}

fn plain_table(folder: &Path) {
    let ct = Ct::new();
    ct.write(folder);
    ct.write_table(folder);
}

fn plain_structures(folder: &Path) {
    let ct = Ct::new();
    ct.write(folder);
    write_rules(folder);
    let contours = ball(ct.nodes[0], 6.0, &ct.slices);
    structures(&ct, &[("LN 4R", contours)]).write(&folder.join("dicom/structures.dcm"));
}

fn plain_segmentation(folder: &Path) {
    let ct = Ct::new();
    ct.write(folder);
    write_rules(folder);
    let planes = [-287.5, -285.0, -282.5].map(|z| (z, square([0.0, -59.5]))).to_vec();
    segmentation(&ct, &[("LN 4R", planes)]).write(&folder.join("dicom/segmentation.dcm"));
}

/// Two patients share the placeholder frame; the SEG is of the second, whose CT is not here.
fn segmentation_of_a_missing_patient(folder: &Path) {
    let mut one = Ct::of("P1", "s1");
    let mut two = Ct::of("P2", "s1");
    one.frame = "constant".into();
    two.frame = "constant".into();
    one.write(folder);
    one.write_table(folder);
    write_rules(folder);
    let planes = [-287.5, -285.0, -282.5].map(|z| (z, square([15.0, -40.0]))).to_vec();
    segmentation(&two, &[("LN 7", planes)]).write(&folder.join("dicom/segmentation.dcm"));
}

/// A row whose series UID lost its last digits, as Excel writes long numbers.
fn cut_off_uid(folder: &Path) {
    let ct = Ct::new();
    ct.write(folder);
    let uid = ct.series_uid();
    let table = ct.table(&[([0.0, -59.5, -285.0], "4R,1,A"), ([9.0, -47.5, -292.5], "7,0,B")]);
    let (first, second) = table.split_at(table.rfind(&uid).unwrap());
    std::fs::write(folder.join("nodes.csv"), format!("{first}{}{}", &uid[..20], &second[uid.len()..])).unwrap();
}

/// The column of series holds the study.
fn study_in_the_column_of_series(folder: &Path) {
    let ct = Ct::new();
    ct.write(folder);
    let table = ct.table(&[([0.0, -59.5, -285.0], "4R,1,A")]);
    let row = format!("{},9,-47.5,-292.5,7,0,B\n", ct.study_uid());
    std::fs::write(folder.join("nodes.csv"), table + &row).unwrap();
}

/// A row that names a patient whose series it does not name.
fn row_of_another_patient(folder: &Path) {
    let ct = Ct::new();
    ct.write(folder);
    let uid = ct.series_uid();
    let table = format!(
        "patient_id,series_uid,x_mm,y_mm,z_mm,station,metastasis\nP1,{uid},0,-59.5,-285,4R,1\nP2,{uid},9,-47.5,-292.5,7,0\n"
    );
    std::fs::write(folder.join("nodes.csv"), table).unwrap();
}

/// Two structures of two names that are the same node.
fn one_node_under_two_names(folder: &Path) {
    let ct = Ct::new();
    ct.write(folder);
    write_rules(folder);
    let contours = ball(ct.nodes[0], 6.0, &ct.slices);
    structures(&ct, &[("LN 4R", contours.clone()), ("LN R4", contours)]).write(&folder.join("dicom/structures.dcm"));
}

const CASES: &[Case] = &[
    Case {
        name: "plain-table",
        source: "the control of the writers",
        make: plain_table,
        arguments: &["--annotations", "nodes.csv"],
        expect: Expect {
            volumes: Some(&[12]),
            probes: &[([0.0, -59.5, -285.0], 300.0), ([-36.0, -92.0, -300.0], -192.0)],
            ..Expect::found(&[Found::at(0.0, -59.5, -285.0).station("4R").region("upper").metastasis(1).patient("P1")])
        },
    },
    Case {
        name: "plain-structures",
        source: "the control of the writers",
        make: plain_structures,
        arguments: &["--classes", "classes.toml"],
        expect: Expect::found(&[Found::at(0.0, -59.5, -285.0).station("4R").metastasis(-1)]),
    },
    Case {
        name: "plain-segmentation",
        source: "the control of the writers",
        make: plain_segmentation,
        arguments: &["--classes", "classes.toml"],
        expect: Expect::found(&[Found::at(0.0, -59.5, -285.0).station("4R")]),
    },
    Case {
        name: "segmentation-of-a-missing-patient",
        source: "SlicerUltrasound/SlicerUltrasound#185",
        make: segmentation_of_a_missing_patient,
        arguments: &["--annotations", "nodes.csv", "--classes", "classes.toml"],
        expect: Expect {
            counts: &[("/totals/skipped_by_reason/annotation-of-another-patient", 1)],
            ..Expect::found(&[Found::at(0.0, -59.5, -285.0).station("4R")]).says(&["P2", "P1"])
        },
    },
    Case {
        name: "cut-off-uid",
        source: "Excel keeps 15 digits of a number",
        make: cut_off_uid,
        arguments: &["--annotations", "nodes.csv"],
        expect: Expect::found(&[Found::at(0.0, -59.5, -285.0)]).code(1).says(&["line 3", "cut off"]),
    },
    Case {
        name: "study-in-the-column-of-series",
        source: "OHIF/Viewers#3537",
        make: study_in_the_column_of_series,
        arguments: &["--annotations", "nodes.csv"],
        expect: Expect::found(&[Found::at(0.0, -59.5, -285.0)]).code(1).says(&["line 3", "study_uid"]),
    },
    Case {
        name: "row-of-another-patient",
        source: "RSNA/anonymizer#18",
        make: row_of_another_patient,
        arguments: &["--annotations", "nodes.csv"],
        expect: Expect::found(&[Found::at(0.0, -59.5, -285.0)]).code(1).says(&["line 3", "P2"]),
    },
    Case {
        name: "one-node-under-two-names",
        source: "qurit/rt-utils#60",
        make: one_node_under_two_names,
        arguments: &["--classes", "classes.toml"],
        expect: Expect::found(&[Found::at(0.0, -59.5, -285.0).station("4R")]),
    },
];

#[test]
fn annotations_stay_with_their_image() {
    check_all(CASES);
    assert_ne!(uid("a"), uid("b"));
}
