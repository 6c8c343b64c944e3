//! The index by columns: each is decoded when it is asked for, so an index of any size needs the memory of a few columns.
//!
//! Text comes as codes. A column with few values has one code per value, in the order of the values. A column of keys, which has about as many
//! values as rows, has the number of the first row with the same text, so no text is kept at all: [`IndexColumns::texts_at`] reads it again
//! where people are to see it. Row groups are decoded on all threads. Invariants: the bytes are those that the manifest names; rows count from 0
//! in the order of the file; the number of threads changes no result. Keys are told apart by 64 bits of theirs: two of ten million random keys are
//! taken for one with a chance of 3 in a million.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher;
use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Float32Type, SchemaRef};
use foldhash::quality::FixedState;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use rayon::prelude::*;

use crate::error::ShardError;
use crate::pieces::Pieces;

/// Rows that are decoded at a time.
const BATCH: usize = 1 << 14;
/// Code of a null.
pub const NO_CODE: u32 = u32::MAX;

/// A column of text with few values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coded {
    /// The code of each row; [`NO_CODE`] where it is null.
    pub codes: Vec<u32>,
    /// The values, sorted; a code is a place in them.
    pub values: Vec<String>,
}

/// Which rows of a column are read.
enum Part {
    All,
    RowGroup(usize),
    Rows(RowSelection),
}

/// The columns of a verified index.
#[derive(Clone, Debug)]
pub struct IndexColumns {
    file: Pieces,
    metadata: ArrowReaderMetadata,
    path: PathBuf,
}

impl IndexColumns {
    pub(crate) fn open(file: Pieces, path: PathBuf) -> Result<Self, ShardError> {
        let metadata =
            ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(ShardError::parquet(&path))?;
        // Rows are told by 32 bits.
        if metadata.metadata().file_metadata().num_rows() >= i64::from(NO_CODE) {
            return Err(ShardError::Rows { path, detail: "it has more rows than 32 bits count".to_owned() });
        }
        Ok(Self { file, metadata, path })
    }

    /// The file, for messages.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        usize::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Names and types.
    pub fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// A column, in batches.
    ///
    /// # Errors
    /// [`ShardError::Rows`] for a column that is not there, [`ShardError::Parquet`] for one that cannot be decoded.
    pub fn column(&self, name: &str) -> Result<Vec<ArrayRef>, ShardError> {
        let arrays = self.by_row_group(name, |group| {
            let mut arrays = Vec::new();
            self.visit(name, Part::RowGroup(group), |array| {
                arrays.push(ArrayRef::clone(array));
                Ok(())
            })?;
            Ok(arrays)
        })?;
        Ok(arrays.into_iter().flatten().collect())
    }

    /// A column of text by its values.
    ///
    /// # Errors
    /// As [`IndexColumns::column`], and [`ShardError::Rows`] for one that is no text.
    pub fn coded(&self, name: &str) -> Result<Coded, ShardError> {
        let parts = self.by_row_group(name, |group| self.coded_group(name, group))?;
        let values: BTreeSet<&String> = parts.iter().flat_map(|part| &part.values).collect();
        let places: HashMap<&String, u32> = values.iter().copied().zip(0..).collect();
        let mut codes = Vec::with_capacity(self.rows());
        for part in &parts {
            let sorted: Vec<u32> = part.values.iter().map(|value| places[value]).collect();
            codes.extend(part.codes.iter().map(|code| sorted.get(*code as usize).copied().unwrap_or(NO_CODE)));
        }
        Ok(Coded { codes, values: values.into_iter().cloned().collect() })
    }

    /// The same of one row group, with values in the order of their first rows.
    fn coded_group(&self, name: &str, group: usize) -> Result<Coded, ShardError> {
        let mut places: HashMap<String, u32> = HashMap::new();
        let mut coded = Coded { codes: Vec::new(), values: Vec::new() };
        self.visit_texts(name, Part::RowGroup(group), |texts| {
            for text in texts {
                let code = text.map(|text| match places.get(text) {
                    Some(code) => *code,
                    None => {
                        let next = coded.values.len() as u32;
                        coded.values.push(text.to_owned());
                        places.insert(text.to_owned(), next);
                        next
                    }
                });
                coded.codes.push(code.unwrap_or(NO_CODE));
            }
        })?;
        Ok(coded)
    }

