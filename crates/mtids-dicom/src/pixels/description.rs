//! What a header says of its pixels, checked: sides, bits, padding, and where each frame lies in the file.
//!
//! Invariants: sides and bits are possible; a native image has at least the bytes that its sides need; each frame of an encapsulated image has its
//! fragments. Everything behind this file may rely on it. Source: PS3.3 C.7.6.3, C.7.5.1.1.2 (padding), PS3.5 A.4 (fragments).

use std::ops::Range;
use std::sync::Arc;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::dataset::is_native;
use crate::element::{integer, pixel_value, text};
use crate::error::ReasonCode;
use crate::limits::Limits;
use crate::pixels::codec::{FrameShape, is_readable};
use crate::pixels::layout::Layout;
use crate::prescan::skeleton::{FileStamp, PixelPlace};

/// Most frames of one file: each becomes a header of its own.
const MAX_FRAMES: u32 = 1 << 16;
const EXTENDED_OFFSET_TABLE: Tag = Tag(0x7FE0, 0x0001);

/// How the pixels of a file are stored: alike for the slices of a series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredImage {
    pub(crate) transfer_syntax: Arc<str>,
    pub(crate) shape: FrameShape,
    pub(crate) layout: Layout,
    pub(crate) frames: u32,
    /// Stored values from the first to the second mean "outside the field".
    pub(crate) padding: Option<(i64, i64)>,
    /// A sample with all its allocated bits that means the same, where its value needs more bits than are stored.
    pub(crate) raw_padding: Option<u64>,
    /// The data set is deflated, and places are those of the inflated one.
    pub(crate) deflated: bool,
    /// Bytes behind the last frame that belong to no pixel; an even length needs none.
    pub(crate) excess: u32,
}

/// Where the pixels of one file lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredAt {
    pub(crate) frames: FramesAt,
    pub(crate) stamp: FileStamp,
}

/// For each frame the places of its fragments.
pub(crate) type FragmentsOfFrames = Arc<[Box<[Range<u64>]>]>;

/// Where frames lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FramesAt {
    /// One behind the other from this byte on.
    Native { start: u64, words: bool },
    /// The fragments of each frame.
    Fragments(FragmentsOfFrames),
}

/// Reads the image pixel module of a header whose file was scanned.
///
/// # Errors
/// The reason and a sentence.
pub(crate) fn describe(
    object: &InMemDicomObject,
    transfer_syntax: &str,
    place: Option<&PixelPlace>,
    deflated: bool,
    stamp: FileStamp,
    limits: &Limits,
) -> Result<(StoredImage, StoredAt), (ReasonCode, String)> {
    let invalid = |detail: String| (ReasonCode::InvalidImageModule, detail);
    if place.is_none() && object.get(tags::BITS_STORED).is_none() {
        let detail = "there is no PixelData (7FE0,0010); FloatPixelData and DoubleFloatPixelData are not read: export whole numbers with a rescale";
        return Err(invalid(detail.into()));
    }
    let layout = layout(object).map_err(invalid)?;
    let side = |tag, name: &str| {
        let side = integer(object, tag).and_then(|n| u16::try_from(n).ok()).filter(|&n| n > 0);
        side.ok_or_else(|| invalid(format!("{name} is missing or zero")))
    };
    let shape = FrameShape {
        rows: side(tags::ROWS, "Rows")?,
        columns: side(tags::COLUMNS, "Columns")?,
        // `layout` accepts 8, 16 and 32 only.
        bits_allocated: (layout.bytes * 8) as u16,
        bits_stored: layout.bits_stored as u16,
        signed: layout.signed,
    };
    let frames = match object.get(tags::NUMBER_OF_FRAMES) {
        None => 1,
        Some(_) => integer(object, tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1),
    };
    if frames > MAX_FRAMES {
        return Err((ReasonCode::TooLarge, format!("{frames} frames, more than the limit of {MAX_FRAMES}")));
    }
    let voxels = shape.pixels() as u64 * u64::from(frames);
    if voxels > limits.max_voxels {
        let detail = format!("{voxels} voxels, more than the limit of {}", limits.max_voxels);
        return Err((ReasonCode::TooLarge, detail));
    }
    let mut excess = 0;
    let frames_at = match place {
        None => return Err(invalid("there is no pixel data".into())),
        Some(PixelPlace::Native { bytes, words }) => {
            let (found, needed) = (bytes.end - bytes.start, voxels * layout.bytes as u64);
            if !is_native(transfer_syntax) {
                return Err(invalid("pixel data of a compressed transfer syntax are not encapsulated".into()));
            }
            excess = excess_bytes(found, needed, shape.bytes() as u64).map_err(invalid)?;
            FramesAt::Native { start: bytes.start, words: *words }
        }
        Some(PixelPlace::Encapsulated { .. }) if is_native(transfer_syntax) => {
            return Err(invalid(
                "pixel data of an uncompressed transfer syntax are encapsulated; TransferSyntaxUID is missing or wrong"
                    .into(),
            ));
        }
        Some(PixelPlace::Encapsulated { offsets, fragments }) => {
            if !is_readable(transfer_syntax) {
                // Refused when the pixels are asked for, with its name; the header is of use all the same.
                FramesAt::Fragments(Arc::from([]))
            } else {
                FramesAt::Fragments(
                    fragments_of_frames(object, offsets.as_deref().unwrap_or_default(), fragments, frames)
                        .map_err(invalid)?,
                )
            }
        }
    };
    let (padding, raw_padding) = padding(object, &layout);
    let transfer_syntax = transfer_syntax.into();
    let image = StoredImage { transfer_syntax, shape, layout, frames, padding, raw_padding, deflated, excess };
    Ok((image, StoredAt { frames: frames_at, stamp }))
}

