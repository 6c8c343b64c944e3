//! One compressed frame becomes samples.
//!
//! RLE, JPEG-LS, deflate, lossless JPEG and JPEG of twelve bits are decoded here; JPEG of eight bits, JPEG 2000 and HTJ2K by the codecs of
//! dicom-rs, JPEG XL by jxl-oxide. Invariants: a frame is handed to a codec only if its codestream claims the sides of the image module; a panic of a codec is an error; what comes out has
//! exactly the bytes of the frame. Samples are little-endian, row by row.

use std::borrow::Cow;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom_dictionary_std::uids;
use dicom_encoding::adapters::{PixelDataObject, RawPixelData};
use dicom_encoding::transfer_syntax::{Codec, TransferSyntaxIndex};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use crate::dataset::{chain, is_native};
use crate::error::ReasonCode;
use crate::limits::Limits;
use crate::pixels::codestream::{self, Claim};
use crate::pixels::{jpeg_extended, jpeg_lossless, jpeg_ls, rle};

const DEFLATED_FRAME: &str = "1.2.840.10008.1.2.8.1";
const ENCAPSULATED_NATIVE: &str = "1.2.840.10008.1.2.1.98";

/// Why a frame was not decoded.
type Refusal = (ReasonCode, String);

/// The frame that the image module announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameShape {
    /// Rows of pixels.
    pub rows: u16,
    /// Columns of pixels.
    pub columns: u16,
    /// 8, 16 or 32; 1 for segmentations.
    pub bits_allocated: u16,
    /// Bits of a sample that are used.
    pub bits_stored: u16,
    /// Samples are two's complement (PixelRepresentation 1).
    pub signed: bool,
}

impl FrameShape {
    /// Pixels of a frame.
    pub fn pixels(self) -> usize {
        usize::from(self.rows) * usize::from(self.columns)
    }