    /// For each row the first row with the same text; [`NO_CODE`] where it is null.
    ///
    /// # Errors
    /// As [`IndexColumns::coded`].
    pub fn first_rows(&self, name: &str) -> Result<Vec<u32>, ShardError> {
        self.first_rows_by(name, fingerprint)
    }

    /// The same of texts that are one but for case, and blanks at their ends or beside each other.
    ///
    /// # Errors
    /// As [`IndexColumns::coded`].
    pub fn first_rows_folded(&self, name: &str) -> Result<Vec<u32>, ShardError> {
        self.first_rows_by(name, |text| fingerprint(&folded(text)))
    }

    fn first_rows_by(&self, name: &str, key: impl Fn(&str) -> u64 + Send + Sync) -> Result<Vec<u32>, ShardError> {
        let mut keys: Vec<(u64, u32)> = Vec::with_capacity(self.rows());
        let parts = self.by_row_group(name, |group| {
            let (mut keys, mut row) = (Vec::new(), self.first_row(group));
            self.visit_texts(name, Part::RowGroup(group), |texts| {
                for text in texts {
                    keys.extend(text.map(|text| (key(text), row)));
                    row += 1;
                }
            })?;
            Ok(keys)
        })?;
        parts.into_iter().for_each(|part| keys.extend(part));
        keys.par_sort_unstable();
        let mut firsts = vec![NO_CODE; self.rows()];
        for same in keys.chunk_by(|a, b| a.0 == b.0) {
            for (_, row) in same {
                firsts[*row as usize] = same[0].1;
            }
        }
        Ok(firsts)
    }

    /// Calls `each` with the number and the value of every row of a column of single precision that is not null, in the order of the file, on
    /// the thread of the caller: whoever asks for many columns asks on many threads.
    ///
    /// # Errors
    /// As [`IndexColumns::column`], and [`ShardError::Rows`] for a column of another type.
    pub fn visit_singles(&self, name: &str, mut each: impl FnMut(u32, f32)) -> Result<(), ShardError> {
        let mut row = 0;
        self.visit(name, Part::All, |array| {
            let values = array.as_primitive_opt::<Float32Type>();
            let values = values.ok_or_else(|| self.wrong(format!("column `{name}` has type {}", array.data_type())))?;
            for value in values {
                value.into_iter().for_each(|value| each(row, value));
                row += 1;
            }
            Ok(())
        })
    }

    /// Calls `each` with the number and the text of every row of a column of text that is not null: none of them is kept.
    ///
    /// # Errors
    /// As [`IndexColumns::coded`].
    pub fn visit_column(&self, name: &str, mut each: impl FnMut(u32, &str)) -> Result<(), ShardError> {
        let mut row = 0;
        self.visit_texts(name, Part::All, |texts| {
            for text in texts {
                text.into_iter().for_each(|text| each(row, text));
                row += 1;
            }
        })
    }

    /// Texts of some rows, which come in rising order.
    ///
    /// # Errors
    /// As [`IndexColumns::coded`]; [`ShardError::Rows`] for a row beyond the last.
    pub fn texts_at(&self, name: &str, rows: &[u32]) -> Result<Vec<Option<String>>, ShardError> {
        let mut found = Vec::with_capacity(rows.len());
        if rows.is_empty() {
            return Ok(found);
        }
        let wrong = || self.wrong(format!("rows of `{name}` that do not exist, or not in order"));
        let selection = self.selection(rows).map_err(|()| wrong())?;
        self.visit_texts(name, Part::Rows(selection), |texts| {
            found.extend(texts.iter().map(|text| text.map(str::to_owned)));
        })?;
        Ok(found)
    }

    /// Some rows, which come in rising order, with these columns, in the order of the file; only their pages are decoded.
    ///
    /// # Errors
    /// As [`IndexColumns::column`]; [`ShardError::Rows`] for a row beyond the last.
    pub fn rows_at(&self, names: &[&str], rows: &[u32]) -> Result<Vec<RecordBatch>, ShardError> {
        let part = Part::Rows(
            self.selection(rows).map_err(|()| self.wrong("rows that do not exist, or not in order".to_owned()))?,
        );
        let batches = self.reader(names, part)?;
        batches.map(|batch| batch.map_err(|error| self.wrong(error.to_string()))).collect()
    }

