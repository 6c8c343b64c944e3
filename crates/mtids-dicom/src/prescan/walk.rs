//! The walk from element to element of a file.
//!
//! By the rules of the parser: an unknown VR has a 32-bit length, an element of undefined length is a sequence, and in implicit encoding the
//! dictionary tells what is a sequence. Invariants: no recursion, and no memory but for the places of wanted elements and fragments; what
//! the parser would read otherwise is noted (see [`Uneven`]), passed over or refused. Passed over are elements with items of another
//! encoding, as an element of VR UN and undefined length has them (PS3.5 6.2.2).

use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

use crate::error::ReasonCode;
use crate::header_tags::is_read;
use crate::limits::Limits;
use crate::prescan::skeleton::{EXPLICIT_BE, EXPLICIT_LE, FileStamp, IMPLICIT_LE, PixelPlace, Skeleton, Uneven};

const UNDEFINED: u32 = u32::MAX;
const ITEM: (u16, u16) = (0xFFFE, 0xE000);
const ITEM_END: (u16, u16) = (0xFFFE, 0xE00D);
const PIXEL_DATA: (u16, u16) = (0x7FE0, 0x0010);
const SEQUENCE_END: (u16, u16) = (0xFFFE, 0xE0DD);
pub(super) const DEFLATED_LE: &str = "1.2.840.10008.1.2.1.99";
/// Most fragments of one file: a million frames.
const MAX_FRAGMENTS: usize = 1 << 20;

#[derive(Clone, Copy, PartialEq)]
struct Encoding {
    explicit: bool,
    big_endian: bool,
}

/// Why a walk ended early.
pub(super) enum Fault {
    Io(io::Error),
    Reason(ReasonCode, String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

/// A walk over `length` bytes of a reader.
pub(super) struct Walk<'a, R> {
    pub(super) reader: BufReader<R>,
    at: u64,
    length: u64,
    limits: &'a Limits,
    found: Found,
}

/// Longest value of an element that a data set can begin with, in bytes, where no VR confirms it.
const LONGEST_FIRST: u32 = 1024;

/// Whether a data set or its meta information can begin with this head, `left` bytes before the end of the file: `None` for another tag,
/// `Some(false)` where the tag is right, and neither a VR nor a short length follows it.
fn first_element(head: [u8; 8], left: u64) -> Option<bool> {
    let [tag @ .., a, b, c, d] = head;
    let known = VR::from_binary([a, b]).is_some();
    match tag {
        [2 | 8, 0, _, 0] => {
            let length = u32::from_le_bytes([a, b, c, d]);
            Some(known || (length <= LONGEST_FIRST && u64::from(length) <= left))
        }
        // Big endian is always explicit.
        [0, 8, 0, _] => Some(known),
        _ => None,
    }
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
    before_pixels: Vec<Range<u64>>,
    /// First byte of the element of the data set that is being walked, if it is one that a header is read from.
    wanted_from: Option<u64>,
    /// The same, if it lies before the pixels.
    early_from: Option<u64>,
    /// The element that is being walked holds items of another encoding than the data set.
    is_foreign: bool,
    pixels_at: Option<u64>,
    pixels: Option<PixelPlace>,
    uneven: Uneven,
}

impl Found {
    fn skeleton(
        &mut self,
        transfer_syntax: String,
        sop_class_uid: Option<String>,
        inflated: Option<Vec<u8>>,
        stamp: FileStamp,
    ) -> Skeleton {
        let Self { header, before_pixels, pixels_at, pixels, uneven, .. } = std::mem::take(self);
        Skeleton { transfer_syntax, sop_class_uid, inflated, header, before_pixels, pixels_at, uneven, pixels, stamp }
    }

