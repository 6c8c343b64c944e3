//! From bytes in a file to Hounsfield units, one frame at a time.
//!
//! The way: [`StoredImage`] (what the header says, checked) → [`FrameReader`] (the bytes of one frame, read in place) → [`codec`] (samples,
//! where they are compressed) → [`stored`] (sign, padding, rescale, HU). Invariants: nothing is allocated from a number in the file that
//! the checked image module does not confirm; a frame's bytes are those of the file that the scan walked.

mod codec;
mod codestream;
mod description;
mod frame;
mod jpeg_extended;
pub(crate) mod jpeg_ls;
mod markers;
mod modality;
pub(crate) mod rle;
mod stored;

use crate::error::DicomError;
use crate::header::InstanceHeader;
use crate::limits::Limits;

pub(crate) use codec::{FrameShape, decode as decode_frame, is_readable, unpacks_bits, unsupported};
pub(crate) use description::{FragmentsOfFrames, StoredAt, StoredImage, describe, fragments_of_frames};
pub(crate) use frame::FrameReader;
pub(crate) use modality::Modality;

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