    /// Tells the reader which rows are asked for.
    fn selection(&self, rows: &[u32]) -> Result<RowSelection, ()> {
        if rows.last().is_some_and(|last| *last as usize >= self.rows()) || !rows.is_sorted_by(|a, b| a < b) {
            return Err(());
        }
        let ranges = rows.chunk_by(|a, b| a + 1 == *b).map(|run| run[0] as usize..run[0] as usize + run.len());
        Ok(RowSelection::from_consecutive_ranges(ranges, self.rows()))
    }

    /// Rows whose text is one of `texts`, by text: the last of each.
    ///
    /// # Errors
    /// As [`IndexColumns::coded`].
    pub fn rows_of<'a>(
        &self,
        name: &str,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<HashMap<String, u32>, ShardError> {
        let wanted: HashSet<&str> = texts.into_iter().collect();
        let parts = self.by_row_group(name, |group| {
            let (mut found, mut row) = (HashMap::new(), self.first_row(group));
            self.visit_texts(name, Part::RowGroup(group), |texts| {
                for text in texts {
                    if let Some(text) = text.filter(|text| wanted.contains(text)) {
                        found.insert(text.to_owned(), row);
                    }
                    row += 1;
                }
            })?;
            Ok(found)
        })?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// What `each` makes of every row group, in the order of the file.
    fn by_row_group<T: Send>(
        &self,
        name: &str,
        each: impl Fn(usize) -> Result<T, ShardError> + Send + Sync,
    ) -> Result<Vec<T>, ShardError> {
        // A column that is not there is an error also where there is no row.
        self.mask(&[name])?;
        (0..self.metadata.metadata().num_row_groups()).into_par_iter().map(each).collect()
    }

    /// Number of the first row of a row group.
    fn first_row(&self, group: usize) -> u32 {
        let before = &self.metadata.metadata().row_groups()[..group];
        // All rows are fewer than 32 bits count, see `open`.
        before.iter().map(|group| group.num_rows()).sum::<i64>() as u32
    }

    fn visit_texts(&self, name: &str, part: Part, mut each: impl FnMut(&StringArray)) -> Result<(), ShardError> {
        self.visit(name, part, |array| match array.data_type() {
            DataType::Utf8 => {
                each(array.as_string::<i32>());
                Ok(())
            }
            other => Err(self.wrong(format!("column `{name}` has type {other}"))),
        })
    }

    fn visit(
        &self,
        name: &str,
        part: Part,
        mut each: impl FnMut(&ArrayRef) -> Result<(), ShardError>,
    ) -> Result<(), ShardError> {
        for batch in self.reader(&[name], part)? {
            let batch = batch.map_err(|error| self.wrong(error.to_string()))?;
            each(batch.column(0))?;
        }
        Ok(())
    }

    fn reader(&self, names: &[&str], part: Part) -> Result<ParquetRecordBatchReader, ShardError> {
        let mask = self.mask(names)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone());
        let builder = builder.with_projection(mask).with_batch_size(BATCH);
        let builder = match part {
            Part::All => builder,
            Part::RowGroup(group) => builder.with_row_groups(vec![group]),
            Part::Rows(rows) => builder.with_row_selection(rows),
        };
        builder.build().map_err(ShardError::parquet(&self.path))
    }

    /// Tells the reader which columns are asked for.
    fn mask(&self, names: &[&str]) -> Result<ProjectionMask, ShardError> {
        if let Some(name) = names.iter().find(|name| self.schema().field_with_name(name).is_err()) {
            return Err(self.wrong(format!("there is no column `{name}`")));
        }
        Ok(ProjectionMask::columns(self.metadata.metadata().file_metadata().schema_descr(), names.iter().copied()))
    }

    fn wrong(&self, detail: String) -> ShardError {
        ShardError::Rows { path: self.path.clone(), detail }
    }
}

/// 64 bits that stand for a text. They are compared within one run and never stored, so another version may give others.
fn fingerprint(text: &str) -> u64 {
    FixedState::with_seed(0).hash_one(text)
}

/// Lower case, without blanks at the ends, and with one where there were several.
pub fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests;
