//! A look at a file's skeleton before the parser sees it.
//!
//! Purpose: the parser trusts declared lengths (it reserves memory for them) and recurses into sequences (a crafted file could
//! overflow the stack, which cannot be caught). This walk uses neither: it only skips from element to element.
//! Invariants: memory does not depend on the file; depth is bounded by [`Limits::max_depth`]; a declared length that runs past the end
//! of the file is [`ReasonCode::Truncated`]. Bytes that make no sense to the walk, without being out of bounds, are left to the parser.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{DicomError, ReasonCode};
use crate::limits::Limits;

const UNDEFINED: u32 = u32::MAX;
const ITEM: (u16, u16) = (0xFFFE, 0xE000);
const ITEM_END: (u16, u16) = (0xFFFE, 0xE00D);
const PIXEL_DATA: (u16, u16) = (0x7FE0, 0x0010);
const SEQUENCE_END: (u16, u16) = (0xFFFE, 0xE0DD);

const IMPLICIT_LE: &str = "1.2.840.10008.1.2";
const EXPLICIT_BE: &str = "1.2.840.10008.1.2.2";
const DEFLATED_LE: &str = "1.2.840.10008.1.2.1.99";

#[derive(Clone, Copy, PartialEq)]
struct Encoding {
    explicit: bool,
    big_endian: bool,
}

/// Walks the file. `Ok` means that the parser may have it.
///
/// # Errors
/// [`DicomError::File`] with [`ReasonCode::Empty`], `NotDicom`, `Truncated`, `TooDeep`, `TooLarge` or `Unreadable`.
pub fn check(path: &Path, limits: &Limits) -> Result<(), DicomError> {
    let unreadable = |error: io::Error| DicomError::file(path, ReasonCode::Unreadable, error.to_string());
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length == 0 {
        return Err(DicomError::file(path, ReasonCode::Empty, "the file is empty"));
    }
    if length > limits.max_file_bytes {
        let detail = format!("{length} bytes, more than the limit of {}", limits.max_file_bytes);
        return Err(DicomError::file(path, ReasonCode::TooLarge, detail));
    }
    let mut walk = Walk { reader: BufReader::with_capacity(4096, file), at: 0, length, limits };
    walk.run().map_err(|fault| match fault {
        Fault::Io(error) => unreadable(error),
        Fault::Reason(reason, detail) => DicomError::file(path, reason, detail),
    })
}

enum Fault {
    Io(io::Error),
    Reason(ReasonCode, String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

struct Walk<'a> {
    reader: BufReader<File>,
    at: u64,
    length: u64,
    limits: &'a Limits,
}

struct Container {
    /// First byte after it; `None` for undefined length.
    end: Option<u64>,
    /// Encapsulated pixel data, whose items are values.
    fragments: bool,
}

struct Element {
    tag: (u16, u16),
    /// Declared as a sequence.
    sequence: bool,
    /// Of a kind that the head does not tell (implicit encoding, or UN).
    unknown: bool,
    length: u32,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        let not_dicom = || Fault::Reason(ReasonCode::NotDicom, "no DICOM content, whatever its name".into());
        let mut head = [0u8; 132];
        let got = self.peek(&mut head)?;
        let start = if got == 132 && &head[128..] == b"DICM" { 132 } else { 0 };
        self.seek(start)?;
        let Some(first) = self.bytes::<8>()? else { return Err(not_dicom()) };
        let group = u16::from_le_bytes([first[0], first[1]]);
        let explicit = first[4].is_ascii_uppercase() && first[5].is_ascii_uppercase();
        if start == 0 && !matches!(group, 0x0002 | 0x0008) {
            return Err(not_dicom());
        }
        self.seek(start)?;
        let mut encoding = Encoding { explicit, big_endian: false };
        if group == 0x0002 {
            match self.meta()?.as_deref() {
                Some(DEFLATED_LE) => return Ok(()),
                Some(IMPLICIT_LE) => encoding = Encoding { explicit: false, big_endian: false },
                Some(EXPLICIT_BE) => encoding = Encoding { explicit: true, big_endian: true },
                _ => encoding = Encoding { explicit: true, big_endian: false },
            }
        }
        self.data_set(encoding)
    }

