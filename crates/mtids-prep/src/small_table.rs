//! Small tables of text that a setting or an option names: of splits, of sites, of corrections.
//!
//! They are read in the encodings and with the separators of tables of annotations. Invariant: a table whose quotation marks hide rows, or that has one of its columns twice, is refused: which of them is meant nobody knows.

use std::io::Cursor;
use std::path::Path;

use mtids_annotations::table::{PlainTable, check_quotes};

/// A table, and where its columns stand.
pub(crate) struct SmallTable<const N: usize> {
    /// Its rows.
    pub(crate) reader: csv::Reader<Cursor<Vec<u8>>>,
    /// The number of each column that was asked for, in that order.
    pub(crate) at: [usize; N],
}

impl<const N: usize> SmallTable<N> {
    /// Opens a table with these columns; others are left alone.
    ///
    /// # Errors
    /// A sentence: what is wrong, and in which line.
    pub(crate) fn open(path: &Path, columns: [&str; N]) -> Result<Self, String> {
        let PlainTable { text, separator } = PlainTable::read(path, &columns)?;
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .trim(csv::Trim::All)
            .from_reader(Cursor::new(text.into_bytes()));
        let headers = reader.headers().map_err(|error| error.to_string())?.clone();
        check_quotes(reader.get_ref().get_ref(), separator, headers.len())?;
        let mut at = [0; N];
        for (at, name) in at.iter_mut().zip(columns) {
            let mut found =
                headers.iter().enumerate().filter(|(_, header)| header.eq_ignore_ascii_case(name)).map(|(n, _)| n);
            *at = found.next().ok_or_else(|| format!("no column `{name}`; the columns are {}", columns.join(", ")))?;
            if found.next().is_some() {
                return Err(format!("column `{name}` occurs twice; keep one"));
            }
        }
        Ok(Self { reader, at })
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
            let mut reader = SmallTable::open(&path, ["patient_id", "split"]).unwrap().reader;
            let record = reader.records().next().unwrap().unwrap();
            assert_eq!((record.iter().collect::<Vec<_>>(), record.position().unwrap().line()), (vec!["A", "test"], 3));
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
