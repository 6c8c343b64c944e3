//! `index.parquet`: every column but the voxels, and where each row lies, so that an audit reads kilobytes.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use mtids_runtime::storage::Storage;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::description::DatasetDescription;
use crate::error::ShardError;
use crate::file::{FileEntry, write_file};
use crate::row::RowLabels;
use crate::schema::{columns, labels_of};
use crate::writer::options_of;

/// A row of the index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IndexRow<'a> {
    /// Labels.
    pub labels: &'a RowLabels,
    /// Shard, relative to the dataset.
    pub shard: &'a str,
    /// Row group in the shard.
    pub row_group: i64,
    /// Row in the row group.
    pub row: i64,
}

/// Plain name of the index.
pub const INDEX: &str = "index.parquet";
/// Rows that are converted at a time.
const BATCH: usize = 1024;

/// Writes the index.
///
/// # Errors
/// [`ShardError`] naming the file.
pub fn write_index(
    dataset: &dyn Storage,
    rows: &[IndexRow<'_>],
    description: &DatasetDescription,
) -> Result<FileEntry, ShardError> {
    let path = dataset.place(INDEX);
    let mut fields: Vec<Field> = columns().iter().map(|column| column.field()).collect();
    fields.push(Field::new("shard", DataType::Utf8, false));
    fields.push(Field::new("row_group", DataType::Int64, false));
    fields.push(Field::new("row", DataType::Int64, false));
    let schema = Arc::new(Schema::new(fields));
    let options = options_of(description, 3).map_err(|detail| ShardError::Rows { path: path.clone(), detail })?;
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new_with_options(&mut bytes, schema.clone(), options).map_err(ShardError::parquet(&path))?;
    for rows in rows.chunks(BATCH) {
        let mut arrays: Vec<ArrayRef> =
            columns().iter().map(|column| column.array(rows.iter().map(|row| row.labels))).collect();
        arrays.push(Arc::new(rows.iter().map(|row| Some(row.shard)).collect::<StringArray>()));
        arrays.push(Arc::new(rows.iter().map(|row| Some(row.row_group)).collect::<Int64Array>()));
        arrays.push(Arc::new(rows.iter().map(|row| Some(row.row)).collect::<Int64Array>()));
        let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(ShardError::parquet(&path))?;
        writer.write(&batch).map_err(ShardError::parquet(&path))?;
    }
    writer.close().map_err(ShardError::parquet(&path))?;
    write_file(dataset, INDEX, &bytes)
}

/// The record batches of an index whose bytes were checked; `path` is for messages.
pub(crate) fn decode_batches(bytes: Vec<u8>, path: &Path) -> Result<Vec<RecordBatch>, ShardError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes))
        .and_then(|builder| builder.build())
        .map_err(ShardError::parquet(path))?;
    let mut batches = Vec::new();
    for batch in reader {
        batches.push(batch.map_err(ShardError::parquet(path))?);
    }
    Ok(batches)
}

/// The labels of an index of this layout whose bytes were checked; `path` is for messages.
pub(crate) fn decode_index(bytes: Vec<u8>, path: &Path, layout: u32) -> Result<Vec<RowLabels>, ShardError> {
    let mut rows = Vec::new();
    for batch in decode_batches(bytes, path)? {
        rows.extend(labels_of(&batch, layout).map_err(|detail| ShardError::Rows { path: path.to_owned(), detail })?);
    }
    Ok(rows)
}
