//! PET: an SUV is right, or there is none and the reason names attribute and value; the CT is never lost.
//!
//! Every case is the CT of [`Ct::new`] with a PET of 5000 Bq/ml over it: 80 kg, 300 MBq of F-18, an hour of uptake, so an SUV of 1.9475.
//! Units: LPS mm, Bq/ml, SUV.

use std::path::Path;

use super::dicom::{Object, uid};
use super::study::{
    Ct, FRAME_OF_REFERENCE, IMAGE_TYPE, ORIENTATION, PATIENT_ID, PIXEL_SPACING, PIXELS, POSITION, SERIES, SOP_CLASS,
    SOP_INSTANCE, STUDY, THICKNESS,
};
use super::{Expect, Found, check, probe};

const TRACERS: (u16, u16) = (0x0054, 0x0016);
const DOSE: (u16, u16) = (0x0018, 0x1074);
const HALF_LIFE: (u16, u16) = (0x0018, 0x1075);
const START: (u16, u16) = (0x0018, 0x1078);
const START_TIME: (u16, u16) = (0x0018, 0x1072);
const UTC_OFFSET: (u16, u16) = (0x0008, 0x0201);
const WEIGHT: (u16, u16) = (0x0010, 0x1030);
const UNITS: (u16, u16) = (0x0054, 0x1001);
const SUV_TYPE: (u16, u16) = (0x0054, 0x1006);
const DECAY: (u16, u16) = (0x0054, 0x1102);
const SLOPE: (u16, u16) = (0x0028, 0x1053);
const SUV: f64 = 1.9475;

/// What a case changes: the image, and the item of its tracer.
struct Pet {
    image: Object,
    tracer: Object,
}

/// A PET and how it must end.
struct Case {
    name: &'static str,
    /// Public report of the kind, or the part of the standard.
    source: &'static str,
    edit: fn(&mut Pet),
    /// The SUV, or words of the reason why there is none.
    expect: Result<f64, &'static [&'static str]>,
}

