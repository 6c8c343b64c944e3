//! NIfTI and NRRD made by hand: orientation, byte order, types, and what is refused. Headers are built field by field from the formats'
//! definitions, not by the code under test.

use std::path::PathBuf;

use mtids_annotations::{MaskFile, is_mask_file, read_mask};
use mtids_dicom::Limits;
use mtids_domain::geometry::Voxel;
use proptest::prelude::*;

fn write(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn read(bytes: &[u8]) -> Result<MaskFile, String> {
    let (_folder, path) = write("a", bytes);
    read_mask(&path, &Limits::default()).map_err(|error| error.to_string())
}

/// A NIfTI-1 file of 2 × 3 × 2 voxels of `i16`, value 7 at (1, 2, 1), 2 at (0, 0, 0).
struct Nifti {
    big_endian: bool,
    sform: Option<[[f32; 4]; 3]>,
    /// qfac, b, c, d, offsets.
    qform: Option<[f32; 7]>,
    data_type: i16,
    sides: [i16; 4],
}

impl Default for Nifti {
    fn default() -> Self {
        let sform = [[-2.0, 0.0, 0.0, 10.0], [0.0, -3.0, 0.0, 20.0], [0.0, 0.0, 4.0, 30.0]];
        Self { big_endian: false, sform: Some(sform), qform: None, data_type: 4, sides: [3, 2, 3, 2] }
    }
}

impl Nifti {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0u8; 352];
        let mut put = |at: usize, field: &[u8]| {
            let mut field = field.to_vec();
            if self.big_endian {
                field.reverse();
            }
            bytes[at..at + field.len()].copy_from_slice(&field);
        };
        put(0, &348i32.to_le_bytes());
        for (n, side) in self.sides.iter().enumerate() {
            put(40 + 2 * n, &side.to_le_bytes());
        }
        put(70, &self.data_type.to_le_bytes());
        for (n, size) in [self.qform.map_or(1.0, |q| q[0]), 2.0, 3.0, 4.0].iter().enumerate() {
            put(76 + 4 * n, &f32::to_le_bytes(*size));
        }
        put(108, &352f32.to_le_bytes());
        if let Some(q) = self.qform {
            put(252, &1i16.to_le_bytes());
            q[1..].iter().enumerate().for_each(|(n, value)| put(256 + 4 * n, &value.to_le_bytes()));
        }
        if let Some(rows) = self.sform {
            put(254, &2i16.to_le_bytes());
            rows.iter().flatten().enumerate().for_each(|(n, value)| put(280 + 4 * n, &value.to_le_bytes()));
        }
        bytes[344..348].copy_from_slice(b"n+1\0");
        for n in 0..12i16 {
            let value: i16 = match n {
                0 => 2,
                11 => 7,
                _ => 0,
            };
            bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
        }
        bytes
    }
}

#[test]
fn nifti_turns_from_ras_to_lps_in_both_byte_orders() {
    for big_endian in [false, true] {
        let mask = read(&Nifti { big_endian, ..Nifti::default() }.bytes()).unwrap();
        assert_eq!(mask.dimensions, [2, 3, 2]);
        assert_eq!(mask.labels.iter().map(|label| label.value).collect::<Vec<_>>(), [2, 7]);
        assert_eq!(mask.labels[1].voxels, [[1, 2, 1]]);
        // RAS (8, 14, 34) is LPS (−8, −14, 34).
        assert_eq!(mask.affine.to_mm(Voxel([1.0, 2.0, 1.0])).0, [-8.0, -14.0, 34.0]);
    }
}

#[test]
fn sform_goes_before_qform_and_qform_serves_alone() {
    // The half turn about z with offsets (10, 20, 30) is the sform of the default above.
    let turn = [1.0, 0.0, 0.0, 1.0, 10.0, 20.0, 30.0];
    let alone = read(&Nifti { sform: None, qform: Some(turn), ..Nifti::default() }.bytes()).unwrap();
    let usual = read(&Nifti::default().bytes()).unwrap();
    for corner in [[0.0, 0.0, 0.0], [1.0, 2.0, 1.0]] {
        assert!(alone.affine.to_mm(Voxel(corner)).distance(usual.affine.to_mm(Voxel(corner))) < 1e-5);
    }
    let other = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let both = read(&Nifti { qform: Some(other), ..Nifti::default() }.bytes()).unwrap();
    assert_eq!(both.affine, usual.affine);
    let mirrored = [-1.0, 0.0, 0.0, 1.0, 10.0, 20.0, 30.0];
    let mirrored = read(&Nifti { sform: None, qform: Some(mirrored), ..Nifti::default() }.bytes()).unwrap();
    assert!((mirrored.affine.to_mm(Voxel([0.0, 0.0, 1.0])).0[2] - 26.0).abs() < 1e-5, "qfac −1 turns the third axis");
}

