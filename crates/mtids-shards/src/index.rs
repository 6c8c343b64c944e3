//! `index.parquet`: every column but the voxels, and where each row lies, so that an audit reads kilobytes.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use mtids_runtime::digest::Digest;
use mtids_runtime::storage::Storage;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::error::ShardError;
use crate::manifest::{DatasetDescription, FileEntry};
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

/// Name of the index.
const INDEX: &str = "index.parquet";
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
    dataset.put(INDEX, &bytes).map_err(ShardError::io(&path))?;
    Ok(FileEntry { path: INDEX.into(), bytes: bytes.len() as u64, digest: Digest::of_bytes(&bytes) })
}

/// Reads the labels of the index.
///
/// # Errors
/// [`ShardError`] naming the file.
pub fn read_index(dataset: &dyn Storage) -> Result<Vec<RowLabels>, ShardError> {
    let path = dataset.place(INDEX);
    let bytes = dataset.get(INDEX).map_err(ShardError::io(&path))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes))
        .and_then(|builder| builder.build())
        .map_err(ShardError::parquet(&path))?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.map_err(ShardError::parquet(&path))?;
        rows.extend(labels_of(&batch).map_err(|detail| ShardError::Rows { path: path.clone(), detail })?);
    }
    Ok(rows)
}