    /// Bytes of a decoded frame; one-bit frames are packed.
    pub fn bytes(self) -> usize {
        (self.pixels() * usize::from(self.bits_allocated)).div_ceil(8)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Native,
    Deflate,
    Rle,
    JpegLs,
    Jpeg,
    Jpeg2000,
    JpegXl,
}

fn family(transfer_syntax: &str) -> Option<Family> {
    Some(match transfer_syntax {
        ENCAPSULATED_NATIVE => Family::Native,
        DEFLATED_FRAME => Family::Deflate,
        uids::RLE_LOSSLESS => Family::Rle,
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => Family::JpegLs,
        uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT | uids::JPEG_LOSSLESS | uids::JPEG_LOSSLESS_SV1 => {
            Family::Jpeg
        }
        uids::JPEG2000_LOSSLESS | uids::JPEG2000 | uids::HTJ2K_LOSSLESS | uids::HTJ2K_LOSSLESS_RPCL | uids::HTJ2K => {
            Family::Jpeg2000
        }
        uids::JPEGXL_LOSSLESS | uids::JPEGXLJPEG_RECOMPRESSION | uids::JPEGXL => Family::JpegXl,
        _ => return None,
    })
}

/// Whether this build reads pixels of the transfer syntax.
pub(crate) fn is_readable(transfer_syntax: &str) -> bool {
    is_native(transfer_syntax)
        || match family(transfer_syntax) {
            None => false,
            Some(Family::Native | Family::Deflate | Family::Rle | Family::JpegLs) => true,
            Some(Family::JpegXl) => cfg!(feature = "jpeg-xl"),
            Some(_) => TransferSyntaxRegistry.get(transfer_syntax).is_some_and(|syntax| syntax.can_decode_all()),
        }
}

/// Decodes a frame into `into`, replacing what it held. One-bit frames come out packed, or as a byte for each pixel where the codec has no
/// bits (JPEG 2000).
///
/// # Errors
/// The reason and a sentence.
pub(crate) fn decode(
    transfer_syntax: &str,
    data: &[u8],
    shape: FrameShape,
    limits: &Limits,
    into: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let family = family(transfer_syntax).filter(|_| is_readable(transfer_syntax));
    let family = family.ok_or_else(|| unsupported(transfer_syntax))?;
    if !limits.allows_expansion(data.len() as u64, shape.bytes() as u64) {
        let detail = format!("{} bytes claim to hold an image of {} bytes", data.len(), shape.bytes());
        return Err((ReasonCode::TooLarge, detail));
    }
    into.clear();
    // One guard for all codecs: a panic in any of them is an error of this frame.
    catch_unwind(AssertUnwindSafe(|| run(family, transfer_syntax, data, shape, into)))
        .unwrap_or_else(|_| Err("the pixel decoder failed on this file".into()))
        .map_err(|detail| (ReasonCode::DecodeFailed, detail))?;
    // One-bit frames of JPEG 2000 have a byte for each pixel; others may be padded to an even length.
    let expected = if shape.bits_allocated == 1 && family == Family::Jpeg2000 { shape.pixels() } else { shape.bytes() };
    if into.len() < expected || into.len() > expected + 1 {
        let detail = format!("{} bytes of pixels, {expected} expected", into.len());
        return Err((ReasonCode::InvalidImageModule, detail));
    }
    into.truncate(expected);
    Ok(())
}

fn run(
    family: Family,
    transfer_syntax: &str,
    data: &[u8],
    shape: FrameShape,
    into: &mut Vec<u8>,
) -> Result<(), String> {
    let bytes = usize::from(shape.bits_allocated).div_ceil(8);
    match family {
        Family::Native => into.extend_from_slice(data),
        Family::Deflate => {
            // Two bytes more than belong, to see that there is no more.
            let mut inflater = flate2::read::DeflateDecoder::new(data).take(shape.bytes() as u64 + 2);
            inflater.read_to_end(into).map_err(|error| format!("deflated frame: {error}"))?;
        }
        Family::Rle => rle::decode(data, shape.bytes() / bytes, bytes, into)?,
        Family::JpegLs => {
            let may_lose = transfer_syntax == uids::JPEGLS_NEAR_LOSSLESS;
            jpeg_ls_samples(data, shape, may_lose, into)?;
        }
        Family::Jpeg => {
            let claim = codestream::jpeg(data).ok_or("JPEG: no frame header")?;
            agree("JPEG", claim, shape)?;
            // The process must be that of the transfer syntax: loss cannot hide behind the name of a lossless one.
            let (dct, lossless) = (matches!(claim.process, 0xC0 | 0xC1), claim.process == 0xC3);
            let is_lossless = matches!(transfer_syntax, uids::JPEG_LOSSLESS | uids::JPEG_LOSSLESS_SV1);
            if !(if is_lossless { lossless } else { dct }) {
                return Err(format!(
                    "JPEG: a frame header FF{:02X} does not belong into this transfer syntax",
                    claim.process
                ));
            }
            let (rows, columns) = (shape.rows.into(), shape.columns.into());
            if lossless {
                let samples = jpeg_lossless::decode(data, rows, columns).map_err(|detail| format!("JPEG: {detail}"))?;
                put(&samples, shape, into)?;
            } else if claim.bits > 8 {
                let samples = jpeg_extended::decode(data, rows, columns).map_err(|detail| format!("JPEG: {detail}"))?;
                put(&samples, shape, into)?;
            } else {
                library(transfer_syntax, data, shape, 8, into)?;
            }
        }
        Family::Jpeg2000 => {
            let data = codestream::jpeg_2000_codestream(data).ok_or("JPEG 2000: no codestream")?;
            let claim = codestream::jpeg_2000(data).ok_or("JPEG 2000: no header that is read")?;
            agree("JPEG 2000", claim, shape)?;
            library(transfer_syntax, data, shape, shape.bits_allocated.max(8), into)?;
            let is_negative = |sample: &[u8]| sample.last().is_some_and(|high| high & 0x80 != 0);
            if claim.signed
                && !shape.signed
                && into.chunks_exact(usize::from(shape.bits_allocated / 8).max(1)).any(is_negative)
            {
                return Err("JPEG 2000: its samples are signed, and PixelRepresentation says that they are not".into());
            }
            if shape.signed && !claim.signed && shape.bits_allocated == 16 && claim.bits < 16 {
                // Two's complement of the codestream's bits, which the codestream does not know of.
                let up = 16 - claim.bits;
                for sample in into.chunks_exact_mut(2) {
                    let value = i16::from_le_bytes([sample[0], sample[1]]) << up >> up;
                    sample.copy_from_slice(&value.to_le_bytes());
                }
            }
        }
        Family::JpegXl => {
            let claim = codestream::jpeg_xl(data).ok_or("JPEG XL: no size header")?;
            agree("JPEG XL", claim, shape)?;
            jpeg_xl(data, shape, into)?;
            narrow_jpeg_xl(claim, shape, into)?;
        }
    }
    Ok(())
}

/// JPEG XL, with a bound on what the decoder may allocate: a frame may claim other sides than the image.
#[cfg(feature = "jpeg-xl")]
fn jpeg_xl(data: &[u8], shape: FrameShape, into: &mut Vec<u8>) -> Result<(), String> {
    let error = |error: Box<dyn std::error::Error + Send + Sync>| format!("JPEG XL: {error}");
    let limit = (64 << 20) + 64 * shape.pixels();
    let image = jxl_oxide::JxlImage::builder()
        .alloc_tracker(jxl_oxide::AllocTracker::with_limit(limit))
        .read(data)
        .map_err(error)?;
    let frame = image.render_frame(0).map_err(error)?;
    let mut stream = frame.stream();
    if (stream.width(), stream.height(), stream.channels()) != (shape.columns.into(), shape.rows.into(), 1) {
        return Err("JPEG XL: the frame differs from the image module".into());
    }
    if shape.bits_allocated == 8 {
        into.resize(shape.pixels(), 0);
        stream.write_to_buffer(into.as_mut_slice());
        return Ok(());
    }
    let mut words = vec![0u16; shape.pixels()];
    stream.write_to_buffer(&mut words);
    into.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    Ok(())
}

#[cfg(not(feature = "jpeg-xl"))]
fn jpeg_xl(_: &[u8], _: FrameShape, _: &mut Vec<u8>) -> Result<(), String> {
    Err("JPEG XL: no decoder in this build".into())
}

/// Whether one-bit frames of this transfer syntax come out of [`decode`] as a byte for each pixel.
pub(crate) fn unpacks_bits(transfer_syntax: &str) -> bool {
    family(transfer_syntax) == Some(Family::Jpeg2000)
}

/// Why pixels of a transfer syntax are not read, with its name.
pub(crate) fn unsupported(transfer_syntax: &str) -> Refusal {
    let name = TransferSyntaxRegistry.get(transfer_syntax).map_or("unknown", |syntax| syntax.name());
    (
        ReasonCode::UnsupportedTransferSyntax,
        format!("transfer syntax {transfer_syntax} ({name}) is not supported by this build"),
    )
}

fn agree(name: &str, claim: Claim, shape: FrameShape) -> Result<(), String> {
    if (claim.rows, claim.columns) != (u64::from(shape.rows), u64::from(shape.columns)) {
        return Err(format!("{name}: {} × {} samples, different from the image module", claim.rows, claim.columns));
    }
    match claim.components {
        1 => Ok(()),
        components => Err(format!("{name}: {components} components; grey images have one")),
    }
}

fn jpeg_ls_samples(data: &[u8], shape: FrameShape, may_lose: bool, into: &mut Vec<u8>) -> Result<(), String> {
    let decoded = jpeg_ls::decode(data, shape.pixels()).map_err(|detail| format!("JPEG-LS: {detail}"))?;
    if decoded.lossy && !may_lose {
        return Err("JPEG-LS: near-lossless data in the lossless transfer syntax".into());
    }
    if (decoded.rows, decoded.columns) != (usize::from(shape.rows), usize::from(shape.columns)) {
        return Err(format!(
            "JPEG-LS: {} × {} samples, different from the image module",
            decoded.rows, decoded.columns
        ));
    }
    put(&decoded.samples, shape, into)
}

/// Samples in the bytes of the shape.
fn put(samples: &[u16], shape: FrameShape, into: &mut Vec<u8>) -> Result<(), String> {
    if shape.bits_allocated == 8 && samples.iter().any(|sample| *sample > u8::MAX.into()) {
        return Err("samples of more than eight bits in an image of eight".into());
    }
    match shape.bits_allocated {
        16 => into.extend(samples.iter().flat_map(|sample| sample.to_le_bytes())),
        bits => {
            let width = usize::from(bits / 8);
            into.extend(samples.iter().flat_map(|&x| u32::from(x).to_le_bytes().into_iter().take(width)));
        }
    }
    Ok(())
}

/// Decodes with the codec of dicom-rs, whose output has `bits` for each sample, and brings it to the bits of the shape.
fn library(transfer_syntax: &str, data: &[u8], shape: FrameShape, bits: u16, into: &mut Vec<u8>) -> Result<(), String> {
    let syntax = TransferSyntaxRegistry.get(transfer_syntax).ok_or("unknown transfer syntax")?;
    let Codec::EncapsulatedPixelData(Some(codec), _) = syntax.codec() else {
        return Err("no decoder in this build".into());
    };
    let frame = OneFrame { transfer_syntax, shape: FrameShape { bits_allocated: bits, ..shape }, data };
    codec.decode_frame(&frame, 0, into).map_err(|error| chain(&error))?;
    if bits == 8 && shape.bits_allocated == 16 {
        // Samples of eight bits in an image of sixteen.
        let wide: Vec<u8> = into.iter().flat_map(|&sample| [sample, 0]).collect();
        *into = wide;
    }
    Ok(())
}

/// The codec spreads samples of fewer bits over the whole range of their bytes; this takes it back, exactly.
fn narrow_jpeg_xl(claim: Claim, shape: FrameShape, into: &mut [u8]) -> Result<(), String> {
    if claim.bits == u32::from(shape.bits_allocated) {
        return Ok(());
    }
    if shape.bits_allocated != 16 || !(2..=16).contains(&claim.bits) {
        return Err(format!("JPEG XL: samples of {} bits in an image of {} bits", claim.bits, shape.bits_allocated));
    }
    let top = (1u64 << claim.bits) - 1;
    for sample in into.chunks_exact_mut(2) {
        let wide = u64::from(u16::from_le_bytes([sample[0], sample[1]]));
        // Rounded; at most 2^bits − 1, which fits.
        sample.copy_from_slice(&(((wide * top + 32767) / 65535) as u16).to_le_bytes());
    }
    Ok(())
}

/// A file of one frame, as the codecs want to see it.
struct OneFrame<'a> {
    transfer_syntax: &'a str,
    shape: FrameShape,
    data: &'a [u8],
}

