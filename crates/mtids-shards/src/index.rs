//! `index.parquet`: every column but the voxels, and where each row lies, so that an audit reads kilobytes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use mtids_runtime::storage::Storage;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};

use crate::description::DatasetDescription;
use crate::error::ShardError;
use crate::file::{FileEntry, write_file};
use crate::row::RowLabels;
use crate::schema::{columns, labels_of, some_labels_of};
use crate::version::RowsVersion;
use crate::writer::{Compressed, options_of};

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
    let options = options_of(description, 3, Compressed::Every)
        .map_err(|detail| ShardError::Rows { path: path.clone(), detail })?;
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

/// Where a row lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Shard, by its number in the manifest.
    pub shard: usize,
    /// Row group in the shard.
    pub row_group: usize,
    /// Row in the row group.
    pub row: usize,
}

/// Gives `visit` the place and some columns of every row of an index whose bytes were checked; `path` is for messages.
pub(crate) fn scan_index(
    bytes: Vec<u8>,
    path: &Path,
    names: &[&str],
    shards: &HashMap<&str, usize>,
    mut visit: impl FnMut(Place, &RowLabels),
) -> Result<(), ShardError> {
    let wrong = |detail: String| ShardError::Rows { path: path.to_owned(), detail };
    if let Some(name) = names.iter().find(|name| columns().iter().all(|column| column.name() != **name)) {
        return Err(wrong(format!("there is no column `{name}`")));
    }
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).map_err(ShardError::parquet(path))?;
    let read = names.iter().copied().chain(["shard", "row_group", "row"]);
    let mask = ProjectionMask::columns(builder.parquet_schema(), read);
    let reader = builder.with_projection(mask).with_batch_size(BATCH).build().map_err(ShardError::parquet(path))?;
    for batch in reader {
        let batch = batch.map_err(ShardError::parquet(path))?;
        let labels = some_labels_of(&batch, names).map_err(wrong)?;
        let missing = |name: &str| wrong(format!("column `{name}` is missing, has another type or is null"));
        let column = |name: &str| batch.column_by_name(name).filter(|column| column.null_count() == 0);
        let paths: Option<&StringArray> = column("shard").and_then(|column| column.as_any().downcast_ref());
        let paths = paths.ok_or_else(|| missing("shard"))?;
        let numbers = |name: &str| -> Result<&Int64Array, ShardError> {
            column(name).and_then(|column| column.as_any().downcast_ref()).ok_or_else(|| missing(name))
        };
        let (groups, rows) = (numbers("row_group")?, numbers("row")?);
        for (n, labels) in labels.iter().enumerate() {
            let place = || {
                let shard = *shards.get(paths.value(n))?;
                let number = |numbers: &Int64Array| usize::try_from(numbers.value(n)).ok();
                Some(Place { shard, row_group: number(groups)?, row: number(rows)? })
            };
            let listed = || wrong(format!("a row of {}, which the manifest does not list", paths.value(n)));
            visit(place().ok_or_else(listed)?, labels);
        }
    }
    Ok(())
}

/// The labels of an index of this version whose bytes were checked; `path` is for messages.
pub(crate) fn decode_index(bytes: Vec<u8>, path: &Path, version: RowsVersion) -> Result<Vec<RowLabels>, ShardError> {
    let mut rows = Vec::new();
    for batch in decode_batches(bytes, path)? {
        rows.extend(labels_of(&batch, version).map_err(|detail| ShardError::Rows { path: path.to_owned(), detail })?);
    }
    Ok(rows)
}
