//! The format of a table, by its ending and its first bytes.
//!
//! Invariant: a format that is not read is refused by a sentence that names it and says what to do.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::AnnotationError;

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Parquet,
    Workbook,
}

/// Endings of formats that are not read, and their names.
const OTHERS: [(&str, &str); 25] = [
    ("xls", "an old Excel workbook"),
    ("xlsb", "a binary Excel workbook"),
    ("ods", "an OpenDocument sheet"),
    ("numbers", "a Numbers sheet"),
    ("json", "JSON"),
    ("jsonl", "JSON"),
    ("feather", "Feather"),
    ("arrow", "Arrow IPC"),
    ("orc", "ORC"),
    ("rds", "an R object"),
    ("pkl", "a Python pickle"),
    ("gz", "compressed"),
    ("zip", "an archive"),
    ("pdf", "a PDF"),
    ("sav", "an SPSS file"),
    ("zsav", "an SPSS file"),
    ("dta", "a Stata file"),
    ("sas7bdat", "a SAS file"),
    ("mat", "a MATLAB file"),
    ("npy", "a NumPy array"),
    ("npz", "a NumPy archive"),
    ("rdata", "an R object"),
    ("rtf", "a text document (RTF)"),
    ("doc", "a Word document"),
    ("docx", "a Word document"),
];

/// First bytes of formats that are not read, and their names.
const STARTS: [(&[u8], &str); 14] = [
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\x1f\x8b", "compressed"),
    (b"ARROW1", "Arrow IPC"),
    (b"$FL2", "an SPSS file"),
    (b"$FL3", "an SPSS file"),
    (b"<stata_dta>", "a Stata file"),
    (b"MATLAB ", "a MATLAB file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x89PNG", "an image (PNG)"),
    (b"\xff\xd8\xff", "an image (JPEG)"),
    (b"%PDF", "a PDF"),
    (b"{\\rtf", "a text document (RTF)"),
    (b"SQLite format 3", "an SQLite data base"),
];

/// The format of a table.
///
/// # Errors
/// [`AnnotationError::Table`] where the file cannot be opened, or its format is not read.
pub(super) fn kind_of(path: &Path) -> Result<Kind, AnnotationError> {
    let unreadable = |error: std::io::Error| AnnotationError::table(path, error.to_string());
    let refused = |what: &str| {
        let detail = format!(
            "it is {what}, which is not read as a table: save it as CSV (in Excel: CSV UTF-8), Parquet or .xlsx"
        );
        Err(AnnotationError::table(path, detail))
    };
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    // A pipe or device is refused by its reader; to open one might wait for ever.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Ok(Kind::Text);
    }
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(132).read_to_end(&mut start)).map_err(unreadable)?;
    if let Some((_, what)) = OTHERS.iter().find(|(other, _)| *other == ending) {
        return refused(what);
    }
    let is_workbook = ending == "xlsx" || ending == "xlsm";
    if is_workbook && start.starts_with(b"\xd0\xcf\x11\xe0") {
        let detail = "it is a workbook with a password, or an old one under another name: open it in Excel, remove the password, and save it as .xlsx or \
                      CSV UTF-8";
        return Err(AnnotationError::table(path, detail));
    }
    if let Some((_, what)) = STARTS.iter().find(|(first, _)| start.starts_with(first)) {
        return refused(what);
    }
    match start.as_slice() {
        [b'P', b'A', b'R', b'1', ..] => Ok(Kind::Parquet),
        _ if ending == "parquet" || ending == "pq" => Ok(Kind::Parquet),
        _ if is_workbook => Ok(Kind::Workbook),
        [b'P', b'K', 3, 4, ..] => refused("a workbook or an archive under another name"),
        _ if start.get(128..132) == Some(b"DICM") => {
            refused("a DICOM object; SEG, RTSTRUCT and SR belong below --data, and are read there")
        }
        [b'{', ..] | [b'[', b'{', ..] => refused("JSON"),
        _ => Ok(Kind::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_ending_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let kind = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            kind_of(&path).map_err(|error| error.to_string())
        };
        assert_eq!(kind("a.csv", b"x_mm,y_mm"), Ok(Kind::Text));
        assert_eq!(kind("a.csv", b"PAR1...."), Ok(Kind::Parquet));
        assert_eq!(kind("a.XLSX", b"PK\x03\x04"), Ok(Kind::Workbook));
        for (name, bytes, what) in [
            ("a.xls", &b"\xd0\xcf\x11\xe0"[..], "old Excel workbook"),
            ("a.csv", b"\xd0\xcf\x11\xe0", "old Excel workbook"),
            ("a.csv", b"PK\x03\x04", "workbook or an archive"),
            ("a.ods", b"PK\x03\x04", "OpenDocument"),
            ("a.json", b"[]", "JSON"),
            ("a.txt", b"{\"a\": 1}", "JSON"),
            ("a.feather", b"ARROW1", "Feather"),
            ("a.csv.gz", b"\x1f\x8b", "compressed"),
            ("a.sav", b"", "SPSS"),
            ("a.csv", b"$FL2@(#)", "SPSS"),
            ("a.csv", b"<stata_dta><header>", "Stata"),
            ("a.dat", b"MATLAB 5.0 MAT-file", "MATLAB"),
            ("a.csv", b"\x93NUMPY\x01", "NumPy"),
            ("a.csv", b"\x89PNG\r\n", "PNG"),
            ("a.csv", b"{\\rtf1", "RTF"),
        ] {
            let error = kind(name, bytes).unwrap_err();
            assert!(error.contains(what) && error.contains("save it as CSV"), "{name}: {error}");
        }
        let locked = kind("a.xlsx", b"\xd0\xcf\x11\xe0").unwrap_err();
        assert!(locked.contains("password"), "{locked}");
    }
}