impl PixelDataObject for OneFrame<'_> {
    fn transfer_syntax_uid(&self) -> &str {
        self.transfer_syntax
    }

    fn rows(&self) -> Option<u16> {
        Some(self.shape.rows)
    }

    fn cols(&self) -> Option<u16> {
        Some(self.shape.columns)
    }

    fn samples_per_pixel(&self) -> Option<u16> {
        Some(1)
    }

    fn bits_allocated(&self) -> Option<u16> {
        Some(self.shape.bits_allocated)
    }

    fn bits_stored(&self) -> Option<u16> {
        Some(self.shape.bits_stored)
    }

    fn photometric_interpretation(&self) -> Option<&str> {
        Some("MONOCHROME2")
    }

    fn number_of_frames(&self) -> Option<u32> {
        Some(1)
    }

    fn number_of_fragments(&self) -> Option<u32> {
        Some(1)
    }

    fn fragment(&self, fragment: usize) -> Option<Cow<'_, [u8]>> {
        (fragment == 0).then_some(Cow::Borrowed(self.data))
    }

    fn offset_table(&self) -> Option<Cow<'_, [u32]>> {
        Some(Cow::Borrowed(&[]))
    }

    fn raw_pixel_data(&self) -> Option<RawPixelData> {
        Some(RawPixelData { fragments: vec![self.data.to_vec()].into(), offset_table: Vec::new().into() })
    }
}
