//! Files around the pixels: padding behind them, heads that miss a part, and scouts that do not say so.
//!
//! Every case is the CT of [`Ct::new`], with one defect of its files.

use std::path::Path;

use super::dicom::{Element, Object, uid};
use super::study::{Ct, IMAGE_TYPE, ORIENTATION, PIXELS, POSITION, SIDES, SOP_CLASS, SOP_INSTANCE};
use super::{Case, Expect, Found, check_all};

const SCAN_OPTIONS: (u16, u16) = (0x0018, 0x0022);
const SERIES_DESCRIPTION: (u16, u16) = (0x0008, 0x103E);
const TRANSFER_SYNTAX: (u16, u16) = (0x0002, 0x0010);

/// Writes the CT and its table; each slice as the bytes that `file` makes of it.
fn write(folder: &Path, edit: impl Fn(&mut Object), file: impl Fn(&Object) -> Vec<u8>) {
    let ct = Ct::new();
    std::fs::create_dir_all(folder.join("dicom")).unwrap();
    for k in 0..ct.slices.len() {
        let mut slice = ct.slice(k);
        edit(&mut slice);
        std::fs::write(folder.join(format!("dicom/{k:02}.dcm")), file(&slice)).unwrap();
    }
    ct.write_table(folder);
}

/// The elements in implicit VR little endian; no sequences.
fn implicit(object: &Object) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (tag, element) in &object.0 {
        let Element::Value(_, value) = element else { panic!("{tag:?} is a sequence") };
        let padding = value.len() % 2;
        bytes.extend([tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat());
        bytes.extend(((value.len() + padding) as u32).to_le_bytes());
        bytes.extend(value);
        bytes.extend(std::iter::repeat_n(0, padding));
    }
    bytes
}

/// Meta information without its group length.
fn meta(slice: &Object, syntax: &str) -> Object {
    let mut meta = Object::default();
    meta.bytes((0x0002, 0x0001), "OB", vec![0, 1])
        .text((0x0002, 0x0002), "UI", slice.get(SOP_CLASS))
        .text((0x0002, 0x0003), "UI", slice.get(SOP_INSTANCE))
        .text(TRANSFER_SYNTAX, "UI", syntax);
    meta
}

const IMPLICIT: &str = "1.2.840.10008.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";

fn preamble(word: &[u8]) -> Vec<u8> {
    [&[0; 128], word].concat()
}

/// Pixel data of this many bytes: cut, or padded with a value that would show.
fn pixels_of(bytes: usize) -> impl Fn(&mut Object) {
    move |slice| {
        let Some(Element::Value(_, value)) = slice.0.get_mut(&PIXELS) else { panic!("no pixels") };
        value.resize(bytes, 0x7F);
    }
}

fn plain(slice: &Object) -> Vec<u8> {
    [preamble(b"DICM"), meta(slice, EXPLICIT).encode(), slice.encode()].concat()
}

const FRAME: usize = 2 * SIDES[0] * SIDES[1];

/// A CT with two projections in its series: one from the front, one from the side.
fn with_scouts(folder: &Path, edit: impl Fn(&mut Object)) {
    let ct = Ct::new();
    ct.write(folder);
    ct.write_table(folder);
    let planes = [[1.0, 0.0, 0.0, 0.0, 0.0, -1.0], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]];
    for (n, plane) in planes.iter().enumerate() {
        let mut scout = ct.slice(0);
        scout
            .text(SOP_INSTANCE, "UI", uid(&format!("scout {n}")))
            .text(IMAGE_TYPE, "CS", "ORIGINAL\\PRIMARY")
            .decimals(ORIENTATION, plane)
            .decimals(POSITION, &[-36.0, -60.0, -250.0]);
        edit(&mut scout);
        scout.write(&folder.join(format!("dicom/scout-{n}.dcm")));
    }
}

const READ: Expect = Expect {
    volumes: Some(&[12]),
    probes: &[([0.0, -59.5, -285.0], 300.0), ([-36.0, -92.0, -300.0], -192.0)],
    ..Expect::found(&[Found::at(0.0, -59.5, -285.0).station("4R").metastasis(1)])
};

const SCOUTS: Expect = Expect { counts: &[("/totals/skipped_by_reason/not-original", 2)], ..READ };

const fn case(name: &'static str, source: &'static str, make: fn(&Path), expect: Expect) -> Case {
    Case { name, source, make, arguments: &["--annotations", "nodes.csv"], expect }
}

