//! A look at a file's skeleton before the parser sees it.
//!
//! Purpose: the parser trusts declared lengths (it reserves memory for them) and recurses into sequences (a crafted file could
//! overflow the stack, which cannot be caught). This walk uses neither: it only skips from element to element, by the same rules as the
//! parser: an unknown VR has a 32-bit length, an element of undefined length is a sequence, and in implicit encoding the dictionary tells
//! what is a sequence. Invariants: memory does not depend on the file (a deflated data set is inflated up to [`crate::limits::MAX_INFLATED`]);
//! depth is bounded by [`Limits::max_depth`]; a declared length that runs past the end of the file is [`ReasonCode::Truncated`]; the
//! parser is given no byte that this walk did not pass.

pub(crate) mod skeleton;
mod walk;

use std::fs::File;
use std::io::{self, BufReader, Cursor};
use std::path::Path;

use crate::error::{DicomError, ReasonCode};
use crate::limits::Limits;
use crate::prescan::skeleton::{FileStamp, Skeleton};
use crate::prescan::walk::{Fault, Walk};

/// Bytes read at a time: most headers fit.
const BUFFER: usize = 4096;

/// Walks the file. `Ok` means that the parser may have it.
///
/// # Errors
/// [`DicomError::File`] with [`ReasonCode::Empty`], `NotDicom`, `Truncated`, `TooDeep`, `TooLarge`, `UnsupportedTransferSyntax` or
/// `Unreadable`.
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
    let mut walk = Walk::new(BufReader::with_capacity(BUFFER, file), length, limits);
    let skeleton = walk.run(stamp).map_err(|fault| named(path, fault))?;
    Ok((skeleton, walk.reader.into_inner()))
}

/// As [`scan`], of a file in memory that errors call `name`.
pub(crate) fn scan_bytes(name: &Path, bytes: &[u8], limits: &Limits) -> Result<Skeleton, DicomError> {
    if bytes.is_empty() {
        return Err(DicomError::file(name, ReasonCode::Empty, "the file is empty"));
    }
    let mut walk = Walk::new(BufReader::with_capacity(BUFFER, Cursor::new(bytes)), bytes.len() as u64, limits);
    walk.run(FileStamp::default()).map_err(|fault| named(name, fault))
}

/// An error that names the file.
fn named(path: &Path, fault: Fault) -> DicomError {
    match fault {
        Fault::Io(error) => DicomError::file(path, ReasonCode::Unreadable, error.to_string()),
        Fault::Reason(reason, detail) => DicomError::file(path, reason, detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prescan::skeleton::IMPLICIT_LE;
    use crate::prescan::walk::DEFLATED_LE;

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

    /// A patient id in implicit VR.
    const IMPLICIT_PATIENT: [u8; 12] = [0x10, 0, 0x20, 0, 4, 0, 0, 0, b'P', b'1', b' ', b' '];

    /// The transfer syntax as an element of implicit VR, and a class of the data set.
    fn implicit_head(syntax: &str) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0x10, 0, syntax.len() as u8, 0, 0, 0];
        bytes.extend(syntax.as_bytes());
        bytes.extend([8, 0, 0x16, 0, 2, 0, 0, 0, b'1', 0]);
        bytes
    }

    #[test]
    fn meta_information_in_implicit_vr_is_walked_element_by_element() {
        let plain = [implicit_head("1.2.840.10008.1.2\0"), IMPLICIT_PATIENT.to_vec()].concat();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for bytes in [plain.clone(), [vec![0; 128], b"DICM".to_vec(), plain.clone()].concat()] {
            std::fs::write(&path, &bytes).unwrap();
            let (skeleton, _) = scan(&path, &Limits::default()).unwrap();
            assert_eq!(skeleton.transfer_syntax, IMPLICIT_LE);
            assert_eq!(skeleton.before_pixels.iter().map(|range| range.end - range.start).sum::<u64>(), 22);
        }
        // A mixture, as long as each element shows its kind.
        let mut mixed = vec![0; 128];
        mixed.extend(b"DICM");
        mixed.extend([2, 0, 0x01, 0, b'O', b'B', 0, 0, 2, 0, 0, 0, 0, 1]);
        mixed.extend(&plain);
        assert_eq!(reason(&mixed), None);
        // It breaks off: never called truncated, because a length of four bytes was read where two stand.
        let mut broken = vec![0; 128];
        broken.extend(b"DICM");
        broken.extend([2, 0, 0x02, 0, 200, 0, 0, 0, b'1', b'.']);
        assert_eq!(reason(&broken), Some(ReasonCode::Unreadable));
    }

    #[test]
    fn a_file_without_the_word_is_read_where_its_first_element_is_sure() {
        let head = implicit_head("1.2.840.10008.1.2\0");
        let data_set = &head[head.len() - 10..];
        for front in [0, 128, 132] {
            for rest in [&head[..], data_set] {
                let bytes = [vec![0; front], rest.to_vec()].concat();
                assert_eq!(reason(&bytes), None, "{front} bytes before");
            }
        }
        assert_eq!(reason(&[vec![0; 64], head.clone()].concat()), Some(ReasonCode::NotDicom));
        // The tag alone is not enough: a length beyond any first element, or beyond the file.
        for length in [[0xFF, 0xFF, 0, 0], [200, 0, 0, 0]] {
            let bytes = [vec![8, 0, 5, 0], length.to_vec(), vec![b'x'; 90]].concat();
            assert_eq!(reason(&bytes), Some(ReasonCode::NotDicom));
        }
        // Big endian is always explicit.
        assert_eq!(reason(&[0, 8, 0, 5, b'C', b'S', 0, 2, b'1', b' ']), None);
        assert_eq!(reason(&[0, 8, 0, 5, 0, 0, 0, 2, b'1', b' ']), Some(ReasonCode::NotDicom));
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
        for private in ["1.2.840.113619.5.2", "1.2.840.10008.1.2.4.70"] {
            assert_eq!(reason(&with_syntax(private, &patient)), Some(ReasonCode::UnsupportedTransferSyntax));
        }
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
        let found = scan(&path, &Limits::default()).map(|(skeleton, _)| skeleton.before_pixels);
        assert_eq!(found.ok().and_then(|ranges| Some(ranges.last()?.end)), Some(end));
    }
}
