//! One slice, from its file to values: HU, or the unit of its rescale.

use crate::error::DicomError;
use crate::image_header::InstanceHeader;
use crate::limits::Limits;
use crate::pixels::frame::FrameReader;
use crate::pixels::stored;

/// Appends the HU of one slice, row by row; returns the number of padding pixels.
///
/// # Errors
/// [`DicomError::File`] naming what the decoder got wrong.
pub(crate) fn decode_slice(
    header: &InstanceHeader,
    limits: &Limits,
    reader: &mut FrameReader,
    into: &mut Vec<i16>,
) -> Result<u64, DicomError> {
    if header.pixels.layout.bytes == 2 {
        // Nearly every CT: read where the result will stand.
        let start = into.len();
        reader.words(header, limits, into)?;
        return Ok(stored::to_hu_in_place(&mut into[start..], &header.pixels, &header.modality_lut));
    }
    let samples = reader.samples(header, limits)?;
    Ok(stored::to_hu(samples, &header.pixels, &header.modality_lut, into))
}

/// Appends the values of one slice in the unit that its rescale gives (activity, for PET); padding is 0.
///
/// # Errors
/// As [`decode_slice`].
pub(crate) fn decode_values(
    header: &InstanceHeader,
    limits: &Limits,
    reader: &mut FrameReader,
    into: &mut Vec<f32>,
) -> Result<u64, DicomError> {
    let samples = reader.samples(header, limits)?;
    Ok(stored::to_values(samples, &header.pixels, &header.modality_lut, into))
}