/// Excess up to this many bytes is read behind a small frame too: a sector of a medium.
const SECTOR: u64 = 4096;

/// Bytes of native pixel data behind the last frame. Old writers padded pixel data, and readers should accept it (PS3.5 8.1.1); what is as
/// long as a frame, though, is one that NumberOfFrames does not count.
///
/// # Errors
/// A sentence for too few bytes, for whole frames too many, and for an excess that is no padding: at least a frame and a sector long.
fn excess_bytes(found: u64, needed: u64, frame: u64) -> Result<u32, String> {
    let Some(excess) = found.checked_sub(needed) else {
        return Err(format!("{found} bytes of pixels, {needed} expected; the file is cut off, or its sides are wrong"));
    };
    if excess == needed % 2 {
        return Ok(0);
    }
    if excess % frame == 0 && excess > 0 {
        let frames = found / frame;
        return Err(format!(
            "{found} bytes of pixels, {needed} expected: they hold {frames} frames; NumberOfFrames is wrong"
        ));
    }
    if excess >= frame.max(SECTOR) {
        return Err(format!("{found} bytes of pixels, {needed} expected; Rows, Columns or BitsAllocated are wrong"));
    }
    // At most a frame or a sector, and a frame has at most 2³² · 4 bytes.
    Ok(u32::try_from(excess).unwrap_or(u32::MAX))
}

/// Deals fragments to frames: all to a single frame, one to each, or as the extended or the basic offset table says.
pub(crate) fn fragments_of_frames(
    object: &InMemDicomObject,
    basic: &[u64],
    fragments: &[Range<u64>],
    frames: u32,
) -> Result<FragmentsOfFrames, String> {
    let (count, first) = (fragments.len(), fragments.first().ok_or("no fragment of pixel data")?.start);
    if frames == 1 {
        return Ok(Arc::from([fragments.into()]));
    }
    if count == frames as usize {
        return Ok(fragments.iter().map(|fragment| vec![fragment.clone()].into_boxed_slice()).collect());
    }
    let table = object.get(EXTENDED_OFFSET_TABLE).and_then(|element| element.to_bytes().ok());
    let offsets: Vec<u64> = table
        .as_deref()
        .unwrap_or_default()
        .chunks_exact(8)
        .map(|bytes| bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
        .collect();
    split_at(fragments, first, if offsets.is_empty() { basic } else { &offsets }, frames)
        .ok_or_else(|| format!("{count} fragments for {frames} frames, and no offset table that tells them apart"))
}

/// Cuts the fragments where frames begin; offsets count from the item of the first fragment, eight bytes before its value.
fn split_at(fragments: &[Range<u64>], first: u64, offsets: &[u64], frames: u32) -> Option<FragmentsOfFrames> {
    if offsets.len() != frames as usize {
        return None;
    }
    let mut groups: Vec<Vec<Range<u64>>> = Vec::with_capacity(offsets.len());
    for fragment in fragments {
        if offsets.get(groups.len()).is_some_and(|offset| first.checked_add(*offset) == Some(fragment.start)) {
            groups.push(Vec::new());
        }
        groups.last_mut()?.push(fragment.clone());
    }
    (groups.len() == offsets.len()).then(|| groups.into_iter().map(Vec::into_boxed_slice).collect())
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
        return Err("colour images have no HU".into());
    }
    if text(object, tags::PHOTOMETRIC_INTERPRETATION).as_deref() == Some("PALETTE COLOR") {
        return Err(
            "PhotometricInterpretation (0028,0004) is PALETTE COLOR: values are places in a table of colours, no HU"
                .into(),
        );
    }
    let signed = get(tags::PIXEL_REPRESENTATION, "PixelRepresentation")? == 1;
    Ok(Layout { bytes: bits_allocated as usize / 8, bits_stored, high_bit, signed })
}

