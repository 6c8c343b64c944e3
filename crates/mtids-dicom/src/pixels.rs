//! Stored samples become Hounsfield units.
//!
//! Invariants: the sign is extended from HighBit, whatever the decoder believes; rescale slope and intercept are those of the slice;
//! padding becomes air before rescaling; a value outside `i16` is clamped. Why not ask the decoder for `i16`: it builds a table over
//! every storable value and fails if one that does not occur is out of range.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;
use dicom::pixeldata::PixelDecoder;
use mtids_core::volume::AIR_HU;

use crate::element::{integer, number, pixel_value, text};
use crate::error::{DicomError, ReasonCode};
use crate::header::InstanceHeader;
use crate::jpeg_ls;
use crate::limits::Limits;
use crate::source::{chain, is_native, open};

const JPEG_LS_LOSSLESS: &str = "1.2.840.10008.1.2.4.80";
const JPEG_LS_NEAR_LOSSLESS: &str = "1.2.840.10008.1.2.4.81";

/// How samples lie in memory.
struct Layout {
    bytes: usize,
    bits_stored: u32,
    high_bit: u32,
    signed: bool,
}

/// Appends the HU of one slice, row by row; returns the number of padding pixels.
///
/// # Errors
/// [`DicomError::File`] naming what the image module or the decoder got wrong.
pub(crate) fn decode_slice(header: &InstanceHeader, limits: &Limits, into: &mut Vec<i16>) -> Result<u64, DicomError> {
    let path = &header.path;
    let refuse = |reason, detail: String| DicomError::file(path, reason, detail);
    // Scanned again: the file may have changed since its header was read.
    let object = open(path, limits, None)?.object;
    let layout = layout(&object).map_err(|detail| refuse(ReasonCode::InvalidImageModule, detail))?;
    let count = header.rows as usize * header.columns as usize;
    if integer(&object, tags::ROWS) != Some(header.rows) || integer(&object, tags::COLUMNS) != Some(header.columns) {
        return Err(refuse(ReasonCode::InvalidImageModule, "the file changed while it was being read".into()));
    }

    let samples = samples(&object, header, &layout, count).map_err(|(reason, detail)| refuse(reason, detail))?;
    let slope = number(&object, tags::RESCALE_SLOPE).unwrap_or(1.0);
    let intercept = number(&object, tags::RESCALE_INTERCEPT).unwrap_or(0.0);
    if slope == 0.0 {
        return Err(refuse(ReasonCode::InvalidImageModule, "RescaleSlope is zero".into()));
    }
    let padding = padding(&object, &layout);
    let inverted = text(&object, tags::PHOTOMETRIC_INTERPRETATION).as_deref() == Some("MONOCHROME1");
    let top = if layout.signed { -1 } else { (1i64 << layout.bits_stored) - 1 };
    let rescale = Rescale { slope, intercept, inverted, top };
    Ok(if layout.bytes == 2 {
        layout.convert_16(&samples, rescale, padding, into)
    } else {
        let padded = |stored: i64| padding.is_some_and(|(low, high)| (low..=high).contains(&stored));
        let mut count = 0;
        for sample in samples.chunks_exact(layout.bytes) {
            let stored = layout.value(sample);
            let outside = padded(stored);
            count += u64::from(outside);
            into.push(if outside { AIR_HU } else { rescale.hu(stored) });
        }
        count
    })
}

/// From stored values to HU.
#[derive(Clone, Copy)]
struct Rescale {
    slope: f64,
    intercept: f64,
    inverted: bool,
    /// Largest stored value, from which an inverted image counts down.
    top: i64,
}

impl Rescale {
    fn hu(self, stored: i64) -> i16 {
        let stored = if self.inverted { self.top - stored } else { stored };
        // `round` is half away from zero; the cast saturates at the ends of i16.
        (stored as f64 * self.slope + self.intercept).round() as i16
    }

    /// Slope and intercept as whole numbers, where they are and no product leaves `i32`: nearly every CT.
    fn whole(self) -> Option<(i32, i32)> {
        let whole = |x: f64, limit: f64| (x.fract() == 0.0 && x.abs() <= limit).then_some(x as i32);
        if self.inverted {
            return None;
        }
        // |stored| < 2^16, so |stored · slope + intercept| < 2^26 + 2^24.
        Some((whole(self.slope, 1024.0)?, whole(self.intercept, 16_777_216.0)?))
    }
}

impl Layout {
    /// The stored value of one little-endian sample: shifted down to bit 0, sign extended from the high bit.
    fn value(&self, sample: &[u8]) -> i64 {
        let raw = sample.iter().rev().fold(0i64, |value, &byte| (value << 8) | i64::from(byte));
        let value = (raw >> (self.high_bit + 1 - self.bits_stored)) & ((1i64 << self.bits_stored) - 1);
        if self.signed && value >> (self.bits_stored - 1) & 1 == 1 { value - (1i64 << self.bits_stored) } else { value }
    }

