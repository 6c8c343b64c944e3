//! The data set of a file that passed the pre-scan: the door for readers of other objects (segmentations, structures, reports).
//!
//! Invariants: the parser is given bytes that [`crate::prescan`] walked and nothing else: never the pixels, and for a header only the
//! elements that are read (a private block of megabytes costs nothing, and cannot harm). A panic of the parser becomes an error.

use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_encoding::transfer_syntax::{TransferSyntax, TransferSyntaxIndex};
use dicom_object::InMemDicomObject;
use dicom_object::collector::{DicomCollector, Error as CollectorError};
use dicom_parser::dataset::DataToken;
use dicom_parser::dataset::read::DataSetReader;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use crate::element::text;
use crate::error::{DicomError, ReasonCode};
use crate::limits::Limits;
use crate::prescan::scan;
use crate::prescan::skeleton::{EXPLICIT_BE, EXPLICIT_LE, FileStamp, IMPLICIT_LE, PixelPlace, Skeleton};

/// Which elements of the data set are parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    /// Those that describe an image.
    Header,
    /// All before the pixels, but for elements with items of another encoding (VR UN of undefined length), which the parser cannot follow.
    All,
}

/// A parsed file.
pub struct DataSet {
    /// The elements that were asked for.
    pub object: InMemDicomObject,
    /// Transfer syntax that applies.
    pub(crate) transfer_syntax: String,
    /// Media storage SOP class, where the file states one.
    pub(crate) sop_class_uid: Option<String>,
    /// Where the pixels lie.
    pub(crate) pixels: Option<PixelPlace>,
    /// The data set was deflated, and places are those of the inflated one.
    pub(crate) deflated: bool,
    /// The file as it was scanned.
    pub(crate) stamp: FileStamp,
}

impl DataSet {
    /// SOPClassUID (0008,0016), else the class of the file's meta information; empty where neither says it.
    pub(crate) fn class(&self) -> String {
        text(&self.object, tags::SOP_CLASS_UID).or_else(|| self.sop_class_uid.clone()).unwrap_or_default()
    }
}

/// Scans and parses a file.
///
/// # Errors
/// [`DicomError::File`] with the reason of the scan, [`ReasonCode::TooLarge`] for a header beyond the limit, or
/// [`ReasonCode::Unreadable`] with the words of the parser.
pub fn open(path: &Path, limits: &Limits, elements: Elements) -> Result<DataSet, DicomError> {
    let (skeleton, mut file) = scan(path, limits)?;
    let object = elements_of(path, &skeleton, &mut file, limits, elements)?;
    let Skeleton { transfer_syntax, sop_class_uid, inflated, pixels, stamp, .. } = skeleton;
    Ok(DataSet { object, transfer_syntax, sop_class_uid, pixels, deflated: inflated.is_some(), stamp })
}

/// Parses elements of a scanned file, which `source` holds.
///
/// # Errors
/// As [`open`], the scan aside.
pub(crate) fn elements_of(
    path: &Path,
    skeleton: &Skeleton,
    source: &mut (impl Read + Seek),
    limits: &Limits,
    elements: Elements,
) -> Result<InMemDicomObject, DicomError> {
    let unreadable = |detail: String| DicomError::file(path, ReasonCode::Unreadable, detail);
    let Skeleton { header, before_pixels, inflated, uneven, .. } = skeleton;
    let (ranges, uneven) = match elements {
        Elements::Header => (&header[..], uneven.header),
        Elements::All => (&before_pixels[..], uneven.any),
    };
    if let Some((group, element)) = uneven {
        let detail = format!("the length of element ({group:04X},{element:04X}) is no multiple of its values' size");
        return Err(unreadable(detail));
    }
    let length: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    if length > limits.max_header_bytes {
        let detail = format!("a header of {length} bytes, more than the limit of {}", limits.max_header_bytes);
        return Err(DicomError::file(path, ReasonCode::TooLarge, detail));
    }
    let bytes = match inflated {
        Some(inflated) => ranges
            .iter()
            .filter_map(|range| inflated.get(range.start as usize..range.end as usize))
            .fold(Vec::new(), |mut bytes, part| {
                bytes.extend_from_slice(part);
                bytes
            }),
        None => read(source, ranges).map_err(|error| unreadable(error.to_string()))?,
    };
    let encoding = encoding_of(&skeleton.transfer_syntax);
    let syntax = TransferSyntaxRegistry.get(encoding).ok_or_else(|| unreadable(format!("no parser for {encoding}")))?;
    if bytes.len() > SHALLOW {
        check_depth(&bytes, syntax, limits).map_err(|(reason, detail)| DicomError::file(path, reason, detail))?;
    }
    catch_unwind(AssertUnwindSafe(|| parse(bytes, encoding)))
        .map_err(|_| unreadable("the DICOM parser failed on this file".into()))?
        .map_err(|error| unreadable(chain(&error)))
}