/// What means "outside the field": stored values from PixelPaddingValue up to PixelPaddingRangeLimit, or all bits of a sample where the value
/// does not fit BitsStored. The VR of the value may have another sign than the pixels, so it is taken modulo the allocated bits.
fn padding(object: &InMemDicomObject, layout: &Layout) -> (Option<(i64, i64)>, Option<u64>) {
    let allocated = 8 * layout.bytes as u32;
    let modulo = 1i64 << allocated;
    let as_stored = |value: i64| match value.rem_euclid(modulo) {
        // No sample has it: some writers leave the value of images of more bits.
        _ if value < -modulo / 2 || value >= modulo => None,
        high if layout.signed && high >= modulo / 2 => Some(high - modulo),
        value => Some(value),
    };
    let Some(value) = pixel_value(object, tags::PIXEL_PADDING_VALUE).and_then(as_stored) else { return (None, None) };
    let limit = pixel_value(object, tags::PIXEL_PADDING_RANGE_LIMIT).and_then(as_stored);
    let half = 1i64 << (layout.bits_stored - 1);
    let storable = if layout.signed { -half..half } else { 0..2 * half };
    if limit.is_none() && !storable.contains(&value) {
        return (None, Some(value.rem_euclid(modulo) as u64));
    }
    let limit = limit.unwrap_or(value);
    (Some((value.min(limit), value.max(limit))), None)
}

#[cfg(test)]
impl StoredImage {
    /// An image of two-byte samples at the start of a file.
    pub(crate) fn for_tests(rows: u16, columns: u16) -> Self {
        Self {
            transfer_syntax: crate::prescan::skeleton::EXPLICIT_LE.into(),
            shape: FrameShape { rows, columns, bits_allocated: 16, bits_stored: 16, signed: false },
            layout: Layout { bytes: 2, bits_stored: 16, high_bit: 15, signed: false },
            frames: 1,
            padding: None,
            raw_padding: None,
            deflated: false,
            excess: 0,
        }
    }
}

#[cfg(test)]
impl StoredAt {
    /// The start of a file.
    pub(crate) fn for_tests() -> Self {
        Self { frames: FramesAt::Native { start: 0, words: true }, stamp: FileStamp::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excess_is_padding_or_frames_or_too_much() {
        // 24 × 28 pixels of two bytes.
        let excess = |found| excess_bytes(found, 1344, 1344);
        assert_eq!((excess(1344), excess(1406), excess(1344 + 2048)), (Ok(0), Ok(62), Ok(2048)));
        assert!(excess(1343).unwrap_err().contains("1344 expected"));
        assert!(excess(4032).unwrap_err().contains("3 frames"));
        assert!(excess(5441).unwrap_err().contains("wrong"));
        // An odd image has one byte of padding, of which nobody is told; and large ones have up to a frame.
        assert_eq!(
            (excess_bytes(25, 25, 25), excess_bytes(26, 25, 25), excess_bytes(28, 25, 25)),
            (Ok(0), Ok(0), Ok(3))
        );
        assert_eq!(excess_bytes(2 * 524_288 - 2, 524_288, 524_288), Ok(524_286));
    }

    #[test]
    fn padding_is_taken_modulo_the_allocated_bits() {
        use dicom_core::{DataElement, PrimitiveValue, VR};
        let of_value = |value: PrimitiveValue, bits_stored: u32, signed: bool| {
            let mut object = InMemDicomObject::new_empty();
            let vr = if matches!(value, PrimitiveValue::I16(_)) { VR::SS } else { VR::US };
            object.put(DataElement::new(tags::PIXEL_PADDING_VALUE, vr, value));
            padding(&object, &Layout { bytes: 2, bits_stored, high_bit: bits_stored - 1, signed })
        };
        let (us, ss) = (PrimitiveValue::from(63536u16), PrimitiveValue::from(-2000i16));
        for value in [us, ss] {
            assert_eq!(of_value(value.clone(), 16, true), (Some((-2000, -2000)), None));
            assert_eq!(of_value(value.clone(), 16, false), (Some((63536, 63536)), None));
            assert_eq!(of_value(value.clone(), 12, true), (Some((-2000, -2000)), None));
            assert_eq!(of_value(value, 12, false), (None, Some(63536)));
        }
        let mut eight = InMemDicomObject::new_empty();
        eight.put(DataElement::new(tags::PIXEL_PADDING_VALUE, VR::US, PrimitiveValue::from(63536u16)));
        let layout = Layout { bytes: 1, bits_stored: 8, high_bit: 7, signed: false };
        assert_eq!(padding(&eight, &layout), (None, None), "no sample of eight bits has it");
        assert_eq!(padding(&InMemDicomObject::new_empty(), &StoredImage::for_tests(1, 1).layout), (None, None));
    }

    #[test]
    fn fragments_are_cut_where_offsets_say() {
        let fragments = [8..18, 26..30, 38..50];
        let groups = split_at(&fragments, 8, &[0, 30], 2).unwrap();
        assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [2, 1]);
        assert!(split_at(&fragments, 8, &[0, 29], 2).is_none(), "an offset between fragments");
        assert!(split_at(&fragments, 8, &[0], 2).is_none(), "too few offsets");
        assert!(split_at(&fragments, 8, &[18, 30], 2).is_none(), "a fragment before the first frame");
    }
}
