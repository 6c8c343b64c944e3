//! Notes by which an archive takes objects back: what they list is not used, whatever says so in other words changes nothing.

use std::path::Path;

use super::assignment::square;
use super::dicom::Object;
use super::objects::{identity, segmentation, write_rules};
use super::reports::{code, item};
use super::study::Ct;
use super::{Case, Expect, Found, check_all};

const CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
const SEGMENTATION: &str = "1.2.840.10008.5.1.4.1.1.66.4";

/// Writes a Key Object Selection document with this title, of the patient of `ct`, that lists instances.
fn note(folder: &Path, ct: &Ct, title: [&str; 2], class: &str, instances: &[String]) {
    let listed = |uid: &String| {
        let mut reference = Object::default();
        reference.text((0x0008, 0x1150), "UI", class).text((0x0008, 0x1155), "UI", uid.clone());
        let mut image = item("CONTAINS", "IMAGE", ["113012", "DCM"]);
        image.items((0x0008, 0x1199), vec![reference]);
        image
    };
    let mut note = identity(ct, "1.2.840.10008.5.1.4.1.1.88.59", "note");
    note.text((0x0008, 0x0060), "CS", "KO")
        .text((0x0040, 0xA040), "CS", "CONTAINER")
        .items((0x0040, 0xA043), code(title[0], "DCM", title[1]))
        .items((0x0040, 0xA730), instances.iter().map(listed).collect());
    note.write(&folder.join("dicom/note.dcm"));
}

/// Two series of one study, each with a row; all slices of the second stand in a note.
fn two_series(folder: &Path, title: [&str; 2], noted_patient: &str) {
    let (kept, other) = (Ct::new(), Ct::of("P1", "s2"));
    kept.write(folder);
    other.write(folder);
    let row = |ct: &Ct, status: &str| ct.table(&[([0.0, -59.5, -285.0], status)]);
    std::fs::write(folder.join("kept.csv"), row(&kept, "4R,1,A")).unwrap();
    std::fs::write(folder.join("other.csv"), row(&other, "7,0,A")).unwrap();
    let instances: Vec<String> = (0..12).map(|k| other.instance_uid(k)).collect();
    note(folder, &Ct::of(noted_patient, "s2"), title, CT_IMAGE, &instances);
}

const WORKLIST: [&str; 2] = ["113038", "Incorrect Modality Worklist Entry"];

fn rejected_series(folder: &Path) {
    two_series(folder, WORKLIST, "P1");
}

fn note_of_another_patient(folder: &Path) {
    two_series(folder, WORKLIST, "P2");
}

fn note_of_interest(folder: &Path) {
    two_series(folder, ["113000", "Of Interest"], "P1");
}

/// A segmentation beside a table, taken back.
fn rejected_segmentation(folder: &Path) {
    let ct = Ct::new();
    ct.write(folder);
    ct.write_table(folder);
    write_rules(folder);
    let planes = [-287.5, -285.0, -282.5].map(|z| (z, square([15.0, -40.0]))).to_vec();
    let object = segmentation(&ct, &[("LN 7", planes)]);
    object.write(&folder.join("dicom/segmentation.dcm"));
    note(folder, &ct, ["113001", "Rejected for Quality Reasons"], SEGMENTATION, &[object.get((0x0008, 0x0018))]);
}

const TABLES: &[&str] = &["--annotations", "kept.csv", "--annotations", "other.csv"];
const NODE: Found = Found::at(0.0, -59.5, -285.0);

const BOTH: Expect = Expect::found(&[NODE.station("4R").metastasis(1), NODE.station("7").metastasis(0)]);

const CASES: &[Case] = &[
    Case {
        name: "rejected-series",
        source: "IHE Radiology, Imaging Object Change Management; PS3.16 CID 7010",
        make: rejected_series,
        arguments: TABLES,
        expect: Expect {
            counts: &[("/totals/quarantined_by_reason/rejected-by-note", 12)],
            ..Expect::found(&[NODE.station("4R").metastasis(1)]).code(1).says(&[
                "takes it back: incorrect modality worklist entry",
                "is here and was refused: rejected-by-note",
            ])
        },
    },
    Case {
        name: "note-of-another-patient",
        source: "a note speaks of its own patient",
        make: note_of_another_patient,
        arguments: TABLES,
        expect: Expect { never_says: &["takes it back"], ..BOTH },
    },
    Case {
        name: "note-of-interest",
        source: "PS3.16 CID 7010: most titles reject nothing",
        make: note_of_interest,
        arguments: TABLES,
        expect: Expect { never_says: &["takes it back"], ..BOTH },
    },
    Case {
        name: "rejected-segmentation",
        source: "IHE Radiology, Imaging Object Change Management: any object can be taken back",
        make: rejected_segmentation,
        arguments: &["--annotations", "nodes.csv", "--classes", "classes.toml"],
        expect: Expect {
            counts: &[("/totals/quarantined_by_reason/rejected-by-note", 1)],
            ..Expect::found(&[NODE.station("4R").metastasis(1)]).code(1).says(&["rejected for quality reasons"])
        },
    },
];

#[test]
fn what_a_note_takes_back_is_not_used() {
    check_all(CASES);
}