const CASES: &[Case] = &[
    case("plain", "the control of the writer", |folder| write(folder, |_| {}, plain), READ),
    case(
        "excess-padding",
        "pydicom/pydicom#796, pydicom/pydicom#801, PS3.5 8.1.1",
        |folder| write(folder, pixels_of(FRAME + 62), plain),
        READ.says(&["up to 62 bytes longer", "padding"]),
    ),
    case(
        "excess-of-a-sector",
        "pydicom/pydicom#796",
        |folder| write(folder, pixels_of(4096), plain),
        READ.says(&["up to 2752 bytes longer"]),
    ),
    case(
        "frames-that-are-not-counted",
        "pydicom/pydicom#2035",
        |folder| write(folder, pixels_of(3 * FRAME), plain),
        Expect::refused(3, &["they hold 3 frames", "NumberOfFrames"]),
    ),
    case(
        "pixels-cut-off",
        "pydicom/pydicom#1799",
        |folder| write(folder, pixels_of(FRAME - 2), plain),
        Expect::refused(3, &["1342 bytes of pixels, 1344 expected"]),
    ),
    case(
        "implicit-meta-without-preamble",
        "wearemothership/dicom.ts#54, rii-mango/Daikon#49",
        |folder| write(folder, |_| {}, |slice| [implicit(&meta(slice, IMPLICIT)), implicit(slice)].concat()),
        READ,
    ),
    case(
        "implicit-meta-with-preamble",
        "pydicom/pydicom#503",
        |folder| {
            let file = |slice: &Object| [preamble(b"DICM"), implicit(&meta(slice, EXPLICIT)), slice.encode()].concat();
            write(folder, |_| {}, file);
        },
        READ,
    ),
    case(
        "explicit-meta-without-preamble",
        "dcmjs-org/dcmjs#93",
        |folder| write(folder, |_| {}, |slice| [meta(slice, IMPLICIT).encode(), implicit(slice)].concat()),
        READ,
    ),
    case(
        "no-meta-implicit",
        "pydicom/pydicom#316, pydicom/pydicom#2231, Enet4/dicom-rs#83",
        |folder| write(folder, |_| {}, implicit),
        READ,
    ),
    case("no-meta-explicit", "ivmartel/dwv#188", |folder| write(folder, |_| {}, Object::encode), READ),
    case(
        "preamble-without-the-word",
        "ivmartel/dwv#188",
        |folder| {
            let file = |slice: &Object| [preamble(&[0; 4]), meta(slice, EXPLICIT).encode(), slice.encode()].concat();
            write(folder, |_| {}, file);
        },
        READ,
    ),
    case(
        "preamble-and-data-set",
        "ivmartel/dwv#188",
        |folder| write(folder, |_| {}, |slice| [preamble(b""), implicit(slice)].concat()),
        READ,
    ),
    case(
        "meta-length-wrong",
        "pydicom/pydicom#109",
        |folder| {
            let file = |slice: &Object| {
                let mut meta = meta(slice, EXPLICIT);
                meta.bytes((0x0002, 0x0000), "UL", 7u32.to_le_bytes().to_vec());
                [preamble(b"DICM"), meta.encode(), slice.encode()].concat()
            };
            write(folder, |_| {}, file);
        },
        READ,
    ),
    case(
        "transfer-syntax-missing",
        "vinbigdata-medical/vindr-cxr#3, pydicom/pydicom#2182",
        |folder| {
            let file = |slice: &Object| {
                let mut meta = meta(slice, EXPLICIT);
                meta.remove(TRANSFER_SYNTAX);
                [preamble(b"DICM"), meta.encode(), implicit(slice)].concat()
            };
            write(folder, |_| {}, file);
        },
        READ,
    ),
    case(
        "begins-like-a-data-set",
        "pydicom/pydicom#340: force reads what is none",
        |folder| {
            write(folder, |_| {}, plain);
            let mut bytes = b"\x08\x00\x05\x00 is no length of an element".to_vec();
            bytes.resize(400, b'x');
            std::fs::write(folder.join("dicom/other.dcm"), bytes).unwrap();
        },
        READ.code(1).says(&["begins with the tag of a DICOM data set"]),
    ),
    case("scouts-by-geometry", "dgobbi/vtk-dicom#98", |folder| with_scouts(folder, |_| {}), SCOUTS),
    case(
        "scouts-by-scan-options",
        "icometrix/dicom2nifti#60: a GE series with its localizer",
        // Axial by what they say, and still scouts.
        |folder| {
            let axial = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
            with_scouts(folder, |scout| _ = scout.text(SCAN_OPTIONS, "CS", "SCOUT MODE").decimals(ORIENTATION, &axial));
        },
        SCOUTS,
    ),
    case(
        "scouts-by-their-series",
        "icometrix/dicom2nifti#73",
        |folder| {
            with_scouts(folder, |scout| {
                scout.text((0x0020, 0x000E), "UI", uid("series of scouts")).text(
                    SERIES_DESCRIPTION,
                    "LO",
                    "Topogramm  0.6  T20s",
                );
            });
        },
        SCOUTS,
    ),
];

#[test]
fn heads_and_pixels_of_careless_writers_are_read_or_named() {
    check_all(CASES);
}
