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
    /// For JPEG: a DCT process, which has loss.
    pub(crate) lossy: bool,
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
                let lossy = matches!(code, 0xC0..=0xC2 | 0xC5 | 0xC6 | 0xC9 | 0xCA | 0xCD | 0xCE);
                return Some(Claim { rows, columns, components, bits, lossy });
            }
            0xD9 | 0xDA => return None,
            _ => at += 2 + word(data, at + 2)? as usize,
        }
    }
}

/// JPEG 2000 and HTJ2K: the SIZ segment, in a bare codestream or in a JP2 file.
pub(crate) fn jpeg_2000(data: &[u8]) -> Option<Claim> {
    let data = if data.starts_with(&[0xFF, 0x4F]) { data } else { &data[boxed_codestream(data)?..] };
    // SOC, SIZ, length and capabilities before the sides of the reference grid.
    if word(data, 2)? != 0xFF51 {
        return None;
    }
    let [right, bottom, left, top] = [8, 12, 16, 20].map(|at| long(data, at));
    let components = word(data, 40)?;
    // Components may be smaller than the grid; a grey image with such a component is none that DICOM allows.
    let steps = (*data.get(43)?, *data.get(44)?);
    let (rows, columns) = (bottom?.checked_sub(top?)?, right?.checked_sub(left?)?);
    let bits = u32::from(*data.get(42)? & 0x7F) + 1;
    (steps == (1, 1)).then_some(Claim { rows, columns, components, bits, lossy: false })
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
    let claim = |components, bits| Some(Claim { rows, columns, components, bits, lossy: false });
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
        assert_eq!(jpeg(&data), Some(Claim { rows: 512, columns: 256, components: 1, bits: 16, lossy: false }));
        assert_eq!(jpeg(&data[..20]), None);
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
            let _ = (jpeg(&data), jpeg_2000(&data), jpeg_xl(&data));
            let boxed: Vec<u8> = [&[0, 0, 0, 12][..], b"jxlp", &data].concat();
            let _ = (jpeg_2000(&boxed), jpeg_xl(&boxed));
        }
    }
}
