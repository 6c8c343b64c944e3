//! Sound files that would be read silently wrong: each is refused by name, divided, or told.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, InMemDicomObject, open_file};
use mtids_dicom::write::write_pet_series;
use mtids_dicom::{Limits, ReasonCode, check_series, load_volume, read_header};
use mtids_domain::volume::Volume;

use crate::defects::{put_pixels, put_short, put_text, rewritten};
use crate::grouped;
use crate::pet::{suv, written};
use crate::round_trip::{STEPS, volume, write};

/// Why the first file is refused.
fn refused(change: impl Fn(&mut DefaultDicomObject)) -> (ReasonCode, String) {
    let folder = rewritten(|_, object| change(object));
    let error = read_header(&folder.path().join("IM0001.dcm"), &Limits::default()).unwrap_err();
    (error.reason(), error.detail().to_owned())
}

#[track_caller]
fn assert_refused(change: impl Fn(&mut DefaultDicomObject), reason: ReasonCode, words: &str) {
    let (found, detail) = refused(change);
    assert!(found == reason && detail.contains(words), "{found}: {detail}");
}

#[test]
fn images_without_hu_are_refused_by_what_says_so() {
    let derived = "DERIVED\\PRIMARY\\AXIAL\\CT_SOM7 SPI DUAL\\IODINE";
    assert_refused(|object| put_text(object, tags::IMAGE_TYPE, VR::CS, derived), ReasonCode::NotOriginal, "IODINE");
    let palette = |object: &mut DefaultDicomObject| {
        put_text(object, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR");
    };
    assert_refused(palette, ReasonCode::InvalidImageModule, "PALETTE COLOR");
    let table = |object: &mut DefaultDicomObject| {
        let mut item = InMemDicomObject::new_empty();
        let descriptor = PrimitiveValue::U16([2, 0, 16].into_iter().collect());
        item.put(DataElement::new(tags::LUT_DESCRIPTOR, VR::US, descriptor));
        item.put(DataElement::new(tags::MODALITY_LUT_TYPE, VR::LO, PrimitiveValue::from("OD")));
        item.put(DataElement::new(tags::LUT_DATA, VR::US, PrimitiveValue::U16([1, 2].into_iter().collect())));
        let items = DataSetSequence::from(vec![item]);
        object.put(DataElement::new(tags::MODALITY_LUT_SEQUENCE, VR::SQ, items));
    };
    assert_refused(table, ReasonCode::InvalidImageModule, "values are OD, not HU");
    let float = |object: &mut DefaultDicomObject| {
        for tag in [tags::PIXEL_DATA, tags::BITS_STORED, tags::HIGH_BIT, tags::PIXEL_REPRESENTATION] {
            object.remove_element(tag);
        }
        put_short(object, tags::BITS_ALLOCATED, 32);
        let values = PrimitiveValue::F32([0.5; 35].into_iter().collect());
        object.put(DataElement::new(tags::FLOAT_PIXEL_DATA, VR::OF, values));
    };
    assert_refused(float, ReasonCode::InvalidImageModule, "FloatPixelData");
}

#[test]
fn units_in_small_letters_are_hounsfield_units() {
    let folder = rewritten(|_, object| put_text(object, tags::RESCALE_TYPE, VR::LO, "hu"));
    assert!(load_volume(&grouped(folder.path()).series[0], &Limits::default()).is_ok());
}

#[test]
fn one_position_for_all_slices_is_named() {
    let folder = rewritten(|_, object| put_text(object, tags::IMAGE_POSITION_PATIENT, VR::DS, "-18\\-75\\-300"));
    let error = load_volume(&grouped(folder.path()).series[0], &Limits::default()).unwrap_err();
    assert_eq!(error.reason(), ReasonCode::ConflictingInstances);
    assert!(error.detail().contains("all 4 slices have one ImagePositionPatient"), "{}", error.detail());
}

#[test]
fn padding_that_tissue_has_too_is_told() {
    let folder = rewritten(|_, object| {
        put_short(object, tags::PIXEL_PADDING_VALUE, 1024 + 40);
        let mut pixels = vec![1024; 35];
        pixels[..9].fill(1024 + 40);
        put_pixels(object, &pixels);
    });
    let loaded = load_volume(&grouped(folder.path()).series[0], &Limits::default()).unwrap();
    assert_eq!(loaded.padded_voxels, 36);
    let told = loaded.warnings.iter().filter(|warning| warning.contains("36 voxels became air")).count();
    assert_eq!(told, 1, "{:?}", loaded.warnings);
}

#[test]
fn two_scans_whose_slices_alternate_are_two_volumes() {
    let folder = tempfile::tempdir().unwrap();
    let whole = volume(STEPS);
    let twice: Vec<i16> = whole.voxels().iter().chain(whole.voxels()).copied().collect();
    let long = Volume::new(twice, [7, 5, 8], *whole.affine()).unwrap();
    for (k, path) in write(folder.path(), &long).into_iter().enumerate() {
        let mut object = open_file(&path).unwrap();
        put_text(&mut object, tags::KVP, VR::DS, ["80", "140"][k % 2]);
        object.write_to_file(&path).unwrap();
    }
    let series = grouped(folder.path()).series;
    assert_eq!(series.iter().map(|one| (one.part, one.instances.len())).collect::<Vec<_>>(), [(0, 4), (1, 4)]);
    assert!(series.iter().all(|one| one.warnings.iter().any(|warning| warning.contains("KVP (140: 4 slices"))));
}

#[test]
fn a_pet_that_is_a_projection_or_one_of_many_times_has_no_suv() {
    let folder = tempfile::tempdir().unwrap();
    let (identity, options) = written();
    for (kind, times, expected) in [
        ("WHOLE BODY\\REPROJECTION", 1, "REPROJECTION"),
        ("DYNAMIC\\IMAGE", 20, "DYNAMIC"),
        ("GATED\\IMAGE", 1, "GATED"),
    ] {
        write_pet_series(folder.path(), &suv(), &identity, &options).unwrap();
        for path in crate::files(folder.path()) {
            let mut object = open_file(&path).unwrap();
            put_text(&mut object, tags::SERIES_TYPE, VR::CS, kind);
            put_short(&mut object, tags::NUMBER_OF_TIME_SLICES, times);
            object.write_to_file(&path).unwrap();
        }
        let error = check_series(&grouped(folder.path()).series[0], &Limits::default()).unwrap_err();
        assert_eq!(error.reason(), ReasonCode::NoSuv);
        assert!(error.detail().contains(&format!("SeriesType (0054,1000) is {expected}")), "{}", error.detail());
    }
}

#[test]
fn numbers_of_unknown_vr_are_read_whole() {
    // A converter without a dictionary writes UN: -2000 is the bytes 30 F8, and the first of them is 48.
    let unknown = |bytes: &[u8]| PrimitiveValue::U8(bytes.iter().copied().collect());
    let folder = rewritten(|_, object| {
        put_short(object, tags::PIXEL_REPRESENTATION, 1);
        put_text(object, tags::RESCALE_INTERCEPT, VR::DS, "0");
        object.put(DataElement::new(tags::PIXEL_PADDING_VALUE, VR::UN, unknown(&(-2000_i16).to_le_bytes())));
        object.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::UN, unknown(b"1 ")));
        let mut pixels = vec![48; 35];
        pixels[0] = (-2000_i16).cast_unsigned();
        put_pixels(object, &pixels);
    });
    let loaded = load_volume(&grouped(folder.path()).series[0], &Limits::default()).unwrap();
    assert_eq!([0, 1].map(|i| loaded.volume.get([i, 0, 0])), [Some(-1000), Some(48)]);
    assert_eq!(loaded.padded_voxels, 4);
}

#[test]
fn signed_samples_of_a_codestream_are_no_unsigned_image() {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/htj2k_12.dcm");
    let mut bytes = std::fs::read(data).unwrap();
    let size = bytes.windows(4).position(|window| window == [0xFF, 0x4F, 0xFF, 0x51]).unwrap() + 2;
    // Behind the marker, its length, the capabilities, eight sizes and the number of components.
    let precision = size + 6 + 32 + 2;
    assert_eq!(bytes[precision], 15, "16 bits without sign");
    bytes[precision] |= 0x80;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signed.dcm");
    std::fs::write(&path, bytes).unwrap();
    let mtids_dicom::FileKind::Image(header) = read_header(&path, &Limits::default()).unwrap() else {
        panic!("an image")
    };
    let error = mtids_dicom::decode_image(&header, &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("its samples are signed"), "{error}");
}