fn base() -> Pet {
    let mut tracer = Object::default();
    tracer.decimals(DOSE, &[3e8]).decimals(HALF_LIFE, &[6586.2]).text(START, "DT", "20200102090500");
    let mut image = Object::default();
    let ct = Ct::new();
    image
        .text(IMAGE_TYPE, "CS", "ORIGINAL\\PRIMARY\\AXIAL")
        .text(SOP_CLASS, "UI", "1.2.840.10008.5.1.4.1.1.128")
        .text((0x0008, 0x0020), "DA", "20200102")
        .text((0x0008, 0x0021), "DA", "20200102")
        .text((0x0008, 0x0022), "DA", "20200102")
        .text((0x0008, 0x0031), "TM", "100500")
        .text((0x0008, 0x0032), "TM", "100500")
        .text((0x0008, 0x0060), "CS", "PT")
        .text(PATIENT_ID, "LO", ct.patient.clone())
        .decimals(WEIGHT, &[80.0])
        .decimals(THICKNESS, &[5.0])
        .text(STUDY, "UI", ct.study_uid())
        .text(SERIES, "UI", uid("pet"))
        .decimals(ORIENTATION, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
        .text(FRAME_OF_REFERENCE, "UI", ct.frame_uid())
        .short((0x0028, 0x0002), 1)
        .text((0x0028, 0x0004), "CS", "MONOCHROME2")
        .short((0x0028, 0x0010), 18)
        .short((0x0028, 0x0011), 16)
        .decimals(PIXEL_SPACING, &[6.0, 6.0])
        .text((0x0028, 0x0051), "CS", "NORM\\DTIM\\ATTN\\SCAT\\DECY")
        .short((0x0028, 0x0100), 16)
        .short((0x0028, 0x0101), 16)
        .short((0x0028, 0x0102), 15)
        .short((0x0028, 0x0103), 0)
        .decimals((0x0028, 0x1052), &[0.0])
        .decimals(SLOPE, &[2.5])
        .text(UNITS, "CS", "BQML")
        .text(DECAY, "CS", "START");
    Pet { image, tracer }
}

const SLICES: u16 = 7;

fn position(k: u16) -> [f64; 3] {
    [-45.0, -110.5, -302.5 + 5.0 * f64::from(k)]
}

/// 2000 in every pixel of `frames` frames.
fn pixels(frames: u16) -> Vec<u8> {
    2000u16.to_le_bytes().repeat(16 * 18 * usize::from(frames))
}

/// Writes the single frames of a case.
fn write_slices(pet: &Pet, folder: &Path) {
    for k in 0..SLICES {
        let mut image = pet.image.clone();
        if !image.0.contains_key(&TRACERS) {
            image.items(TRACERS, vec![pet.tracer.clone()]);
        }
        image.text(SOP_INSTANCE, "UI", uid(&format!("pet {k}"))).decimals(POSITION, &position(k)).bytes(
            PIXELS,
            "OW",
            pixels(1),
        );
        image.write(&folder.join(format!("dicom/pet-{k}.dcm")));
    }
}

fn item(fill: impl FnOnce(&mut Object)) -> Vec<Object> {
    let mut item = Object::default();
    fill(&mut item);
    vec![item]
}

fn double(object: &mut Object, tag: (u16, u16), value: f64) {
    object.bytes(tag, "FD", value.to_le_bytes().to_vec());
}

/// A mapping of stored values to real ones.
fn mapping(slope: f64, ucum: &str) -> Object {
    let mut mapping = Object::default();
    double(&mut mapping, (0x0040, 0x9224), 0.0);
    double(&mut mapping, (0x0040, 0x9225), slope);
    mapping.items(
        (0x0040, 0x08EA),
        item(|unit| {
            unit.text((0x0008, 0x0100), "SH", ucum).text((0x0008, 0x0102), "SH", "UCUM");
        }),
    );
    mapping
}

/// What every enhanced PET here has: frames in one plane each, and how their values are mapped.
fn enhanced(pet: &Pet, class: &str, mappings: Vec<Object>, shared: impl FnOnce(&mut Object)) -> Object {
    let mut object = pet.image.clone();
    for tag in [UNITS, DECAY, SLOPE, ORIENTATION, PIXEL_SPACING, THICKNESS, (0x0028, 0x0051), (0x0028, 0x1052)] {
        object.remove(tag);
    }
    let frames = (0..SLICES).map(|k| {
        let mut frame = Object::default();
        frame.items((0x0020, 0x9113), item(|place| _ = place.decimals(POSITION, &position(k))));
        frame
    });
    let mut group = Object::default();
    group
        .items((0x0020, 0x9116), item(|plane| _ = plane.decimals(ORIENTATION, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0])))
        .items((0x0028, 0x9110), item(|measures| _ = measures.decimals(PIXEL_SPACING, &[6.0, 6.0])));
    if !mappings.is_empty() {
        group.items((0x0040, 0x9096), mappings);
    }
    shared(&mut group);
    object
        .text(SOP_CLASS, "UI", class)
        .text(SOP_INSTANCE, "UI", uid("enhanced pet"))
        .text((0x0028, 0x0008), "IS", SLICES.to_string())
        .items((0x5200, 0x9229), vec![group])
        .items((0x5200, 0x9230), frames.collect())
        .bytes(PIXELS, "OW", pixels(SLICES));
    object
}

/// An original enhanced PET: 300 MBq in MBq, as the standard wants it, and the moment of its decay correction.
fn original(mappings: Vec<Object>, edit: impl FnOnce(&mut Pet)) -> Object {
    let mut pet = base();
    pet.tracer.decimals(DOSE, &[300.0]).text(START, "DT", "20200102080500+0000");
    pet.image.text((0x0018, 0x9758), "CS", "YES").text((0x0018, 0x9759), "CS", "YES").text(
        (0x0018, 0x9701),
        "DT",
        "20200102100500+0100",
    );
    edit(&mut pet);
    pet.image.items(TRACERS, vec![pet.tracer.clone()]);
    enhanced(&pet, "1.2.840.10008.5.1.4.1.1.130", mappings, |_| {})
}

/// The CT is used, whatever the PET says.
const FOUND: Expect =
    Expect { volumes: Some(&[12]), ..Expect::found(&[Found::at(0.0, -59.5, -285.0).station("4R").metastasis(1)]) };

