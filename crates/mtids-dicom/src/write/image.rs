//! What CT and PET slices have in common: a plane with a place, and unsigned two-byte samples.
//!
//! Positions come from the affine. Units: LPS mm.

use dicom::core::VR;
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;
use mtids_core::geometry::{Affine, Voxel, norm};

use crate::write::parts::{put, put_decimals, put_short, put_words};

/// Puts place, orientation, spacing and thickness of slice `k` of a grid.
pub(crate) fn put_plane(object: &mut InMemDicomObject, affine: &Affine, k: usize, thickness_mm: f64) {
    let [row_step, column_step, _] = affine.steps();
    let (column_mm, row_mm) = (norm(row_step), norm(column_step));
    let orientation: Vec<f64> =
        row_step.iter().map(|x| x / column_mm).chain(column_step.iter().map(|x| x / row_mm)).collect();
    put_decimals(object, tags::IMAGE_POSITION_PATIENT, &affine.to_mm(Voxel([0.0, 0.0, k as f64])).0);
    put_decimals(object, tags::IMAGE_ORIENTATION_PATIENT, &orientation);
    put_decimals(object, tags::PIXEL_SPACING, &[row_mm, column_mm]);
    put_decimals(object, tags::SLICE_THICKNESS, &[thickness_mm]);
}

/// Puts `words`, row by row, with their rescale.
pub(crate) fn put_samples(
    object: &mut InMemDicomObject,
    [rows, columns]: [u16; 2],
    words: Vec<u16>,
    slope: f64,
    intercept: f64,
) {
    put_short(object, tags::SAMPLES_PER_PIXEL, 1);
    put(object, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    put_short(object, tags::ROWS, rows);
    put_short(object, tags::COLUMNS, columns);
    put_short(object, tags::BITS_ALLOCATED, 16);
    put_short(object, tags::BITS_STORED, 16);
    put_short(object, tags::HIGH_BIT, 15);
    put_short(object, tags::PIXEL_REPRESENTATION, 0);
    put_decimals(object, tags::RESCALE_INTERCEPT, &[intercept]);
    put_decimals(object, tags::RESCALE_SLOPE, &[slope]);
    put_words(object, words);
}
