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
    #[error("{path}: column {missing} is missing; the table has: {found}")]
    Column {
        /// The file.
        path: PathBuf,
        /// What is needed.
        missing: String,
        /// The columns that are there.
        found: String,
    },
    /// A cell that makes no sense.
    #[error("{path}, line {line}, column `{column}`: {detail}")]
    Cell {
        /// The file.
        path: PathBuf,
        /// Line, from 1, the header being line 1.
        line: u64,
        /// Column.
        column: String,
        /// Why.
        detail: String,
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

impl AnnotationError {
    pub(crate) fn file(path: &std::path::Path, detail: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), detail: detail.into() }
    }

    pub(crate) fn table(path: &std::path::Path, detail: impl Into<String>) -> Self {
        Self::Table { path: path.to_owned(), detail: detail.into() }
    }
}
