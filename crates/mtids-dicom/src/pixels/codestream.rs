//! What a compressed image says of itself before it is decoded: sides, components, bits.
//!
//! Why: decoders reserve memory for the sides that a codestream claims, whatever the image module says; a few bytes can claim terabytes.
//! Invariant: a codestream goes to its decoder only if its sides are those of the image module. Sources: T.81 B.2 (JPEG), T.800 A.5.1
//! (JPEG 2000), ISO/IEC 18181-1 D.2 (JPEG XL).

/// Sides and components that a codestream claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) rows: u64,
    pub(crate) columns: u64,
    pub(crate) components: u32,
    /// Bits of a sample.
    pub(crate) bits: u32,
    /// Samples are signed (JPEG 2000).
    pub(crate) signed: bool,
    /// Code of the frame header (JPEG): the process.
    pub(crate) process: u8,
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_be_bytes([*data.get(at)?, *data.get(at + 1)?])))
}

fn long(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(word(data, at)?) << 16 | u64::from(word(data, at + 2)?))
}

/// JPEG: the first frame header.
pub(crate) fn jpeg(data: &[u8]) -> Option<Claim> {
    if !data.starts_with(&[0xFF, 0xD8]) {
        return None;
    }
    let mut at = 2;
    loop {
        if *data.get(at)? != 0xFF {
            return None;
        }
        let code = *data.get(at + 1)?;
        match code {
            0xFF => at += 1,
            0x01 | 0xD0..=0xD7 => at += 2,
            // Start of frame: all codes of the row but DHT, JPG and DAC.
            0xC0..=0xCF if !matches!(code, 0xC4 | 0xC8 | 0xCC) => {
                let (rows, columns) = (u64::from(word(data, at + 5)?), u64::from(word(data, at + 7)?));
                let (bits, components) = (u32::from(*data.get(at + 4)?), u32::from(*data.get(at + 9)?));
                return Some(Claim { rows, columns, components, bits, signed: false, process: code });
            }
            // No marker segment begins with these; a decoder might go on looking where this does not.
            0x00 | 0x02..=0xBF | 0xD8 | 0xD9 | 0xDA => return None,
            _ => at += 2 + word(data, at + 2)? as usize,
        }
    }
}

/// JPEG 2000 and HTJ2K: the codestream itself, also out of a JP2 file, whose boxes (palettes among them) have no place in DICOM.
pub(crate) fn jpeg_2000_codestream(data: &[u8]) -> Option<&[u8]> {
    if data.starts_with(&[0xFF, 0x4F]) { Some(data) } else { data.get(boxed_codestream(data)?..) }
}

/// Most tiles of a JPEG 2000 image; a slice has one or a few.
const MAX_TILES: u64 = 1024;
/// Smallest precinct of JPEG 2000, as a power of two: smaller ones cost hundreds of bytes for each pixel.
const LEAST_PRECINCT: u8 = 5;

/// JPEG 2000 and HTJ2K: the SIZ segment of a codestream, whose tiles and precincts are of a size that costs no more than the image.
pub(crate) fn jpeg_2000(data: &[u8]) -> Option<Claim> {
    // SOC, SIZ, length and capabilities before the sides of the reference grid.
    if word(data, 2)? != 0xFF51 {
        return None;
    }
    let [right, bottom, left, top] = [8, 12, 16, 20].map(|at| long(data, at));
    let components = word(data, 40)?;
    // Components may be smaller than the grid; a grey image with such a component is none that DICOM allows.
    let steps = (*data.get(43)?, *data.get(44)?);
    let (rows, columns) = (bottom?.checked_sub(top?)?, right?.checked_sub(left?)?);
    let depth = *data.get(42)?;
    let (bits, signed) = (u32::from(depth & 0x7F) + 1, depth & 0x80 != 0);
    let (tile_columns, tile_rows) = (long(data, 24)?, long(data, 28)?);
    let tiles = columns.div_ceil(tile_columns.max(1)).saturating_mul(rows.div_ceil(tile_rows.max(1)));
    if steps != (1, 1) || tiles > MAX_TILES || !precincts_are_usual(data, 2) {
        return None;
    }
    Some(Claim { rows, columns, components, bits, signed, process: 0 })
}

