//! Defects made by rewriting one attribute of a good series: each has its reason, each stored form its HU.

use std::path::{Path, PathBuf};

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, open_file};
use mtids_dicom::{Limits, ReasonCode, load_volume, read_header};

use crate::grouped;
use crate::round_trip::{STEPS, volume, write};

/// A good series of four slices (7 × 5 pixels, 2.5 mm apart), each rewritten by `change(slice number, object)`.
pub(crate) fn rewritten(change: impl Fn(usize, &mut DefaultDicomObject)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (k, path) in write(folder.path(), &volume(STEPS)).into_iter().enumerate() {
        let mut object = open_file(&path).unwrap();
        change(k, &mut object);
        object.write_to_file(&path).unwrap();
    }
    folder
}

pub(crate) fn put_text(object: &mut DefaultDicomObject, tag: Tag, vr: VR, text: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(text)));
}

pub(crate) fn put_short(object: &mut DefaultDicomObject, tag: Tag, value: u16) {
    object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
}

pub(crate) fn put_pixels(object: &mut DefaultDicomObject, pixels: &[u16]) {
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.iter().copied().collect())));
}

fn load(folder: &Path) -> Result<mtids_dicom::LoadedVolume, mtids_dicom::DicomError> {
    let outcome = grouped(folder);
    assert_eq!(outcome.series.len(), 1, "{:?}", outcome.refused);
    load_volume(&outcome.series[0], &Limits::default())
}

fn reason(folder: &tempfile::TempDir) -> (ReasonCode, String) {
    let error = load(folder.path()).unwrap_err();
    (error.reason(), error.to_string())
}

/// Why the first file of a folder is refused.
fn header_reason(folder: &tempfile::TempDir) -> ReasonCode {
    read_header(&folder.path().join("IM0001.dcm"), &Limits::default()).unwrap_err().reason()
}

fn move_slice(object: &mut DefaultDicomObject, [x, y, z]: [f64; 3]) {
    put_text(object, tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("{x}\\{y}\\{z}"));
}

#[test]
fn a_tilted_stack_is_refused_with_its_angle() {
    // 2.5 mm up and 0.2185 mm back per slice: atan(0.2185 / 2.5) is 5 degrees.
    let folder = rewritten(|k, object| move_slice(object, [0.0, 0.2187 * k as f64, 2.5 * k as f64]));
    let (reason, text) = reason(&folder);
    assert_eq!(reason, ReasonCode::GantryTilt);
    assert!(text.contains("5.00 degrees"), "{text}");
}

#[test]
fn jitter_is_forgiven_and_a_shifted_slice_is_not() {
    let jitter = rewritten(|k, object| move_slice(object, [0.0, 0.0, 2.5 * k as f64 + [0.0, 0.009, -0.008, 0.0][k]]));
    assert!(load(jitter.path()).is_ok());
    let shifted = rewritten(|k, object| move_slice(object, [if k == 1 { 3.0 } else { 0.0 }, 0.0, 2.5 * k as f64]));
    assert_eq!(reason(&shifted).0, ReasonCode::MixedGeometry);
    let same_place = rewritten(|k, object| move_slice(object, [0.0, 0.0, 2.5 * k.min(2) as f64]));
    assert_eq!(reason(&same_place).0, ReasonCode::ConflictingInstances);
    let unequal = rewritten(|k, object| move_slice(object, [0.0, 0.0, [0.0, 2.5, 5.0, 8.7][k]]));
    let (code, text) = reason(&unequal);
    assert_eq!(code, ReasonCode::UnequalSpacing);
    assert!(text.contains("3.700 mm from 5.00 mm to 8.70 mm"), "{text}");
}

#[test]
fn padding_becomes_air_before_rescaling() {
    let folder = rewritten(|_, object| {
        put_short(object, tags::PIXEL_PADDING_VALUE, 63536);
        put_short(object, tags::PIXEL_PADDING_RANGE_LIMIT, 63540);
        let mut pixels = vec![1024; 35];
        (pixels[3], pixels[4], pixels[5]) = (63536, 63540, 63541);
        put_pixels(object, &pixels);
    });
    let loaded = load(folder.path()).unwrap();
    let hu = |i| loaded.volume.get([i, 0, 0]);
    assert_eq!((hu(0), hu(3), hu(4)), (Some(0), Some(-1000), Some(-1000)));
    assert_eq!(hu(5), Some(i16::MAX), "no padding, and clamped");
    assert_eq!(loaded.padded_voxels, 8);
}

#[test]
fn signed_twelve_bit_samples_keep_their_sign() {
    let folder = rewritten(|_, object| {
        put_short(object, tags::BITS_STORED, 12);
        put_short(object, tags::HIGH_BIT, 11);
        put_short(object, tags::PIXEL_REPRESENTATION, 1);
        put_text(object, tags::RESCALE_INTERCEPT, VR::DS, "0");
        // -1000 in twelve bits, once with the sign extended and once without; then bits above the high bit that mean nothing.
        let mut pixels = vec![0; 35];
        (pixels[0], pixels[1], pixels[2]) = (0x0C18, 0xFC18, 0x5064);
        put_pixels(object, &pixels);
    });
    let volume = load(folder.path()).unwrap().volume;
    assert_eq!([0, 1, 2].map(|i| volume.get([i, 0, 0])), [Some(-1000), Some(-1000), Some(100)]);
}

