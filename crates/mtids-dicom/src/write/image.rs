//! What CT and PET slices have in common: a plane with a place, and two-byte samples.
//!
//! Positions come from the affine. Units: LPS mm.

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_domain::geometry::{Affine, Voxel, norm};

use crate::write::parts::{put, put_decimals, put_short};

/// Puts place, orientation, spacing and thickness of slice `k` of a grid.
pub(crate) fn put_plane(object: &mut InMemDicomObject, affine: &Affine, k: usize, thickness_mm: f64) {
    put_position(object, affine, k);
    put_orientation(object, affine);
    put_measures(object, affine, thickness_mm);
}

/// Puts the centre of the first pixel of slice `k`.
pub(crate) fn put_position(object: &mut InMemDicomObject, affine: &Affine, k: usize) {
    put_decimals(object, tags::IMAGE_POSITION_PATIENT, &affine.to_mm(Voxel([0.0, 0.0, k as f64])).0);
}

/// Puts the directions of rows and columns.
pub(crate) fn put_orientation(object: &mut InMemDicomObject, affine: &Affine) {
    let [row, column, _] = affine.steps();
    let orientation: Vec<f64> =
        row.iter().map(|x| x / norm(row)).chain(column.iter().map(|x| x / norm(column))).collect();
    put_decimals(object, tags::IMAGE_ORIENTATION_PATIENT, &orientation);
}

/// Puts the distances of rows and columns, and the thickness of a slice.
pub(crate) fn put_measures(object: &mut InMemDicomObject, affine: &Affine, thickness_mm: f64) {
    let [row, column, _] = affine.steps();
    put_decimals(object, tags::PIXEL_SPACING, &[norm(column), norm(row)]);
    put_decimals(object, tags::SLICE_THICKNESS, &[thickness_mm]);
}

/// Puts the description of two-byte samples: rows and columns, and whether they are signed.
pub(crate) fn put_pixel_module(object: &mut InMemDicomObject, [rows, columns]: [u16; 2], signed: bool) {
    put_short(object, tags::SAMPLES_PER_PIXEL, 1);
    put(object, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    put_short(object, tags::ROWS, rows);
    put_short(object, tags::COLUMNS, columns);
    put_short(object, tags::BITS_ALLOCATED, 16);
    put_short(object, tags::BITS_STORED, 16);
    put_short(object, tags::HIGH_BIT, 15);
    put_short(object, tags::PIXEL_REPRESENTATION, signed.into());
}