#[test]
fn what_would_be_a_guess_is_refused_with_the_reason() {
    let refused = |nifti: Nifti, word: &str| {
        let error = read(&nifti.bytes()).unwrap_err();
        assert!(error.contains(word), "{error}");
    };
    refused(Nifti { sform: None, ..Nifti::default() }, "neither sform nor qform");
    refused(Nifti { data_type: 128, ..Nifti::default() }, "data type 128");
    refused(Nifti { sides: [2, 2, 3, 2], ..Nifti::default() }, "dimensions");
    refused(Nifti { sides: [3, 2, -3, 2], ..Nifti::default() }, "sides");
    refused(Nifti { sides: [3, 32767, 32767, 32767], ..Nifti::default() }, "voxels");
    refused(Nifti { sides: [3, 2, 3, 9], ..Nifti::default() }, "slice 2 of 9");
    refused(Nifti { sform: Some([[0.0; 4]; 3]), ..Nifti::default() }, "three dimensions");
    assert!(
        read(b"hello, this is a letter").unwrap_err().contains("neither NIfTI nor NRRD") || read(b"hello").is_err()
    );
}

const NRRD: &str = "NRRD0004\n# a comment: with a colon\ntype: unsigned short\ndimension: 3\nspace: RAS\nsizes: 2 3 2\n\
    space directions: (-2,0,0) (0,-3,0) (0,0,4)\nspace origin: (10,20,30)\nendian: big\nencoding: raw\nkey:=free text\n\n";

fn nrrd(header: &str) -> Vec<u8> {
    let mut bytes = header.as_bytes().to_vec();
    for n in 0..12u16 {
        let value: u16 = if n == 11 { 7 } else { 0 };
        bytes.extend(value.to_be_bytes());
    }
    bytes
}

#[test]
fn nrrd_reads_its_space_and_byte_order() {
    let mask = read(&nrrd(NRRD)).unwrap();
    assert_eq!((mask.labels[0].value, &*mask.labels[0].voxels), (7, &[[1, 2, 1]][..]));
    assert_eq!(mask.affine.to_mm(Voxel([1.0, 2.0, 1.0])).0, [-8.0, -14.0, 34.0]);
    for (from, to, word) in [
        ("space: RAS\n", "", "`space`"),
        ("space: RAS", "space: scanner-xyz", "scanner-xyz"),
        ("sizes: 2 3 2", "sizes: 2 3", "sizes"),
        ("sizes: 2 3 2", "sizes: 2 3 99999999999999", "voxels"),
        ("encoding: raw", "encoding: bzip2", "bzip2"),
        ("endian: big\n", "", "endian"),
        ("(0,0,4)", "none", "space directions"),
        ("dimension: 3", "dimension: 4", "dimension 4"),
        ("dimension: 3", "dimension: 2", "dimension 2"),
        ("sizes: 2 3 2", "sizes: 2 3 3", "slice 2 of 3"),
        ("encoding: raw", "encoding: raw\ndata file: other.raw", "not beside"),
    ] {
        let error = read(&nrrd(&NRRD.replace(from, to))).unwrap_err();
        assert!(error.contains(word), "{to}: {error}");
    }
    assert!(read(NRRD.trim_end().as_bytes()).unwrap_err().contains("does not end"));
}

#[test]
fn an_image_is_no_mask() {
    let mut bytes = Nifti::default().bytes();
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(&(-5i16).to_le_bytes());
    assert!(read(&bytes).unwrap_err().contains("voxel value -5"));
}

#[test]
fn a_file_is_known_by_its_ending_and_named_when_it_is_missing() {
    for name in ["a.nii", "B.NII.GZ", "c.nrrd"] {
        assert!(is_mask_file(name.as_ref()));
    }
    assert!(!is_mask_file("nii.csv".as_ref()));
    let error = read_mask("nowhere.nii".as_ref(), &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("nowhere.nii"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_files_never_panic(at in 0usize..352, value: u8, cut in 0usize..376, nrrd_at in 0usize..220) {
        let mut bytes = Nifti::default().bytes();
        bytes[at] = value;
        bytes.truncate(cut.max(8));
        let _ = read(&bytes);
        let mut bytes = nrrd(NRRD);
        bytes[nrrd_at] = value;
        let _ = read(&bytes);
    }
}
