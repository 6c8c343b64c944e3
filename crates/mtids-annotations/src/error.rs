//! Why annotations cannot be used.
//!
//! Files that a user names must be read; a fault in one of them is an error here. DICOM objects of a study folder that cannot be read are
//! outcomes instead ([`crate::load()`]).

use std::path::PathBuf;

/// Why annotations cannot be used; names the file or the rule, and what to mend.
#[derive(Debug, thiserror::Error)]
pub enum AnnotationError {
    /// A table cannot be read or is no table.
    #[error("cannot read the annotation table {path}: {detail}")]
    Table {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// A column that is needed is not there.
    #[error("{path}: column {missing} is missing; the table has: {found}{hint}")]
    Column {
        /// The file.
        path: PathBuf,
        /// What is needed.
        missing: String,
        /// The columns that are there.
        found: String,
        /// Empty, or what may be meant, beginning with a separator.
        hint: String,
    },
    /// Cells that make no sense; one line of text for each.
    #[error("{}", lines_of(path, faults, *more))]
    Cells {
        /// The file.
        path: PathBuf,
        /// The first of them, in the order of the file.
        faults: Vec<CellFault>,
        /// How many more there are.
        more: usize,
    },
    /// A mask or a file of boxes that cannot be used.
    #[error("{path}: {detail}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and, where it helps, what to do.
        detail: String,
    },
    /// A file or folder that cannot be opened.
    #[error("cannot read annotations {path}: {source}")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An output file.
    #[error("cannot write {path}: {detail}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// A rule for classes.
    #[error("configuration, `classes.{number}`: {detail}")]
    Rule {
        /// Number of the rule, from 0.
        number: usize,
        /// What is wrong with it.
        detail: String,
    },
}

/// A cell, or a whole row, that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellFault {
    /// How rows of the file are counted: `line` of a text from 1, or `row` of a sheet or of a Parquet file from 1.
    pub unit: &'static str,
    /// Number of the line or row.
    pub line: u64,
    /// Column; `None` where it is the row.
    pub column: Option<String>,
    /// What was found, and what to do.
    pub detail: String,
}

impl CellFault {
    /// The place and the fault, for people.
    fn text(&self) -> String {
        let column = self.column.as_ref().map_or_else(String::new, |column| format!(", column `{column}`"));
        format!("{} {}{column}: {}", self.unit, self.line, self.detail)
    }
}

fn lines_of(path: &std::path::Path, faults: &[CellFault], more: usize) -> String {
    let mut lines: Vec<String> = faults.iter().map(|fault| format!("{}, {}", path.display(), fault.text())).collect();
    if more > 0 {
        lines.push(format!("{}: {more} more faulty cells", path.display()));
    }
    lines.join("\n")
}

impl AnnotationError {
    pub(crate) fn file(path: &std::path::Path, detail: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), detail: detail.into() }
    }

    pub(crate) fn table(path: &std::path::Path, detail: impl Into<String>) -> Self {
        Self::Table { path: path.to_owned(), detail: detail.into() }
    }
}
