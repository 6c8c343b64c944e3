//! Rows become one Parquet file.
//!
//! Voxels: PLAIN, no dictionary, ZSTD, no statistics; a row group is a few MiB, so that shuffling by row group mixes well and one group is one
//! contiguous read. The other columns of a shard are not compressed: a row group holds some KiB of them, and setting up contexts of ZSTD for each
//! of some eighty columns took a fifth of the time of reading it. Invariant: the same rows, description and options give the same bytes.

use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch};
use mtids_patch::View;
use mtids_runtime::digest::Digest;
use mtids_runtime::storage::Storage;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::description::{DatasetDescription, RowGroupEntry, ShardEntry};
use crate::error::ShardError;
use crate::row::{PatchRow, Split};
use crate::schema::{columns, metadata, shard_schema};
use crate::voxels::{column_name, voxel_array};

/// Raw voxel bytes of a row group over all views: 4 MiB.
pub const DEFAULT_ROW_GROUP_BYTES: usize = 4 << 20;

/// How a shard is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardOptions {
    /// Raw voxel bytes of a row group over all views; at least one row is taken. Default [`DEFAULT_ROW_GROUP_BYTES`].
    pub row_group_bytes: usize,
    /// ZSTD level, 1 to 22. Default 3.
    pub zstd_level: i32,
}

impl Default for ShardOptions {
    fn default() -> Self {
        Self { row_group_bytes: DEFAULT_ROW_GROUP_BYTES, zstd_level: 3 }
    }
}

/// Which columns of a file are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compressed {
    /// All.
    Every,
    /// Those with voxels.
    Voxels,
}

/// How every Parquet file of a dataset is written. The Arrow schema is not embedded: it would repeat the metadata in hash order, and
/// readers that find it (pyarrow) hide the file's own metadata behind it; every type of ours has a Parquet type of its own.
pub(crate) fn options_of(
    description: &DatasetDescription,
    zstd_level: i32,
    compressed: Compressed,
) -> Result<ArrowWriterOptions, String> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(zstd_level).map_err(|error| error.to_string())?);
    let others = if compressed == Compressed::Every { zstd } else { Compression::UNCOMPRESSED };
    let pairs = metadata(description).into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect();
    let mut properties = WriterProperties::builder()
        .set_created_by("mtids".to_owned())
        .set_compression(others)
        .set_key_value_metadata(Some(pairs));
    for column in columns().iter().filter(|column| column.is_measure()) {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column.name()), false);
    }
    for view in &description.views {
        let voxels = ColumnPath::from(column_name(&view.name));
        properties = properties
            .set_column_dictionary_enabled(voxels.clone(), false)
            .set_column_encoding(voxels.clone(), Encoding::PLAIN)
            .set_column_compression(voxels.clone(), zstd)
            .set_column_statistics_enabled(voxels, EnabledStatistics::None);
    }
    Ok(ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true))
}

/// Seconds that writing a shard took, by kind of work; for a report of where time goes, never for a result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WriteSeconds {
    /// From rows to compressed bytes, with their digests.
    pub encode: f64,
    /// From bytes to the storage, until they would survive a power cut.
    pub put: f64,
}

/// Writes the shards of a dataset.
#[derive(Clone, Copy, Debug)]
pub struct ShardWriter<'a> {
    dataset: &'a dyn Storage,
    description: &'a DatasetDescription,
    options: ShardOptions,
}

impl<'a> ShardWriter<'a> {
    /// A writer into `dataset` with the default options.
    pub fn new(dataset: &'a dyn Storage, description: &'a DatasetDescription) -> Self {
        Self { dataset, description, options: ShardOptions::default() }
    }

    /// Sets the size of row groups and the compression.
    #[must_use]
    pub fn with_options(self, options: ShardOptions) -> Self {
        Self { options, ..self }
    }

    /// Writes `rows`, in their order, as `<stem>-<digest>.parquet`: other rows never replace a shard that a manifest names. Rows of one
    /// kind stand together; a row group holds rows of one kind.
    ///
    /// # Errors
    /// [`ShardError`] for rows that do not fit the description or the split, or an error of writing; nothing appears then.
    pub fn write(&self, stem: &str, split: Split, rows: &[PatchRow]) -> Result<(ShardEntry, WriteSeconds), ShardError> {
        write_shard(self, stem, split, rows)
    }
}

