//! Hostile files: small files that claim to be huge, in every layer. The programs end with a reason for each, within a bound on their
//! memory that the system enforces, and write nothing outside their folder.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use mtids_dicom::AcquisitionFacts;
use mtids_dicom::write::{CtOptions, StudyIdentity, write_ct_series};
use mtids_domain::geometry::{Affine, PointMm};
use mtids_domain::volume::Volume;

use crate::support::{program, root, run, text};

/// Address space of a program, in KiB: its two worker stacks, its code, and room for one ordinary study.
const MEMORY_KIB: u32 = 1_500_000;

/// A file of the given transfer syntax around a data set.
fn file(syntax: &str, data_set: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    bytes.extend(element(0x0002, 0x0002, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"));
    let padded = format!("{syntax}{}", if syntax.len() % 2 == 1 { "\0" } else { "" });
    bytes.extend(element(0x0002, 0x0010, b"UI", padded.as_bytes()));
    bytes.extend(data_set);
    bytes
}

/// An explicit little-endian element with a short length.
fn element(group: u16, number: u16, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = [group.to_le_bytes(), number.to_le_bytes()].concat();
    bytes.extend(vr);
    bytes.extend((value.len() as u16).to_le_bytes());
    bytes.extend(value);
    bytes
}

/// A CT header of `rows` × `columns` × `frames`, then pixel data in one fragment; slice `z` of a series of its own.
fn image(series: &str, z: u8, rows: u16, columns: u16, frames: &str, fragment: &[u8]) -> Vec<u8> {
    let even = |text: String| if text.len() % 2 == 1 { format!("{text} ") } else { text }.into_bytes();
    let short = |value: u16| value.to_le_bytes().to_vec();
    let mut bytes = Vec::new();
    for (group, number, vr, value) in [
        (0x0008, 0x0008, b"CS", b"ORIGINAL\\PRIMARY\\AXIAL ".to_vec()),
        (0x0008, 0x0016, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0".to_vec()),
        (0x0008, 0x0018, b"UI", even(format!("1.2.3.{series}.{z}"))),
        (0x0008, 0x0060, b"CS", b"CT".to_vec()),
        (0x0010, 0x0020, b"LO", b"P1".to_vec()),
        (0x0020, 0x000D, b"UI", b"1.2".iter().chain(&[0]).copied().collect()),
        (0x0020, 0x000E, b"UI", even(format!("1.2.3.{series}"))),
        (0x0020, 0x0032, b"DS", even(format!("0\\0\\{}", 3 * z))),
        (0x0020, 0x0037, b"DS", b"1\\0\\0\\0\\1\\0 ".to_vec()),
        (0x0028, 0x0002, b"US", short(1)),
        (0x0028, 0x0008, b"IS", frames.as_bytes().to_vec()),
        (0x0028, 0x0010, b"US", short(rows)),
        (0x0028, 0x0011, b"US", short(columns)),
        (0x0028, 0x0030, b"DS", b"1\\1 ".to_vec()),
        (0x0028, 0x0100, b"US", short(16)),
        (0x0028, 0x0101, b"US", short(16)),
        (0x0028, 0x0102, b"US", short(15)),
        (0x0028, 0x0103, b"US", short(0)),
        (0x0028, 0x1052, b"DS", b"-1024 ".to_vec()),
        (0x0028, 0x1053, b"DS", b"1 ".to_vec()),
    ] {
        bytes.extend(element(group, number, vr, &value));
    }
    bytes.extend([0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    bytes.extend([0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0x00, 0xE0]);
    bytes.extend((fragment.len() as u32).to_le_bytes());
    bytes.extend(fragment);
    bytes.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    bytes
}

/// A data set of 256 MiB of zeros, deflated to a thousandth of it.
fn deflate_bomb() -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    let head = [&[0x11, 0x00, 0x10, 0x10, b'O', b'B', 0, 0][..], &0x1000_0000u32.to_le_bytes()].concat();
    encoder.write_all(&head).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..256 {
        encoder.write_all(&zeros).unwrap();
    }
    file("1.2.840.10008.1.2.1.99", &encoder.finish().unwrap())
}

/// Codestreams that claim 65500 × 65500 samples in a few bytes.
fn codestreams() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let side = 65500u16.to_be_bytes();
    let long = 65500u32.to_be_bytes();
    let jpeg = |marker: u8| [&[0xFF, 0xD8, 0xFF, marker, 0, 11, 16][..], &side, &side, &[1, 1, 0x11, 0]].concat();
    let mut siz = vec![0xFF, 0x4F, 0xFF, 0x51, 0, 41, 0, 0];
    for value in [long, long, [0; 4], [0; 4], long, long, [0; 4], [0; 4]] {
        siz.extend(value);
    }
    siz.extend([0, 1, 15, 1, 1]);
    // A size header of JPEG XL: not small, 30 bits of rows, the same columns.
    let bits: u64 = 3 << 1 | 65499 << 3 | 1 << 33;
    let jxl = [&[0xFF, 0x0A][..], &bits.to_le_bytes()].concat();
    vec![
        ("jpeg-lossless", "1.2.840.10008.1.2.4.70", jpeg(0xC3)),
        ("jpeg-baseline", "1.2.840.10008.1.2.4.50", jpeg(0xC0)),
        ("jpeg-ls", "1.2.840.10008.1.2.4.80", jpeg(0xF7)),
        ("jpeg-2000", "1.2.840.10008.1.2.4.90", siz.clone()),
        ("htj2k", "1.2.840.10008.1.2.4.201", siz),
        ("jpeg-xl", "1.2.840.10008.1.2.4.110", jxl),
        ("rle", "1.2.840.10008.1.2.5", [0xFF; 70].to_vec()),
    ]
}

fn hostile_folder(folder: &Path) -> usize {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for (number, (name, syntax, stream)) in codestreams().into_iter().enumerate() {
        let series = number.to_string();
        // Three slices, so that the series is sound and its pixels are asked for.
        for z in 0..3 {
            let bytes = file(syntax, &image(&series, z, 64, 64, "1 ", &stream));
            files.push((format!("claims-{name}-{z}"), bytes));
        }
        // The image module itself claims as much.
        files.push((format!("agrees-{name}"), file(syntax, &image("90", 0, 65500, 65500, "1 ", &stream))));
        files.push((format!("frames-{name}"), file(syntax, &image("91", 0, 65535, 65535, "2147483647", &stream))));
    }
    files.push(("deflate-bomb".into(), deflate_bomb()));
    let huge = [&[0x10, 0, 0x20, 0, b'U', b'T', 0, 0][..], &u32::MAX.wrapping_sub(1).to_le_bytes(), b"abc "].concat();
    files.push(("length".into(), file("1.2.840.10008.1.2.1", &huge)));
    let level =
        [0x40, 0, 0x30, 0xA7, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF];
    files.push(("deep".into(), file("1.2.840.10008.1.2.1", &level.repeat(100_000))));
    let mut program = file("1.2.840.10008.1.2.1", &image("92", 0, 64, 64, "1 ", b"MZ"));
    program[..4].copy_from_slice(b"MZ\x90\0");
    files.push(("windows-program.dcm".into(), program));
    files.push(("linux-program.dcm".into(), [&b"\x7fELF\x02\x01\x01"[..], &[0; 4000]].concat()));
    for (name, bytes) in &files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    files.len()
}

/// Runs `mtids-prep` under [`MEMORY_KIB`] of address space; returns its exit code and both streams.
fn bounded(arguments: &[&str]) -> (i32, String) {
    let path = PathBuf::from(program("mtids-prep").get_program());
    let script = format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\"");
    let output = Command::new("bash")
        .args(["-c", &script, text(&path)])
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let streams = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code().unwrap_or(-1), streams)
}

#[test]
fn files_that_claim_to_be_huge_end_in_a_reason_within_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let count = hostile_folder(folder.path());
    let (code, streams) = bounded(&["inventory", text(folder.path()), "--json"]);
    assert_eq!(code, 0, "{streams}");
    let inventory: serde_json::Value = serde_json::from_str(&streams).unwrap();
    assert_eq!(inventory["files"], count);
    let others = inventory["others"].as_array().unwrap();
    let reason = |name: &str| {
        let of = others.iter().find(|other| other["file"].as_str().unwrap().ends_with(name));
        of.map_or("in a series", |other| other["reason"].as_str().unwrap())
    };
    for (name, _, _) in codestreams() {
        // 65500² voxels are beyond the limit of a volume, whatever the codestream says.
        assert_eq!(reason(&format!("agrees-{name}")), "too-large", "{name}");
        assert_eq!(reason(&format!("frames-{name}")), "too-large", "{name}");
    }
    assert_eq!(reason("deflate-bomb"), "too-large");
    assert_eq!((reason("length"), reason("deep")), ("truncated", "too-deep"));
    assert_eq!(reason("linux-program.dcm"), "not-dicom");
    // Their headers are sound: the lie is found when the pixels are decoded.
    let (code, streams) = bounded(&["probe", text(folder.path()), "--at", "0,0,0"]);
    assert_eq!(code, 3, "{streams}");
    assert!(!streams.contains("panicked"), "{streams}");
    let failed =
        streams.lines().filter(|line| line.contains("not readable") && line.contains("[decode-failed]")).count();
    assert_eq!(failed, codestreams().len(), "{streams}");
}