    /// An element of the data set begins at `at` (or the data set ends there).
    fn next_element(&mut self, at: u64, tag: Option<(u16, u16)>) {
        let is_foreign = std::mem::take(&mut self.is_foreign);
        for (from, ranges) in
            [(self.wanted_from.take(), &mut self.header), (self.early_from.take(), &mut self.before_pixels)]
        {
            match (from.filter(|_| !is_foreign), ranges.last_mut()) {
                (Some(start), Some(last)) if last.end == start => last.end = at,
                (Some(start), _) => ranges.push(start..at),
                (None, _) => {}
            }
        }
        self.wanted_from = tag.filter(|&tag| is_read(tag)).map(|_| at);
        self.early_from = tag.filter(|&tag| tag != PIXEL_DATA && self.pixels_at.is_none()).map(|_| at);
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
    /// Encoding of what it holds.
    encoding: Encoding,
    /// An element of VR UN and undefined length.
    unknown: bool,
}

struct Element {
    tag: (u16, u16),
    sequence: bool,
    /// VR UN, as stated.
    unknown: bool,
    /// VR OW, which is known in explicit encoding and implied in implicit encoding.
    words: bool,
    /// Bytes of one value of its VR; 1 for text and bytes.
    unit: u32,
    length: u32,
}

impl<'a, R: Read + Seek> Walk<'a, R> {
    pub(super) fn new(reader: BufReader<R>, length: u64, limits: &'a Limits) -> Self {
        Self { reader, at: 0, length, limits, found: Found::default() }
    }

    /// Walks the whole file.
    pub(super) fn run(&mut self, stamp: FileStamp) -> Result<Skeleton, Fault> {
        let start = self.start()?;
        self.seek(start)?;
        let (stated, sop_class_uid) = self.meta()?;
        if stated.as_deref() == Some(DEFLATED_LE) {
            return self.inflate(sop_class_uid, stamp);
        }
        let transfer_syntax = self.recognise(stated)?;
        let encoding =
            Encoding { explicit: transfer_syntax != IMPLICIT_LE, big_endian: transfer_syntax == EXPLICIT_BE };
        self.data_set(encoding)?;
        Ok(self.found.skeleton(transfer_syntax, sop_class_uid, None, stamp))
    }

    /// The place of the first element: behind preamble and `DICM`, where they are. Without the word, only a file that begins as a file
    /// without meta information or without preamble does, or has the preamble and not the word.
    fn start(&mut self) -> Result<u64, Fault> {
        let not_dicom = |detail: &str| Fault::Reason(ReasonCode::NotDicom, detail.to_owned());
        self.seek(128)?;
        let word = self.bytes::<4>()? == Some(*b"DICM");
        let (mut seen, places) = (false, if word { &[132][..] } else { &[0, 128, 132][..] });
        for &place in places {
            self.seek(place)?;
            let Some(head) = self.bytes::<8>()? else { continue };
            match first_element(head, self.length - self.at) {
                _ if word => return Ok(place),
                Some(true) => return Ok(place),
                Some(false) => seen |= place == 0,
                None => {}
            }
        }
        Err(not_dicom(if seen {
            "begins with the tag of a DICOM data set, but there is no `DICM` at byte 128, and what follows the tag is no element"
        } else {
            "not a DICOM file"
        }))
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
        let mut walk = Walk::new(reader, length, self.limits);
        walk.data_set(encoding)?;
        let mut found = walk.found;
        Ok(found.skeleton(EXPLICIT_LE.into(), sop_class_uid, Some(inflated), stamp))
    }

