//! Reading back, verified: the digest of a row group's bytes is checked before anything is decoded.
//!
//! Invariant: a damaged byte ends in [`ShardError::Damaged`] with shard and row group, never in other voxels.

use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use mtids_runtime::digest::Digest;
use mtids_runtime::storage::{Folder, Storage};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::error::ShardError;
use crate::index::read_index;
use crate::manifest::{Manifest, ShardEntry};
use crate::row::{RowLabels, Split};
use crate::schema::{labels_of, voxels_of};

/// A published dataset.
#[derive(Clone, Debug)]
pub struct Dataset {
    storage: Arc<dyn Storage>,
    manifest: Manifest,
}

impl Dataset {
    /// Opens the dataset in a folder by its manifest.
    ///
    /// # Errors
    /// As [`Manifest::load`].
    pub fn open(path: &Path) -> Result<Self, ShardError> {
        Self::open_in(Arc::new(Folder::new(path)))
    }

    /// Opens the dataset of a storage by its manifest.
    ///
    /// # Errors
    /// As [`Manifest::load`].
    pub fn open_in(storage: Arc<dyn Storage>) -> Result<Self, ShardError> {
        let manifest = Manifest::load(storage.as_ref())?;
        Ok(Self { storage, manifest })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Labels of all rows, from the index.
    ///
    /// # Errors
    /// As [`read_index`].
    pub fn index(&self) -> Result<Vec<RowLabels>, ShardError> {
        read_index(self.storage.as_ref())
    }

    /// Numbers of the shards of a split, in manifest order.
    pub fn shards(&self, split: Split) -> impl Iterator<Item = usize> + '_ {
        self.manifest.shards.iter().enumerate().filter(move |(_, shard)| shard.split == split).map(|(n, _)| n)
    }
}

/// The verified parts of a shard, which is all that the decoder gets to see of it.
struct Verified {
    length: u64,
    parts: [(u64, Bytes); 2],
}

impl Verified {
    fn from(&self, start: u64) -> parquet::errors::Result<Bytes> {
        let holds = |(offset, bytes): &&(u64, Bytes)| (*offset..offset + bytes.len() as u64).contains(&start);
        let (offset, bytes) = self
            .parts
            .iter()
            .find(holds)
            .ok_or_else(|| ParquetError::General(format!("byte {start} lies outside what was verified")))?;
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

/// A decoded row group.
#[derive(Clone, Debug, PartialEq)]
pub struct RowGroup {
    /// Labels of each row.
    pub labels: Vec<RowLabels>,
    /// Voxels of all rows, `[rows, D, H, W]`.
    pub voxels: Vec<i16>,
    /// Voxels of one row.
    pub patch_len: usize,
}

/// Reads and verifies one row group.
///
/// # Errors
/// [`ShardError::Damaged`] when the bytes are not those of the manifest; [`ShardError::Io`] when the file cannot be read.
pub fn read_row_group(dataset: &Dataset, shard: usize, row_group: usize) -> Result<RowGroup, ShardError> {
    let Some(entry) = dataset.manifest.shards.get(shard) else {
        let detail = format!("shard {shard} of {}", dataset.manifest.shards.len());
        return Err(ShardError::Manifest { path: dataset.storage.place(""), detail });
    };
    let damaged = |detail: String| ShardError::Damaged { shard: entry.path.clone(), row_group, detail };
    let storage = dataset.storage.as_ref();
    check_size(storage, entry)?.map_err(damaged)?;
    let Some(group) = entry.row_groups.get(row_group) else {
        return Err(damaged(format!("the shard has {} row groups", entry.row_groups.len())));
    };
    let end = entry.row_groups.iter().map(|group| group.offset.saturating_add(group.length)).max().unwrap_or(0);
    let Some(length) = entry.bytes.checked_sub(end) else {
        return Err(damaged(format!("the manifest says that its row groups end at byte {end} of {}", entry.bytes)));
    };
    let get =
        |offset, length| storage.get_range(&entry.path, offset, length).map_err(|error| damaged(error.to_string()));
    let footer = get(end, length)?;
    if Digest::of_bytes(&footer) != entry.footer_digest {
        return Err(damaged("the digest of the footer differs from the manifest".into()));
    }
    let bytes = get(group.offset, group.length)?;
    if Digest::of_bytes(&bytes) != group.digest {
        return Err(damaged("the digest of its bytes differs from the manifest".into()));
    }
    // Exactly the bytes that were verified are decoded, whatever happens to the file meanwhile.
    let verified = Verified { length: entry.bytes, parts: [(group.offset, bytes.into()), (end, footer.into())] };
    let metadata =
        ArrowReaderMetadata::load(&verified, ArrowReaderOptions::new()).map_err(|error| damaged(error.to_string()))?;
    let rows = metadata.metadata().row_groups().get(row_group).map_or(0, |group| group.num_rows());
    if u64::try_from(rows) != Ok(group.rows) {
        return Err(damaged(format!("it holds {rows} rows where the manifest says {}", group.rows)));
    }
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(verified, metadata)
        .with_row_groups(vec![row_group])
        .with_batch_size(group.rows as usize)
        .build()
        .map_err(|error| damaged(error.to_string()))?;
    let mut labels = Vec::with_capacity(group.rows as usize);
    let mut voxels = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| damaged(error.to_string()))?;
        labels.extend(labels_of(&batch).map_err(damaged)?);
        voxels.extend(voxels_of(&batch).map_err(damaged)?);
    }
    let patch_len = dataset.manifest.description.patch_len();
    if labels.len() as u64 != group.rows || voxels.len() != labels.len() * patch_len {
        return Err(damaged(format!("{} rows and {} voxels", labels.len(), voxels.len())));
    }
    Ok(RowGroup { labels, voxels, patch_len })
}