fn write_shard(
    writer: &ShardWriter<'_>,
    stem: &str,
    split: Split,
    rows: &[PatchRow],
) -> Result<(ShardEntry, WriteSeconds), ShardError> {
    let ShardWriter { dataset, description, options } = writer;
    let started = Instant::now();
    let path = dataset.place(stem);
    let expected: Vec<usize> = description.views.iter().map(View::voxels).collect();
    let lengths = |row: &PatchRow| row.views.iter().map(Vec::len).collect::<Vec<_>>();
    if let Some(row) = rows.iter().find(|row| lengths(row) != expected || row.labels.split != split) {
        let detail = format!(
            "row {} has views of {:?} voxels in split {}, expected {expected:?} in {}",
            row.labels.sample_key,
            lengths(row),
            row.labels.split.name(),
            split.name()
        );
        return Err(ShardError::Rows { path, detail });
    }
    let schema = shard_schema(description);
    let properties = options_of(description, options.zstd_level, Compressed::Voxels)
        .map_err(|detail| ShardError::Rows { path: path.clone(), detail })?;
    let rows_per_group = (options.row_group_bytes / (2 * description.row_len().max(1))).max(1);
    // A shard is built in memory: its rows are there anyhow, and a storage takes it whole or not at all.
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new_with_options(&mut bytes, schema.clone(), properties)
        .map_err(ShardError::parquet(&path))?;
    let mut kinds = Vec::new();
    for group in rows.chunk_by(|a, b| a.labels.kind == b.labels.kind).flat_map(|same| same.chunks(rows_per_group)) {
        let mut arrays: Vec<ArrayRef> =
            columns().iter().map(|column| column.array(group.iter().map(|row| &row.labels))).collect();
        for view in 0..description.views.len() {
            let rows = group.iter().filter_map(|row| row.views.get(view)).map(Vec::as_slice);
            arrays.push(voxel_array(rows).map_err(ShardError::parquet(&path))?);
        }
        let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(ShardError::parquet(&path))?;
        writer.write(&batch).map_err(ShardError::parquet(&path))?;
        writer.flush().map_err(ShardError::parquet(&path))?;
        kinds.extend(group.first().map(|row| row.labels.kind));
    }
    let metadata = writer.close().map_err(ShardError::parquet(&path))?;
    let mut row_groups = Vec::with_capacity(metadata.num_row_groups());
    let mut end_of_groups = 0;
    for (group, kind) in metadata.row_groups().iter().zip(kinds) {
        let ranges: Vec<(u64, u64)> = group.columns().iter().map(|column| column.byte_range()).collect();
        let offset = ranges.iter().map(|(start, _)| *start).min().unwrap_or(0);
        let end = ranges.iter().map(|(start, length)| start + length).max().unwrap_or(0);
        let digest = Digest::of_bytes(within(&bytes, offset, end));
        row_groups.push(RowGroupEntry { kind, rows: group.num_rows() as u64, offset, length: end - offset, digest });
        end_of_groups = end_of_groups.max(end);
    }
    let length = bytes.len() as u64;
    let digest = Digest::of_bytes(&bytes);
    let footer_digest = Digest::of_bytes(within(&bytes, end_of_groups, length));
    let encode = started.elapsed().as_secs_f64();
    let path = format!("{stem}-{}.parquet", digest.short());
    dataset.put(&path, &bytes).map_err(ShardError::io(&dataset.place(&path)))?;
    let seconds = WriteSeconds { encode, put: started.elapsed().as_secs_f64() - encode };
    let rows = rows.len() as u64;
    Ok((ShardEntry { path, split, rows, bytes: length, digest, footer_digest, row_groups }, seconds))
}

/// The bytes from `start` to `end`; the Parquet writer says places inside the file that it has just written.
fn within(bytes: &[u8], start: u64, end: u64) -> &[u8] {
    bytes.get(start as usize..end as usize).unwrap_or_default()
}
