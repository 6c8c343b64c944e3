//! A look at a file's skeleton before the parser sees it.
//!
//! Purpose: the parser trusts declared lengths (it reserves memory for them) and recurses into sequences (a crafted file could
//! overflow the stack, which cannot be caught). This walk uses neither: it only skips from element to element, by the same rules as the
//! parser: an unknown VR has a 32-bit length, an element of undefined length is a sequence, and in implicit encoding the dictionary tells
//! what is a sequence. Invariants: memory does not depend on the file (a deflated data set is inflated up to [`Limits::max_file_bytes`]);
//! depth is bounded by [`Limits::max_depth`]; a declared length that runs past the end of the file is [`ReasonCode::Truncated`]; the
//! parser is given no byte that this walk did not pass.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use dicom::core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom::core::{Tag, VR};
use dicom::dictionary_std::StandardDataDictionary;

use crate::error::{DicomError, ReasonCode};
use crate::header_tags::is_read;
use crate::limits::Limits;

/// Bytes read at a time: most headers fit.
const BUFFER: usize = 4096;
const UNDEFINED: u32 = u32::MAX;
const ITEM: (u16, u16) = (0xFFFE, 0xE000);
const ITEM_END: (u16, u16) = (0xFFFE, 0xE00D);
const PIXEL_DATA: (u16, u16) = (0x7FE0, 0x0010);
const SEQUENCE_END: (u16, u16) = (0xFFFE, 0xE0DD);

pub(crate) const IMPLICIT_LE: &str = "1.2.840.10008.1.2";
pub(crate) const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
pub(crate) const EXPLICIT_BE: &str = "1.2.840.10008.1.2.2";
const DEFLATED_LE: &str = "1.2.840.10008.1.2.1.99";

#[derive(Clone, Copy, PartialEq)]
struct Encoding {
    explicit: bool,
    big_endian: bool,
}

/// Most fragments of one file: a million frames.
const MAX_FRAGMENTS: usize = 1 << 20;

/// Where the pixels of a file lie, in bytes of the file (of the inflated data set for a deflated one).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PixelPlace {
    /// Stored as they are.
    Native {
        /// The value of PixelData.
        bytes: Range<u64>,
        /// Samples of one byte lie in words (VR OW).
        words: bool,
    },
    /// Encapsulated: the basic offset table, then the fragments.
    Encapsulated {
        /// The basic offset table, which may be empty; `None` before its item was met.
        offsets: Option<Vec<u64>>,
        /// The fragments, in file order.
        fragments: Vec<Range<u64>>,
    },
}

/// What the walk found: where the data set lies and how it is written.
pub(crate) struct Skeleton {
    /// First byte of the data set, and the byte after its last element.
    pub(crate) data_set: Range<u64>,
    /// Transfer syntax, stated or, where the meta group is missing, recognised.
    pub(crate) transfer_syntax: String,
    /// Media storage SOP class, where stated.
    pub(crate) sop_class_uid: Option<String>,
    /// The inflated data set of a deflated file, which `data_set` then indexes.
    pub(crate) inflated: Option<Vec<u8>>,
    /// Where the elements that a header is read from lie; in file order, neighbours joined.
    pub(crate) header: Vec<Range<u64>>,
    /// First byte of the element of pixel data.
    pub(crate) pixels_at: Option<u64>,
    /// What the parser must not be given.
    pub(crate) uneven: Uneven,
    /// PixelData of the data set itself (not of an icon or another nested item), where there is one.
    pub(crate) pixels: Option<PixelPlace>,
    /// The file as it was when it was walked.
    pub(crate) stamp: FileStamp,
}

/// Elements whose length is no multiple of their values' size: behind one of them the parser would read from the wrong byte on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uneven {
    /// The first one before the pixels.
    pub(crate) any: Option<(u16, u16)>,
    /// The first one among those that a header is read from.
    pub(crate) header: Option<(u16, u16)>,
}

/// Tells whether a file is still the one that was walked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileStamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl FileStamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// Walks the file. `Ok` means that the parser may have it.
///
/// # Errors
/// [`DicomError::File`] with [`ReasonCode::Empty`], `NotDicom`, `Truncated`, `TooDeep`, `TooLarge` or `Unreadable`.
pub fn check(path: &Path, limits: &Limits) -> Result<(), DicomError> {
    scan(path, limits).map(|_| ())
}

