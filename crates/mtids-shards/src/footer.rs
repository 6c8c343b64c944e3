//! The end of a shard: where its columns lie. Verified and parsed once per file, not once per row group.
//!
//! Invariants: what is kept stays below [`KEPT_BYTES`]; a shard that was dropped is read and verified again. Threads that ask for the same
//! footer at once wait for one reader of it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{Buf, Bytes};
use mtids_runtime::digest::Digest;
use mtids_runtime::storage::Storage;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::description::ShardEntry;
use crate::error::DamageKind;

/// Bytes of parsed footers that an open dataset keeps: some thousand shards of usual size.
const KEPT_BYTES: usize = 64 << 20;

/// The verified footer of a shard.
#[derive(Debug)]
pub(crate) struct Footer {
    /// Where it begins: the end of the last row group.
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
    pub(crate) metadata: ArrowReaderMetadata,
}

impl Footer {
    /// Reads, verifies and parses the footer; the file must have the size of the manifest.
    pub(crate) fn read(storage: &dyn Storage, entry: &ShardEntry) -> Result<Self, (DamageKind, String)> {
        let bad = |detail: String| (DamageKind::Footer, detail);
        let offset = entry.row_groups.iter().map(|group| group.offset.saturating_add(group.length)).max().unwrap_or(0);
        let Some(length) = entry.bytes.checked_sub(offset) else {
            return Err(bad(format!("the manifest says that its row groups end at byte {offset} of {}", entry.bytes)));
        };
        let bytes =
            storage.get_range(&entry.path, offset, length).map_err(|error| (kind_of(&error), error.to_string()))?;
        if Digest::of_bytes(&bytes) != entry.footer_digest {
            return Err(bad("the digest of the footer differs from the manifest".into()));
        }
        let bytes = Bytes::from(bytes);
        let verified = Verified { length: entry.bytes, parts: vec![(offset, bytes.clone())] };
        let metadata =
            ArrowReaderMetadata::load(&verified, ArrowReaderOptions::new()).map_err(|error| bad(error.to_string()))?;
        Ok(Self { offset, bytes, metadata })
    }

    /// Bytes that it keeps in memory.
    fn memory(&self) -> usize {
        self.bytes.len() + self.metadata.metadata().memory_size()
    }
}

/// What kind of damage an error of reading a part of a shard is.
pub(crate) fn kind_of(error: &std::io::Error) -> DamageKind {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => DamageKind::Size,
        _ => DamageKind::Read,
    }
}

/// Footers of an open dataset, by the number of their shard.
#[derive(Debug, Default)]
pub(crate) struct Footers(Mutex<Kept>);

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
}

impl Footers {
    /// The footer of a shard, read by `read` unless it is kept. A footer that could not be read is tried again by the next who asks.
    pub(crate) fn get<E>(&self, shard: usize, read: impl FnOnce() -> Result<Footer, E>) -> Result<Arc<Footer>, E> {
        // Every change leaves the fields in step before it can panic, so a poisoned lock is whole.
        let cell = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).footers.entry(shard).or_default());
        if let Some(footer) = cell.footer.get() {
            return Ok(Arc::clone(footer));
        }
        let _reading = cell.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(footer) = cell.footer.get() {
            return Ok(Arc::clone(footer));
        }
        let footer = Arc::new(read()?);
        let footer = Arc::clone(cell.footer.get_or_init(|| footer));
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

/// The verified parts of a shard, which is all that the decoder gets to see of it. Clones share the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    pub(crate) length: u64,
    /// Where each part begins, and its bytes.
    pub(crate) parts: Vec<(u64, Bytes)>,
}

impl Verified {
    fn from(&self, start: u64) -> parquet::errors::Result<Bytes> {
        let holds = |(offset, bytes): &&(u64, Bytes)| (*offset..offset + bytes.len() as u64).contains(&start);
        let (offset, bytes) = self
            .parts
            .iter()
            .find(holds)
            .ok_or_else(|| ParquetError::General(format!("byte {start} was not verified")))?;
        Ok(bytes.slice((start - offset) as usize..))
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