    /// [`Layout::value`] and [`Rescale::hu`] for samples of two bytes, in loops without branches that the compiler turns into vector code:
    /// conversion was more than half of the time to read a series. Returns the number of padding pixels.
    fn convert_16(&self, samples: &[u8], rescale: Rescale, padding: Option<(i64, i64)>, into: &mut Vec<i16>) -> u64 {
        // Shifting the high bit to the top, then down, leaves the stored bits, with or without sign.
        let (up, down) = (15 - self.high_bit, 16 - self.bits_stored);
        let signed = |raw: u16| i32::from((raw << up) as i16 >> down);
        let unsigned = |raw: u16| i32::from((raw << up) >> down);
        // A range outside of all values stands for "no padding".
        let limit = |value: i64| value.clamp(-70_000, 70_000) as i32;
        let padding = padding.map_or((1, 0), |(low, high)| (limit(low), limit(high)));
        let float = |stored: i32| rescale.hu(i64::from(stored));
        match (self.signed, rescale.whole()) {
            (true, Some((slope, intercept))) => {
                append(samples, signed, |x| clamp(x * slope + intercept), padding, into)
            }
            (false, Some((slope, intercept))) => {
                append(samples, unsigned, |x| clamp(x * slope + intercept), padding, into)
            }
            (true, None) => append(samples, signed, float, padding, into),
            (false, None) => append(samples, unsigned, float, padding, into),
        }
    }
}