/// Whether COD and COC of the main header, from the marker at `at` on, name no tiny precincts.
fn precincts_are_usual(data: &[u8], mut at: usize) -> bool {
    loop {
        let (Some(marker), Some(length)) = (word(data, at), word(data, at + 2)) else { return false };
        let segment = data.get(at + 4..at + 2 + length as usize).unwrap_or_default();
        // Style, then (COD) order, layers, transform; then levels, blocks and a precinct for each level, where the style says so.
        let sizes = match marker {
            0xFF52 => segment.first().filter(|style| *style & 1 == 1).and_then(|_| segment.get(10..)),
            0xFF53 => segment.get(1).filter(|style| *style & 1 == 1).and_then(|_| segment.get(7..)),
            // The first tile part.
            0xFF90 => return true,
            _ => None,
        };
        let tiny = |size: &u8| size & 15 < LEAST_PRECINCT || size >> 4 < LEAST_PRECINCT;
        if sizes.unwrap_or_default().iter().any(tiny) || length < 2 {
            return false;
        }
        at += 2 + length as usize;
    }
}

/// Place of the codestream box of a JP2 file.
fn boxed_codestream(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let length = long(data, at)?;
        if data.get(at + 4..at + 8)? == b"jp2c" {
            return Some(at + 8);
        }
        // 0 (to the end) and 1 (64-bit length) stand only before a codestream here.
        at += usize::try_from(length).ok().filter(|&length| length >= 8)?;
    }
}

/// JPEG XL: size header and metadata, in a bare codestream or in a container.
pub(crate) fn jpeg_xl(data: &[u8]) -> Option<Claim> {
    let start = if data.starts_with(&[0xFF, 0x0A]) { 0 } else { boxed_jpeg_xl(data)? };
    let mut bits = LowBits { data: data.get(start + 2..)?, at: 0 };
    let (rows, columns) = jpeg_xl_sides(&mut bits)?;
    // Image metadata, as far as sample and colour are told; what DICOM has no use for (previews, animations, floats) is no claim.
    let claim = |components, bits| Some(Claim { rows, columns, components, bits, signed: false, process: 0 });
    if bits.flag()? {
        return claim(3, 8);
    }
    if bits.flag()? {
        let _orientation = bits.take(3)?;
        if bits.flag()? {
            jpeg_xl_sides(&mut bits)?;
        }
        let (preview, animation) = (bits.flag()?, bits.flag()?);
        if preview || animation {
            return None;
        }
    }
    if bits.flag()? {
        return None;
    }
    let depth = match bits.take(2)? {
        0 => 8,
        1 => 10,
        2 => 12,
        _ => bits.take(6)? as u32 + 1,
    };
    let _buffers = bits.flag()?;
    if bits.take(2)? != 0 {
        // Extra channels: no grey image of DICOM.
        return claim(2, depth);
    }
    let _xyb = bits.flag()?;
    if bits.flag()? {
        return claim(3, depth);
    }
    let _profile = bits.flag()?;
    claim(if bits.take(2)? == 1 { 1 } else { 3 }, depth)
}

fn jpeg_xl_sides(bits: &mut LowBits<'_>) -> Option<(u64, u64)> {
    let small = bits.flag()?;
    let side = |bits: &mut LowBits<'_>| -> Option<u64> {
        if small {
            return Some((bits.take(5)? + 1) * 8);
        }
        let width = [9, 13, 18, 30][bits.take(2)? as usize];
        Some(bits.take(width)? + 1)
    };
    let rows = side(bits)?;
    let columns = match bits.take(3)? {
        0 => side(bits)?,
        1 => rows,
        2 => rows * 12 / 10,
        3 => rows * 4 / 3,
        4 => rows * 3 / 2,
        5 => rows * 16 / 9,
        6 => rows * 5 / 4,
        _ => rows * 2,
    };
    Some((rows, columns))
}