/// Builds a folder with the CT and a PET, and compares the SUV at the node.
fn ends_with(folder: &Path, expect: Result<f64, &'static [&'static str]>) -> Result<(), String> {
    let ct = Ct::new();
    ct.write(folder);
    ct.write_table(folder);
    let outcome = FOUND.says(expect.err().unwrap_or_default());
    check(folder, &["--annotations", "nodes.csv", "--set", "pet=true"], &outcome)?;
    let values = probe(folder, [0.0, -59.5, -285.0], "suv");
    match expect {
        Ok(suv) if values.len() == 1 && (values[0] - suv).abs() <= 1e-3 => Ok(()),
        Err(_) if values.is_empty() => Ok(()),
        _ => Err(format!("SUV {values:?}, expected {expect:?}")),
    }
}

const CASES: &[Case] = &[
    Case { name: "plain", source: "the control of the writer", edit: |_| {}, expect: Ok(SUV) },
    Case {
        name: "injection-in-utc-of-a-negative-zone",
        source: "nroduit/Weasis#635",
        edit: |pet| {
            pet.image.text(UTC_OFFSET, "SH", "-0500");
            pet.tracer.text(START, "DT", "20200102140500.000000+0000");
        },
        expect: Ok(SUV),
    },
    Case {
        name: "injection-on-the-day-before-in-utc",
        source: "medical-physics-usz/z-rad#282",
        edit: |pet| {
            pet.image.text(UTC_OFFSET, "SH", "+0900").text((0x0008, 0x0031), "TM", "003000");
            pet.image.text((0x0008, 0x0032), "TM", "003000");
            pet.tracer.text(START, "DT", "20200101143000+0000").text(START_TIME, "TM", "233000");
        },
        expect: Ok(SUV),
    },
    Case {
        name: "injection-by-time-of-day-over-midnight",
        source: "medical-physics-usz/z-rad#282, QIICR/Slicer-PETDICOMExtension#28",
        edit: |pet| {
            pet.image.text((0x0008, 0x0031), "TM", "003000").text((0x0008, 0x0032), "TM", "003000");
            pet.tracer.remove(START).text(START_TIME, "TM", "233000");
        },
        expect: Ok(SUV),
    },
    Case {
        name: "injection-in-utc-and-no-local-clock",
        source: "PS3.5 6.2: an offset of DT is optional; PS3.3 C.12.1.1.8",
        edit: |pet| _ = pet.tracer.text(START, "DT", "20200102080500+0000"),
        expect: Err(&["RadiopharmaceuticalStartDateTime (0018,1078) has the offset +0000", "(0008,0201) is missing"]),
    },
    Case {
        name: "two-statements-of-the-injection",
        source: "QIICR/Slicer-PETDICOMExtension#28",
        edit: |pet| _ = pet.tracer.text(START_TIME, "TM", "080500"),
        expect: Err(&["is 09:05:00 on the local clock", "(0018,1072) is 08:05:00", "differ"]),
    },
    Case {
        name: "injection-after-the-scan",
        source: "mmiv-center/DICOMAnonymizer#20",
        edit: |pet| _ = pet.tracer.text(START, "DT", "20200102130500"),
        expect: Err(&["10800 s after the scan", "shifted"]),
    },
    Case {
        name: "dose-in-mbq",
        source: "innolitics/dicom-standard#91",
        edit: |pet| _ = pet.tracer.decimals(DOSE, &[300.0]),
        expect: Err(&["RadionuclideTotalDose (0018,1074): a dose of 300 Bq of F-18 is impossible (MBq?)"]),
    },
    Case {
        name: "dose-of-a-small-patient",
        source: "openneuropet/PET2BIDS#368: a dose of 28.3 MBq",
        edit: |pet| {
            pet.tracer.decimals(DOSE, &[2.83e7]);
            pet.image.decimals(WEIGHT, &[8.0]).decimals(SLOPE, &[2.5 * 0.943_333_333]);
        },
        expect: Ok(SUV),
    },
    Case {
        name: "weight-in-grams",
        source: "salimkanoun/Dicom-To-CNN#4: units of the attributes",
        edit: |pet| _ = pet.image.decimals(WEIGHT, &[80_000.0]),
        expect: Err(&["PatientWeight (0010,1030): a weight of 80000 kg is impossible (g?)"]),
    },
    Case {
        name: "half-life-in-minutes",
        source: "AustralianCancerDataNetwork/pydicer#36: half-lives that nobody can explain",
        edit: |pet| _ = pet.tracer.decimals(HALF_LIFE, &[109.77]),
        expect: Err(&["RadionuclideHalfLife (0018,1075): 109.77 s", "(in minutes?)"]),
    },
    Case {
        name: "half-life-of-another-nuclide",
        source: "AustralianCancerDataNetwork/pydicer#36",
        edit: |pet| {
            let code = item(|code| {
                code.text((0x0008, 0x0100), "SH", "C-131A3").text((0x0008, 0x0102), "SH", "SRT");
            });
            pet.tracer.items((0x0054, 0x0300), code);
        },
        expect: Err(&["6586.2 s", "RadionuclideCodeSequence says Ga-68"]),
    },
    Case {
        name: "corrected-to-administration",
        source: "horosproject/horos#653",
        edit: |pet| _ = pet.image.text(DECAY, "CS", "ADMIN"),
        // 5000 · 80 000 / 3e8, without decay.
        expect: Ok(1.3333),
    },
    Case {
        name: "not-decay-corrected",
        source: "PS3.3 C.8.9.1.1.5",
        edit: |pet| _ = pet.image.text(DECAY, "CS", "NONE"),
        expect: Err(&["DecayCorrection (0054,1102) is NONE"]),
    },
    Case {
        name: "counts-without-the-factor-of-the-maker",
        source: "ENHANCE-PET/MOOSE#230",
        edit: |pet| _ = pet.image.text(UNITS, "CS", "CNTS"),
        expect: Err(&["Units (0054,1001) is CNTS", "7053,1000"]),
    },
    Case {
        name: "proportional-counts",
        source: "OHIF/Viewers#3439",
        edit: |pet| _ = pet.image.text(UNITS, "CS", "PROPCPS"),
        expect: Err(&["Units (0054,1001) is PROPCPS"]),
    },
    Case {
        name: "lean-body-mass",
        source: "medical-physics-usz/z-rad#140",
        edit: |pet| _ = pet.image.text(UNITS, "CS", "GML").text(SUV_TYPE, "CS", "LBM"),
        expect: Err(&["SUVType (0054,1006) is LBM"]),
    },
    Case {
        name: "two-tracers",
        source: "QIBA pseudo-code: multi-injection of PETsyngo 3.x (quoted in OHIF/Viewers#3805)",
        edit: |pet| {
            let mut second = pet.tracer.clone();
            second.decimals(DOSE, &[6e8]);
            pet.image.items(TRACERS, vec![pet.tracer.clone(), second]);
        },
        expect: Err(&["(0054,0016) has several items that differ"]),
    },
];