    /// Walks group 0002 (always explicit little endian) and returns the transfer syntax.
    fn meta(&mut self) -> Result<Option<String>, Fault> {
        let encoding = Encoding { explicit: true, big_endian: false };
        let mut syntax = None;
        loop {
            let before = self.at;
            let Some(element) = self.element(encoding)? else { return Ok(syntax) };
            if element.tag.0 != 0x0002 {
                self.seek(before)?;
                return Ok(syntax);
            }
            self.fits(&element)?;
            if element.tag.1 == 0x0010 && element.length <= 64 {
                let mut value = vec![0; element.length as usize];
                self.reader.read_exact(&mut value)?;
                self.at += u64::from(element.length);
                let text = String::from_utf8_lossy(&value);
                syntax = Some(text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned());
            } else {
                self.seek(self.at + u64::from(element.length))?;
            }
        }
    }

    fn data_set(&mut self, encoding: Encoding) -> Result<(), Fault> {
        let mut open: Vec<Container> = Vec::new();
        loop {
            while open.last().and_then(|container| container.end).is_some_and(|end| self.at >= end) {
                open.pop();
            }
            let Some(element) = self.element(encoding)? else {
                // The end of the file. An open container of undefined length never saw its delimiter.
                if open.iter().any(|container| container.end.is_none()) {
                    let detail = "the file ends inside a sequence or its pixel data".to_owned();
                    return Err(Fault::Reason(ReasonCode::Truncated, detail));
                }
                return Ok(());
            };
            match element.tag {
                ITEM_END | SEQUENCE_END => {
                    open.pop();
                    continue;
                }
                (0, 0) | (0xFFFC, 0xFFFC) if open.is_empty() => return Ok(()),
                _ => {}
            }
            let in_fragments = open.last().is_some_and(|container| container.fragments);
            let nested = match element.tag {
                ITEM => !in_fragments,
                _ => element.length == UNDEFINED || self.holds_items(&element)?,
            };
            if nested {
                let end = match element.length {
                    UNDEFINED => None,
                    length => {
                        self.fits(&element)?;
                        Some(self.at + u64::from(length))
                    }
                };
                open.push(Container { end, fragments: element.tag == PIXEL_DATA });
                // A sequence and its item are two containers of one level.
                if open.len() > 2 * self.limits.max_depth {
                    let detail = format!("sequences are nested deeper than {} levels", self.limits.max_depth);
                    return Err(Fault::Reason(ReasonCode::TooDeep, detail));
                }
            } else {
                self.fits(&element)?;
                self.seek(self.at + u64::from(element.length))?;
            }
        }
    }

    /// True for a value of defined length that the parser will read as items: a sequence, or an unknown value that begins as one.
    fn holds_items(&mut self, element: &Element) -> Result<bool, Fault> {
        if element.sequence || !element.unknown || element.length < 8 || element.tag == PIXEL_DATA {
            return Ok(element.sequence);
        }
        let before = self.at;
        let first = self.bytes::<4>()?;
        self.seek(before)?;
        Ok(first == Some([0xFE, 0xFF, 0x00, 0xE0]))
    }

    fn fits(&self, element: &Element) -> Result<(), Fault> {
        if self.at + u64::from(element.length) <= self.length {
            return Ok(());
        }
        let (group, number) = element.tag;
        let detail = format!(
            "element ({group:04X},{number:04X}) declares {} bytes where the file has {} left",
            element.length,
            self.length - self.at
        );
        Err(Fault::Reason(ReasonCode::Truncated, detail))
    }

