//! The end of a shard: where its columns lie. Verified and parsed once per file, not once per row group.
//!
//! Kept of it are the places of the column chunks: a parsed footer has some ten times as many bytes, most of them statistics that no reader of
//! voxels asks for. Shards of one dataset share their schema. Invariants: what is kept stays below [`KEPT_BYTES`]; a shard that was dropped is
//! read and verified again. Threads that ask for the same footer at once wait for one reader of it. In a forked child a lock may be held for ever by
//! a thread of its parent, so a child keeps footers of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{Buf, Bytes};
use mtids_runtime::digest::Digest;
use mtids_runtime::storage::Storage;
use parquet::basic::CompressionCodec;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use parquet::file::reader::{ChunkReader, Length};

use crate::description::ShardEntry;
use crate::error::DamageKind;

/// Bytes of footers that an open dataset keeps: some two thousand shards of usual size.
const KEPT_BYTES: usize = 64 << 20;

/// Where a column chunk lies, and how it is read.
#[derive(Debug)]
struct Chunk {
    data_page: i64,
    dictionary_page: Option<i64>,
    compressed: i64,
    uncompressed: i64,
    values: i64,
    codec: CompressionCodec,
}

impl Chunk {
    fn of(chunk: &ColumnChunkMetaData) -> Self {
        Self {
            data_page: chunk.data_page_offset(),
            dictionary_page: chunk.dictionary_page_offset(),
            compressed: chunk.compressed_size(),
            uncompressed: chunk.uncompressed_size(),
            values: chunk.num_values(),
            codec: chunk.compression_codec(),
        }
    }
}

/// The column chunks of a row group, in the order of the schema.
#[derive(Debug)]
struct Group {
    rows: i64,
    chunks: Box<[Chunk]>,
}

/// The verified footer of a shard.
#[derive(Debug)]
pub(crate) struct Footer {
    /// Of a file without rows, so that shards can share it.
    schema: Arc<FileMetaData>,
    groups: Vec<Group>,
}

impl Footer {
    /// Reads, verifies and parses the footer; the file must have the size of the manifest.
    pub(crate) fn read(storage: &dyn Storage, entry: &ShardEntry) -> Result<Self, (DamageKind, String)> {
        let bad = |detail: String| (DamageKind::Footer, detail);
        // It begins at the end of the last row group.
        let offset = entry.row_groups.iter().map(|group| group.offset.saturating_add(group.length)).max().unwrap_or(0);
        let Some(length) = entry.bytes.checked_sub(offset) else {
            return Err(bad(format!("the manifest says that its row groups end at byte {offset} of {}", entry.bytes)));
        };
        let bytes =
            storage.get_range(&entry.path, offset, length).map_err(|error| (kind_of(&error), error.to_string()))?;
        if Digest::of_bytes(&bytes) != entry.footer_digest {
            return Err(bad("the digest of the footer differs from the manifest".into()));
        }
        let verified = Verified { length: entry.bytes, offset, bytes: bytes.into() };
        let parsed =
            ParquetMetaDataReader::new().parse_and_finish(&verified).map_err(|error| bad(error.to_string()))?;
        let groups = parsed
            .row_groups()
            .iter()
            .map(|group| Group { rows: group.num_rows(), chunks: group.columns().iter().map(Chunk::of).collect() });
        Ok(Self { schema: Arc::new(with_rows(parsed.file_metadata(), 0)), groups: groups.collect() })
    }

    /// Rows of a row group; `None` for one that does not exist.
    pub(crate) fn rows(&self, row_group: usize) -> Option<u64> {
        self.groups.get(row_group).and_then(|group| group.rows.try_into().ok())
    }

    /// What a reader needs to know of one row group, as the only one of a file.
    ///
    /// # Errors
    /// For a row group that does not exist, and one with other columns than the schema.
    pub(crate) fn alone(&self, row_group: usize) -> parquet::errors::Result<ParquetMetaData> {
        let missing = || ParquetError::General(format!("row group {row_group} is missing"));
        let Group { rows, chunks } = self.groups.get(row_group).ok_or_else(missing)?;
        let schema = self.schema.schema_descr_ptr();
        let chunk = |(column, chunk): (_, &Chunk)| {
            ColumnChunkMetaData::builder(column)
                .set_data_page_offset(chunk.data_page)
                .set_dictionary_page_offset(chunk.dictionary_page)
                .set_total_compressed_size(chunk.compressed)
                .set_total_uncompressed_size(chunk.uncompressed)
                .set_num_values(chunk.values)
                .set_compression_codec(chunk.codec)
                .build()
        };
        let columns = schema.columns().iter().cloned().zip(chunks.iter()).map(chunk).collect::<Result<_, _>>()?;
        let group = RowGroupMetaData::builder(schema).set_num_rows(*rows).set_column_metadata(columns).build()?;
        Ok(ParquetMetaData::new(with_rows(&self.schema, *rows), vec![group]))
    }