/// As [`check`], and gives what was found with the file that was walked: whoever parses it reads the same file, even if another one has
/// taken its name meanwhile.
pub(crate) fn scan(path: &Path, limits: &Limits) -> Result<(Skeleton, File), DicomError> {
    let unreadable = |error: io::Error| DicomError::file(path, ReasonCode::Unreadable, error.to_string());
    // Asked before opening: to open a pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(DicomError::file(path, ReasonCode::Unreadable, "not a regular file"));
    }
    let file = File::open(path).map_err(unreadable)?;
    let length = metadata.len();
    if length == 0 {
        return Err(DicomError::file(path, ReasonCode::Empty, "the file is empty"));
    }
    if length > limits.max_file_bytes {
        let detail = format!("{length} bytes, more than the limit of {}", limits.max_file_bytes);
        return Err(DicomError::file(path, ReasonCode::TooLarge, detail));
    }
    let stamp = FileStamp::of(&metadata);
    let mut walk =
        Walk { reader: BufReader::with_capacity(BUFFER, file), at: 0, length, limits, found: Found::default() };
    let skeleton = walk.run(stamp).map_err(|fault| match fault {
        Fault::Io(error) => unreadable(error),
        Fault::Reason(reason, detail) => DicomError::file(path, reason, detail),
    })?;
    Ok((skeleton, walk.reader.into_inner()))
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

struct Walk<'a, R> {
    reader: BufReader<R>,
    at: u64,
    length: u64,
    limits: &'a Limits,
    found: Found,
}

/// Bytes of one value of a VR.
fn unit(vr: VR) -> u32 {
    match vr {
        VR::US | VR::SS | VR::OW => 2,
        VR::UL | VR::SL | VR::FL | VR::AT | VR::OL | VR::OF => 4,
        VR::FD | VR::UV | VR::SV | VR::OD | VR::OV => 8,
        _ => 1,
    }
}

/// What the walk of a data set notes on its way.
#[derive(Default)]
struct Found {
    header: Vec<Range<u64>>,
    /// First byte of the element of the data set that is being walked, if it is one that a header is read from.
    wanted_from: Option<u64>,
    pixels_at: Option<u64>,
    pixels: Option<PixelPlace>,
    uneven: Uneven,
}

impl Found {
    fn skeleton(
        &mut self,
        data_set: Range<u64>,
        transfer_syntax: String,
        sop_class_uid: Option<String>,
        inflated: Option<Vec<u8>>,
        stamp: FileStamp,
    ) -> Skeleton {
        let Self { header, pixels_at, pixels, uneven, .. } = std::mem::take(self);
        Skeleton { data_set, transfer_syntax, sop_class_uid, inflated, header, pixels_at, uneven, pixels, stamp }
    }

    /// An element of the data set begins at `at` (or the data set ends there).
    fn next_element(&mut self, at: u64, tag: Option<(u16, u16)>) {
        if let Some(start) = self.wanted_from.take() {
            match self.header.last_mut() {
                Some(last) if last.end == start => last.end = at,
                _ => self.header.push(start..at),
            }
        }
        self.wanted_from = tag.filter(|&tag| is_read(tag)).map(|_| at);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Holds items.
    Sequence,
    /// Encapsulated pixel data, whose items are values.
    Fragments,
    /// Holds elements.
    Item,
}

struct Container {
    kind: Kind,
    /// First byte after it; `None` for undefined length.
    end: Option<u64>,
}

struct Element {
    tag: (u16, u16),
    sequence: bool,
    /// VR OW, which is known in explicit encoding and implied in implicit encoding.
    words: bool,
    /// Bytes of one value of its VR; 1 for text and bytes.
    unit: u32,
    length: u32,
}

impl<R: Read + Seek> Walk<'_, R> {
    fn run(&mut self, stamp: FileStamp) -> Result<Skeleton, Fault> {
        let not_dicom = || Fault::Reason(ReasonCode::NotDicom, "no DICOM content, whatever its name".into());
        self.seek(128)?;
        let start = if self.bytes::<4>()? == Some(*b"DICM") { 132 } else { 0 };
        self.seek(start)?;
        let first = self.bytes::<8>()?.ok_or_else(not_dicom)?;
        // Without the magic word, only a file that begins as files of the time before it do is worth a try.
        if start == 0 && !matches!(&first[..4], [2 | 8, 0, _, 0] | [0, 8, 0, _]) {
            return Err(not_dicom());
        }
        self.seek(start)?;
        let (stated, sop_class_uid) = self.meta()?;
        let begin = self.at;
        if stated.as_deref() == Some(DEFLATED_LE) {
            return self.inflate(sop_class_uid, stamp);
        }
        let transfer_syntax = self.recognise(stated)?;
        let encoding =
            Encoding { explicit: transfer_syntax != IMPLICIT_LE, big_endian: transfer_syntax == EXPLICIT_BE };
        let end = self.data_set(encoding)?;
        Ok(self.found.skeleton(begin..end, transfer_syntax, sop_class_uid, None, stamp))
    }

