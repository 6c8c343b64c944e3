//! Opening a file that passed the pre-scan.
//!
//! Invariants: the parser is given the bytes that [`crate::prescan`] walked and nothing else. The meta group is written anew with what the
//! scan found, because the parser refuses files for faults there that do not matter (a title one character too long, no meta group at
//! all); a panic of the parser becomes an error.

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use dicom::core::Tag;
use dicom::object::file::ReadPreamble;
use dicom::object::{DefaultDicomObject, FileMetaTableBuilder, OpenFileOptions};

use crate::error::{DicomError, ReasonCode};
use crate::limits::Limits;
use crate::prescan::{EXPLICIT_BE, EXPLICIT_LE, FileStamp, IMPLICIT_LE, PixelPlace, Skeleton, scan};

/// A parsed file.
pub(crate) struct Opened {
    /// Data set; its meta table states the transfer syntax that applies.
    pub(crate) object: DefaultDicomObject,
    /// Media storage SOP class, where the file states one.
    pub(crate) sop_class_uid: Option<String>,
    /// Where the pixels lie.
    pub(crate) pixels: Option<PixelPlace>,
    /// The data set was deflated, and places are those of the inflated one.
    pub(crate) deflated: bool,
    /// The file as it was scanned.
    pub(crate) stamp: FileStamp,
}

/// Scans and parses a file, up to and without the element `until` where given.
///
/// # Errors
/// [`DicomError::File`] with the reason of the scan, or [`ReasonCode::Unreadable`] with the words of the parser.
pub(crate) fn open(path: &Path, limits: &Limits, until: Option<Tag>) -> Result<Opened, DicomError> {
    let (skeleton, mut file) = scan(path, limits)?;
    let unreadable = |detail: String| DicomError::file(path, ReasonCode::Unreadable, detail);
    let meta = meta(&skeleton).map_err(unreadable)?;
    let options = OpenFileOptions::new().read_preamble(ReadPreamble::Never);
    let options = match until {
        Some(tag) => options.read_until(tag),
        None => options,
    };
    let Skeleton { data_set, sop_class_uid, inflated, pixels, stamp, .. } = skeleton;
    let length = data_set.end - data_set.start;
    let before_pixels = pixels.as_ref().map_or(length, |place| place.start() - data_set.start);
    if until.is_some() && before_pixels > limits.max_header_bytes {
        let detail = format!("a header of {before_pixels} bytes, more than the limit of {}", limits.max_header_bytes);
        return Err(DicomError::file(path, ReasonCode::TooLarge, detail));
    }
    let deflated = inflated.is_some();
    let data: Box<dyn Read> = match inflated {
        Some(bytes) => Box::new(Cursor::new(bytes).take(length)),
        None => {
            file.seek(SeekFrom::Start(data_set.start)).map_err(|error| unreadable(error.to_string()))?;
            Box::new(file.take(length))
        }
    };
    let object = catch_unwind(AssertUnwindSafe(|| options.from_reader(Cursor::new(meta).chain(data))))
        .map_err(|_| unreadable("the DICOM parser failed on this file".into()))?
        .map_err(|error| unreadable(chain(&error)))?;
    Ok(Opened { object, sop_class_uid, pixels, deflated, stamp })
}

/// True where pixel data is stored as it is, without a codec (a deflated file was inflated by the scan).
pub(crate) fn is_native(transfer_syntax: &str) -> bool {
    matches!(transfer_syntax, IMPLICIT_LE | EXPLICIT_LE | EXPLICIT_BE)
}

/// The magic word and a meta group that the parser accepts.
fn meta(skeleton: &Skeleton) -> Result<Vec<u8>, String> {
    let table = FileMetaTableBuilder::new()
        .transfer_syntax(&skeleton.transfer_syntax)
        .media_storage_sop_class_uid(skeleton.sop_class_uid.as_deref().unwrap_or_default())
        .media_storage_sop_instance_uid("")
        .build()
        .map_err(|error| chain(&error))?;
    let mut bytes = b"DICM".to_vec();
    table.write(&mut bytes).map_err(|error| chain(&error))?;
    Ok(bytes)
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
