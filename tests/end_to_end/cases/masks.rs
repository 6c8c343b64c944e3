//! Segmentations and masks: frames that need the image's grid, segments that cannot be read, and the forms of NRRD and NIfTI.

use std::path::Path;

use super::dicom::{Element, Object};
use super::objects::{segmentation, write_rules};
use super::study::{Ct, ORIGIN, PIXELS, POSITION, SIDES, STEPS};
use super::{Case, Expect, Found, check_all};

const NODE: [f64; 3] = [0.0, -59.5, -285.0];
const SLICES: usize = 12;

/// Whether the voxel lies in a ball of 6 mm.
fn holds(center: [f64; 3], voxel: [usize; 3]) -> bool {
    let offset = (0..3).map(|axis| ORIGIN[axis] + STEPS[axis] * voxel[axis] as f64 - center[axis]);
    offset.map(|x| x * x).sum::<f64>() <= 36.0
}

/// One value for each voxel, i fastest.
fn voxels<T>(value: impl Fn([usize; 3]) -> T) -> Vec<T> {
    let place = |n: usize| [n % SIDES[0], n / SIDES[0] % SIDES[1], n / SIDES[0] / SIDES[1]];
    (0..SIDES[0] * SIDES[1] * SLICES).map(|n| value(place(n))).collect()
}

fn node_mask() -> Vec<u8> {
    voxels(|voxel| u8::from(holds(NODE, voxel)))
}

/// Pixels of a ball on a slice.
fn pixels(center: [f64; 3], z: f64) -> Vec<[usize; 2]> {
    let k = ((z - ORIGIN[2]) / STEPS[2]).round() as usize;
    let all = (0..SIDES[0]).flat_map(|i| (0..SIDES[1]).map(move |j| [i, j]));
    all.filter(|&[i, j]| holds(center, [i, j, k])).collect()
}

fn frames(center: [f64; 3], slices: &[f64]) -> Vec<(f64, Vec<[usize; 2]>)> {
    slices.iter().map(|&z| (z, pixels(center, z))).collect()
}

fn ct(folder: &Path) -> Ct {
    let ct = Ct::new();
    ct.write(folder);
    write_rules(folder);
    ct
}

/// An NRRD header on the grid of the slices.
fn nrrd(folder: &Path, name: &str, lines: &str, voxels: &[u8]) {
    let header = format!(
        "NRRD0005\ntype: uint8\ndimension: 3\nsizes: 24 28 12\nspace: LPS\nspace directions: (3,0,0) (0,2.5,0) (0,0,2.5)\n\
        space origin: (-36,-92,-300)\nencoding: raw\n{lines}\n"
    );
    std::fs::write(folder.join(name), [header.as_bytes(), voxels].concat()).unwrap();
}

/// Two overlapping segments, one in each layer, both of label value 1.
fn layers(folder: &Path) {
    ct(folder);
    let values = voxels(|voxel| [holds(NODE, voxel), holds([-15.0, -59.5, -285.0], voxel)].map(u8::from)).concat();
    let header = "NRRD0004\ntype: unsigned char\ndimension: 4\nspace: left-posterior-superior\nsizes: 2 24 28 12\n\
        space directions: none (3,0,0) (0,2.5,0) (0,0,2.5)\nkinds: list domain domain domain\nencoding: raw\n\
        space origin: (-36,-92,-300)\nSegment0_Name:=LN 4R\nSegment0_LabelValue:=1\nSegment0_Layer:=0\n\
        Segment1_Name:=LN 7\nSegment1_LabelValue:=1\nSegment1_Layer:=1\n\n";
    std::fs::write(folder.join("mask.seg.nrrd"), [header.as_bytes(), &values].concat()).unwrap();
}

fn unreadable_beside_good(folder: &Path) {
    ct(folder);
    nrrd(folder, "good.nrrd", "", &node_mask());
    nrrd(folder, "cut.nrrd", "", &node_mask()[..900]);
    std::fs::write(folder.join("meta.mha"), "ObjectType = Image\nNDims = 3\n").unwrap();
}

