//! Who is one person: no study, image or id of one is taken for that of two, or of two for one.

use std::fs;
use std::path::Path;

use mtids_domain::pseudonym::PseudonymSecret;

use super::dicom::Object;
use super::objects::{segmentation, write_rules};
use super::study::{Ct, PATIENT_ID, SOP_INSTANCE, STUDY};
use super::{Case, Expect, KEY, check, check_all, findings, run_in};

const SEX: (u16, u16) = (0x0010, 0x0040);
const BIRTH_DATE: (u16, u16) = (0x0010, 0x0030);

/// Writes series, each edited, and one table with the node of each.
fn write(folder: &Path, all: &[Ct], edit: impl Fn(&Ct, usize, &mut Object)) {
    let mut table = String::new();
    for ct in all {
        ct.write_with(folder, |k, slice| edit(ct, k, slice));
        let rows = ct.table(&[(ct.nodes[0], "4R,1,A")]);
        table.push_str(if table.is_empty() { &rows } else { &rows[rows.find('\n').unwrap() + 1..] });
    }
    fs::write(folder.join("nodes.csv"), table).unwrap();
}

fn plain(folder: &Path, all: &[Ct]) {
    write(folder, all, |_, _, _| {});
}

/// Two patients whose images bear one StudyInstanceUID.
fn one_study(ids: &[&str]) -> Vec<Ct> {
    ids.iter().map(|id| Ct { study: "one study".into(), ..Ct::of(id, "s1") }).collect()
}

fn one_study_two_patients(folder: &Path) {
    plain(folder, &one_study(&["P-alpha", "P-beta"]));
}

fn one_study_everybody(folder: &Path) {
    plain(folder, &one_study(&["A", "B", "C", "D"]));
}

/// A converter makes UIDs of a fixed text and the number of the slice.
fn instances_of_a_fixed_text(folder: &Path) {
    write(folder, &[Ct::of("A", "s1"), Ct::of("B", "s1")], |_, k, slice| {
        slice.text(SOP_INSTANCE, "UI", format!("2.16.1.113662.2.12.0.3057.1241703565.{k}"));
    });
}

/// The second patient's series is too short, and no row speaks of it.
fn a_refused_series_of_the_study(folder: &Path) {
    let [one, mut two] = <[Ct; 2]>::try_from(one_study(&["P-alpha", "P-beta"])).unwrap();
    two.slices.truncate(2);
    two.write(folder);
    plain(folder, &[one]);
}

/// A SEG was received under another id than the CT of its study.
fn an_object_under_another_id(folder: &Path) {
    let ct = Ct::of("P-alpha", "s1");
    plain(folder, std::slice::from_ref(&ct));
    write_rules(folder);
    let pixels = (11..14).flat_map(|i| (12..15).map(move |j| [i, j])).collect::<Vec<_>>();
    let planes = [-287.5, -285.0, -282.5].map(|z| (z, pixels.clone())).to_vec();
    let mut object = segmentation(&ct, &[("LN 4R", planes)]);
    object.text(PATIENT_ID, "LO", "P-beta");
    object.write(&folder.join("dicom/segmentation.dcm"));
}

fn one_frame_of_reference(folder: &Path) {
    let series = |id: &str| Ct { frame: "constant".into(), ..Ct::of(id, "s1") };
    plain(folder, &[series("A"), series("B"), series("C")]);
}

/// An export writes one SOPInstanceUID into the first slice of two series of one patient.
fn one_instance_in_two_series(folder: &Path) {
    let two = Ct { study: "second".into(), series: "second".into(), ..Ct::of("A", "s1") };
    write(folder, &[Ct::of("A", "s1"), two], |_, k, slice| {
        if k == 0 {
            slice.text(SOP_INSTANCE, "UI", "1.2.3.4");
        }
    });
}

/// Three studies of one id, with what they say of the person.
fn studies_of(folder: &Path, id: &str, people: [(&str, &str); 3]) {
    let all: Vec<Ct> = (0..3)
        .map(|n| Ct { study: format!("study {n}"), series: format!("series {n}"), ..Ct::of(id, "s1") })
        .map(|ct| Ct { frame: format!("frame of {}", ct.study), ..ct })
        .collect();
    write(folder, &all, |ct, _, slice| {
        let n: usize = ct.study[6..].parse().unwrap();
        slice.text(SEX, "CS", people[n].0).text(BIRTH_DATE, "DA", people[n].1);
    });
}

