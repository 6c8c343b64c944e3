//! The index of a dataset as a polars query, and typed columns out of it.
//!
//! Invariants: the rows come from bytes whose digest the manifest names; everything polars ends here, and callers see vectors.
//! A missing column or a wrong type is an error that names the file.

use std::collections::BTreeSet;
use std::path::PathBuf;

use mtids_shards::{Dataset, INDEX};
use polars::prelude::*;

use crate::error::AuditError;
use crate::frame::frame_of;

/// The label columns of a dataset.
pub(crate) struct Index {
    path: PathBuf,
    columns: BTreeSet<String>,
    frame: LazyFrame,
}

/// Which rows a question is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Those that bear labels.
    Findings,
    /// Also those at places without finding.
    All,
}

/// A result, column by column.
pub(crate) struct Answer {
    path: PathBuf,
    frame: DataFrame,
}

impl Index {
    /// Reads and verifies the index of a dataset; the narrow columns are read once and kept.
    ///
    /// # Errors
    /// [`AuditError::Dataset`] for an index that is not the published one, [`AuditError::Index`] for a column of an unknown type.
    pub(crate) fn open(dataset: &Dataset) -> Result<Self, AuditError> {
        let path = dataset.manifest().file(INDEX).map_or(INDEX, |entry| &entry.path);
        let path = dataset.storage().place(path);
        let frame = frame_of(&dataset.index_batches()?)
            .map_err(|error| AuditError::Index { path: path.clone(), detail: error.to_string() })?;
        let columns = frame.get_column_names().into_iter().map(|name| name.to_string()).collect();
        Ok(Self { path, columns, frame: frame.lazy() })
    }

    /// Whether the index has a column; an older layout has fewer.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.columns.contains(column)
    }

    /// Names of its columns.
    pub(crate) fn columns(&self) -> &BTreeSet<String> {
        &self.columns
    }

    /// Its rows, for a query over more than one index; [`Index::answer`] runs it.
    pub(crate) fn frame(&self, rows: Rows) -> LazyFrame {
        let all = self.frame.clone();
        if rows == Rows::All { all } else { all.filter(col("kind").eq(lit("finding"))) }
    }

    /// Runs a query; its errors name the file of this index.
    pub(crate) fn answer(&self, query: LazyFrame) -> Result<Answer, AuditError> {
        let frame = query
            .collect()
            .map_err(|error| AuditError::Index { path: self.path.clone(), detail: error.to_string() })?;
        Ok(Answer { path: self.path.clone(), frame })
    }

    /// Runs a query over the rows that bear labels.
    pub(crate) fn query(&self, build: impl FnOnce(LazyFrame) -> LazyFrame) -> Result<Answer, AuditError> {
        self.query_of(Rows::Findings, build)
    }

    /// Runs a query.
    pub(crate) fn query_of(
        &self,
        rows: Rows,
        build: impl FnOnce(LazyFrame) -> LazyFrame,
    ) -> Result<Answer, AuditError> {
        self.answer(build(self.frame(rows)))
    }

    /// Groups the rows that bear labels by `keys` (in sorted order) and aggregates.
    pub(crate) fn grouped<const N: usize>(
        &self,
        keys: [&str; N],
        aggregates: impl AsRef<[Expr]>,
    ) -> Result<Answer, AuditError> {
        let expressions: Vec<Expr> = keys.iter().map(|key| col(*key)).collect();
        self.query(|frame| frame.group_by(expressions).agg(aggregates).sort(keys, SortMultipleOptions::default()))
    }
}

impl Answer {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.frame.height()
    }

    /// The result as the beginning of another query.
    pub(crate) fn into_frame(self) -> LazyFrame {
        self.frame.lazy()
    }

    /// A column as text; null is `None`.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<Option<String>>, AuditError> {
        let column = self.cast(name, &DataType::String)?;
        let texts = column.str().map_err(|error| self.fail(error))?;
        Ok(texts.iter().map(|text| text.map(str::to_owned)).collect())
    }

    /// A column as numbers; null is `None`.
    pub(crate) fn numbers(&self, name: &str) -> Result<Vec<Option<f64>>, AuditError> {
        let column = self.cast(name, &DataType::Float64)?;
        let numbers = column.f64().map_err(|error| self.fail(error))?;
        Ok(numbers.iter().collect())
    }

    /// A column of counts; null counts nothing.
    pub(crate) fn counts(&self, name: &str) -> Result<Vec<u64>, AuditError> {
        // Counts of rows are far below 2⁵³, so the way through f64 is exact.
        Ok(self.numbers(name)?.into_iter().map(|number| number.unwrap_or(0.0) as u64).collect())
    }

    fn cast(&self, name: &str, to: &DataType) -> Result<Column, AuditError> {
        self.frame.column(name).and_then(|column| column.cast(to)).map_err(|error| self.fail(error))
    }

    fn fail(&self, error: PolarsError) -> AuditError {
        AuditError::Index { path: self.path.clone(), detail: error.to_string() }
    }
}