#[test]
fn a_mask_that_inflates_is_read_within_bounded_memory_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut header = vec![0u8; 352];
    header[..4].copy_from_slice(&348i32.to_le_bytes());
    for (n, side) in [3i16, 1000, 1000, 100].iter().enumerate() {
        header[40 + 2 * n..42 + 2 * n].copy_from_slice(&side.to_le_bytes());
    }
    header[70..72].copy_from_slice(&2i16.to_le_bytes());
    header[108..112].copy_from_slice(&352f32.to_le_bytes());
    header[254..256].copy_from_slice(&1i16.to_le_bytes());
    for (row, at) in [(0, 280), (1, 300), (2, 320)] {
        header[at..at + 4].copy_from_slice(&(row as f32 + 1.0).to_le_bytes());
    }
    header[344..348].copy_from_slice(b"n+1\0");
    let mask = folder.path().join("mask.nii.gz");
    let mut encoder = GzEncoder::new(std::fs::File::create(&mask).unwrap(), Compression::fast());
    encoder.write_all(&header).unwrap();
    let ones = vec![1; 1_000_000];
    for _ in 0..100 {
        encoder.write_all(&ones).unwrap();
    }
    encoder.finish().unwrap();
    let (studies, out) = (folder.path().join("studies"), folder.path().join("out"));
    std::fs::create_dir(&studies).unwrap();
    let (code, streams) = bounded(&[
        "build",
        "--data",
        text(&studies),
        "--annotations",
        text(&mask),
        "--out",
        text(&out),
        "--set",
        "pseudonym.demo=true",
    ]);
    assert_eq!(code, 3, "{streams}");
    assert!(streams.contains("set voxels") && !streams.contains("panicked"), "{streams}");
}