    /// Inflates the rest of the file, up to the limit of a file, and walks it.
    fn inflate(&mut self, sop_class_uid: Option<String>, stamp: FileStamp) -> Result<Skeleton, Fault> {
        let limit = self.limits.decoded_limit(self.length);
        let mut inflated = Vec::new();
        let mut inflater = flate2::read::DeflateDecoder::new(&mut self.reader).take(limit + 1);
        inflater.read_to_end(&mut inflated).map_err(|error| match error.kind() {
            io::ErrorKind::OutOfMemory => {
                Fault::Reason(ReasonCode::TooLarge, "the deflated data set does not fit into memory".into())
            }
            _ => Fault::Reason(ReasonCode::Truncated, format!("the deflated data set breaks off: {error}")),
        })?;
        let length = inflated.len() as u64;
        if length > limit {
            return Err(Fault::Reason(
                ReasonCode::TooLarge,
                format!("inflates to more than the limit of {limit} bytes"),
            ));
        }
        let encoding = Encoding { explicit: true, big_endian: false };
        let reader = BufReader::new(Cursor::new(&inflated));
        let mut walk = Walk { reader, at: 0, length, limits: self.limits, found: Found::default() };
        let end = walk.data_set(encoding)?;
        let mut found = walk.found;
        Ok(found.skeleton(0..end, EXPLICIT_LE.into(), sop_class_uid, Some(inflated), stamp))
    }

    /// Walks group 0002 (always explicit little endian); returns transfer syntax and SOP class where stated.
    fn meta(&mut self) -> Result<(Option<String>, Option<String>), Fault> {
        let (mut syntax, mut class) = (None, None);
        loop {
            let before = self.at;
            let group = self.bytes::<2>()?;
            self.seek(before)?;
            if group != Some([2, 0]) {
                return Ok((syntax, class));
            }
            let Some(element) = self.element(Encoding { explicit: true, big_endian: false })? else {
                return Ok((syntax, class));
            };
            self.fits(&element)?;
            let slot = match element.tag.1 {
                0x0002 => &mut class,
                0x0010 => &mut syntax,
                _ => {
                    self.seek(self.at + u64::from(element.length))?;
                    continue;
                }
            };
            // A UID has at most 64 characters; what is longer is none.
            let mut value = vec![0; element.length.min(64) as usize];
            self.reader.read_exact(&mut value)?;
            let text = String::from_utf8_lossy(&value);
            let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
            *slot = (!text.is_empty()).then(|| text.to_owned());
            self.at += value.len() as u64;
            self.seek(self.at + u64::from(element.length) - value.len() as u64)?;
        }
    }

