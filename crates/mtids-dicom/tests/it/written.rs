//! What the options of a written CT promise: HU and facts survive every encoding and representation, in single frames and in one object.

use std::path::Path;

use mtids_dicom::write::{CtOptions, Encoding, write_ct_series, write_enhanced_ct};
use mtids_dicom::{Limits, LoadedVolume, load_volume};
use mtids_domain::volume::{AIR_HU, Volume};

use crate::round_trip::{STEPS, facts, identity, volume};
use crate::{grouped, headers};

fn options() -> CtOptions {
    CtOptions::new("2.25.3".into(), "written".into(), facts())
}

/// Reads the one series of a folder.
fn read(folder: &Path) -> LoadedVolume {
    let outcome = grouped(folder);
    assert_eq!((outcome.series.len(), outcome.refused.len()), (1, 0), "{:?}", headers(folder).1);
    assert_eq!(*outcome.series[0].facts, facts());
    load_volume(&outcome.series[0], &Limits::default()).unwrap()
}

fn single(volume: &Volume, options: &CtOptions) -> LoadedVolume {
    let folder = tempfile::tempdir().unwrap();
    write_ct_series(folder.path(), volume, &identity(), options).unwrap();
    read(folder.path())
}

fn enhanced(volume: &Volume, options: &CtOptions) -> LoadedVolume {
    let folder = tempfile::tempdir().unwrap();
    write_enhanced_ct(&folder.path().join("IM0001.dcm"), volume, &identity(), options).unwrap();
    read(folder.path())
}

/// The options of every encoding and representation.
fn all() -> impl Iterator<Item = CtOptions> {
    Encoding::ALL.iter().copied().flat_map(|encoding| {
        [(false, -1024, false), (true, 0, false), (false, -1024, true), (true, 0, true)].map(
            |(signed, intercept, rescale_per_slice)| CtOptions {
                encoding,
                signed,
                intercept,
                rescale_per_slice,
                ..options()
            },
        )
    })
}

#[test]
fn every_encoding_and_representation_keeps_the_hu() {
    let written = volume(STEPS);
    for options in all() {
        let found = single(&written, &options);
        assert_eq!(found.volume.voxels(), written.voxels(), "{options:?}");
        assert_eq!(enhanced(&written, &options).volume, found.volume, "{options:?}");
        assert_eq!((found.padded_voxels, found.lossy), (0, false));
    }
}

#[test]
fn a_slope_rounds_to_its_step() {
    let written = volume(STEPS);
    for slope in [0.5, 2.0, 0.1 + 0.2] {
        let options = CtOptions { slope, ..options() };
        for found in [single(&written, &options), enhanced(&written, &options)] {
            for (&found, &hu) in found.volume.voxels().iter().zip(written.voxels()) {
                assert!(f64::from((found - hu).abs()) <= slope / 2.0 + 0.5, "{found} for {hu} with slope {slope}");
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let none = CtOptions { slope: 0.0, ..options() };
    assert!(write_ct_series(folder.path(), &written, &identity(), &none).is_err());
    assert!(write_enhanced_ct(&folder.path().join("e.dcm"), &written, &identity(), &none).is_err());
}

#[test]
fn padding_is_read_as_padding() {
    let plain = volume(STEPS);
    let padded = plain.clone().map(|hu| if hu < -500 { -2000 } else { hu });
    let expected = plain.map(|hu| if hu < -500 { AIR_HU } else { hu });
    let count = padded.voxels().iter().filter(|&&hu| hu == -2000).count() as u64;
    assert!(count > 0);
    for (signed, intercept) in [(true, 0), (true, -1024), (false, -8192), (false, -1024)] {
        for encoding in [Encoding::ImplicitLittle, Encoding::ExplicitBig, Encoding::Rle] {
            let options = CtOptions { signed, intercept, encoding, padding: Some(-2000), ..options() };
            for found in [single(&padded, &options), enhanced(&padded, &options)] {
                assert_eq!(found.padded_voxels, count, "{options:?}");
                assert_eq!(found.volume.voxels(), expected.voxels(), "{options:?}");
            }
        }
    }
    let both = CtOptions { padding: Some(-2000), rescale_per_slice: true, ..options() };
    assert_eq!(single(&padded, &both).padded_voxels, count);
    let folder = tempfile::tempdir().unwrap();
    assert!(write_enhanced_ct(&folder.path().join("e.dcm"), &padded, &identity(), &both).is_err());
}

#[test]
fn words_of_the_options_stand_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let options = CtOptions {
        image_type: "DERIVED\\SECONDARY\\AXIAL".into(),
        patient_position: "HFP".into(),
        derivation: Some("nodes put into a scan".into()),
        file_prefix: "CT".into(),
        gantry_tilt_degrees: Some(-7.5),
        acquisition_number: 3,
        ..options()
    };
    let paths = write_ct_series(folder.path(), &volume(STEPS), &identity(), &options).unwrap();
    assert!(paths[3].ends_with("CT0004.dcm"));
    assert!(headers(folder.path()).0.iter().all(|header| header.acquired.number == Some(3)));
    let bytes = std::fs::read(&paths[0]).unwrap();
    for word in ["DERIVED\\SECONDARY\\AXIAL", "HFP", "nodes put into a scan", "-7.5"] {
        assert!(bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
}

#[test]
fn the_same_options_give_the_same_bytes() {
    for options in all() {
        let bytes = [(); 2].map(|()| {
            let folder = tempfile::tempdir().unwrap();
            let mut paths = write_ct_series(folder.path(), &volume(STEPS), &identity(), &options).unwrap();
            paths.push(folder.path().join("enhanced.dcm"));
            write_enhanced_ct(&paths[4], &volume(STEPS), &identity(), &options).unwrap();
            paths.iter().flat_map(|path| std::fs::read(path).unwrap()).collect::<Vec<u8>>()
        });
        assert_eq!(bytes[0], bytes[1], "{options:?}");
    }
}
