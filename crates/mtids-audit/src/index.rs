//! The index of a dataset as a polars query, and typed columns out of it.
//!
//! Invariants: the rows come from bytes whose digest the manifest names; everything polars ends here, and callers see vectors.
//! A missing column or one of another kind is an error that names the file. An index that is opened by columns has numbers for texts, see
//! [`crate::columns`]; [`Answer::texts`] turns them back, so a question does not see the difference.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::Schema as ArrowSchema;
use mtids_shards::{Dataset, INDEX, NO_CODE};
use polars::prelude::*;

use crate::columns::{Columns, KEYS};
use crate::count::Group;
use crate::error::AuditError;
use crate::frame::frame_of;
use crate::issue::ROWS;
use crate::kinds;

/// The kind of rows that bear labels.
const FINDING: &str = "finding";

/// The label columns of a dataset.
pub(crate) struct Index {
    path: PathBuf,
    names: BTreeSet<String>,
    /// Names of the columns whose numbers may be none.
    decimals: BTreeSet<String>,
    frame: LazyFrame,
    /// Tells the rows that bear labels; none where all do, and nothing has to be copied.
    is_finding: Option<Expr>,
    /// Where texts are numbers: the columns that know which.
    coded: Option<Arc<Columns>>,
    /// Counts that were asked for, by their keys.
    counted: Mutex<BTreeMap<Vec<String>, Vec<Group>>>,
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
    coded: Option<Arc<Columns>>,
}

impl Index {
    /// Verifies the index of a dataset; columns are decoded when a question needs them.
    ///
    /// # Errors
    /// [`AuditError::Dataset`] for an index that is not the published one, [`AuditError::Index`] for a column of another kind.
    pub(crate) fn open(dataset: &Dataset) -> Result<Self, AuditError> {
        let columns = Arc::new(Columns::new(dataset.index_columns()?));
        let path = columns.index().path().to_owned();
        kinds::check(columns.index().schema(), &path)?;
        let decimals = kinds::decimals(columns.index().schema());
        let names = columns.index().schema().fields().iter().map(|field| field.name().clone()).collect();
        let scan = Arc::clone(&columns) as Arc<dyn AnonymousScan>;
        let frame = LazyFrame::anonymous_scan(scan, ScanArgsAnonymous::default())
            .map_err(|error| AuditError::Index { path: path.clone(), detail: error.to_string() })?;
        let is_finding =
            if columns.are_all("kind", FINDING)? { None } else { Some(coded_is(&columns, "kind", FINDING)?) };
        Ok(Self { path, names, decimals, frame, is_finding, coded: Some(columns), counted: Mutex::default() })
    }

