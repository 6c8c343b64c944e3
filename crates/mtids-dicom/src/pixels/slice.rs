//! One slice, from its file to values: HU, or the unit of its rescale.

use crate::error::DicomError;
use crate::image_header::InstanceHeader;
use crate::limits::Limits;
use crate::pixels::frame::FrameReader;
use crate::pixels::stored;
use crate::tally::Tally;

/// Appends the HU of one slice, row by row; returns what was counted of them.
///
/// # Errors
/// [`DicomError::File`] naming what the decoder got wrong.
pub(crate) fn decode_slice(
    header: &InstanceHeader,
    limits: &Limits,
    reader: &mut FrameReader,
    into: &mut Vec<i16>,
) -> Result<Tally, DicomError> {
    let start = into.len();
    if header.pixels.layout.bytes == 2 {
        // Nearly every CT: read where the result will stand.
        reader.words(header, limits, into)?;
        let words = &mut into[start..];
        let overflowing = stored::overflowing_words(words, &header.pixels);
        let padded = stored::to_hu_in_place(words, &header.pixels, &header.modality_lut);
        return Ok(Tally::of_hu(words, padded, overflowing));
    }
    let samples = reader.samples(header, limits)?;
    let overflowing = stored::overflowing(samples, &header.pixels);
    let padded = stored::to_hu(samples, &header.pixels, &header.modality_lut, into);
    Ok(Tally::of_hu(&into[start..], padded, overflowing))
}

/// Appends the values of one slice in the unit that its rescale gives (activity, for PET); padding is 0. Of them only padding is counted.
///
/// # Errors
/// As [`decode_slice`].
pub(crate) fn decode_values(
    header: &InstanceHeader,
    limits: &Limits,
    reader: &mut FrameReader,
    into: &mut Vec<f32>,
) -> Result<Tally, DicomError> {
    let samples = reader.samples(header, limits)?;
    let padded = stored::to_values(samples, &header.pixels, &header.modality_lut, into);
    Ok(Tally::of_padding(padded))
}