/// A NIfTI header of version 2, single file or pair, on the grid of the slices.
fn nifti_2(magic: &[u8; 8], offset: i64) -> Vec<u8> {
    let mut bytes = vec![0; 544];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &540_i32.to_le_bytes());
    put(4, magic);
    put(12, &2_i16.to_le_bytes());
    for (n, side) in [3_i64, 24, 28, 12].iter().enumerate() {
        put(16 + 8 * n, &side.to_le_bytes());
    }
    put(168, &offset.to_le_bytes());
    put(348, &1_i32.to_le_bytes());
    // RAS: x and y have the other sign.
    let rows = [[-3.0, 0.0, 0.0, 36.0], [0.0, -2.5, 0.0, 92.0], [0.0, 0.0, 2.5, -300.0_f64]];
    rows.iter().flatten().enumerate().for_each(|(n, value)| put(400 + 8 * n, &value.to_le_bytes()));
    bytes
}

fn nifti_2_single(folder: &Path) {
    ct(folder);
    std::fs::write(folder.join("mask.nii"), [nifti_2(b"n+2\0\r\n\x1a\n", 544), node_mask()].concat()).unwrap();
}

fn nifti_pair(folder: &Path) {
    ct(folder);
    std::fs::write(folder.join("mask.hdr"), nifti_2(b"ni2\0\r\n\x1a\n", 0)).unwrap();
    std::fs::write(folder.join("mask.img"), node_mask()).unwrap();
}

/// Lengths in centimetres, axes to the left, the front and the head.
fn nrrd_in_centimetres(folder: &Path) {
    ct(folder);
    let header = "NRRD0005\ntype: uint8\ndimension: 3\nsizes: 24 28 12\nspace: left-anterior-superior\n\
        space units: \"cm\" \"cm\" \"cm\"\nspace directions: (.3,0,0) (0,-.25,0) (0,0,.25)\nspace origin: (-3.6,9.2,-30)\n\
        encoding: raw\n\n";
    std::fs::write(folder.join("mask.nrrd"), [header.as_bytes(), &node_mask()].concat()).unwrap();
}

/// The items of a sequence of an object.
fn items(object: &mut Object, tag: (u16, u16)) -> &mut Vec<Object> {
    match object.0.get_mut(&tag) {
        Some(Element::Sequence(items)) => items,
        other => panic!("{other:?}"),
    }
}

/// Every frame begins one column further to the right than the one below, its pixels one less.
fn frames_with_their_own_origin(folder: &Path) {
    let ct = ct(folder);
    let slices = [-290.0, -287.5, -285.0, -282.5, -280.0];
    let moved = frames(NODE, &slices)
        .into_iter()
        .zip(1..)
        .map(|((z, pixels), n)| (z, pixels.into_iter().map(|[i, j]| [i + n, j]).collect::<Vec<_>>()));
    let mut object = segmentation(&ct, &[("LN 4R", moved.collect())]);
    for (frame, n) in items(&mut object, (0x5200, 0x9230)).iter_mut().zip(1..) {
        let [x, y, _] = ORIGIN;
        items(frame, (0x0020, 0x9113))[0].decimals(POSITION, &[x - STEPS[0] * f64::from(n), y, slices[n as usize - 1]]);
    }
    object.write(&folder.join("dicom/segmentation.dcm"));
}

/// No frame at all, as a model writes that finds nothing.
fn no_frames(folder: &Path) {
    let ct = ct(folder);
    ct.write_table(folder);
    let mut object = segmentation(&ct, &[("LN 4R", Vec::new())]);
    object.remove(PIXELS).remove((0x5200, 0x9230));
    object.write(&folder.join("dicom/segmentation.dcm"));
}

/// The frames of the second segment have no place.
fn one_bad_segment(folder: &Path) {
    let ct = ct(folder);
    let slices = [-287.5, -285.0, -282.5];
    let other = frames([-15.0, -72.0, -285.0], &slices);
    let mut object = segmentation(&ct, &[("LN 4R", frames(NODE, &slices)), ("LN 7", other)]);
    for frame in items(&mut object, (0x5200, 0x9230)).iter_mut().skip(3) {
        frame.remove((0x0020, 0x9113));
    }
    object.write(&folder.join("dicom/segmentation.dcm"));
}