    /// Reads and verifies the whole index; texts are texts, so that rows of two indexes can be joined by them.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub(crate) fn open_texts(dataset: &Dataset) -> Result<Self, AuditError> {
        let path = dataset.manifest().file(INDEX).map_or(INDEX, |entry| &entry.path);
        let path = dataset.storage().place(path);
        let batches = dataset.index_batches()?;
        // A file without rows has no batch, and its columns all the same.
        let schema = match batches.first() {
            Some(batch) => batch.schema(),
            None => Arc::clone(dataset.index_columns()?.schema()),
        };
        kinds::check(&schema, &path)?;
        let decimals = kinds::decimals(&schema);
        let frame = frame_of(&schema, &batches)
            .map_err(|error| AuditError::Index { path: path.clone(), detail: error.to_string() })?;
        let names = frame.get_column_names().into_iter().map(|name| name.to_string()).collect();
        let is_finding = Some(col("kind").eq(lit(FINDING)));
        Ok(Self { path, names, decimals, frame: frame.lazy(), is_finding, coded: None, counted: Mutex::default() })
    }

    /// Whether the index has a column; an older layout has fewer.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.names.contains(column)
    }

    /// Number of its rows, of findings and negatives.
    pub(crate) fn rows(&self) -> Result<u64, AuditError> {
        let answer = self.query_of(Rows::All, |frame| frame.select([len().alias("rows")]))?;
        Ok(answer.counts("rows")?.first().copied().unwrap_or(0))
    }

    /// Names of its columns.
    pub(crate) fn columns(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Names of its columns of decimal numbers.
    pub(crate) fn decimals(&self) -> &BTreeSet<String> {
        &self.decimals
    }

    /// Whether a column of text has this value; null where it is null.
    pub(crate) fn is(&self, column: &str, value: &str) -> Result<Expr, AuditError> {
        match &self.coded {
            Some(coded) => coded_is(coded, column, value),
            None => Ok(col(column).eq(lit(value.to_owned()))),
        }
    }

    /// Its rows, for a query over more than one index; [`Index::answer`] runs it.
    pub(crate) fn frame(&self, rows: Rows) -> LazyFrame {
        let all = self.frame.clone();
        match &self.is_finding {
            Some(is_finding) if rows == Rows::Findings => all.filter(is_finding.clone()),
            _ => all,
        }
    }

    /// Runs a query; its errors name the file of this index.
    pub(crate) fn answer(&self, query: LazyFrame) -> Result<Answer, AuditError> {
        let frame = query
            .collect()
            .map_err(|error| AuditError::Index { path: self.path.clone(), detail: error.to_string() })?;
        Ok(Answer { path: self.path.clone(), frame, coded: self.coded.clone() })
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

    /// Counts by these keys: those of an earlier question, or what `count` finds.
    pub(crate) fn counted(
        &self,
        keys: &[&str],
        count: impl FnOnce() -> Result<Vec<Group>, AuditError>,
    ) -> Result<Vec<Group>, AuditError> {
        let lock = || self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        if let Some(found) = lock().get(&keys) {
            return Ok(found.clone());
        }
        let found = count()?;
        lock().insert(keys, found.clone());
        Ok(found)
    }

    /// Keys of the findings that meet a condition; where it is unknown they do not.
    pub(crate) fn keys(&self, condition: Expr) -> Result<Vec<String>, AuditError> {
        let answer = self.query(|frame| frame.filter(condition).select([col("sample_key")]))?;
        Ok(answer.texts("sample_key")?.into_iter().flatten().collect())
    }

    /// Columns of the rows with these keys as they are stored, texts as texts, in the order of the file. Of rows with one key it is the last. Only
    /// their pages are decoded, so a few of ten million take no time.
    pub(crate) fn rows_of_keys<'a>(
        &self,
        of: Rows,
        keys: impl IntoIterator<Item = &'a str>,
        columns: &[&str],
    ) -> Result<Answer, AuditError> {
        let index = self.coded()?.index();
        let mut rows: Vec<u32> = index.rows_of("sample_key", keys)?.into_values().collect();
        rows.sort_unstable();
        let names: Vec<&str> = ["kind"].iter().chain(columns).copied().collect();
        let batches = index.rows_at(&names, &rows)?;
        let fields = index.schema().fields().iter().filter(|field| names.contains(&field.name().as_str()));
        let schema = ArrowSchema::new(fields.cloned().collect::<Vec<_>>());
        let wrong = |error: PolarsError| AuditError::Index { path: self.path.clone(), detail: error.to_string() };
        let frame = frame_of(&schema, &batches).map_err(wrong)?.lazy();
        let kept = if of == Rows::Findings { frame.filter(col("kind").eq(lit(FINDING))) } else { frame };
        Ok(Answer { path: self.path.clone(), frame: kept.collect().map_err(wrong)?, coded: None })
    }

    /// Columns of some rows by their numbers, in the order of the file.
    pub(crate) fn rows_at(&self, of: Rows, rows: Vec<u32>, columns: &[&str]) -> Result<Answer, AuditError> {
        let wrong = |error: PolarsError| AuditError::Index { path: self.path.clone(), detail: error.to_string() };
        let numbers = Column::new("sample_key".into(), rows);
        let wanted = DataFrame::new(numbers.len(), vec![numbers]).map_err(wrong)?.lazy();
        let selected: Vec<Expr> = columns.iter().map(|name| col(*name)).collect();
        self.query_of(of, |frame| {
            let key = [col("sample_key")];
            let joined = frame.select(selected).join(wanted, key.clone(), key, JoinArgs::new(JoinType::Inner));
            joined.sort(["sample_key"], SortMultipleOptions::default())
        })
    }

    /// Keys of rows by their numbers, as many as an issue keeps.
    pub(crate) fn keys_at(&self, rows: BTreeSet<u32>) -> Result<Vec<String>, AuditError> {
        let rows: Vec<u32> = rows.into_iter().take(ROWS).collect();
        Ok(self.coded()?.index().texts_at("sample_key", &rows)?.into_iter().flatten().collect())
    }

    /// For each row the first one with the same text in a column of keys; [`NO_CODE`] where it is null.
    pub(crate) fn first_rows(&self, column: &str) -> Result<Vec<u32>, AuditError> {
        Ok(self.coded()?.first_rows(column)?)
    }

    /// The columns of an index that was opened by columns.
    ///
    /// # Errors
    /// [`AuditError::Index`] for one that was opened by its texts.
    pub(crate) fn coded(&self) -> Result<&Columns, AuditError> {
        let detail = || "its rows were read as texts, and are asked for by numbers".to_owned();
        self.coded.as_deref().ok_or_else(|| AuditError::Index { path: self.path.clone(), detail: detail() })
    }
}

