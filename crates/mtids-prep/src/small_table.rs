//! Small tables of text that a setting or an option names: of splits, of sites, of corrections.
//!
//! They are read in the encodings and with the separators of tables of annotations. Invariant: a table whose quotation marks hide rows, or that has one of its columns twice, is refused: which of them is meant nobody knows.

use std::io::Cursor;
use std::path::Path;

use mtids_annotations::table::{PlainTable, check_quotes};
use mtids_report::format::counted;

/// A table, and where its columns stand.
pub(crate) struct SmallTable<const N: usize> {
    reader: csv::Reader<Cursor<Vec<u8>>>,
    /// The number of each column that was asked for, in that order.
    pub(crate) at: [usize; N],
    /// Where the last row began that was asked for, in bytes, and its line.
    place: (usize, u64),
}

impl<const N: usize> SmallTable<N> {
    /// Opens a table with these columns; others are left alone.
    ///
    /// # Errors
    /// A sentence: what is wrong, and in which line.
    pub(crate) fn open(path: &Path, columns: [&str; N]) -> Result<Self, String> {
        let PlainTable { text, lines_before, separator } = PlainTable::read(path, &columns)?;
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .trim(csv::Trim::All)
            .from_reader(Cursor::new(text.into_bytes()));
        let headers = reader.headers().map_err(|error| error.to_string())?.clone();
        check_quotes(reader.get_ref().get_ref(), lines_before, separator, headers.len())?;
        let mut at = [0; N];
        for (at, name) in at.iter_mut().zip(columns) {
            let mut found =
                headers.iter().enumerate().filter(|(_, header)| header.eq_ignore_ascii_case(name)).map(|(n, _)| n);
            *at = found.next().ok_or_else(|| format!("no column `{name}`; the columns are {}", columns.join(", ")))?;
            if found.next().is_some() {
                return Err(format!("column `{name}` occurs twice; keep one"));
            }
        }
        Ok(Self { reader, at, place: (0, lines_before + 1) })
    }

    /// The next row with its line in the file.
    ///
    /// # Errors
    /// A sentence of the reader.
    pub(crate) fn next(&mut self) -> Option<Result<(u64, csv::StringRecord), String>> {
        let mut record = csv::StringRecord::new();
        match self.reader.read_record(&mut record) {
            Ok(false) => None,
            Ok(true) => {
                let line = self.line_at(record.position().map_or(0, csv::Position::byte));
                Some(Ok((line, record)))
            }
            Err(error) => Some(Err(self.words_of(&error))),
        }
    }

    /// The line of a row that begins at this byte or behind the ends of lines there: the reader counts the end of a line of Windows too late.
    fn line_at(&mut self, byte: u64) -> u64 {
        let text = self.reader.get_ref().get_ref();
        let (at, line) = &mut self.place;
        let is_end = |n: usize| text[n] == b'\n' || (text[n] == b'\r' && text.get(n + 1) != Some(&b'\n'));
        let mut start = usize::try_from(byte).unwrap_or(usize::MAX).min(text.len());
        while matches!(text.get(start), Some(b'\r' | b'\n')) {
            start += 1;
        }
        *line += (*at..start).filter(|&n| is_end(n)).count() as u64;
        *at = start.max(*at);
        *line
    }

    fn words_of(&mut self, error: &csv::Error) -> String {
        let csv::ErrorKind::UnequalLengths { pos: Some(position), expected_len, len } = error.kind() else {
            return error.to_string();
        };
        let line = self.line_at(position.byte());
        format!("line {line}: {}, and the header has {expected_len}", counted(*len, "cell", "cells"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_excel_saves_is_read_with_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let utf16: Vec<u8> =
            "\u{feff}sep=;\r\npatient_id;split\r\nA;test\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [utf16.as_slice(), b"sep=;\npatient_id;split\nA;test\n", b"\n\"patient_id\"\tsplit\nA\ttest\n"] {
            std::fs::write(&path, bytes).unwrap();
            let (line, record) = SmallTable::open(&path, ["patient_id", "split"]).unwrap().next().unwrap().unwrap();
            assert_eq!((record.iter().collect::<Vec<_>>(), line), (vec!["A", "test"], 3));
        }
    }

    #[test]
    fn a_table_that_says_two_things_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let open = |text: &str| {
            std::fs::write(&path, text).unwrap();
            SmallTable::open(&path, ["patient_id", "split"]).map(|table| table.at)
        };
        assert_eq!(open("note,Split,patient_id\n\"a\nb\",test,A\n"), Ok([2, 1]));
        assert_eq!(open("note,note,split,patient_id\n"), Ok([3, 2]), "columns that are not read may repeat");
        assert_eq!(open("sep=;\n\npatient_id;split\nA;test\n"), Ok([0, 1]));
        assert!(open("patient_id,split,Split\nA,train,test\n").unwrap_err().contains("`split` occurs twice"));
        assert!(open("patient_id,other\n").unwrap_err().contains("no column `split`"));
        let hidden = open("patient_id,split,note\nA,train,\"see\nB,test,\"x\"\nC,test,y\n").unwrap_err();
        assert!(hidden.starts_with("line 2: ") && hidden.contains("closed in line 3"), "{hidden}");
        assert!(open("patient_id,split,note\nA,train,x\nB,test,\"y\n").unwrap_err().contains("line 3"));
        assert_eq!(open("patient_id,split,note\nA,train,\"see report\nof Ward A, B, and C\"\n"), Ok([0, 1]));
    }
}