    /// The same with the schema of another shard, where it is the same.
    fn sharing(self, schema: &Arc<FileMetaData>) -> Self {
        if self.schema == *schema { Self { schema: Arc::clone(schema), ..self } } else { self }
    }

    /// Bytes that it keeps in memory beside the schema.
    fn memory(&self) -> usize {
        self.groups.iter().map(|group| size_of::<Group>() + size_of_val(&*group.chunks)).sum()
    }
}

/// What a file says of itself, with another number of rows.
fn with_rows(file: &FileMetaData, rows: i64) -> FileMetaData {
    FileMetaData::new(
        file.version(),
        rows,
        file.created_by().map(ToOwned::to_owned),
        file.key_value_metadata().cloned(),
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    )
}

/// What kind of damage an error of reading a part of a shard is.
pub(crate) fn kind_of(error: &std::io::Error) -> DamageKind {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => DamageKind::Size,
        std::io::ErrorKind::NotFound => DamageKind::Gone,
        _ => DamageKind::Read,
    }
}

/// Footers of an open dataset, by the number of their shard.
#[derive(Debug)]
pub(crate) struct Footers {
    /// The process whose threads hold the locks.
    process: u32,
    kept: Mutex<Kept>,
    /// Those of a forked child.
    of_child: OnceLock<Box<Footers>>,
}

impl Default for Footers {
    fn default() -> Self {
        Self { process: std::process::id(), kept: Mutex::default(), of_child: OnceLock::new() }
    }
}

/// A place for a footer: whoever comes first holds the lock while it reads.
#[derive(Debug, Default)]
struct Cell {
    reading: Mutex<()>,
    footer: OnceLock<Arc<Footer>>,
}

#[derive(Debug, Default)]
struct Kept {
    footers: HashMap<usize, Arc<Cell>>,
    oldest_first: VecDeque<usize>,
    bytes: usize,
    /// That of the first shard; the others hardly ever have another.
    schema: Option<Arc<FileMetaData>>,
}

impl Footers {
    /// The footer of a shard, read by `read` unless it is kept. A footer that could not be read is tried again by the next who asks.
    pub(crate) fn get<E>(&self, shard: usize, read: impl FnOnce() -> Result<Footer, E>) -> Result<Arc<Footer>, E> {
        if self.process != std::process::id() {
            return self.of_child.get_or_init(Box::default).get(shard, read);
        }
        // Every change leaves the fields in step before it can panic, so a poisoned lock is whole.
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = Arc::clone(kept().footers.entry(shard).or_default());
        if let Some(footer) = cell.footer.get() {
            return Ok(Arc::clone(footer));
        }
        let _reading = cell.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(footer) = cell.footer.get() {
            return Ok(Arc::clone(footer));
        }
        let footer = read()?;
        let mut kept = kept();
        let schema = Arc::clone(kept.schema.get_or_insert_with(|| Arc::clone(&footer.schema)));
        let footer = Arc::clone(cell.footer.get_or_init(|| Arc::new(footer.sharing(&schema))));
        kept.bytes += footer.memory();
        kept.oldest_first.push_back(shard);
        while kept.bytes > KEPT_BYTES {
            let Some(oldest) = kept.oldest_first.pop_front() else { break };
            let dropped = kept.footers.remove(&oldest);
            let memory = dropped.and_then(|cell| cell.footer.get().map(|footer| footer.memory()));
            kept.bytes = kept.bytes.saturating_sub(memory.unwrap_or(0));
        }
        Ok(footer)
    }
}

/// The verified part of a shard, which is all that the decoder gets to see of it. Clones share the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    /// Bytes of the whole shard.
    pub(crate) length: u64,
    /// Where the part begins.
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

impl Verified {
    fn from(&self, start: u64) -> parquet::errors::Result<Bytes> {
        let within = start.checked_sub(self.offset).and_then(|within| usize::try_from(within).ok());
        within
            .filter(|within| *within < self.bytes.len())
            .map(|within| self.bytes.slice(within..))
            .ok_or_else(|| ParquetError::General(format!("byte {start} was not verified")))
    }
}