    /// The next element's head, or `None` at the end of what can be understood.
    fn element(&mut self, encoding: Encoding) -> Result<Option<Element>, Fault> {
        let Some(head) = self.bytes::<8>()? else { return Ok(None) };
        let short =
            |a: u8, b: u8| if encoding.big_endian { u16::from_be_bytes([a, b]) } else { u16::from_le_bytes([a, b]) };
        let long = |b: [u8; 4]| if encoding.big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) };
        let tag = (short(head[0], head[1]), short(head[2], head[3]));
        let implicit_length = long([head[4], head[5], head[6], head[7]]);
        if tag.0 == 0xFFFE {
            let length = if tag == ITEM { implicit_length } else { 0 };
            return Ok(Some(Element { tag, sequence: false, unknown: false, length }));
        }
        if !encoding.explicit {
            return Ok(Some(Element { tag, sequence: false, unknown: true, length: implicit_length }));
        }
        let vr = [head[4], head[5]];
        if !vr.iter().all(u8::is_ascii_uppercase) {
            // Private writers put implicit elements into explicit files; the parser knows how to deal with it.
            return Ok(None);
        }
        let is_long = matches!(
            &vr,
            b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV"
        );
        let length = if is_long {
            let Some(bytes) = self.bytes::<4>()? else { return Ok(None) };
            long(bytes)
        } else {
            u32::from(short(head[6], head[7]))
        };
        Ok(Some(Element { tag, sequence: &vr == b"SQ", unknown: &vr == b"UN", length }))
    }

    fn bytes<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Fault> {
        if self.at + N as u64 > self.length {
            return Ok(None);
        }
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(Some(bytes))
    }

    fn peek(&mut self, into: &mut [u8]) -> Result<usize, Fault> {
        let want = (into.len() as u64).min(self.length) as usize;
        self.reader.read_exact(&mut into[..want])?;
        self.seek(0)?;
        Ok(want)
    }

    fn seek(&mut self, to: u64) -> Result<(), Fault> {
        // Relative seeks keep the buffer where the target lies inside it.
        let current = self.reader.stream_position()?;
        self.reader.seek_relative(to as i64 - current as i64)?;
        if to > self.length {
            self.reader.seek(SeekFrom::End(0))?;
        }
        self.at = to;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(bytes: &[u8]) -> Option<ReasonCode> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        check(&path, &Limits::default()).err().map(|error| error.reason())
    }

    fn with_preamble(data_set: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM");
        let syntax = b"1.2.840.10008.1.2.1\0";
        bytes.extend([2, 0, 0x10, 0, b'U', b'I', syntax.len() as u8, 0]);
        bytes.extend(syntax);
        bytes.extend(data_set);
        bytes
    }

    #[test]
    fn what_is_no_dicom_is_named() {
        assert_eq!(reason(b""), Some(ReasonCode::Empty));
        assert_eq!(reason(b"hello"), Some(ReasonCode::NotDicom));
        assert_eq!(reason(&[b'x'; 4000]), Some(ReasonCode::NotDicom));
        assert_eq!(reason(b"\x89PNG\r\n\x1a\n and more bytes of a picture"), Some(ReasonCode::NotDicom));
    }

    #[test]
    fn lengths_beyond_the_end_are_truncation() {
        let patient = [0x10, 0, 0x20, 0, b'L', b'O', 4, 0, b'P', b'1', b' ', b' '];
        assert_eq!(reason(&with_preamble(&patient)), None);
        assert_eq!(reason(&with_preamble(&patient[..10])), Some(ReasonCode::Truncated));
        let huge = [0xE0, 0x7F, 0x10, 0, b'O', b'W', 0, 0, 0xFE, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4];
        assert_eq!(reason(&with_preamble(&huge)), Some(ReasonCode::Truncated));
        let unended =
            [0xE0, 0x7F, 0x10, 0, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0];
        assert_eq!(reason(&with_preamble(&unended)), Some(ReasonCode::Truncated));
    }

    #[test]
    fn endless_nesting_is_refused_without_recursion() {
        let mut bytes = Vec::new();
        for _ in 0..100_000 {
            bytes.extend([0x40, 0, 0x30, 0xA7, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
            bytes.extend([0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
        }
        assert_eq!(reason(&with_preamble(&bytes)), Some(ReasonCode::TooDeep));
    }
}
