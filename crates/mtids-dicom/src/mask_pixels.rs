//! The set pixels of a segmentation's frames, one frame at a time.
//!
//! Invariants: bits run on across frame borders in native data, from the lowest bit of each byte, and start anew in each compressed frame;
//! zeros cost nothing beyond being skipped eight bits at a time.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use crate::dataset::{DataSet, is_native};
use crate::error::{DicomError, ReasonCode};
use crate::limits::Limits;
use crate::pixels::codec::{decode as decode_frame, unpacks_bits};
use crate::pixels::description::{FragmentsOfFrames, fragments_of_frames};
use crate::prescan::scan;
use crate::prescan::skeleton::{EXPLICIT_BE, FileStamp, PixelPlace};

pub use crate::pixels::codec::FrameShape;

/// Pixels of a segmentation object.
pub struct MaskPixels {
    shape: FrameShape,
    limits: Limits,
    store: Store,
}

enum Store {
    /// All frames, one behind the other.
    Native { bytes: Vec<u8>, big_endian: bool },
    /// One by one.
    Compressed { file: File, syntax: String, frames: FragmentsOfFrames, stored: Vec<u8>, decoded: Vec<u8> },
}

impl MaskPixels {
    /// Opens the pixels of a scanned object.
    ///
    /// # Errors
    /// [`DicomError::File`], with [`ReasonCode::InvalidSegmentation`] where pixels are missing or too few.
    pub fn open(
        path: &Path,
        opened: &DataSet,
        shape: FrameShape,
        frames: u32,
        limits: &Limits,
    ) -> Result<Self, DicomError> {
        let invalid = |detail: String| DicomError::file(path, ReasonCode::InvalidSegmentation, detail);
        let unreadable = |detail: String| DicomError::file(path, ReasonCode::Unreadable, detail);
        let place = opened.pixels.as_ref().ok_or_else(|| invalid("there is no pixel data".into()))?;
        let syntax = opened.transfer_syntax.clone();
        let (skeleton, mut file) = scan(path, limits)?;
        let metadata = file.metadata().map_err(|error| unreadable(error.to_string()))?;
        if FileStamp::of(&metadata) != opened.stamp {
            return Err(unreadable("the file changed while it was being read".into()));
        }
        let store = match place {
            PixelPlace::Native { bytes: range, words } => {
                if !is_native(&syntax) {
                    return Err(invalid("pixel data of a compressed transfer syntax are not encapsulated".into()));
                }
                let needed = (shape.pixels() * frames as usize * usize::from(shape.bits_allocated)).div_ceil(8);
                if range.end - range.start < needed as u64 {
                    let found = range.end - range.start;
                    return Err(invalid(format!("{found} bytes of pixels, {needed} expected")));
                }
                let mut bytes = match skeleton.inflated {
                    Some(inflated) => inflated
                        .get(range.start as usize..range.end as usize)
                        .ok_or_else(|| unreadable("the data set ends inside its pixels".into()))?
                        .to_vec(),
                    None => read(&mut file, range).map_err(|error| unreadable(error.to_string()))?,
                };
                let big_endian = syntax == EXPLICIT_BE;
                if big_endian && *words && shape.bits_allocated < 16 {
                    bytes.chunks_exact_mut(2).for_each(<[u8]>::reverse);
                }
                Store::Native { bytes, big_endian: big_endian && shape.bits_allocated == 16 }
            }
            PixelPlace::Encapsulated { offsets, fragments } => {
                let offsets = offsets.as_deref().unwrap_or_default();
                let frames = fragments_of_frames(&opened.object, offsets, fragments, frames).map_err(invalid)?;
                Store::Compressed { file, syntax, frames, stored: Vec::new(), decoded: Vec::new() }
            }
        };
        Ok(Self { shape, limits: *limits, store })
    }

    /// Calls `take` with index and value of each pixel of a frame that is not 0.
    ///
    /// # Errors
    /// A sentence, for a frame that cannot be decoded.
    pub fn set(&mut self, frame: usize, mut take: impl FnMut(usize, u32)) -> Result<(), String> {
        let (pixels, bits) = (self.shape.pixels(), usize::from(self.shape.bits_allocated));
        let (bytes, first, bits, big_endian) = match &mut self.store {
            Store::Native { bytes, big_endian } => (bytes.as_slice(), frame * pixels, bits, *big_endian),
            Store::Compressed { file, syntax, frames, stored, decoded } => {
                stored.clear();
                for range in frames.get(frame).map_or(&[][..], |fragments| fragments) {
                    stored.extend(read(file, range).map_err(|error| error.to_string())?);
                }
                decode_frame(syntax, stored, self.shape, &self.limits, decoded).map_err(|(_, detail)| detail)?;
                let bits = if bits == 1 && unpacks_bits(syntax) { 8 } else { bits };
                (decoded.as_slice(), 0, bits, false)
            }
        };
        match bits {
            1 => set_bits(bytes, first, pixels, take),
            8 => {
                let values = bytes.iter().skip(first).take(pixels);
                values.enumerate().filter(|(_, value)| **value != 0).for_each(|(n, value)| take(n, u32::from(*value)));
            }
            _ => {
                for (n, pair) in bytes.chunks_exact(2).skip(first).take(pixels).enumerate() {
                    let pair = [pair[0], pair[1]];
                    let value = if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
                    if value != 0 {
                        take(n, u32::from(value));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Calls `take` for each set bit of `count` bits from bit `first` on, numbered from 0.
fn set_bits(bytes: &[u8], first: usize, count: usize, mut take: impl FnMut(usize, u32)) {
    let end = first + count;
    for (at, &byte) in bytes.iter().enumerate().skip(first / 8).take(end.div_ceil(8) - first / 8) {
        let mut rest = byte;
        while rest != 0 {
            let bit = 8 * at + rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if (first..end).contains(&bit) {
                take(bit - first, 1);
            }
        }
    }
}

fn read(file: &mut File, range: &Range<u64>) -> std::io::Result<Vec<u8>> {
    // The scan has checked that the range lies in the file.
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.seek(SeekFrom::Start(range.start))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_run_on_across_frames() {
        let bits = |first, count| {
            let mut found = Vec::new();
            set_bits(&[0b1000_0001, 0b0000_0011, 0xFF], first, count, |n, _| found.push(n));
            found
        };
        assert_eq!(bits(0, 9), [0, 7, 8]);
        assert_eq!(bits(9, 9), [0, 7, 8]);
        assert!(bits(10, 6).is_empty());
    }
}