fn one_id_for_everybody(folder: &Path) {
    studies_of(folder, "4711", [("M", "19500101"), ("M", "19500101"), ("F", "19620304")]);
}

fn one_id_whose_birth_date_differs(folder: &Path) {
    studies_of(folder, "4711", [("M", "19500101"), ("M", "19510101"), ("M", "")]);
}

fn a_placeholder_without_facts(folder: &Path) {
    studies_of(folder, "ANONYMOUS", [("", ""), ("", ""), ("O", "")]);
}

fn an_identical_copy(folder: &Path) {
    plain(folder, &[Ct::of("A", "s1")]);
    let first = folder.join("dicom/s1-of-A-000.dcm");
    fs::copy(first, folder.join("dicom/copy.dcm")).unwrap();
}

const TABLE: &[&str] = &["--annotations", "nodes.csv"];
const STOPS: i32 = 3;

const CASES: &[Case] = &[
    Case {
        name: "one study of two patients",
        source: "RSNA/anonymizer#18",
        make: one_study_two_patients,
        arguments: TABLE,
        expect: Expect::refused(
            STOPS,
            &[
                "StudyInstanceUID 2.25.",
                "`P-alpha` (dicom/s1-of-P-alpha-000.dcm)",
                "`P-beta` (dicom/s1-of-P-beta-000.dcm)",
                "training and test",
                "identity.same_person = [[\"P-alpha\", \"P-beta\"]]",
            ],
        ),
    },
    Case {
        name: "one study of two patients, of whom one series is refused",
        source: "RSNA/anonymizer#18",
        make: a_refused_series_of_the_study,
        arguments: TABLE,
        expect: Expect::refused(STOPS, &["StudyInstanceUID", "`P-alpha`", "`P-beta`"]),
    },
    Case {
        name: "an annotation object under another id than the study's",
        source: "dcm4che/dcm4chee-arc-light#4935",
        make: an_object_under_another_id,
        arguments: &["--annotations", "nodes.csv", "--classes", "rules.toml"],
        expect: Expect::refused(STOPS, &["StudyInstanceUID", "`P-beta` (dicom/segmentation.dcm)"]),
    },
    Case {
        name: "one study UID for everybody",
        source: "DICOM PS3.15 E.1.1, action U: UIDs stay consistent within a set, and one is not another",
        make: one_study_everybody,
        arguments: TABLE,
        expect: Expect {
            never_says: &["same_person", "panicked"],
            ..Expect::refused(STOPS, &["4 patients", "An anonymiser has written one UID for several people"])
        },
    },
    Case {
        name: "instance UIDs made of a fixed text",
        source: "pytrip/pytrip#292",
        make: instances_of_a_fixed_text,
        arguments: TABLE,
        expect: Expect::refused(STOPS, &["SOPInstanceUID", "and 11 more", "`A`", "`B`", "the UIDs if a program"]),
    },
    Case {
        name: "a constant frame of reference",
        source: "SlicerUltrasound/SlicerUltrasound#185",
        make: one_frame_of_reference,
        arguments: TABLE,
        expect: Expect {
            counts: &[("/totals/patients", 3), ("/totals/rows", 3)],
            ..Expect::NOTHING.says(&["FrameOfReferenceUID", "`A` and `B`", "3 patients", "joins nobody"])
        },
    },
    Case {
        name: "one instance in two series of a patient",
        source: "pytrip/pytrip#292",
        make: one_instance_in_two_series,
        arguments: TABLE,
        expect: Expect {
            counts: &[("/totals/patients", 1), ("/totals/rows", 2)],
            ..Expect::NOTHING.says(&["SOPInstanceUID 1.2.3.4", "two series of one patient"])
        },
    },
    Case {
        name: "one id for everybody",
        source: "e0404/matRad#273",
        make: one_id_for_everybody,
        arguments: TABLE,
        expect: Expect::refused(STOPS, &["`4711` stands for several people", "a man born 19500101", "a woman"]),
    },
    Case {
        name: "one id for everybody, said to be one person",
        source: "e0404/matRad#273",
        make: one_id_for_everybody,
        arguments: &["--annotations", "nodes.csv", "--set", "identity.same_person=[[\"4711\"]]"],
        expect: Expect { counts: &[("/totals/patients", 1), ("/totals/rows", 3)], ..Expect::NOTHING },
    },
    Case {
        name: "a birth date that an anonymiser moved",
        source: "pymedphys/pymedphys#1455",
        make: one_id_whose_birth_date_differs,
        arguments: TABLE,
        expect: Expect::NOTHING.says(&["PatientBirthDate", "`4711`"]),
    },
    Case {
        name: "a placeholder that says nothing of the person",
        source: "e0404/matRad#273",
        make: a_placeholder_without_facts,
        arguments: TABLE,
        expect: Expect::NOTHING.says(&["3 studies bear PatientID `ANONYMOUS`", "placeholder"]),
    },
    Case {
        name: "an identical copy contradicts nothing",
        source: "PS3.3 C.12.1: a SOP instance is one, in however many files",
        make: an_identical_copy,
        arguments: TABLE,
        expect: Expect {
            counts: &[("/totals/skipped_by_reason/identical-copy", 1)],
            never_says: &["borne by", "panicked"],
            ..Expect::NOTHING
        },
    },
];

