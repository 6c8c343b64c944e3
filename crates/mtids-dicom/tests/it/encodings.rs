//! One made-up slice in encodings that other people's encoders wrote (`tests/python/make_codec_fixtures.py`): bit-identical, or refused.

use std::path::{Path, PathBuf};

use mtids_dicom::header::read_header_from_all_elements;
use mtids_dicom::{FileKind, InstanceHeader, Limits, decode_image, load_volume, read_header};

use crate::grouped;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn header(name: &str) -> InstanceHeader {
    match read_header(&fixture(name), &Limits::default()) {
        Ok(FileKind::Image(header)) => *header,
        other => panic!("{name}: {other:?}"),
    }
}

fn hu(name: &str) -> Vec<i16> {
    decode_image(&header(name), &Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn lossless_encodings_of_twelve_and_sixteen_bits_are_bit_identical() {
    for bits in [12, 16] {
        let native = hu(&format!("native_{bits}.dcm"));
        assert_eq!(native[0], -1024, "the smallest stored value");
        assert_eq!(native[1], if bits == 12 { 4095 - 1024 } else { i16::MAX }, "the largest, clamped");
        for encoding in ["htj2k", "jpeg_lossless_57", "jpeg_xl"] {
            assert_eq!(hu(&format!("{encoding}_{bits}.dcm")), native, "{encoding}, {bits} bits");
        }
    }
    let native = hu("native_12.dcm");
    for encoding in ["implicit", "big_endian", "deflated", "deflated_frame", "rle"] {
        assert_eq!(hu(&format!("{encoding}.dcm")), native, "{encoding}");
    }
}

/// The native slice with an element of VR UN and undefined length before the element with this beginning, whose item holds `inner`.
fn with_unknown_sequence(tag: [u8; 4], before: &[u8; 6], inner: &[u8]) -> Vec<u8> {
    let mut bytes = std::fs::read(fixture("native_12.dcm")).unwrap();
    let place = bytes.windows(6).position(|window| window == before).unwrap();
    let undefined = [0xFF; 4];
    let element = [
        &tag[..],
        b"UN\0\0",
        &undefined,
        b"\xFE\xFF\x00\xE0",
        &undefined,
        inner,
        b"\xFE\xFF\x0D\xE0\0\0\0\0",
        b"\xFE\xFF\xDD\xE0\0\0\0\0",
    ];
    bytes.splice(place..place, element.concat());
    bytes
}

#[test]
fn an_unknown_element_of_undefined_length_holds_implicit_items_and_explicit_ones_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slice.dcm");
    // A private group of which a header is read, and one that is passed over.
    for (tag, before) in [(*b"\x09\x00\x10\x10", b"\x10\x00\x20\x00LO"), (*b"\xD1\x7F\x10\x10", b"\xE0\x7F\x10\x00OW")]
    {
        let explicit = &b"\xD1\x7F\x10\x00LO\x04\0ACME"[..];
        for inner in [&b"\xD1\x7F\x10\x00\x04\0\0\0ACME"[..], explicit, b""] {
            std::fs::write(&path, with_unknown_sequence(tag, before, inner)).unwrap();
            let whole = read_header_from_all_elements(&path, &Limits::default());
            for kind in [read_header(&path, &Limits::default()), whole] {
                let Ok(FileKind::Image(header)) = kind else { panic!("{tag:?}, {inner:?}: {kind:?}") };
                let found = decode_image(&header, &Limits::default()).unwrap();
                assert_eq!(found, hu("native_12.dcm"), "{tag:?}, {inner:?}");
            }
        }
    }
}

#[test]
fn frames_of_several_fragments_are_told_apart_by_either_offset_table() {
    let volume = |name: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(fixture(name), folder.path().join(name)).unwrap();
        let outcome = grouped(folder.path());
        assert_eq!((outcome.series.len(), outcome.series[0].files().len()), (1, 1), "{name}");
        load_volume(&outcome.series[0], &Limits::default()).unwrap().volume
    };
    let native = volume("enhanced_native.dcm");
    assert_eq!((native.dimensions(), native.affine().spacing()), ([56, 40, 3], [0.8, 0.7, 2.0]));
    // The first frame lies highest.
    assert_eq!(native.affine().origin().0, [0.0, 0.0, 0.0]);
    for name in ["enhanced_basic_table.dcm", "enhanced_extended_table.dcm"] {
        assert_eq!(volume(name), native, "{name}");
    }
}

#[test]
#[ignore = "needs ../shared/data"]
fn lossy_jpeg_of_eight_and_twelve_bits_is_that_of_other_decoders() {
    let folder = crate::shared("cornerstone3d");
    // What libjpeg finds, through pydicom: the mean, and five pixels. Decoders round their transforms differently, so a grey level or two
    // (of 32.1 and of 2.0 HU) may lie between them.
    for (name, mean, pixels, level) in [
        ("Process1TransferSyntax_1.2.840.10008.1.2.4.50", -967.256_866, [-3051, -3051, -32, 32, -160], 32.1216),
        ("Process2_4TransferSyntax_1.2.840.10008.1.2.4.51", -950.324_074, [-3025, -3025, -3, 37, -145], 2.0002442),
    ] {
        let path = folder.join(format!("CTImage_JPEG{name}.dcm"));
        let Ok(FileKind::Image(header)) = read_header(&path, &Limits::default()) else { panic!("{name}") };
        assert!(header.lossy, "{name}");
        let hu = decode_image(&header, &Limits::default()).unwrap_or_else(|error| panic!("{error}"));
        let found = hu.iter().map(|&hu| f64::from(hu)).sum::<f64>() / hu.len() as f64;
        assert!((found - mean).abs() < 0.05 * level, "{name}: mean {found}, not {mean}");
        for (at, expected) in [0, 1000, 130_000, 131_000, 200_000].into_iter().zip(pixels) {
            assert!(f64::from((hu[at] - expected).abs()) <= 2.0 * level, "{name} at {at}: {}, not {expected}", hu[at]);
        }
    }
}
