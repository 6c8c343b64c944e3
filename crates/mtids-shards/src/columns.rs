//! The index by columns: each is decoded when it is asked for, so an index of any size needs the memory of a few columns.
//!
//! Text comes as codes. A column with few values has one code per value, in the order of the values. A column of keys, which has about as many
//! values as rows, has the number of the first row with the same text, so no text is kept at all: [`IndexColumns::texts_at`] reads it again
//! where people are to see it. Invariants: the bytes are those that the manifest names; rows count from 0 in the order of the file. Keys are
//! told apart by 64 bits of theirs: two of ten million random keys are taken for one with a chance of 3 in a million.

use std::collections::HashMap;
use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, SchemaRef};
use mtids_runtime::digest::Digest;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};

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
        let mut arrays = Vec::new();
        self.visit(name, None, |array| {
            arrays.push(ArrayRef::clone(array));
            Ok(())
        })?;
        Ok(arrays)
    }

    /// A column of text by its values.
    ///
    /// # Errors
    /// As [`IndexColumns::column`], and [`ShardError::Rows`] for one that is no text.
    pub fn coded(&self, name: &str) -> Result<Coded, ShardError> {
        let mut places: HashMap<String, u32> = HashMap::new();
        let mut codes = Vec::with_capacity(self.rows());
        self.visit_texts(name, None, |texts| {
            for text in texts {
                let code = match text {
                    None => NO_CODE,
                    Some(text) => match places.get(text) {
                        Some(code) => *code,
                        None => {
                            let next = places.len() as u32;
                            places.insert(text.to_owned(), next);
                            next
                        }
                    },
                };
                codes.push(code);
            }
        })?;
        let mut values: Vec<(String, u32)> = places.into_iter().collect();
        values.sort_unstable();
        let mut sorted = vec![0; values.len()];
        for (place, (_, code)) in values.iter().enumerate() {
            sorted[*code as usize] = place as u32;
        }
        codes.iter_mut().filter(|code| **code != NO_CODE).for_each(|code| *code = sorted[*code as usize]);
        Ok(Coded { codes, values: values.into_iter().map(|(value, _)| value).collect() })
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

    fn first_rows_by(&self, name: &str, key: impl Fn(&str) -> u64) -> Result<Vec<u32>, ShardError> {
        let mut keys: Vec<(u64, u32)> = Vec::with_capacity(self.rows());
        let mut row = 0;
        self.visit_texts(name, None, |texts| {
            for text in texts {
                keys.extend(text.map(|text| (key(text), row)));
                row += 1;
            }
        })?;
        keys.sort_unstable();
        let mut firsts = vec![NO_CODE; row as usize];
        for same in keys.chunk_by(|a, b| a.0 == b.0) {
            for (_, row) in same {
                firsts[*row as usize] = same[0].1;
            }
        }
        Ok(firsts)
    }

    /// Calls `each` with the number and the text of every row of a column of text that is not null: none of them is kept.
    ///
    /// # Errors
    /// As [`IndexColumns::coded`].
    pub fn visit_column(&self, name: &str, mut each: impl FnMut(u32, &str)) -> Result<(), ShardError> {
        let mut row = 0;
        self.visit_texts(name, None, |texts| {
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
        if rows.last().is_some_and(|last| *last as usize >= self.rows()) || !rows.is_sorted_by(|a, b| a < b) {
            return Err(self.wrong(format!("rows of `{name}` that do not exist, or not in order")));
        }
        let ranges = rows.chunk_by(|a, b| a + 1 == *b).map(|run| run[0] as usize..run[0] as usize + run.len());
        let selection = RowSelection::from_consecutive_ranges(ranges, self.rows());
        self.visit_texts(name, Some(selection), |texts| {
            found.extend(texts.iter().map(|text| text.map(str::to_owned)));
        })?;
        Ok(found)
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
        let wanted: std::collections::HashSet<&str> = texts.into_iter().collect();
        let mut found = HashMap::with_capacity(wanted.len());
        let mut row = 0;
        self.visit_texts(name, None, |texts| {
            for text in texts {
                if let Some(text) = text.filter(|text| wanted.contains(text)) {
                    found.insert(text.to_owned(), row);
                }
                row += 1;
            }
        })?;
        Ok(found)
    }

    fn visit_texts(
        &self,
        name: &str,
        selection: Option<RowSelection>,
        mut each: impl FnMut(&StringArray),
    ) -> Result<(), ShardError> {
        self.visit(name, selection, |array| match array.data_type() {
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
        selection: Option<RowSelection>,
        mut each: impl FnMut(&ArrayRef) -> Result<(), ShardError>,
    ) -> Result<(), ShardError> {
        for batch in self.reader(name, selection)? {
            let batch: RecordBatch = batch.map_err(|error| self.wrong(error.to_string()))?;
            each(batch.column(0))?;
        }
        Ok(())
    }

    fn reader(&self, name: &str, selection: Option<RowSelection>) -> Result<ParquetRecordBatchReader, ShardError> {
        if self.schema().field_with_name(name).is_err() {
            return Err(self.wrong(format!("there is no column `{name}`")));
        }
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone());
        let mask = ProjectionMask::columns(builder.parquet_schema(), [name]);
        let builder = builder.with_projection(mask).with_batch_size(BATCH);
        let builder = selection.into_iter().fold(builder, |builder, rows| builder.with_row_selection(rows));
        builder.build().map_err(ShardError::parquet(&self.path))
    }

    fn wrong(&self, detail: String) -> ShardError {
        ShardError::Rows { path: self.path.clone(), detail }
    }
}

/// 64 bits that stand for a text: 16 hexadecimal digits as the number that they are, any other text by its digest. The first half of a longer
/// id is not enough: ids of other programs may begin alike.
fn fingerprint(text: &str) -> u64 {
    let digits = (text.len() == 16).then_some(text.as_bytes());
    let number = digits.and_then(|digits| {
        digits.iter().try_fold(0_u64, |number, digit| {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            Some(number << 4 | u64::from(value))
        })
    });
    number.unwrap_or_else(|| {
        let digest = Digest::of_bytes(text.as_bytes());
        digest.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    })
}

/// Lower case, without blanks at the ends, and with one where there were several.
pub fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudonyms_are_told_apart_by_their_digits_and_other_texts_by_a_digest() {
        assert_eq!(fingerprint("00000000000000ff"), 255);
        let others = [
            "00000000000000ff",
            "00000000000000ff00000000000000aa",
            "00000000000000ff00000000000000ab",
            "00000000000000FF",
            "patient0",
            "patient1",
            "",
            " patient0",
            "00000000000000ff0",
        ];
        let mut seen: Vec<u64> = others.iter().map(|text| fingerprint(text)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), others.len());
        assert_eq!(folded("  Ab \t C "), "ab c");
    }
}
