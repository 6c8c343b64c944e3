//! Tables as text: rows of cells with their true line numbers.
//!
//! Invariant: a line is what an editor shows as one, so it ends in LF, CR LF or CR, and counts from 1, also inside of quotes.

use std::path::Path;

use super::cells::{RawTable, is_table};
use super::columns::{COLUMNS, NUMBERS, name_of};
use super::dialect::{Dialect, dialect};
use super::encoding::decode;
use super::quotes::{Shape, check, line_ends};
use super::record::Record;
use super::shown::Shown;
use crate::error::AnnotationError;

/// Largest table: 256 MiB of text, a million rows.
const MAX_BYTES: u64 = 256 << 20;

/// Reads a table of text.
///
/// # Errors
/// [`AnnotationError`] naming the file and what to mend.
pub(super) fn read_text(path: &Path) -> Result<RawTable, AnnotationError> {
    let text = text_of(path)?;
    let unreadable = |detail: String| AnnotationError::table(path, detail);
    if text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').is_empty() {
        return Err(unreadable("the file is empty".into()));
    }
    let dialect = dialect(&text, |name| COLUMNS.contains(&name_of(name).as_str())).map_err(unreadable)?;
    let mut lines = Lines::new(&text, dialect.skipped);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(dialect.separator)
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(&text.as_bytes()[dialect.skipped..]);
    let header = reader.headers().map_err(|error| unreadable(error.to_string()))?;
    let columns: Vec<String> = header.iter().map(str::to_owned).collect();
    if columns.first().is_some_and(|first| first.starts_with('#')) && !is_table(&columns) {
        let detail = "its first line begins with `#`, as a comment does, and the header must stand there; delete the lines before the header";
        return Err(unreadable(detail.into()));
    }
    let named = columns.iter().rposition(|name| !name.trim().is_empty()).map_or(0, |last| last + 1);
    let numbers: Vec<usize> = (0..named).filter(|at| NUMBERS.contains(&name_of(&columns[*at]).as_str())).collect();
    let shape = Shape { separator: dialect.separator, columns: named, numbers: &numbers };
    let (before, table) = text.as_bytes().split_at(dialect.skipped);
    check(table, line_ends(before), &shape).map_err(unreadable)?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(error.to_string()))?;
        if record.iter().all(str::is_empty) {
            continue;
        }
        let line = lines.of(record.position().map_or(0, csv::Position::byte));
        rows.push(Record { line, cells: record.iter().map(str::to_owned).collect() });
    }
    let decimal_comma = dialect.separator != b',';
    Ok(RawTable {
        names: columns,
        records: rows,
        unit: "line",
        decimal_comma,
        zeros: Vec::new(),
        shown: Shown::default(),
    })
}

/// The text of a file.
///
/// # Errors
/// [`AnnotationError`] naming the file and what to mend.
pub(super) fn text_of(path: &Path) -> Result<String, AnnotationError> {
    decoded(path).map_err(|detail| AnnotationError::table(path, detail))
}

fn decoded(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(format!("not a regular file, or larger than {MAX_BYTES} bytes"));
    }
    let (text, warning) = decode(std::fs::read(path).map_err(|error| error.to_string())?)?;
    if let Some(warning) = warning {
        tracing::warn!(table = %path.display(), "{warning}");
    }
    Ok(text)
}

/// A table of text whose columns this crate does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainTable {
    /// The text in UTF-8, from the header on.
    pub text: String,
    /// Lines before the header.
    pub lines_before: u64,
    /// Between cells.
    pub separator: u8,
}

impl PlainTable {
    /// Reads a table with these columns, whatever its encoding and separator. Its quotation marks are not checked ([`check_quotes`](super::check_quotes)).
    ///
    /// # Errors
    /// A sentence: what is wrong, and what to do.
    pub fn read(path: &Path, columns: &[&str]) -> Result<Self, String> {
        let text = decoded(path)?;
        let Dialect { separator, skipped } = dialect(&text, |name| {
            columns.iter().any(|column| column.eq_ignore_ascii_case(name.trim_matches([' ', '"'])))
        })?;
        let (before, table) = text.split_at(skipped);
        Ok(Self { text: table.to_owned(), lines_before: line_ends(before.as_bytes()), separator })
    }
}

/// Line numbers of places in a text that are asked for in ascending order.
struct Lines<'a> {
    bytes: &'a [u8],
    /// Where the reader began.
    offset: usize,
    at: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str, offset: usize) -> Self {
        Self { bytes: text.as_bytes(), offset, at: 0, line: 1 }
    }

    /// The line of a record that begins at this byte of what the reader has, or behind ends of lines that follow there.
    fn of(&mut self, byte: u64) -> u64 {
        let mut start = self.offset.saturating_add(usize::try_from(byte).unwrap_or(usize::MAX)).min(self.bytes.len());
        while matches!(self.bytes.get(start), Some(b'\r' | b'\n')) {
            start += 1;
        }
        while self.at < start {
            let is_end = match self.bytes[self.at] {
                b'\n' => true,
                b'\r' => self.bytes.get(self.at + 1) != Some(&b'\n'),
                _ => false,
            };
            self.line += u64::from(is_end);
            self.at += 1;
        }
        self.line
    }
}