#[test]
fn an_image_shown_inverted_holds_what_it_holds() {
    // MONOCHROME1 is about display (PS3.3 C.7.6.3.1.2): the modality transform does not know of it.
    let folder = rewritten(|_, object| {
        put_text(object, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1");
        put_pixels(object, &[1024 + 40; 35]);
    });
    assert_eq!(load(folder.path()).unwrap().volume.get([0, 0, 0]), Some(40));
}

#[test]
fn each_slice_has_its_own_rescale() {
    let folder = rewritten(|k, object| {
        put_text(object, tags::RESCALE_SLOPE, VR::DS, ["1", "2", "0.5", "4"][k]);
        put_text(object, tags::RESCALE_INTERCEPT, VR::DS, ["-1024", "-2000", "0", "-100"][k]);
        put_pixels(object, &[100; 35]);
    });
    let volume = load(folder.path()).unwrap().volume;
    assert_eq!([0, 1, 2, 3].map(|k| volume.get([0, 0, k])), [Some(-924), Some(-1800), Some(50), Some(300)]);
}

#[test]
fn an_image_module_that_contradicts_itself_is_refused() {
    let bits = rewritten(|_, object| put_short(object, tags::BITS_STORED, 0));
    assert_eq!(header_reason(&bits), ReasonCode::InvalidImageModule);
    let few = rewritten(|_, object| put_pixels(object, &[0; 34]));
    assert_eq!(header_reason(&few), ReasonCode::InvalidImageModule);
    let many = rewritten(|_, object| put_pixels(object, &[0; 70]));
    assert_eq!(header_reason(&many), ReasonCode::InvalidImageModule);
    let colour = rewritten(|_, object| put_short(object, tags::SAMPLES_PER_PIXEL, 3));
    assert_eq!(header_reason(&colour), ReasonCode::InvalidImageModule);
}

#[test]
fn a_header_without_what_is_needed_is_refused_by_name() {
    for (tag, expected) in [
        (tags::IMAGE_POSITION_PATIENT, ReasonCode::MissingGeometry),
        (tags::IMAGE_ORIENTATION_PATIENT, ReasonCode::MissingGeometry),
        (tags::PIXEL_SPACING, ReasonCode::MissingGeometry),
        (tags::PATIENT_ID, ReasonCode::NoPatient),
        (tags::SERIES_INSTANCE_UID, ReasonCode::NoIdentity),
        (tags::STUDY_INSTANCE_UID, ReasonCode::NoIdentity),
        (tags::ROWS, ReasonCode::InvalidImageModule),
        (tags::PIXEL_DATA, ReasonCode::InvalidImageModule),
    ] {
        let folder = rewritten(|_, object| {
            object.remove_element(tag);
        });
        let path: PathBuf = folder.path().join("IM0001.dcm");
        assert_eq!(read_header(&path, &Limits::default()).unwrap_err().reason(), expected, "without {tag}");
    }
}

#[test]
fn a_ct_without_rescale_has_no_hu() {
    let folder = rewritten(|_, object| {
        object.remove_element(tags::RESCALE_SLOPE);
        object.remove_element(tags::RESCALE_INTERCEPT);
    });
    assert_eq!(header_reason(&folder), ReasonCode::InvalidImageModule);
}

#[test]
fn a_rescale_that_cannot_be_meant_is_refused() {
    let malformed = rewritten(|_, object| put_text(object, tags::RESCALE_INTERCEPT, VR::DS, "-1024,0"));
    assert_eq!(header_reason(&malformed), ReasonCode::InvalidImageModule);
    let map = rewritten(|_, object| put_text(object, tags::RESCALE_TYPE, VR::LO, "Z_EFF"));
    assert_eq!(header_reason(&map), ReasonCode::InvalidImageModule);
    let tiny = rewritten(|_, object| put_text(object, tags::PIXEL_SPACING, VR::DS, "1e-12\\1e-12"));
    assert_eq!(header_reason(&tiny), ReasonCode::MissingGeometry);
    // Numbers whose VR got lost on the way are numbers all the same.
    let unknown = rewritten(|_, object| {
        let bytes = PrimitiveValue::U8(b"-1000 ".to_vec().into());
        object.put(DataElement::new(tags::RESCALE_INTERCEPT, VR::UN, bytes));
        put_pixels(object, &[1040; 35]);
    });
    assert_eq!(load(unknown.path()).unwrap().volume.get([0, 0, 0]), Some(40));
}

#[test]
fn a_file_without_meta_group_or_with_a_faulty_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &volume(STEPS));
    let expected = load(folder.path()).unwrap().volume;
    for path in crate::files(folder.path()) {
        let bytes = std::fs::read(&path).unwrap();
        // (0002,0000) is 12 bytes after the magic word and gives the length of the rest of its group.
        let length = u32::from_le_bytes([bytes[140], bytes[141], bytes[142], bytes[143]]) as usize;
        std::fs::write(&path, &bytes[144 + length..]).unwrap();
    }
    assert_eq!(load(folder.path()).unwrap().volume, expected);
}