#[test]
fn identifiers_that_are_paths_stay_inside_the_output_folder() {
    let folder = tempfile::tempdir().unwrap();
    let studies = folder.path().join("studies");
    std::fs::create_dir(&studies).unwrap();
    let steps = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]];
    let affine = Affine::new(PointMm::new(0.0, 0.0, 0.0), steps).unwrap();
    let volume = Volume::new(vec![40; 16 * 16 * 8], [16, 16, 8], affine).unwrap();
    let evil = "../../../evil";
    let identity = StudyIdentity {
        patient_id: evil.into(),
        patient_name: evil.into(),
        study_uid: evil.into(),
        frame_of_reference_uid: evil.into(),
        study_date: "20260101".into(),
        ..StudyIdentity::default()
    };
    let options = CtOptions::new(evil.into(), evil.into(), AcquisitionFacts::default());
    write_ct_series(&studies, &volume, &identity, &options).unwrap();
    let (table, key) = (folder.path().join("nodes.csv"), folder.path().join("key"));
    std::fs::write(&table, format!("series_uid,x_mm,y_mm,z_mm\n{evil},10,10,9\n")).unwrap();
    std::fs::write(&key, "a secret of at least sixteen bytes").unwrap();
    let out = folder.path().join("a/b/c/d/dataset");
    let setting = format!("pseudonym.key_file=\"{}\"", text(&key));
    let arguments =
        ["build", "--data", text(&studies), "--annotations", text(&table), "--out", text(&out), "--set", &setting];
    run("mtids-prep", arguments).expect_code(0);
    let mut outside = Vec::new();
    for entry in walk(folder.path()) {
        if !entry.starts_with(&out) && !entry.starts_with(&studies) && entry != table && entry != key {
            outside.push(entry);
        }
    }
    assert!(outside.is_empty(), "{outside:?}");
    assert!(!walk(&out).iter().any(|path| path.to_string_lossy().contains("evil")));
}

/// Every file under a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}