/// How the data set of a transfer syntax is written, its pixels aside.
pub(crate) fn encoding_of(transfer_syntax: &str) -> &'static str {
    match transfer_syntax {
        IMPLICIT_LE => IMPLICIT_LE,
        EXPLICIT_BE => EXPLICIT_BE,
        // Every other transfer syntax writes its data set so.
        _ => EXPLICIT_LE,
    }
}

/// An element behind all others: data set trailing padding (PS3.10 7.2), which holds nothing.
const LAST: Tag = Tag(0xFFFC, 0xFFFC);

/// Parses a data set. The parser stops at an element that is put behind it: where the bytes end, it would first make an error with the trace
/// of all calls, which took a quarter of the time to scan a folder.
fn parse(mut bytes: Vec<u8>, encoding: &'static str) -> Result<InMemDicomObject, CollectorError> {
    bytes.extend_from_slice(match encoding {
        IMPLICIT_LE => &[0xFC, 0xFF, 0xFC, 0xFF, 0, 0, 0, 0],
        EXPLICIT_BE => &[0xFF, 0xFC, 0xFF, 0xFC, b'O', b'B', 0, 0, 0, 0, 0, 0],
        _ => &[0xFC, 0xFF, 0xFC, 0xFF, b'O', b'B', 0, 0, 0, 0, 0, 0],
    });
    let mut object = InMemDicomObject::new_empty();
    DicomCollector::new_with_ts(BufReader::new(Cursor::new(bytes)), encoding).read_dataset_up_to(LAST, &mut object)?;
    Ok(object)
}

/// Data sets up to this size cannot nest deeply enough to harm.
const SHALLOW: usize = 4096;

/// Reads the data set once without building it, and refuses it where sequences nest deeper than allowed: the parser recurses, and a stack
/// that overflows cannot be caught. The pre-scan judges by its own reading; this judges by the parser's.
fn check_depth(bytes: &[u8], syntax: &TransferSyntax, limits: &Limits) -> Result<(), (ReasonCode, String)> {
    let walk = || {
        let reader =
            DataSetReader::new_with_ts(bytes, syntax).map_err(|error| (ReasonCode::Unreadable, chain(&error)))?;
        let mut depth = 0usize;
        for token in reader {
            match token.map_err(|error| (ReasonCode::Unreadable, chain(&error)))? {
                DataToken::SequenceStart { .. } | DataToken::PixelSequenceStart => depth += 1,
                DataToken::SequenceEnd => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > limits.max_depth {
                let detail = format!("sequences are nested deeper than {} levels", limits.max_depth);
                return Err((ReasonCode::TooDeep, detail));
            }
        }
        Ok(())
    };
    catch_unwind(AssertUnwindSafe(walk))
        .unwrap_or_else(|_| Err((ReasonCode::Unreadable, "the DICOM parser failed on this file".into())))
}

/// Runs a reader; a panic in it, which would be a defect of this program, becomes an error that names the file.
///
/// # Errors
/// Those of `read`, or [`ReasonCode::Unreadable`].
pub fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, DicomError>) -> Result<T, DicomError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let detail = "the reader failed on this file; that is a defect of mtids, please report it";
        Err(DicomError::file(path, ReasonCode::Unreadable, detail))
    })
}

/// The bytes of `ranges`, which ascend, read in one go where they lie close together.
fn read(file: &mut (impl Read + Seek), ranges: &[Range<u64>]) -> std::io::Result<Vec<u8>> {
    /// A hole up to this size is read over rather than skipped.
    const CLOSE: u64 = 16 << 10;
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < ranges.len() {
        let start = ranges[at].start;
        let mut end = ranges[at].end;
        let first = at;
        while at + 1 < ranges.len() && ranges[at + 1].start - end <= CLOSE {
            at += 1;
            end = ranges[at].end;
        }
        at += 1;
        // The scan has checked that the ranges lie in the file.
        let mut block = vec![0; (end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block)?;
        for range in &ranges[first..at] {
            bytes.extend_from_slice(&block[(range.start - start) as usize..(range.end - start) as usize]);
        }
    }
    Ok(bytes)
}

/// True where pixel data is stored as it is, without a codec (a deflated file was inflated by the scan).
pub(crate) fn is_native(transfer_syntax: &str) -> bool {
    matches!(transfer_syntax, IMPLICIT_LE | EXPLICIT_LE | EXPLICIT_BE)
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_near_and_far_are_read_as_they_are() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        std::io::Write::write_all(&mut file, &content).unwrap();
        let ranges = [3..10, 10..12, 500..501, 90_000..90_100];
        let expected: Vec<u8> =
            ranges.iter().flat_map(|range| &content[range.start as usize..range.end as usize]).copied().collect();
        assert_eq!(read(&mut file, &ranges).unwrap(), expected);
        assert!(read(&mut file, &[]).unwrap().is_empty());
    }
}