/// Frames on every second slice, nothing said of their distance: two nodes that lie on slices two apart are not one.
fn every_second_slice_empty(folder: &Path) {
    let ct = ct(folder);
    let mut object =
        segmentation(&ct, &[("LN 4R", frames(NODE, &[-290.0, -285.0])), ("LN 7", frames(NODE, &[-280.0]))]);
    let shared = &mut items(&mut object, (0x5200, 0x9229))[0];
    items(shared, (0x0028, 0x9110))[0].remove((0x0018, 0x0088));
    object.write(&folder.join("dicom/segmentation.dcm"));
}

const ONE: &[Found] = &[Found::at(0.0, -59.5, -285.0)];

const fn mask(
    name: &'static str,
    source: &'static str,
    make: fn(&Path),
    arguments: &'static [&'static str],
    expect: Expect,
) -> Case {
    Case { name, source, make, arguments, expect }
}

const CLASSES: &[&str] = &["--classes", "classes.toml"];

const CASES: &[Case] = &[
    mask(
        "layers-of-a-seg-nrrd",
        "Project-MONAI/MONAILabel#766",
        layers,
        &["--annotations", "mask.seg.nrrd", "--classes", "classes.toml"],
        Expect::found(&[Found::at(0.0, -59.5, -285.0).station("4R"), Found::at(-15.0, -59.5, -285.0).station("7")]),
    ),
    mask(
        "unreadable-beside-good",
        "Slicer/Slicer#8346",
        unreadable_beside_good,
        &["--annotations", "cut.nrrd", "--annotations", "good.nrrd", "--annotations", "meta.mha"],
        Expect::found(ONE).code(1).says(&["cut.nrrd", "slice", "meta.mha", "MetaImage"]),
    ),
    mask("nifti-2", "MRtrix3/mrtrix3#19", nifti_2_single, &["--annotations", "mask.nii"], Expect::found(ONE)),
    mask(
        "nifti-pair",
        "Slicer/SlicerGitSVNArchive#1238",
        nifti_pair,
        &["--annotations", "mask.hdr"],
        Expect::found(ONE),
    ),
    mask(
        "nrrd-in-centimetres",
        "NRRD format, `space units`; Slicer/SlicerGitSVNArchive#1270",
        nrrd_in_centimetres,
        &["--annotations", "mask.nrrd"],
        Expect::found(ONE),
    ),
    mask(
        "frames-with-their-own-origin",
        "QIICR/dcmqi#430",
        frames_with_their_own_origin,
        CLASSES,
        Expect::found(&[Found::at(0.0, -59.5, -285.0).station("4R")]),
    ),
    mask(
        "no-frames",
        "Sikerdebaard/dcmrtstruct2nii#49",
        no_frames,
        &["--annotations", "nodes.csv"],
        Expect {
            counts: &[("/totals/skipped_by_reason/empty-segmentation", 1)],
            ..Expect::found(ONE).says(&["empty-segmentation"])
        },
    ),
    mask(
        "one-bad-segment",
        "OHIF/Viewers#4030",
        one_bad_segment,
        CLASSES,
        Expect::found(&[Found::at(0.0, -59.5, -285.0).station("4R")]).code(1).says(&["LN 7", "ImagePositionPatient"]),
    ),
    mask(
        "every-second-slice-empty",
        "QIICR/dcmqi#89, QIICR/dcmqi#513",
        every_second_slice_empty,
        CLASSES,
        Expect::found(&[
            Found::at(0.0, -59.5, -290.0).station("4R"),
            Found::at(0.0, -59.5, -285.0).station("4R"),
            Found::at(0.0, -59.5, -280.0).station("7"),
        ]),
    ),
];

#[test]
fn masks_keep_their_place_and_name() {
    check_all(CASES);
}