#[test]
fn an_suv_is_right_or_has_a_reason() {
    let faults: Vec<String> = CASES
        .iter()
        .filter_map(|case| {
            let folder = tempfile::tempdir().unwrap();
            let mut pet = base();
            (case.edit)(&mut pet);
            write_slices(&pet, folder.path());
            let ended = ends_with(folder.path(), case.expect);
            ended.map_err(|fault| format!("{} ({}): {fault}", case.name, case.source)).err()
        })
        .collect();
    assert!(faults.is_empty(), "{} of {} cases:\n\n{}", faults.len(), CASES.len(), faults.join("\n\n"));
}

/// An enhanced PET and how it must end: name, source, object, SUV or reason.
type EnhancedCase = (&'static str, &'static str, fn() -> Object, Result<f64, &'static [&'static str]>);

const ENHANCED: &[EnhancedCase] = &[
    (
        "dose in MBq, activity",
        "medical-physics-usz/z-rad#285, PS3.3 C.8.22.4",
        || original(vec![mapping(2.5, "Bq/ml")], |_| {}),
        Ok(SUV),
    ),
    (
        "dose in Bq all the same",
        "innolitics/dicom-standard#76",
        || original(vec![mapping(2.5, "Bq/ml")], |pet| _ = pet.tracer.decimals(DOSE, &[3e8])),
        Ok(SUV),
    ),
    (
        "mapped to SUV, and to counts first",
        "PS3.16 CID 84 and 85",
        || original(vec![mapping(1.0, "{counts}"), mapping(0.001, "g/ml{SUVbw}")], |_| {}),
        Ok(2.0),
    ),
    (
        "mapped to SUV by lean body mass",
        "PS3.16 CID 85",
        || original(vec![mapping(0.001, "g/ml{SUVlbm}")], |_| {}),
        Err(&["is LBM"]),
    ),
    (
        "decay not corrected",
        "PS3.3 C.8.22.6",
        || original(vec![mapping(2.5, "Bq/ml")], |pet| _ = pet.image.text((0x0018, 0x9758), "CS", "NO")),
        Err(&["DecayCorrected (0018,9758) is not YES"]),
    ),
    (
        "converted from single frames",
        "PS3.3 A.72, medical-physics-usz/z-rad#282",
        || {
            let mut pet = base();
            pet.image.text((0x0008, 0x002A), "DT", "20200102100500");
            enhanced(&pet, "1.2.840.10008.5.1.4.1.1.128.1", Vec::new(), |group| {
                group
                    .items(
                        (0x0028, 0x9145),
                        item(|rescale| _ = rescale.decimals((0x0028, 0x1052), &[0.0]).decimals(SLOPE, &[2.5])),
                    )
                    .items(
                        (0x0020, 0x9170),
                        item(|kept| {
                            kept.items(TRACERS, vec![base().tracer])
                                .text(UNITS, "CS", "BQML")
                                .text(DECAY, "CS", "START")
                                .text((0x0028, 0x0051), "CS", "ATTN\\DECY");
                        }),
                    );
            })
        },
        Ok(SUV),
    ),
];

