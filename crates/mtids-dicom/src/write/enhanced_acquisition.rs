//! The functional groups that say how the frames of an enhanced CT were acquired and reconstructed.
//!
//! The standard requires them of original frames (PS3.3 C.8.15.3). Invariant: the facts of the caller are written as they are, empty
//! where there is none; everything else is that of one made-up scanner, the same for every frame. Units: mm, degrees, s, ms, mA, kV, as the attributes have them.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_domain::geometry::{Voxel, norm};
use mtids_domain::volume::Volume;

use crate::write::options::CtOptions;
use crate::write::parts::{code, put, put_decimals, put_doubles, put_items};

/// Rotation time in s.
const REVOLUTION_S: f64 = 0.5;
/// Table feed of a rotation in mm; equal to the collimation, so that the pitch is 1.
const FEED_MM: f64 = 38.4;

/// Puts the groups, which all frames share, into `group`.
pub(crate) fn put_acquisition(group: &mut InMemDicomObject, volume: &Volume, options: &CtOptions) {
    let mut exposure = item(&[(tags::EXPOSURE_MODULATION_TYPE, VR::CS, "NONE")], &[]);
    for (tag, value) in [
        (tags::EXPOSURE_TIME_INMS, 1000.0 * REVOLUTION_S),
        (tags::X_RAY_TUBE_CURRENT_INM_A, 200.0),
        (tags::EXPOSURE_INM_AS, 200.0 * REVOLUTION_S),
        (tags::CTD_IVOL, 6.8),
    ] {
        put_doubles(&mut exposure, tag, &[value]);
    }
    let phantom = code("113691", "DCM", "IEC Body Dosimetry Phantom");
    put_items(&mut exposure, tags::CTDI_PHANTOM_TYPE_CODE_SEQUENCE, vec![phantom]);
    let filter = [(tags::FILTER_TYPE, VR::SH, "FLAT"), (tags::FILTER_MATERIAL, VR::CS, "ALUMINUM")];
    let mut tube = item(&filter, &[(tags::FOCAL_SPOTS, 1.0)]);
    match options.facts.kvp {
        Some(kvp) => put_decimals(&mut tube, tags::KVP, &[f64::from(kvp)]),
        None => put(&mut tube, tags::KVP, VR::DS, ""),
    }
    let acquisition_type = [
        (tags::ACQUISITION_TYPE, VR::CS, "SPIRAL"),
        (tags::CONSTANT_VOLUME_FLAG, VR::CS, "NO"),
        (tags::FLUOROSCOPY_FLAG, VR::CS, "NO"),
    ];
    for (sequence, item) in [
        (tags::CT_ACQUISITION_TYPE_SEQUENCE, item(&acquisition_type, &[])),
        (tags::CT_ACQUISITION_DETAILS_SEQUENCE, details(options.gantry_tilt_degrees.unwrap_or(0.0))),
        (tags::CT_TABLE_DYNAMICS_SEQUENCE, table()),
        (tags::CT_POSITION_SEQUENCE, position(volume)),
        (tags::CT_GEOMETRY_SEQUENCE, geometry()),
        (tags::CT_RECONSTRUCTION_SEQUENCE, reconstruction(volume, options.facts.kernel.as_deref())),
        (tags::CT_EXPOSURE_SEQUENCE, exposure),
        (tags::CTX_RAY_DETAILS_SEQUENCE, tube),
    ] {
        put_items(group, sequence, vec![item]);
    }
}

fn item(texts: &[(Tag, VR, &str)], decimals: &[(Tag, f64)]) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    texts.iter().for_each(|&(tag, vr, value)| put(&mut item, tag, vr, value));
    decimals.iter().for_each(|&(tag, value)| put_decimals(&mut item, tag, &[value]));
    item
}

fn details(tilt_degrees: f64) -> InMemDicomObject {
    let mut details = item(
        &[(tags::ROTATION_DIRECTION, VR::CS, "CW")],
        &[
            (tags::TABLE_HEIGHT, 150.0),
            (tags::GANTRY_DETECTOR_TILT, tilt_degrees),
            (tags::DATA_COLLECTION_DIAMETER, 500.0),
        ],
    );
    put_doubles(&mut details, tags::REVOLUTION_TIME, &[REVOLUTION_S]);
    put_doubles(&mut details, tags::SINGLE_COLLIMATION_WIDTH, &[0.6]);
    put_doubles(&mut details, tags::TOTAL_COLLIMATION_WIDTH, &[FEED_MM]);
    details
}

fn table() -> InMemDicomObject {
    let mut table = InMemDicomObject::new_empty();
    put_doubles(&mut table, tags::TABLE_SPEED, &[FEED_MM / REVOLUTION_S]);
    put_doubles(&mut table, tags::TABLE_FEED_PER_ROTATION, &[FEED_MM]);
    put_doubles(&mut table, tags::SPIRAL_PITCH_FACTOR, &[1.0]);
    table
}

/// The scanner turned around the middle of the volume.
fn position(volume: &Volume) -> InMemDicomObject {
    let middle = volume.dimensions().map(|side| (side as f64 - 1.0) / 2.0);
    let center = volume.affine().to_mm(Voxel(middle)).0;
    let mut position = InMemDicomObject::new_empty();
    put_doubles(&mut position, tags::TABLE_POSITION, &[0.0]);
    put_doubles(&mut position, tags::DATA_COLLECTION_CENTER_PATIENT, &center);
    put_doubles(&mut position, tags::RECONSTRUCTION_TARGET_CENTER_PATIENT, &center);
    position
}

fn geometry() -> InMemDicomObject {
    let mut geometry = item(&[], &[(tags::DISTANCE_SOURCE_TO_DETECTOR, 1040.0)]);
    put_doubles(&mut geometry, tags::DISTANCE_SOURCE_TO_DATA_COLLECTION_CENTER, &[570.0]);
    geometry
}

fn reconstruction(volume: &Volume, kernel: Option<&str>) -> InMemDicomObject {
    let [columns, rows, _] = volume.dimensions().map(|side| side as f64);
    let [row, column, _] = volume.affine().steps();
    let mut reconstruction = item(
        &[
            (tags::RECONSTRUCTION_ALGORITHM, VR::CS, "FILTER_BACK_PROJ"),
            (tags::CONVOLUTION_KERNEL, VR::SH, kernel.unwrap_or_default()),
            (tags::CONVOLUTION_KERNEL_GROUP, VR::CS, "SOFT_TISSUE"),
            (tags::IMAGE_FILTER, VR::SH, "NONE"),
        ],
        &[],
    );
    put_doubles(&mut reconstruction, tags::RECONSTRUCTION_FIELD_OF_VIEW, &[norm(row) * columns, norm(column) * rows]);
    put_doubles(&mut reconstruction, tags::RECONSTRUCTION_PIXEL_SPACING, &[norm(column), norm(row)]);
    put_doubles(&mut reconstruction, tags::RECONSTRUCTION_ANGLE, &[360.0]);
    reconstruction
}