fn boxed_jpeg_xl(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let length = long(data, at)?;
        let skip = match data.get(at + 4..at + 8)? {
            b"jxlc" => 8,
            // The first partial codestream has a counter before it.
            b"jxlp" => 12,
            _ => 0,
        };
        if skip > 0 {
            return data.get(at + skip..)?.starts_with(&[0xFF, 0x0A]).then_some(at + skip);
        }
        at += usize::try_from(length).ok().filter(|&length| length >= 8)?;
    }
}

/// Bits from the lowest of each byte on.
struct LowBits<'a> {
    data: &'a [u8],
    at: usize,
}

impl LowBits<'_> {
    fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    fn take(&mut self, count: usize) -> Option<u64> {
        let mut value = 0;
        for n in 0..count {
            let byte = *self.data.get(self.at / 8)?;
            value |= u64::from(byte >> (self.at % 8) & 1) << n;
            self.at += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_header_is_found_behind_other_segments() {
        let data = [
            0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2, 0xFF, 0xFF, 0xC4, 0, 3, 9, 0xFF, 0xC3, 0, 11, 16, 0x02, 0x00, 0x01,
            0x00, 1, 1, 0x11, 0,
        ];
        assert_eq!(
            jpeg(&data),
            Some(Claim { rows: 512, columns: 256, components: 1, bits: 16, signed: false, process: 0xC3 })
        );
        assert_eq!(jpeg(&data[..20]), None);
        // A decoder that skips FF00 would find the first frame header, a reader of segments the second.
        let hidden = [
            0xFF, 0xD8, 0xFF, 0x00, 0, 13, 0xFF, 0xC3, 0, 11, 16, 0xFF, 0xFF, 0xFF, 0xFF, 1, 1, 0x11, 0, 0xFF, 0xC3, 0,
            11, 16, 0, 16, 0, 16, 1, 1, 0x11, 0,
        ];
        assert_eq!(jpeg(&hidden), None);
    }

    #[test]
    fn tiles_and_precincts_that_cost_more_than_the_image_are_refused() {
        let codestream = |tile: u32, precinct: u8| {
            let mut data = vec![0xFF, 0x4F, 0xFF, 0x51, 0, 41, 0, 0];
            for value in [512, 512, 0, 0, tile, tile, 0, 0] {
                data.extend(u32::to_be_bytes(value));
            }
            data.extend([0, 1, 15, 1, 1]);
            data.extend([0xFF, 0x52, 0, 14, 1, 0, 0, 1, 0, 1, 4, 4, 0, 1, 0x88, precinct, 0xFF, 0x90, 0, 10]);
            data
        };
        let usual = Claim { rows: 512, columns: 512, components: 1, bits: 16, signed: false, process: 0 };
        assert_eq!(jpeg_2000(&codestream(512, 0x77)), Some(usual));
        assert_eq!(jpeg_2000(&codestream(512, 0x00)), None);
        assert_eq!(jpeg_2000(&codestream(4, 0x77)), None);
    }

    #[test]
    fn small_and_large_sides_of_jpeg_xl() {
        let sides = |bytes: &[u8]| jpeg_xl_sides(&mut LowBits { data: bytes, at: 0 });
        // small = 1, rows (7 + 1) · 8, ratio 1.
        assert_eq!(sides(&[1 | 7 << 1 | 1 << 6, 0]), Some((64, 64)));
        // small = 0, selector 0, rows 511 + 1 in 9 bits, ratio 1.
        let bits: u16 = 511 << 3 | 1 << 12;
        assert_eq!(sides(&bits.to_le_bytes()), Some((512, 512)));
        assert_eq!(sides(&[0]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (jpeg(&data), jpeg_2000_codestream(&data).and_then(jpeg_2000), jpeg_xl(&data));
            let boxed: Vec<u8> = [&[0, 0, 0, 12][..], b"jxlp", &data].concat();
            let _ = (jpeg_2000_codestream(&boxed).and_then(jpeg_2000), jpeg_xl(&boxed));
        }
    }
}
