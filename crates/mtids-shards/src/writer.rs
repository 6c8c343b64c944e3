//! Rows become one Parquet file.
//!
//! Voxels: PLAIN, no dictionary, ZSTD, no statistics; a row group is a few MiB, so that shuffling by row group mixes well and one group is one
//! contiguous read. Invariant: the same rows, description and options give the same bytes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryArray, RecordBatch};
use mtids_core::atomic;
use mtids_core::digest::Digest;
use mtids_core::failpoint;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::error::ShardError;
use crate::manifest::{DatasetDescription, RowGroupEntry, ShardEntry};
use crate::row::{PatchRow, Split, to_le_bytes};
use crate::schema::{VOXELS, columns, metadata, shard_schema};

/// Raw voxel bytes of a row group: 4 MiB.
pub const DEFAULT_ROW_GROUP_BYTES: usize = 4 << 20;

/// How a shard is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardOptions {
    /// Raw voxel bytes of a row group; at least one row is taken. Default [`DEFAULT_ROW_GROUP_BYTES`].
    pub row_group_bytes: usize,
    /// ZSTD level, 1 to 22. Default 3.
    pub zstd_level: i32,
}

impl Default for ShardOptions {
    fn default() -> Self {
        Self { row_group_bytes: DEFAULT_ROW_GROUP_BYTES, zstd_level: 3 }
    }
}

/// How every Parquet file of a dataset is written. The Arrow schema is not embedded: it would repeat the metadata in hash order, and
/// readers that find it (pyarrow) hide the file's own metadata behind it; every type of ours has a Parquet type of its own.
pub(crate) fn options_of(description: &DatasetDescription, zstd_level: i32) -> Result<ArrowWriterOptions, String> {
    let level = ZstdLevel::try_new(zstd_level).map_err(|error| error.to_string())?;
    let mut pairs: Vec<KeyValue> =
        metadata(description).into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
    pairs.sort_by(|a, b| a.key.cmp(&b.key));
    let voxels = ColumnPath::from(VOXELS);
    let properties = WriterProperties::builder()
        .set_created_by("mtids".to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_key_value_metadata(Some(pairs))
        .set_column_dictionary_enabled(voxels.clone(), false)
        .set_column_encoding(voxels.clone(), Encoding::PLAIN)
        .set_column_statistics_enabled(voxels, EnabledStatistics::None)
        .build();
    Ok(ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true))
}

/// Writes `rows`, in their order, to `dataset/relative`.
///
/// # Errors
/// [`ShardError`] for rows that do not fit the description, or an error of writing; nothing appears under the name then.
pub fn write_shard(
    dataset: &Path,
    relative: &str,
    split: Split,
    rows: &[PatchRow],
    description: &DatasetDescription,
    options: &ShardOptions,
) -> Result<ShardEntry, ShardError> {
    let path = dataset.join(relative);
    let voxels = description.patch_len();
    if let Some(row) = rows.iter().find(|row| row.voxels.len() != voxels || row.labels.split != split) {
        let detail = format!(
            "row {} has {} voxels in split {}",
            row.labels.sample_key,
            row.voxels.len(),
            row.labels.split.name()
        );
        return Err(ShardError::Rows { path, detail });
    }
    let schema = shard_schema(description);
    let properties = options_of(description, options.zstd_level)
        .map_err(|detail| ShardError::Rows { path: path.clone(), detail })?;
    let rows_per_group = (options.row_group_bytes / (2 * voxels.max(1))).max(1);
    let folder = path.parent().unwrap_or(dataset);
    std::fs::create_dir_all(folder).map_err(ShardError::io(folder))?;
    let mut temporary =
        tempfile::Builder::new().prefix(atomic::PREFIX).tempfile_in(folder).map_err(ShardError::io(&path))?;
    let mut writer = ArrowWriter::try_new_with_options(temporary.as_file_mut(), schema.clone(), properties)
        .map_err(ShardError::parquet(&path))?;
    for group in rows.chunks(rows_per_group) {
        let mut arrays: Vec<ArrayRef> =
            columns().iter().map(|column| column.array(group.iter().map(|row| &row.labels))).collect();
        let blobs = FixedSizeBinaryArray::try_from_iter(group.iter().map(|row| to_le_bytes(&row.voxels)))
            .map_err(ShardError::parquet(&path))?;
        arrays.push(Arc::new(blobs));
        let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(ShardError::parquet(&path))?;
        writer.write(&batch).map_err(ShardError::parquet(&path))?;
        writer.flush().map_err(ShardError::parquet(&path))?;
        failpoint::reach().map_err(ShardError::io(&path))?;
    }
    let metadata = writer.close().map_err(ShardError::parquet(&path))?;
    let file = temporary.as_file_mut();
    let mut row_groups = Vec::with_capacity(metadata.num_row_groups());
    let mut end_of_groups = 0;
    for group in metadata.row_groups() {
        let ranges: Vec<(u64, u64)> = group.columns().iter().map(|column| column.byte_range()).collect();
        let offset = ranges.iter().map(|(start, _)| *start).min().unwrap_or(0);
        let end = ranges.iter().map(|(start, length)| start + length).max().unwrap_or(0);
        let digest = digest_range(file, offset, end - offset).map_err(ShardError::io(&path))?;
        row_groups.push(RowGroupEntry { rows: group.num_rows() as u64, offset, length: end - offset, digest });
        end_of_groups = end_of_groups.max(end);
    }
    let bytes = file.seek(SeekFrom::End(0)).map_err(ShardError::io(&path))?;
    let digest = digest_range(file, 0, bytes).map_err(ShardError::io(&path))?;
    let footer_digest = digest_range(file, end_of_groups, bytes - end_of_groups).map_err(ShardError::io(&path))?;
    atomic::persist(temporary, &path).map_err(ShardError::io(&path))?;
    Ok(ShardEntry {
        path: relative.to_owned(),
        split,
        rows: rows.len() as u64,
        bytes,
        digest,
        footer_digest,
        row_groups,
    })
}

/// Digest of a byte range of a file.
pub(crate) fn digest_range(file: &mut File, offset: u64, length: u64) -> std::io::Result<Digest> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            "the file is shorter than its manifest says",
        ));
    }
    Ok(Digest::of_bytes(&bytes))
}