/// Whether the shard has the size of the manifest, if it can be asked.
fn check_size(storage: &dyn Storage, entry: &ShardEntry) -> Result<Result<(), String>, ShardError> {
    let bytes = storage.size(&entry.path).map_err(ShardError::io(&storage.place(&entry.path)))?;
    Ok(if bytes == entry.bytes {
        Ok(())
    } else {
        Err(format!("{bytes} bytes where the manifest says {}", entry.bytes))
    })
}

/// A part of a dataset that is not what the manifest says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// The file, relative to the dataset.
    pub path: String,
    /// The row group, where the damage lies in one.
    pub row_group: Option<usize>,
    /// What differs.
    pub detail: String,
}

/// Reads every digest again. An empty list means that every byte is as published. `progress` is called once per file.
pub fn verify(dataset: &Dataset, progress: &dyn Fn()) -> Vec<Damage> {
    let mut found = Vec::new();
    for shard in &dataset.manifest.shards {
        found.extend(verify_shard(dataset, shard));
        progress();
    }
    for entry in &dataset.manifest.files {
        let detail = match dataset.storage.digest(&entry.path) {
            Ok(digest) if digest == entry.digest => None,
            Ok(_) => Some("its digest differs from the manifest".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        found.extend(detail.map(|detail| Damage { path: entry.path.clone(), row_group: None, detail }));
        progress();
    }
    found
}

fn verify_shard(dataset: &Dataset, shard: &ShardEntry) -> Vec<Damage> {
    let storage = dataset.storage.as_ref();
    let whole = |detail: String| vec![Damage { path: shard.path.clone(), row_group: None, detail }];
    match check_size(storage, shard) {
        Err(error) => return whole(error.to_string()),
        Ok(Err(detail)) => return whole(detail),
        Ok(Ok(())) => {}
    }
    let digest = |offset, length| storage.get_range(&shard.path, offset, length).map(|bytes| Digest::of_bytes(&bytes));
    let mut found = Vec::new();
    for (row_group, entry) in shard.row_groups.iter().enumerate() {
        let detail = match digest(entry.offset, entry.length) {
            Ok(digest) if digest == entry.digest => continue,
            Ok(_) => "the digest of its bytes differs from the manifest".to_owned(),
            Err(error) => error.to_string(),
        };
        found.push(Damage { path: shard.path.clone(), row_group: Some(row_group), detail });
    }
    if found.is_empty() {
        // The rest of the file: its head and its footer.
        match storage.digest(&shard.path) {
            Ok(digest) if digest == shard.digest => {}
            Ok(_) => return whole("the digest of the file differs from the manifest, outside its row groups".into()),
            Err(error) => return whole(error.to_string()),
        }
    }
    found
}