#[test]
fn an_enhanced_pet_is_read_as_its_slices() {
    let faults: Vec<String> = ENHANCED
        .iter()
        .filter_map(|(name, source, make, expect)| {
            let folder = tempfile::tempdir().unwrap();
            make().write(&folder.path().join("dicom/pet.dcm"));
            ends_with(folder.path(), *expect).map_err(|fault| format!("{name} ({source}): {fault}")).err()
        })
        .collect();
    assert!(faults.is_empty(), "{} of {} cases:\n\n{}", faults.len(), ENHANCED.len(), faults.join("\n\n"));
}

/// What only the voxels show is found while they are read: the PET is quarantined, and the CT is used without it.
/// Source: rordenlab/dcm2niix#978, slopes that are wrong by powers of ten.
#[test]
fn no_body_holds_more_activity_than_was_injected() {
    let folder = tempfile::tempdir().unwrap();
    let mut pet = base();
    pet.image.decimals(SLOPE, &[2500.0]);
    write_slices(&pet, folder.path());
    let ct = Ct::new();
    ct.write(folder.path());
    ct.write_table(folder.path());
    let outcome = FOUND.code(1).says(&["times the injected activity"]);
    check(folder.path(), &["--annotations", "nodes.csv", "--set", "pet=true"], &outcome).unwrap();
    assert!(probe(folder.path(), [0.0, -59.5, -285.0], "suv").is_empty());
}

/// Files that are refused, and never cost the CT: what they say.
#[test]
fn an_enhanced_pet_that_is_no_single_volume_is_refused_with_its_kind() {
    let in_pieces = original(vec![mapping(2.5, "Bq/ml"), mapping(5.0, "Bq/ml")], |_| {});
    let mut dynamic = original(vec![mapping(2.5, "Bq/ml")], |_| {});
    let times = (0..SLICES).map(|k| {
        let mut frame = Object::default();
        frame.items((0x0020, 0x9113), item(|place| _ = place.decimals(POSITION, &position(k / 2))));
        let time = u32::from(k % 2 + 1).to_le_bytes().to_vec();
        frame.items((0x0020, 0x9111), item(|content| _ = content.bytes((0x0020, 0x9128), "UL", time)));
        frame
    });
    dynamic.items((0x5200, 0x9230), times.collect());
    for (object, words) in [(in_pieces, "in several pieces"), (dynamic, "a dynamic PET of 2 times")] {
        let folder = tempfile::tempdir().unwrap();
        object.write(&folder.path().join("dicom/pet.dcm"));
        let ct = Ct::new();
        ct.write(folder.path());
        ct.write_table(folder.path());
        let inventory = super::run_in(folder.path(), "mtids-prep", &["inventory", "dicom"]);
        assert!(inventory.text().contains(words), "{words}: {}", inventory.text());
        check(folder.path(), &["--annotations", "nodes.csv", "--set", "pet=true"], &FOUND.code(1)).unwrap();
    }
}
