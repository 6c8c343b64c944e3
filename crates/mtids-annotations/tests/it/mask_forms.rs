//! Forms of NIfTI and NRRD that other tools write: types, byte orders, units, pairs, detached headers, skipped bytes, layers. Every form holds
//! the same voxels: label 3 at (1, 2, 1) of 2 × 3 × 2, at LPS (−8, −14, 34) mm. Headers are built from the formats' definitions.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use mtids_annotations::{AnnotationFiles, MaskFile, read_mask};
use mtids_dicom::Limits;
use mtids_domain::geometry::Voxel;
use mtids_domain::taxonomy::StationMap;
use proptest::prelude::*;

/// The folder's files, and the mask read from the first of them.
fn read(files: &[(&str, &[u8])]) -> Result<MaskFile, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    read_mask(&folder.path().join(files[0].0), &Limits::default()).map_err(|error| error.to_string())
}

#[track_caller]
fn is_the_mask(mask: &MaskFile) {
    assert_eq!(mask.dimensions, [2, 3, 2]);
    assert_eq!(mask.labels.len(), 1);
    assert_eq!((mask.labels[0].value, &*mask.labels[0].voxels), (3, &[[1, 2, 1]][..]));
    let at = mask.affine.to_mm(Voxel([1.0, 2.0, 1.0])).0;
    assert!(at.iter().zip([-8.0, -14.0, 34.0]).all(|(a, b)| (a - b).abs() < 1e-5), "{at:?}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Twelve voxels, the last of them 3, as `write` writes a number.
fn voxels<const N: usize>(write: impl Fn(u8) -> [u8; N]) -> Vec<u8> {
    (0..12).flat_map(|n| write(if n == 11 { 3 } else { 0 })).collect()
}

const DIRECTIONS: &str = "space directions: (-2,0,0) (0,-3,0) (0,0,4)\nspace origin: (10,20,30)\n";

/// An NRRD header of 2 × 3 × 2 voxels in RAS, with these lines besides, up to the empty line.
fn header(lines: &str) -> String {
    format!("NRRD0005\ndimension: 3\nsizes: 2 3 2\nspace: RAS\n{DIRECTIONS}{lines}\n")
}

fn attached(lines: &str, voxels: &[u8]) -> Result<MaskFile, String> {
    read(&[("a.nrrd", &[format!("{}\n", header(lines)).as_bytes(), voxels].concat())])
}

#[test]
fn nrrd_reads_every_type_in_both_byte_orders() {
    for (names, little, big) in [
        ("uint8 uchar", voxels(|x| [x]), voxels(|x| [x])),
        ("int8 int8_t", voxels(|x| (x as i8).to_le_bytes()), voxels(|x| (x as i8).to_be_bytes())),
        ("uint16 ushort", voxels(|x| u16::from(x).to_le_bytes()), voxels(|x| u16::from(x).to_be_bytes())),
        ("int16 short", voxels(|x| i16::from(x).to_le_bytes()), voxels(|x| i16::from(x).to_be_bytes())),
        ("uint32 uint", voxels(|x| u32::from(x).to_le_bytes()), voxels(|x| u32::from(x).to_be_bytes())),
        ("int32 int", voxels(|x| i32::from(x).to_le_bytes()), voxels(|x| i32::from(x).to_be_bytes())),
        ("uint64 ulonglong", voxels(|x| u64::from(x).to_le_bytes()), voxels(|x| u64::from(x).to_be_bytes())),
        ("int64 longlong", voxels(|x| i64::from(x).to_le_bytes()), voxels(|x| i64::from(x).to_be_bytes())),
        ("float", voxels(|x| f32::from(x).to_le_bytes()), voxels(|x| f32::from(x).to_be_bytes())),
        ("double", voxels(|x| f64::from(x).to_le_bytes()), voxels(|x| f64::from(x).to_be_bytes())),
    ] {
        for name in names.split(' ') {
            for (endian, voxels) in [("little", &little), ("big", &big)] {
                is_the_mask(&attached(&format!("type: {name}\nendian: {endian}\nencoding: raw"), voxels).unwrap());
                let gz = attached(&format!("type: {name}\nendian: {endian}\nencoding: gzip"), &gzip(voxels));
                is_the_mask(&gz.unwrap());
            }
        }
    }
    let text = "0 0 0\n0 0 0,0 0 0 0 0 3";
    is_the_mask(&attached("type: short\nencoding: ascii", text.as_bytes()).unwrap());
    assert!(attached("type: short\nencoding: text", b"0 0 x").unwrap_err().contains("`x` is no number"));
    assert!(attached("type: short\nencoding: text", b"0 0 3").unwrap_err().contains("slice"));
    assert!(attached("type: block\nencoding: raw", b"").unwrap_err().contains("`block`"));
}

#[test]
fn nrrd_skips_what_its_header_says() {
    let plain = voxels(|x| [x]);
    let with = |before: &[u8]| [before, &plain].concat();
    is_the_mask(&attached("type: uint8\nencoding: raw\nbyte skip: 5", &with(b"12345")).unwrap());
    is_the_mask(&attached("type: uint8\nencoding: raw\nbyteskip: -1", &with(b"of any length")).unwrap());
    is_the_mask(&attached("type: uint8\nencoding: raw\nline skip: 2", &with(b"one\ntwo\n")).unwrap());
    is_the_mask(&attached("type: uint8\nencoding: raw\nlineskip: 1\nbyte skip: 2", &with(b"one\n12")).unwrap());
    // Lines stand before the stream, bytes in it.
    let packed = [b"line\n", &*gzip(&with(b"12"))].concat();
    is_the_mask(&attached("type: uint8\nencoding: gzip\nline skip: 1\nbyte skip: 2", &packed).unwrap());
    for (lines, word) in [
        ("encoding: raw\nbyte skip: -2", "byte skip -2"),
        ("encoding: raw\nbyte skip: many", "byte skip `many`"),
        ("encoding: raw\nbyte skip: 99", "within the bytes of `byte skip`"),
        ("encoding: raw\nbyte skip: 9000000000000000000", "beyond the end"),
        ("encoding: gzip\nbyte skip: -1", "raw voxels only"),
        ("encoding: raw\nline skip: 3", "within the lines of `line skip`"),
    ] {
        let error = attached(&format!("type: uint8\n{lines}"), &plain).unwrap_err();
        assert!(error.contains(word), "{lines}: {error}");
    }
    assert!(attached("type: uint8\nencoding: raw\nbyte skip: -1", b"12").unwrap_err().contains("12 needed"));
}

#[test]
fn voxels_beside_an_nrrd_header_are_read() {
    let plain = voxels(|x| [x]);
    let detached = |lines: &str| header(&format!("type: uint8\n{lines}"));
    let one = detached("encoding: raw\ndata file: v.raw");
    is_the_mask(&read(&[("a.nhdr", one.as_bytes()), ("v.raw", &plain)]).unwrap());
    let packed = detached("encoding: gzip\ndatafile: ./v.raw.gz\n");
    is_the_mask(&read(&[("a.nhdr", packed.as_bytes()), ("v.raw.gz", &gzip(&plain))]).unwrap());
    // A slice a file, each with a header of its own.
    let slices = [[b"abcd", &plain[..6]].concat(), [b"efgh", &plain[6..]].concat()];
    let list = detached("encoding: raw\nbyte skip: 4\ndata file: LIST\nlow.raw\nhigh.raw\n");
    is_the_mask(&read(&[("a.nhdr", list.as_bytes()), ("low.raw", &slices[0]), ("high.raw", &slices[1])]).unwrap());
    let pattern = detached("encoding: raw\nbyte skip: 4\ndata file: s%02d.raw 9 10 1");
    is_the_mask(&read(&[("a.nhdr", pattern.as_bytes()), ("s09.raw", &slices[0]), ("s10.raw", &slices[1])]).unwrap());
    // A file that is too short is not filled up from the next.
    let error = read(&[("a.nhdr", list.as_bytes()), ("low.raw", &slices[0][..9]), ("high.raw", &slices[1])]);
    assert!(error.unwrap_err().contains("low.raw ends 1 bytes before"), "the file is named");
    for (lines, word) in [
        ("data file: ../v.raw", "not in the folder"),
        ("data file: /etc/hostname", "not in the folder"),
        ("data file: w.raw", "not beside"),
        ("data file: LIST", "names 0 files"),
        ("data file: LIST\nv.raw\nv.raw\nv.raw\nv.raw\nv.raw", "names 5 files"),
        ("data file: v%d%d.raw 1 2 1", "v%d%d.raw"),
    ] {
        let error = read(&[("a.nhdr", detached(&format!("encoding: raw\n{lines}")).as_bytes()), ("v.raw", &plain)]);
        let error = error.unwrap_err();
        assert!(error.contains(word), "{lines}: {error}");
    }
}

#[test]
fn nrrd_spaces_and_units_end_in_lps_millimetres() {
    let plain = voxels(|x| [x]);
    let with = |from: &str, to: &str| {
        let header = header("type: uint8\nencoding: raw").replace(from, to);
        read(&[("a.nrrd", &[format!("{header}\n").as_bytes(), &plain].concat())])
    };
    let lps = "space: left-posterior-superior\nspace directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (-10,-20,30)\n";
    let las = "space: LAS\nspace directions: (2,0,0) (0,-3,0) (0,0,4)\nspace origin: (-10,20,30)\n";
    for other in [lps, las] {
        is_the_mask(&with(&format!("space: RAS\n{DIRECTIONS}"), other).unwrap());
    }
    let centimetres =
        "space directions: (-.2,0,0) (0,-.3,0) (0,0,.4)\nspace origin: (1,2,3)\nspace units: \"cm\" \"cm\" \"cm\"\n";
    is_the_mask(&with(DIRECTIONS, centimetres).unwrap());
    is_the_mask(&with(DIRECTIONS, &format!("{DIRECTIONS}space units: \"mm\" \"mm\" \"mm\"\n")).unwrap());
    for (from, to, word) in [
        (DIRECTIONS, "space directions: (-2,0,0) (0,-3,0) (0,0,4)\n", "`space origin`"),
        ("space: RAS\n", "spacings: 2 3 4\n", "left and right are not known"),
        ("space: RAS\n", "space dimension: 3\n", "left and right are not known"),
        ("space: RAS", "space: scanner-xyz", "scanner-xyz"),
        (DIRECTIONS, &format!("{DIRECTIONS}space units: \"inch\" \"inch\" \"inch\"\n"), "inch"),
        (DIRECTIONS, &format!("{DIRECTIONS}space units: \"mm\"\n"), "one for each axis"),
        ("sizes: 2 3 2", "sizes: 2 x 3 2", "sizes"),
        ("dimension: 3", "dimension: three", "dimension `three`"),
    ] {
        let error = with(from, to).unwrap_err();
        assert!(error.contains(word), "{to}: {error}");
    }
}

/// Two layers of 2 × 3 × 2 voxels: in both the last voxel is set, to 1 and to 2.
fn layered(lines: &str, list_first: bool) -> Result<MaskFile, String> {
    let (sizes, directions) = match list_first {
        true => ("2 2 3 2", DIRECTIONS.replace("(-2", "none (-2")),
        false => ("2 3 2 2", DIRECTIONS.replace("(0,0,4)", "(0,0,4) none")),
    };
    let mut values = vec![0u8; 24];
    (values[if list_first { 22 } else { 11 }], values[23]) = (1, 2);
    let header = format!(
        "NRRD0005\ntype: uint8\ndimension: 4\nsizes: {sizes}\nspace: RAS\n{directions}encoding: raw\n{lines}\n\n"
    );
    read(&[("a.seg.nrrd", &[header.as_bytes(), &values].concat())])
}

#[test]
fn layers_of_a_seg_nrrd_have_their_own_names() {
    let names = "Segment0_Name:=LN 4R\nSegment0_LabelValue:=1\nSegment0_Layer:=0\n\
        Segment1_Name:=LN 7\nSegment1_LabelValue:=2\nSegment1_Layer:=1";
    for list_first in [true, false] {
        let mask = layered(names, list_first).unwrap();
        let found = mask.findings(&Default::default(), &Limits::default()).unwrap();
        let names: Vec<&str> = found.iter().map(|finding| finding.finding.as_str()).collect();
        assert_eq!(names, ["LN 4R", "LN 7"]);
        assert!(mask.labels.iter().all(|label| label.voxels == [[1, 2, 1]]), "they may overlap");
        assert_eq!(mask.dimensions, [2, 3, 2]);
    }
    assert!(layered("", true).unwrap_err().contains("2 values for each voxel"));
    assert!(attached("type: uint8\nencoding: raw\nSegment0_Name:=a\nSegment0_LabelValue:=1\nSegment1_Name:=b\nSegment1_LabelValue:=1", &[]).unwrap_err().contains("both have"));
    let single =
        attached("type: uint8\nencoding: raw\nSegment0_Name:=Knoten\nSegment0_LabelValue:=3", &voxels(|x| [x]));
    assert_eq!(single.unwrap().labels[0].name.as_deref(), Some("Knoten"));
    // A segment without voxels is none; voxels without segment are of nobody knows what.
    let astray = "type: uint8\nencoding: raw\nSegment0_Name:=Knoten\nSegment0_LabelValue:=2";
    let error = attached(astray, &voxels(|x| [x])).unwrap_err();
    assert!(
        error.contains("voxels of value 3 in layer 0 belong to no segment") && error.contains("`Knoten`"),
        "{error}"
    );
    let both = format!("{astray}\nSegment1_Name:=LN 7\nSegment1_LabelValue:=3");
    assert_eq!(attached(&both, &voxels(|x| [x])).unwrap().labels.len(), 1);
}

/// A NIfTI-2 header of 2 × 3 × 2 voxels of `data_type`, field by field after nifti2.h.
fn nifti_2(big_endian: bool, data_type: i16, magic: &[u8; 8], offset: i64) -> Vec<u8> {
    let mut bytes = vec![0u8; 544];
    let mut put = |at: usize, field: &[u8]| {
        let mut field = field.to_vec();
        if big_endian {
            field.reverse();
        }
        bytes[at..at + field.len()].copy_from_slice(&field);
    };
    put(0, &540i32.to_le_bytes());
    put(12, &data_type.to_le_bytes());
    for (n, side) in [4i64, 2, 3, 2, 1].iter().enumerate() {
        put(16 + 8 * n, &side.to_le_bytes());
    }
    put(168, &offset.to_le_bytes());
    put(348, &1i32.to_le_bytes());
    let rows = [[-2.0, 0.0, 0.0, 10.0], [0.0, -3.0, 0.0, 20.0], [0.0, 0.0, 4.0, 30.0f64]];
    rows.iter().flatten().enumerate().for_each(|(n, value)| put(400 + 8 * n, &value.to_le_bytes()));
    put(500, &2i32.to_le_bytes());
    bytes[4..12].copy_from_slice(magic);
    bytes
}

const SINGLE: &[u8; 8] = b"n+2\0\r\n\x1a\n";

#[test]
fn nifti_2_is_read_in_both_byte_orders_and_as_a_pair() {
    let little = [nifti_2(false, 1280, SINGLE, 544), voxels(|x| u64::from(x).to_le_bytes())].concat();
    is_the_mask(&read(&[("a.nii", &little)]).unwrap());
    is_the_mask(&read(&[("a.nii.gz", &gzip(&little))]).unwrap());
    let big = [nifti_2(true, 1024, SINGLE, 544), voxels(|x| i64::from(x).to_be_bytes())].concat();
    is_the_mask(&read(&[("a.nii", &big)]).unwrap());
    let pair = nifti_2(false, 2, b"ni2\0\r\n\x1a\n", 0);
    is_the_mask(&read(&[("a.hdr", &pair), ("a.img", &voxels(|x| [x]))]).unwrap());
    is_the_mask(&read(&[("a.hdr", &pair), ("a.img.gz", &gzip(&voxels(|x| [x])))]).unwrap());
    assert!(read(&[("a.hdr", &pair)]).unwrap_err().contains("a.img is not beside it"));
    assert!(read(&[("a.img", &pair)]).unwrap_err().contains("name its header"));
    let damaged = [nifti_2(false, 2, b"n+2\0\n\x1a\n\0", 544), voxels(|x| [x])].concat();
    assert!(read(&[("a.nii", &damaged)]).unwrap_err().contains("transfer of text"));
}

#[test]
fn types_and_units_of_nifti_are_read_or_named() {
    let with = |data_type: i16, at: usize, field: &[u8], voxels: &[u8]| {
        let mut bytes = nifti_2(false, data_type, SINGLE, 544);
        bytes[at..at + field.len()].copy_from_slice(field);
        read(&[("a.nii", &[&*bytes, voxels].concat())])
    };
    let (plain, none) = (voxels(|x| [x]), [0u8; 0]);
    for (data_type, word) in [(1536, "128 bits"), (128, "colours"), (1, "bits"), (32, "complex"), (77, "77")] {
        assert!(with(data_type, 500, &none, &plain).unwrap_err().contains(word), "{data_type}");
    }
    // A slope of 0 or NaN says nothing; one of 0.5 is meant.
    is_the_mask(&with(2, 176, &f64::NAN.to_le_bytes(), &plain).unwrap());
    let halves: Vec<u8> = plain.iter().map(|x| x * 2).collect();
    is_the_mask(&with(2, 176, &0.5f64.to_le_bytes(), &halves).unwrap());
    let far = |units: i32| with(2, 500, &units.to_le_bytes(), &plain).unwrap().affine.origin().0[2];
    assert_eq!([far(0), far(2), far(2 + 8)], [30.0; 3], "seconds are no length");
    assert_eq!(far(1), 30_000.0);
    assert!((far(3) - 0.03).abs() < 1e-12);
    assert!(with(2, 500, &5i32.to_le_bytes(), &plain).unwrap_err().contains("xyzt_units 5"));
    // Twelve volumes of one voxel each are no mask.
    let volumes = with(2, 48, &5i64.to_le_bytes(), &plain).unwrap_err();
    assert!(volumes.contains("5 volumes"), "{volumes}");
    let uint64 = voxels(|x| if x == 0 { [0; 8] } else { u64::MAX.to_le_bytes() });
    assert!(with(1280, 500, &none, &uint64).unwrap_err().contains("voxel value"), "no label is so large");
}

#[test]
fn one_mask_that_cannot_be_read_costs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let good = [format!("{}\n", header("type: uint8\nencoding: raw")).as_bytes(), &voxels(|x| [x])].concat();
    std::fs::write(path("a.nrrd"), &good).unwrap();
    std::fs::write(path("b.nrrd"), &good[..good.len() - 1]).unwrap();
    std::fs::write(path("c.mha"), "ObjectType = Image").unwrap();
    std::fs::write(path("d.xml"), "<annotation>").unwrap();
    let files = AnnotationFiles::read(&[folder.path().to_owned()], &Limits::default(), StationMap::Iaslc).unwrap();
    let names: Vec<_> = files.faults().iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["b.nrrd", "c.mha", "d.xml"]);
    assert!(files.faults()[1].1.to_string().contains("MetaImage"));
    let missing = AnnotationFiles::read(&[path("nowhere.nrrd")], &Limits::default(), StationMap::Iaslc).unwrap_err();
    assert!(missing.to_string().contains("nowhere.nrrd"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_headers_never_panic(at in 0usize..300, value: u8, two_at in 0usize..544, cut in 0usize..640) {
        let mut bytes = [nifti_2(false, 2, SINGLE, 544), voxels(|x| [x])].concat();
        bytes[two_at] = value;
        bytes.truncate(cut);
        drop(read(&[("a.nii", &bytes)]));
        let lines = "type: uint8\nencoding: raw\nbyte skip: 3\nline skip: 1\nspace units: \"mm\" \"mm\" \"mm\"\nSegment0_Name:=a\ndata file: LIST 2\nv.raw\n";
        let mut bytes = header(lines).into_bytes();
        let at = at % bytes.len();
        bytes[at] = value;
        drop(read(&[("a.nhdr", &bytes), ("v.raw", &[0; 20])]));
    }
}