#[test]
fn identifiers_that_contradict_each_other_are_named() {
    check_all(CASES);
}

#[test]
fn ids_of_one_person_become_one_patient_whose_ids_stay_outside_the_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // A and B are joined by B and C; D is somebody else.
    let mut all = one_study(&["A-71", "B-72", "C-73"]);
    all.push(Ct::of("D-74", "s1"));
    plain(folder, &all);
    let arguments =
        ["--annotations", "nodes.csv", "--set", "identity.same_person=[[\"C-73\", \"B-72\"], [\"B-72\", \"A-71\"]]"];
    let expect = Expect { counts: &[("/totals/patients", 2), ("/totals/rows", 4)], ..Expect::NOTHING };
    check(folder, &arguments, &expect).unwrap();
    let secret = PseudonymSecret::from_bytes(KEY.as_bytes()).unwrap();
    let rows = findings(&folder.join("dataset"));
    let of_a: Vec<_> = rows.iter().filter(|row| row.patient_key == secret.patient("A-71")).collect();
    assert_eq!(of_a.len(), 3);
    assert!(of_a.iter().all(|row| row.split == of_a[0].split), "one person, one split");
    // Keys of the frame of reference and of the slice at z = −285, number 6.
    let row = of_a.iter().find(|row| row.series_key == secret.series(&all[0].series_uid())).unwrap();
    assert_eq!(row.instance_key, Some(secret.instance(&all[0].instance_uid(6))));
    assert_eq!(row.frame_of_reference_key, Some(secret.frame_of_reference(&all[0].frame_uid())));
    for file in ["config.resolved.toml", "README.md", "manifest.json", "quarantine.jsonl"] {
        let text = fs::read_to_string(folder.join("dataset").join(file)).unwrap();
        assert!(!text.contains("B-72") && !text.contains("C-73"), "{file}");
    }
    let audit = run_in(folder, "mtids-audit", &["report", "dataset", "--out", "audit"]);
    assert!(!audit.stdout.contains("of-two-patients"), "{}", audit.stdout);
    // The group is part of what the rows are: without B and C the study contradicts itself again.
    let alone = ["--annotations", "nodes.csv", "--set", "identity.same_person=[[\"A-71\", \"B-72\"]]"];
    check(folder, &alone, &Expect::refused(STOPS, &["`A-71`", "`C-73`"])).unwrap();
}

#[test]
fn an_inventory_says_where_a_build_would_stop() {
    let folder = tempfile::tempdir().unwrap();
    one_study_two_patients(folder.path());
    let inventory = run_in(folder.path(), "mtids-prep", &["inventory", "dicom"]).expect_code(0);
    assert!(inventory.stdout.contains("A build stops here"), "{}", inventory.stdout);
    let study = super::dicom::uid("one study");
    assert!(inventory.stdout.contains(&format!("StudyInstanceUID {study}")), "{}", inventory.stdout);
}

#[test]
fn a_study_day_counts_from_the_first_study_of_the_person() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let all = [Ct::of("A", "s1"), Ct::of("B", "s1")];
    write(folder, &all, |ct, _, slice| {
        slice.text((0x0008, 0x0020), "DA", if ct.patient == "A" { "20200102" } else { "20200112" });
        assert_eq!(slice.get(STUDY), ct.study_uid());
    });
    let arguments = ["--annotations", "nodes.csv", "--set", "identity.same_person=[[\"A\", \"B\"]]"];
    check(folder, &arguments, &Expect::NOTHING).unwrap();
    let mut days: Vec<_> = findings(&folder.join("dataset")).iter().map(|row| row.study_day).collect();
    days.sort_unstable();
    assert_eq!(days, [Some(0), Some(10)]);
}