impl Length for Verified {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Verified {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let bytes = self.from(start)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes from byte {start} on were not verified")));
        }
        Ok(bytes.slice(..length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::RowGroupEntry;
    use crate::row::{RowKind, Split};
    use arrow::array::{Int32Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use mtids_runtime::storage::Memory;
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    /// A shard of 7 rows in groups of 3, with and without a dictionary, in a storage; and what the whole parser says of it.
    fn shard(storage: &Memory, path: &str, second: &str) -> (ShardEntry, ParquetMetaData) {
        let fields = vec![Field::new("number", DataType::Int32, false), Field::new(second, DataType::Utf8, true)];
        let schema = Arc::new(Schema::new(fields));
        let texts = StringArray::from(vec![Some("a"), None, Some("a"), Some("b"), None, None, Some("a")]);
        let numbers = Int32Array::from_iter_values(0..7);
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(numbers), Arc::new(texts)]).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(3))
            .set_column_dictionary_enabled("number".into(), false)
            .build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        let metadata = writer.close().unwrap();
        storage.put(path, &bytes).unwrap();
        let place = |group: &RowGroupMetaData| {
            let ranges = || group.columns().iter().map(ColumnChunkMetaData::byte_range);
            let (start, end) =
                (ranges().map(|(at, _)| at).min(), ranges().map(|(at, length)| at + length).max().unwrap());
            let (offset, rows) = (start.unwrap(), group.num_rows() as u64);
            RowGroupEntry {
                kind: RowKind::Finding,
                rows,
                offset,
                length: end - offset,
                digest: Digest::of_bytes(&bytes[offset as usize..end as usize]),
            }
        };
        let row_groups: Vec<RowGroupEntry> = metadata.row_groups().iter().map(place).collect();
        let end = row_groups.last().map(|group| group.offset + group.length).unwrap();
        let entry = ShardEntry {
            path: path.into(),
            split: Split::Train,
            rows: 7,
            bytes: bytes.len() as u64,
            digest: Digest::of_bytes(&bytes),
            footer_digest: Digest::of_bytes(&bytes[end as usize..]),
            row_groups,
        };
        (entry, metadata)
    }

    #[test]
    fn what_is_kept_of_a_row_group_is_what_the_parser_says_of_its_chunks() {
        let storage = Memory::default();
        let (entry, whole) = shard(&storage, "a.parquet", "text");
        let footer = Footer::read(&storage, &entry).unwrap();
        for (number, group) in whole.row_groups().iter().enumerate() {
            let alone = footer.alone(number).unwrap();
            assert_eq!((alone.num_row_groups(), alone.file_metadata().num_rows()), (1, group.num_rows()));
            assert_eq!(footer.rows(number), Some(group.num_rows() as u64));
            let facts = |chunk: &ColumnChunkMetaData| {
                let sizes = (chunk.byte_range(), chunk.uncompressed_size(), chunk.num_values());
                (chunk.column_descr_ptr(), sizes, chunk.compression_codec(), chunk.dictionary_page_offset())
            };
            let facts = |group: &RowGroupMetaData| group.columns().iter().map(facts).collect::<Vec<_>>();
            assert_eq!(facts(alone.row_group(0)), facts(group));
        }
        let dictionaries = |number| {
            let alone = footer.alone(number).unwrap();
            alone
                .row_group(0)
                .columns()
                .iter()
                .map(|chunk| chunk.dictionary_page_offset().is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(dictionaries(0), [false, true]);
        assert!(footer.alone(3).is_err() && footer.rows(3).is_none());
    }

    #[test]
    fn a_forked_child_waits_for_no_lock_of_its_parent() {
        let storage = Memory::default();
        let (entry, _) = shard(&storage, "a", "text");
        // As a child finds them that was forked while a thread of its parent held the lock.
        let footers = Footers { process: std::process::id() ^ 1, ..Footers::default() };
        let _held = footers.kept.lock().unwrap();
        let read = || Footer::read(&storage, &entry);
        let first = footers.get(0, read).unwrap();
        assert!(Arc::ptr_eq(&first, &footers.get(0, read).unwrap()), "it is kept, too");
    }

    #[test]
    fn shards_share_their_schema_only_where_it_is_the_same() {
        let storage = Memory::default();
        let footers = Footers::default();
        let read = |number, path, second| {
            let (entry, _) = shard(&storage, path, second);
            footers.get(number, || Footer::read(&storage, &entry)).unwrap()
        };
        let [first, same, other] =
            [(0, "a", "text"), (1, "b", "text"), (2, "c", "remark")].map(|(n, path, second)| read(n, path, second));
        assert!(Arc::ptr_eq(&first.schema, &same.schema));
        let name = |footer: &Footer| footer.alone(1).unwrap().row_group(0).column(1).column_path().string();
        assert_eq!([name(&first), name(&same), name(&other)], ["text", "text", "remark"]);
    }
}