fn clamp(hu: i32) -> i16 {
    hu.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// Appends the HU of little-endian samples of two bytes; values from `low` to `high` are padding, and counted.
fn append(
    samples: &[u8],
    stored: impl Fn(u16) -> i32,
    hu: impl Fn(i32) -> i16,
    (low, high): (i32, i32),
    into: &mut Vec<i16>,
) -> u64 {
    let start = into.len();
    let value = |sample: &[u8]| stored(u16::from_le_bytes([sample[0], sample[1]]));
    let outside = |value: i32| value >= low && value <= high;
    into.resize(start + samples.len() / 2, 0);
    for (into, sample) in into[start..].iter_mut().zip(samples.chunks_exact(2)) {
        let value = value(sample);
        *into = if outside(value) { AIR_HU } else { hu(value) };
    }
    // Counted only where there is anything to count: AIR_HU is a legal value too.
    if low > high || !into[start..].contains(&AIR_HU) {
        return 0;
    }
    samples.chunks_exact(2).map(value).filter(|&value| outside(value)).count() as u64
}

fn layout(object: &InMemDicomObject) -> Result<Layout, String> {
    let get = |tag, name: &str| integer(object, tag).ok_or_else(|| format!("{name} is missing"));
    let bits_allocated = get(tags::BITS_ALLOCATED, "BitsAllocated")?;
    if !matches!(bits_allocated, 8 | 16 | 32) {
        return Err(format!("BitsAllocated is {bits_allocated}; 8, 16 and 32 are read"));
    }
    let bits_stored = get(tags::BITS_STORED, "BitsStored")?;
    let high_bit = integer(object, tags::HIGH_BIT).unwrap_or(bits_stored.saturating_sub(1));
    if bits_stored == 0 || bits_stored > bits_allocated || high_bit >= bits_allocated || high_bit + 1 < bits_stored {
        return Err(format!(
            "BitsStored {bits_stored} and HighBit {high_bit} do not fit {bits_allocated} allocated bits"
        ));
    }
    if integer(object, tags::SAMPLES_PER_PIXEL).unwrap_or(1) != 1 {
        return Err("colour images hold no HU".into());
    }
    if integer(object, tags::NUMBER_OF_FRAMES).unwrap_or(1) != 1 {
        return Err("several frames in a single-frame object".into());
    }
    let signed = get(tags::PIXEL_REPRESENTATION, "PixelRepresentation")? == 1;
    Ok(Layout { bytes: bits_allocated as usize / 8, bits_stored, high_bit, signed })
}

/// Little-endian samples, native or decoded.
fn samples(
    object: &dicom::object::DefaultDicomObject,
    header: &InstanceHeader,
    layout: &Layout,
    count: usize,
) -> Result<Vec<u8>, (ReasonCode, String)> {
    let expected = count * layout.bytes;
    let element = object.get(tags::PIXEL_DATA).ok_or((ReasonCode::InvalidImageModule, "no pixel data".to_owned()))?;
    let samples = if is_native(&header.transfer_syntax) {
        // Words were put into the machine's order on reading; `to_bytes` lays them out again, little endian on every machine we build for.
        element.to_bytes().map_err(|error| (ReasonCode::InvalidImageModule, chain(&error)))?.into_owned()
    } else if matches!(header.transfer_syntax.trim_end_matches('\0'), JPEG_LS_LOSSLESS | JPEG_LS_NEAR_LOSSLESS) {
        let fragments = element.fragments().ok_or((ReasonCode::InvalidImageModule, "no fragments".to_owned()))?;
        jpeg_ls_samples(&fragments.concat(), header, layout, count)
            .map_err(|detail| (ReasonCode::DecodeFailed, detail))?
    } else {
        let decoded =
            catch_unwind(AssertUnwindSafe(|| object.decode_pixel_data().map(|decoded| decoded.data().to_vec())));
        match decoded {
            Err(_) => return Err((ReasonCode::DecodeFailed, "the pixel decoder failed on this file".into())),
            Ok(Err(error)) => {
                let detail = chain(&error);
                let reason = if detail.to_lowercase().contains("unsupported") || detail.contains("transfer syntax") {
                    ReasonCode::UnsupportedTransferSyntax
                } else {
                    ReasonCode::DecodeFailed
                };
                return Err((reason, format!("transfer syntax {}: {detail}", header.transfer_syntax)));
            }
            Ok(Ok(samples)) => samples,
        }
    };
    // Native data is padded to an even length; anything else that differs is a contradiction.
    if samples.len() < expected || samples.len() > expected + 1 {
        let detail = format!("{} bytes of pixels where {expected} belong", samples.len());
        return Err((ReasonCode::InvalidImageModule, detail));
    }
    let mut samples = samples;
    samples.truncate(expected);
    Ok(samples)
}

/// Little-endian samples of a JPEG-LS image of one frame.
fn jpeg_ls_samples(data: &[u8], header: &InstanceHeader, layout: &Layout, count: usize) -> Result<Vec<u8>, String> {
    let decoded = jpeg_ls::decode(data, count).map_err(|detail| format!("JPEG-LS: {detail}"))?;
    if (decoded.rows, decoded.columns) != (header.rows as usize, header.columns as usize) {
        return Err(format!("JPEG-LS: {} × {} samples, not those of the image module", decoded.rows, decoded.columns));
    }
    let width = layout.bytes;
    Ok(decoded.samples.iter().flat_map(|&sample| u32::from(sample).to_le_bytes().into_iter().take(width)).collect())
}

/// Stored values that mean "outside the field": PixelPaddingValue, up to PixelPaddingRangeLimit.
fn padding(object: &InMemDicomObject, layout: &Layout) -> Option<(i64, i64)> {
    let signed = |value: i64| match layout.signed && value >= 1 << 15 && layout.bytes == 2 {
        true => value - (1 << 16),
        false => value,
    };
    let value = signed(pixel_value(object, tags::PIXEL_PADDING_VALUE)?);
    let limit = pixel_value(object, tags::PIXEL_PADDING_RANGE_LIMIT).map_or(value, signed);
    Some((value.min(limit), value.max(limit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_sign_comes_from_the_high_bit() {
        let twelve = Layout { bytes: 2, bits_stored: 12, high_bit: 11, signed: true };
        assert_eq!(twelve.value(&[0xFF, 0x0F]), -1);
        assert_eq!(twelve.value(&[0xFF, 0xF7]), 0x7FF, "bits above the high bit are not part of the value");
        let shifted = Layout { bytes: 2, bits_stored: 12, high_bit: 15, signed: false };
        assert_eq!(shifted.value(&[0x1F, 0x80]), 0x801);
        let plain = Layout { bytes: 2, bits_stored: 16, high_bit: 15, signed: true };
        assert_eq!(plain.value(&[0x00, 0x80]), -32768);
    }

    proptest! {
        #[test]
        fn the_quick_way_for_two_bytes_is_the_plain_way(
            samples in prop::collection::vec(any::<u16>(), 1..40),
            stored in 1u32..=16,
            room in 0u32..16,
            signed: bool,
            inverted: bool,
            slope in prop_oneof![Just(1.0), Just(-3.0), Just(0.37), Just(2000.0)],
            intercept in prop_oneof![Just(-1024.0), Just(0.5), Just(40000.0)],
            padding in prop::option::of((-40000i64..70000, 0i64..3000)),
        ) {
            let high_bit = (stored - 1 + room).min(15);
            let layout = Layout { bytes: 2, bits_stored: stored, high_bit, signed };
            let rescale = Rescale { slope, intercept, inverted, top: if signed { -1 } else { (1 << stored) - 1 } };
            let padding = padding.map(|(low, more)| (low, low + more));
            let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            let mut quick = vec![7];
            let padded = layout.convert_16(&bytes, rescale, padding, &mut quick);
            let values: Vec<i64> = bytes.chunks_exact(2).map(|sample| layout.value(sample)).collect();
            let outside = |value: &i64| padding.is_some_and(|(low, high)| (low..=high).contains(value));
            let plain = values.iter().map(|value| if outside(value) { AIR_HU } else { rescale.hu(*value) });
            prop_assert_eq!(&quick[1..], plain.collect::<Vec<_>>());
            prop_assert_eq!(padded, values.iter().filter(|value| outside(value)).count() as u64);
        }
    }
}
