//! Names of findings and stations, as a file has them: for a look at what rules and maps make of them.
//!
//! Invariant: nothing is checked here, so that names with a fault are shown too.

use std::path::Path;

use super::columns::name_of;
use super::kind::{Kind, kind_of};
use super::raw_table;
use super::text::text_of;
use crate::error::AnnotationError;

/// Where a text stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameColumn {
    /// A line of its own.
    Line,
    /// The column `finding` of a table.
    Finding,
    /// The column `station` of a table.
    Station,
}

/// A name, with its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedText {
    /// Line, or row of a Parquet file or sheet, from 1.
    pub line: u64,
    /// Where it stood.
    pub column: NameColumn,
    /// The name.
    pub text: String,
}

/// The names in a file: the cells of the columns `finding` and `station` where it is a table with one of them, else its lines. Empty ones are
/// left out.
///
/// # Errors
/// [`AnnotationError`] naming the file and what to mend.
pub fn read_names(path: &Path) -> Result<Vec<NamedText>, AnnotationError> {
    let columns = |names: &[String]| -> Vec<(usize, NameColumn)> {
        let column = |name: &String| match name_of(name).as_str() {
            "finding" => Some(NameColumn::Finding),
            "station" => Some(NameColumn::Station),
            _ => None,
        };
        names.iter().enumerate().filter_map(|(at, name)| Some((at, column(name)?))).collect()
    };
    if kind_of(path)? == Kind::Text {
        let text = text_of(path)?;
        // A list of names need not look like a table.
        match raw_table(path) {
            Ok(raw) if !columns(&raw.names).is_empty() => {}
            _ => return Ok(lines_of(&text)),
        }
    }
    let raw = raw_table(path)?;
    let columns = columns(&raw.names);
    if columns.is_empty() {
        return Err(AnnotationError::Column {
            path: path.to_owned(),
            missing: "`finding` or `station`".into(),
            found: raw.names.join(", "),
            hint: String::new(),
        });
    }
    let names = raw.records.iter().flat_map(|record| {
        columns.iter().filter_map(|(at, column)| {
            let text = record.cells.get(*at)?.trim();
            (!text.is_empty()).then(|| NamedText { line: record.line, column: *column, text: text.to_owned() })
        })
    });
    Ok(names.collect())
}

/// The lines of a text as names; empty ones are left out.
pub fn lines_of(text: &str) -> Vec<NamedText> {
    let named = |(number, line): (usize, &str)| {
        let text = line.trim();
        (!text.is_empty()).then(|| NamedText {
            line: number as u64 + 1,
            column: NameColumn::Line,
            text: text.to_owned(),
        })
    };
    text.trim_start_matches('\u{feff}').lines().enumerate().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.txt");
        let read = |text: &str| -> Vec<(u64, NameColumn, String)> {
            std::fs::write(&path, text).unwrap();
            read_names(&path).unwrap().into_iter().map(|name| (name.line, name.column, name.text)).collect()
        };
        let line = |line, text: &str| (line, NameColumn::Line, text.to_owned());
        assert_eq!(read("LN 4R\r\n\r\n4R, 7\r\na,b;c\r\n"), [line(1, "LN 4R"), line(3, "4R, 7"), line(4, "a,b;c")]);
        let found = read("finding;Station\nnode 1;10-Nov\n;4R+7\n");
        let expected = [
            (2, NameColumn::Finding, "node 1".to_owned()),
            (2, NameColumn::Station, "10-Nov".to_owned()),
            (3, NameColumn::Station, "4R+7".to_owned()),
        ];
        assert_eq!(found, expected);
    }
}