    /// Walks group 0002; returns transfer syntax and SOP class where stated. It is explicit little endian by the standard, and implicit by some
    /// writers; each element shows which. Its stated length is not believed: the group ends where another one begins.
    fn meta(&mut self) -> Result<(Option<String>, Option<String>), Fault> {
        let (mut syntax, mut class) = (None, None);
        loop {
            let before = self.at;
            let head = self.bytes::<6>()?;
            self.seek(before)?;
            let Some([2, 0, _, _, a, b]) = head else { return Ok((syntax, class)) };
            let explicit = VR::from_binary([a, b]).is_some();
            let Some(element) = self.element(Encoding { explicit, big_endian: false })? else {
                return Ok((syntax, class));
            };
            self.fits(&element).map_err(|fault| match fault {
                Fault::Reason(_, detail) if !explicit => Fault::Reason(
                    ReasonCode::Unreadable,
                    format!(
                        "file meta information in implicit VR, which breaks off: {detail}; write it in explicit VR"
                    ),
                ),
                other => other,
            })?;
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
        // Other transfer syntaxes write their data sets in explicit VR; private ones there are that do not, such as 1.2.840.113619.5.2.
        if let Some(other) = stated.as_deref()
            && recognised == IMPLICIT_LE
            && ![IMPLICIT_LE, EXPLICIT_LE].contains(&other)
        {
            let detail = format!("transfer syntax {other} with a data set in implicit VR, which is not read");
            return Err(Fault::Reason(ReasonCode::UnsupportedTransferSyntax, detail));
        }
        Ok(match stated.as_deref() {
            None => recognised.to_owned(),
            Some(IMPLICIT_LE | EXPLICIT_LE) if recognised != EXPLICIT_BE => recognised.to_owned(),
            Some(other) => other.to_owned(),
        })
    }

    /// Walks to the end of what can be read.
    fn data_set(&mut self, outer: Encoding) -> Result<(), Fault> {
        let malformed = |detail: &str| Err(Fault::Reason(ReasonCode::Unreadable, detail.to_owned()));
        let mut open: Vec<Container> = Vec::new();
        loop {
            while open.last().and_then(|container| container.end).is_some_and(|end| self.at >= end) {
                open.pop();
            }
            let before = self.at;
            let encoding = open.last().map_or(outer, |container| container.encoding);
            let Some(element) = self.element(encoding)? else {
                // The end of the file. An open container never saw its end.
                if !open.is_empty() {
                    let detail = "the file ends inside a sequence or its pixel data".to_owned();
                    return Err(Fault::Reason(ReasonCode::Truncated, detail));
                }
                self.found.next_element(before, None);
                return Ok(());
            };
            let inside = open.last().map(|container| container.kind);
            match (inside, element.tag) {
                // Zeros after the last element: padding of the medium.
                (None, (0, 0)) => {
                    self.found.next_element(before, None);
                    return Ok(());
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
                    return malformed("a sequence contains something that is not an item");
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
            if element.length != UNDEFINED
                && element.length % element.unit != 0
                && self.found.pixels_at.is_none()
                && !self.found.is_foreign
            {
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
                let of_unknown = open.last().is_some_and(|container| container.unknown);
                let encoding = if of_unknown && kind == Kind::Item { self.of_item(encoding)? } else { encoding };
                self.found.is_foreign |= encoding != outer;
                let unknown = kind == Kind::Sequence && element.unknown && element.length == UNDEFINED;
                open.push(Container { kind, end, encoding, unknown });
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

    /// The encoding of an item of an element of VR UN, which begins here: implicit little endian, unless its first element has a VR, as
    /// some writers have it.
    fn of_item(&mut self, outer: Encoding) -> Result<Encoding, Fault> {
        let before = self.at;
        let first = self.bytes::<6>()?;
        self.seek(before)?;
        let is_implicit = first.is_some_and(|[group, _, _, _, a, b]| {
            // An item without elements ends at once.
            group != 0xFE && VR::from_binary([a, b]).is_none()
        });
        Ok(if is_implicit { Encoding { explicit: false, big_endian: false } } else { outer })
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
            return Ok(Some(Element { tag, sequence: false, unknown: false, words: false, unit: 1, length }));
        }
        if !encoding.explicit {
            let entry = StandardDataDictionary.by_tag(Tag(tag.0, tag.1));
            let vr = entry.map_or(VR::UN, |entry| entry.vr().relaxed());
            let length = implicit_length;
            let sequence = vr == VR::SQ;
            return Ok(Some(Element { tag, sequence, unknown: false, words: true, unit: unit(vr), length }));
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
        let (sequence, unknown, words) = (vr == VR::SQ, vr == VR::UN, vr == VR::OW);
        Ok(Some(Element { tag, sequence, unknown, words, unit: unit(vr), length }))
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
