//! The bytes of one frame, read in place.
//!
//! Why not through the parser: it copies pixel data twice and reserves new memory for each slice, which was most of the time to read a
//! series. Invariants: buffers are reused from frame to frame; a file that is no longer the one that was scanned is refused.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

use crate::error::{DicomError, ReasonCode};
use crate::image_header::InstanceHeader;
use crate::limits::Limits;
use crate::pixels::codec;
use crate::pixels::description::FramesAt;
use crate::prescan::scan;
use crate::prescan::skeleton::{EXPLICIT_BE, FileStamp};

/// Reads frames, keeping the last file open and its buffers.
#[derive(Default)]
pub(crate) struct FrameReader {
    open: Option<(PathBuf, Source)>,
    stored: Vec<u8>,
    decoded: Vec<u8>,
}

enum Source {
    File(File),
    Inflated(Vec<u8>),
}

impl FrameReader {
    /// Appends the samples of two bytes of the frame that `header` describes.
    ///
    /// # Errors
    /// As [`Self::samples`].
    pub(crate) fn words(
        &mut self,
        header: &InstanceHeader,
        limits: &Limits,
        into: &mut Vec<i16>,
    ) -> Result<(), DicomError> {
        let image = &header.pixels;
        let start = into.len();
        into.resize(start + image.shape.pixels(), 0);
        let words = &mut into[start..];
        match header.at.frames {
            FramesAt::Native { start, .. } => {
                self.open(header, limits)?;
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
                let begin = start + u64::from(header.frame) * bytes.len() as u64;
                if let Some((_, source)) = &mut self.open {
                    source
                        .read_at(begin, bytes)
                        .map_err(|error| DicomError::file(&header.path, ReasonCode::Unreadable, error.to_string()))?;
                }
            }
            FramesAt::Fragments(_) => {
                let samples = self.samples(header, limits)?;
                // The codec gives exactly the bytes of the frame.
                bytemuck::cast_slice_mut(words).copy_from_slice(samples);
            }
        }
        // What was read is as the file has it: in the other order here for big-endian files, or on a big-endian machine.
        if (*image.transfer_syntax == *EXPLICIT_BE) != cfg!(target_endian = "big") {
            words.iter_mut().for_each(|word| *word = word.swap_bytes());
        }
        Ok(())
    }

    /// The little-endian samples of the frame that `header` describes.
    ///
    /// # Errors
    /// [`DicomError::File`] with the reason.
    pub(crate) fn samples(&mut self, header: &InstanceHeader, limits: &Limits) -> Result<&[u8], DicomError> {
        let (path, image) = (header.path.as_path(), &header.pixels);
        let refuse = |reason, detail: String| DicomError::file(path, reason, detail);
        self.open(header, limits)?;
        // `open` has set it.
        let Some((_, source)) = &mut self.open else {
            return Err(refuse(ReasonCode::Unreadable, "the file is not open".into()));
        };
        let unreadable = |error: std::io::Error| DicomError::file(path, ReasonCode::Unreadable, error.to_string());
        match &header.at.frames {
            FramesAt::Native { start, words } => {
                let bytes = image.shape.bytes() as u64;
                let begin = start + u64::from(header.frame) * bytes;
                // Bytes in big-endian words come in pairs, of which a frame may cut one.
                let swapped_bytes = *image.transfer_syntax == *EXPLICIT_BE && *words && image.layout.bytes == 1;
                let (first, end) =
                    if swapped_bytes { (begin & !1, (begin + bytes + 1) & !1) } else { (begin, begin + bytes) };
                source.read(std::slice::from_ref(&(first..end)), &mut self.stored).map_err(unreadable)?;
                if *image.transfer_syntax == *EXPLICIT_BE {
                    swap(&mut self.stored, image.layout.bytes.max(if swapped_bytes { 2 } else { 1 }));
                }
                let skip = (begin - first) as usize;
                Ok(&self.stored[skip..skip + bytes as usize])
            }
            FramesAt::Fragments(frames) => {
                let fragments = frames.get(header.frame as usize).map_or(&[][..], |fragments| fragments);
                source.read(fragments, &mut self.stored).map_err(unreadable)?;
                codec::decode(&image.transfer_syntax, &self.stored, image.shape, limits, &mut self.decoded)
                    .map_err(|(reason, detail)| refuse(reason, detail))?;
                Ok(&self.decoded)
            }
        }
    }

    fn open(&mut self, header: &InstanceHeader, limits: &Limits) -> Result<(), DicomError> {
        let path = header.path.as_path();
        if self.open.as_ref().is_some_and(|(open, _)| open == path) {
            return Ok(());
        }
        let unreadable = |error: std::io::Error| DicomError::file(path, ReasonCode::Unreadable, error.to_string());
        let changed = || DicomError::file(path, ReasonCode::Unreadable, "the file changed while it was being read");
        let source = if header.pixels.deflated {
            let (skeleton, _) = scan(path, limits)?;
            if skeleton.stamp != header.at.stamp {
                return Err(changed());
            }
            Source::Inflated(skeleton.inflated.unwrap_or_default())
        } else {
            let file = File::open(path).map_err(unreadable)?;
            if FileStamp::of(&file.metadata().map_err(unreadable)?) != header.at.stamp {
                return Err(changed());
            }
            Source::File(file)
        };
        self.open = Some((path.to_owned(), source));
        Ok(())
    }
}

impl Source {
    /// Reads `ranges`, one behind the other, into `into`, replacing what it held.
    fn read(&mut self, ranges: &[Range<u64>], into: &mut Vec<u8>) -> std::io::Result<()> {
        let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        // Not cleared first: bytes that are read over need no zeros.
        into.resize(total as usize, 0);
        let mut rest = into.as_mut_slice();
        for range in ranges {
            let (part, behind) = rest.split_at_mut((range.end - range.start) as usize);
            rest = behind;
            self.read_at(range.start, part)?;
        }
        Ok(())
    }

    fn read_at(&mut self, start: u64, into: &mut [u8]) -> std::io::Result<()> {
        match self {
            Self::File(file) => {
                file.seek(SeekFrom::Start(start))?;
                file.read_exact(into)
            }
            Self::Inflated(bytes) => {
                let bytes = bytes.get(start as usize..).and_then(|rest| rest.get(..into.len()));
                into.copy_from_slice(bytes.ok_or(std::io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }
}

/// Turns big-endian samples of `width` bytes around.
fn swap(bytes: &mut [u8], width: usize) {
    if width > 1 {
        bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
}