fn coded_is(columns: &Columns, column: &str, value: &str) -> Result<Expr, AuditError> {
    let kept = columns.kept(column)?;
    let place = kept.values.binary_search_by(|one| one.as_str().cmp(value));
    Ok(col(column).eq(lit(place.map_or(NO_CODE, |code| code as u32))))
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
        self.texts_of(name, name)
    }

    /// A column under another name than that of the index, as text.
    pub(crate) fn texts_of(&self, name: &str, source: &str) -> Result<Vec<Option<String>>, AuditError> {
        if let Some(coded) = self.coded.as_deref().filter(|coded| coded.is_text(source)) {
            return self.decoded(name, source, coded);
        }
        let column = self.cast(name, &DataType::String)?;
        let texts = column.str().map_err(|error| self.fail(error))?;
        Ok(texts.iter().map(|text| text.map(str::to_owned)).collect())
    }

    /// The texts of a column of numbers.
    fn decoded(&self, name: &str, source: &str, coded: &Columns) -> Result<Vec<Option<String>>, AuditError> {
        let codes = self.codes(name)?;
        if !KEYS.contains(&source) {
            let kept = coded.kept(source)?;
            return Ok(codes.iter().map(|code| kept.values.get(*code as usize).cloned()).collect());
        }
        let mut rows: Vec<u32> = codes.iter().copied().filter(|code| *code != NO_CODE).collect();
        rows.sort_unstable();
        rows.dedup();
        let texts = coded.index().texts_at(source, &rows)?;
        let places: HashMap<u32, usize> = rows.iter().enumerate().map(|(place, row)| (*row, place)).collect();
        Ok(codes.iter().map(|code| places.get(code).and_then(|place| texts[*place].clone())).collect())
    }

    /// The numbers that stand for texts, in an index that was opened by columns; [`NO_CODE`] where it is null.
    pub(crate) fn codes(&self, name: &str) -> Result<Vec<u32>, AuditError> {
        let column = self.cast(name, &DataType::UInt32)?;
        let codes = column.u32().map_err(|error| self.fail(error))?;
        Ok(codes.iter().map(|code| code.unwrap_or(NO_CODE)).collect())
    }

    /// Whether a column is of truth values.
    pub(crate) fn is_truth(&self, name: &str) -> Result<bool, AuditError> {
        let column = self.frame.column(name).map_err(|error| self.fail(error))?;
        Ok(*column.dtype() == DataType::Boolean)
    }

    /// A column as numbers; null is `None`.
    pub(crate) fn numbers(&self, name: &str) -> Result<Vec<Option<f64>>, AuditError> {
        let column = self.cast(name, &DataType::Float64)?;
        let numbers = column.f64().map_err(|error| self.fail(error))?;
        Ok(numbers.iter().collect())
    }

    /// A column as numbers; null is not a number.
    pub(crate) fn values(&self, name: &str) -> Result<Vec<f64>, AuditError> {
        let column = self.cast(name, &DataType::Float64)?;
        let numbers = column.f64().map_err(|error| self.fail(error))?;
        Ok(numbers.iter().map(|number| number.unwrap_or(f64::NAN)).collect())
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