    /// The transfer syntax that the first element of the data set speaks: a stated one is corrected only between explicit and implicit
    /// little endian, which writers are known to mix up.
    fn recognise(&mut self, stated: Option<String>) -> Result<String, Fault> {
        let before = self.at;
        let first = self.bytes::<6>()?;
        self.seek(before)?;
        let Some(first) = first else { return Ok(stated.unwrap_or_else(|| EXPLICIT_LE.into())) };
        let known_vr = VR::from_binary([first[4], first[5]]).is_some();
        let recognised = match (first[0], known_vr) {
            (0, true) => EXPLICIT_BE,
            (_, true) => EXPLICIT_LE,
            (_, false) => IMPLICIT_LE,
        };
        Ok(match stated.as_deref() {
            None => recognised.to_owned(),
            Some(IMPLICIT_LE | EXPLICIT_LE) if recognised != EXPLICIT_BE => recognised.to_owned(),
            Some(other) => other.to_owned(),
        })
    }

    /// Walks to the end of what can be read and returns that place.
    fn data_set(&mut self, encoding: Encoding) -> Result<u64, Fault> {
        let malformed = |detail: &str| Err(Fault::Reason(ReasonCode::Unreadable, detail.to_owned()));
        let mut open: Vec<Container> = Vec::new();
        loop {
            while open.last().and_then(|container| container.end).is_some_and(|end| self.at >= end) {
                open.pop();
            }
            let before = self.at;
            let Some(element) = self.element(encoding)? else {
                // The end of the file. An open container never saw its end.
                if !open.is_empty() {
                    let detail = "the file ends inside a sequence or its pixel data".to_owned();
                    return Err(Fault::Reason(ReasonCode::Truncated, detail));
                }
                self.found.next_element(before, None);
                return Ok(before);
            };
            let inside = open.last().map(|container| container.kind);
            match (inside, element.tag) {
                // Zeros after the last element: padding of the medium.
                (None, (0, 0)) => {
                    self.found.next_element(before, None);
                    return Ok(before);
                }
                (None, ITEM_END) => {
                    self.found.next_element(before, None);
                    continue;
                }
                (Some(Kind::Item), ITEM_END) | (Some(Kind::Sequence | Kind::Fragments), SEQUENCE_END) => {
                    open.pop();
                    continue;
                }
                (Some(Kind::Sequence | Kind::Fragments), ITEM) => {}
                (Some(Kind::Sequence | Kind::Fragments), _) => {
                    return malformed("a sequence holds something that is no item");
                }
                (None | Some(Kind::Item), ITEM | SEQUENCE_END) => {
                    return malformed("an item or delimiter outside a sequence");
                }
                (None | Some(Kind::Item), _) => {}
            }
            let kind = match inside {
                Some(Kind::Fragments) => None,
                Some(Kind::Sequence) => Some(Kind::Item),
                _ if element.length == UNDEFINED && element.tag == PIXEL_DATA => Some(Kind::Fragments),
                _ => (element.length == UNDEFINED || element.sequence).then_some(Kind::Sequence),
            };
            // The parser would read it as a sequence, this walk as fragments.
            if element.tag == PIXEL_DATA && element.sequence {
                return malformed("pixel data of VR SQ");
            }
            if open.is_empty() {
                self.found.next_element(before, Some(element.tag));
                if element.tag == PIXEL_DATA {
                    self.begin_pixels(before, &element)?;
                }
            }
            if element.length != UNDEFINED && element.length % element.unit != 0 && self.found.pixels_at.is_none() {
                self.found.uneven.any.get_or_insert(element.tag);
                if self.found.wanted_from.is_some() {
                    self.found.uneven.header.get_or_insert(element.tag);
                }
            }
            if inside == Some(Kind::Fragments) && open.len() == 1 {
                self.add_fragment(&element)?;
            }
            if let Some(kind) = kind {
                let end = match element.length {
                    UNDEFINED => None,
                    length => {
                        self.fits(&element)?;
                        Some(self.at + u64::from(length))
                    }
                };
                open.push(Container { kind, end });
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

    /// Notes where the pixels of the data set lie.
    fn begin_pixels(&mut self, at: u64, element: &Element) -> Result<(), Fault> {
        let place = match element.length {
            UNDEFINED => PixelPlace::Encapsulated { offsets: None, fragments: Vec::new() },
            length => PixelPlace::Native { bytes: self.at..self.at + u64::from(length), words: element.words },
        };
        self.found.pixels_at = Some(at);
        match self.found.pixels.replace(place) {
            None => Ok(()),
            Some(_) => Err(Fault::Reason(ReasonCode::Unreadable, "two elements of pixel data".into())),
        }
    }

    /// Notes an item of the pixels of the data set; the first one is the offset table.
    fn add_fragment(&mut self, element: &Element) -> Result<(), Fault> {
        self.fits(element)?;
        let item = self.at..self.at + u64::from(element.length);
        let too_many = || {
            let detail = format!("more than {MAX_FRAGMENTS} fragments of pixel data");
            Err(Fault::Reason(ReasonCode::TooLarge, detail))
        };
        let Some(PixelPlace::Encapsulated { offsets, fragments }) = &mut self.found.pixels else { return Ok(()) };
        if offsets.is_some() {
            if fragments.len() == MAX_FRAGMENTS {
                return too_many();
            }
            fragments.push(item);
            return Ok(());
        }
        let entries = element.length as usize / 4;
        if entries > MAX_FRAGMENTS {
            return too_many();
        }
        let mut table = vec![0; 4 * entries];
        self.reader.read_exact(&mut table)?;
        self.at += table.len() as u64;
        *offsets =
            Some(table.chunks_exact(4).map(|b| u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect());
        self.seek(item.start)
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

    /// The next element's head, or `None` where fewer bytes are left than a head has.
    fn element(&mut self, encoding: Encoding) -> Result<Option<Element>, Fault> {
        let Some(head) = self.bytes::<8>()? else { return Ok(None) };
        let short =
            |a: u8, b: u8| if encoding.big_endian { u16::from_be_bytes([a, b]) } else { u16::from_le_bytes([a, b]) };
        let long = |b: [u8; 4]| if encoding.big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) };
        let tag = (short(head[0], head[1]), short(head[2], head[3]));
        let implicit_length = long([head[4], head[5], head[6], head[7]]);
        if tag.0 == 0xFFFE {
            // The parser takes others of this group for elements with a VR.
            if !matches!(tag, ITEM | ITEM_END | SEQUENCE_END) {
                let detail = format!("tag ({:04X},{:04X}) is neither an item nor a delimiter", tag.0, tag.1);
                return Err(Fault::Reason(ReasonCode::Unreadable, detail));
            }
            let length = if tag == ITEM { implicit_length } else { 0 };
            return Ok(Some(Element { tag, sequence: false, words: false, unit: 1, length }));
        }
        if !encoding.explicit {
            let entry = StandardDataDictionary.by_tag(Tag(tag.0, tag.1));
            let vr = entry.map_or(VR::UN, |entry| entry.vr().relaxed());
            let length = implicit_length;
            return Ok(Some(Element { tag, sequence: vr == VR::SQ, words: true, unit: unit(vr), length }));
        }
        // What is no VR is read as UN, with a long length.
        let vr = VR::from_binary([head[4], head[5]]).unwrap_or(VR::UN);
        let is_long = matches!(
            vr,
            VR::OB
                | VR::OD
                | VR::OF
                | VR::OL
                | VR::OV
                | VR::OW
                | VR::SQ
                | VR::SV
                | VR::UC
                | VR::UN
                | VR::UR
                | VR::UT
                | VR::UV
        );
        let length = if is_long {
            let Some(bytes) = self.bytes::<4>()? else { return Ok(None) };
            long(bytes)
        } else {
            u32::from(short(head[6], head[7]))
        };
        Ok(Some(Element { tag, sequence: vr == VR::SQ, words: vr == VR::OW, unit: unit(vr), length }))
    }

    /// The next `N` bytes, or `None` at the end of the file.
    fn bytes<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Fault> {
        if self.at + N as u64 > self.length {
            return Ok(None);
        }
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(Some(bytes))
    }

    fn seek(&mut self, to: u64) -> Result<(), Fault> {
        // Relative seeks keep the buffer where the target lies inside it.
        match i64::try_from(i128::from(to) - i128::from(self.at)) {
            Ok(offset) => self.reader.seek_relative(offset)?,
            Err(_) => {
                self.reader.seek(SeekFrom::Start(to))?;
            }
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
    fn a_folder_or_nothing_is_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), &folder.path().join("missing.dcm")] {
            assert_eq!(check(path, &Limits::default()).unwrap_err().reason(), ReasonCode::Unreadable);
        }
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

    #[test]
    fn what_looks_like_a_delimiter_is_refused() {
        // The parser would take the last four bytes for the length of an element.
        let strange = [0xFE, 0xFF, 0x0D, 0xFF, 0xFF, 0xFF, 0xFF, 0xE0];
        assert_eq!(reason(&with_preamble(&strange)), Some(ReasonCode::Unreadable));
    }

    /// A file of the given transfer syntax around a data set.
    fn with_syntax(syntax: &str, data_set: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM");
        let syntax = format!("{syntax}{}", if syntax.len() % 2 == 1 { "\0" } else { "" });
        bytes.extend([2, 0, 0x10, 0, b'U', b'I', syntax.len() as u8, 0]);
        bytes.extend(syntax.as_bytes());
        bytes.extend(data_set);
        bytes
    }

    #[test]
    fn implicit_data_sets_are_walked_from_their_first_element() {
        let patient = [0x10, 0, 0x20, 0, 4, 0, 0, 0, b'P', b'1', b' ', b' '];
        assert_eq!(reason(&with_syntax(IMPLICIT_LE, &patient)), None);
        assert_eq!(reason(&with_syntax(IMPLICIT_LE, &patient[..11])), Some(ReasonCode::Truncated));
        let mut nested = Vec::new();
        for _ in 0..40 {
            nested.extend([0x40, 0, 0x30, 0xA7, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
        }
        assert_eq!(reason(&with_syntax(IMPLICIT_LE, &nested)), Some(ReasonCode::TooDeep));
    }

    #[test]
    fn nesting_cannot_hide_where_the_parser_would_find_it() {
        let level = [
            0x40, 0, 0x30, 0xA7, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF,
        ];
        let deep = level.repeat(1000);
        // Behind an element whose VR is none: read as UN with a long length.
        let mut bytes = vec![0x10, 0, 0x20, 0, b'L', b'O', 0, 0, 0x10, 0, 0x30, 0, b'?', b'?', 0, 0, 0, 0, 0, 0];
        bytes.extend(&deep);
        assert_eq!(reason(&with_preamble(&bytes)), Some(ReasonCode::TooDeep));
        // In an element of a plain VR whose long length is undefined: read as a sequence.
        let unlimited = [0x40, 0, 0x30, 0xA7, b'U', b'T', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
        let item = &level[12..];
        let bytes: Vec<u8> = [&unlimited[..], item].concat().repeat(1000);
        assert_eq!(reason(&with_preamble(&bytes)), Some(ReasonCode::TooDeep));
        // With delimiters of the wrong kind, at which a careless count would step back.
        let mut bytes = Vec::new();
        for _ in 0..1000 {
            bytes.extend(level);
            bytes.extend([0xFE, 0xFF, 0xDD, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
        }
        assert_eq!(reason(&with_preamble(&bytes)), Some(ReasonCode::Unreadable));
        // In a deflated data set.
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, &deep).unwrap();
        assert_eq!(reason(&with_syntax(DEFLATED_LE, &encoder.finish().unwrap())), Some(ReasonCode::TooDeep));
    }

    #[test]
    fn a_deflated_file_may_not_grow_beyond_the_limit() {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        io::Write::write_all(&mut encoder, &vec![0; 1 << 20]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb");
        std::fs::write(&path, with_syntax(DEFLATED_LE, &encoder.finish().unwrap())).unwrap();
        let limits = Limits { max_file_bytes: 1 << 16, ..Limits::default() };
        assert_eq!(check(&path, &limits).unwrap_err().reason(), ReasonCode::TooLarge);
    }

    #[test]
    fn padding_after_the_last_element_is_not_part_of_the_data_set() {
        let patient = [0x10, 0, 0x20, 0, b'L', b'O', 4, 0, b'P', b'1', b' ', b' '];
        let mut bytes = with_preamble(&patient);
        let end = bytes.len() as u64;
        bytes.extend([0; 50]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(scan(&path, &Limits::default()).map(|(skeleton, _)| skeleton.data_set.end).ok(), Some(end));
    }
}
