//! Reading back, verified: the digest of a row group's bytes is checked before anything is decoded.
//!
//! Invariant: a damaged byte ends in [`ShardError::Damaged`] with shard and row group, never in other voxels.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use crate::error::ShardError;
use crate::manifest::{Manifest, ShardEntry};
use crate::row::{RowLabels, Split};
use crate::schema::{labels_of, voxels_of};
use crate::writer::digest_range;

/// A published dataset.
#[derive(Clone, Debug)]
pub struct Dataset {
    path: PathBuf,
    manifest: Manifest,
}

impl Dataset {
    /// Opens a dataset by its manifest.
    ///
    /// # Errors
    /// As [`Manifest::load`].
    pub fn open(path: &Path) -> Result<Self, ShardError> {
        Ok(Self { path: path.to_owned(), manifest: Manifest::load(path)? })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Numbers of the shards of a split, in manifest order.
    pub fn shards(&self, split: Split) -> impl Iterator<Item = usize> + '_ {
        self.manifest.shards.iter().enumerate().filter(move |(_, shard)| shard.split == split).map(|(n, _)| n)
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
        return Err(ShardError::Manifest { path: dataset.path.clone(), detail });
    };
    let damaged = |detail: String| ShardError::Damaged { shard: entry.path.clone(), row_group, detail };
    let path = dataset.path.join(&entry.path);
    let mut file = File::open(&path).map_err(ShardError::io(&path))?;
    check_size(&file, entry).map_err(damaged)?;
    let Some(group) = entry.row_groups.get(row_group) else {
        return Err(damaged(format!("the shard has {} row groups", entry.row_groups.len())));
    };
    let end = entry.row_groups.iter().map(|group| group.offset.saturating_add(group.length)).max().unwrap_or(0);
    let Some(length) = entry.bytes.checked_sub(end) else {
        return Err(damaged(format!("the manifest says that its row groups end at byte {end} of {}", entry.bytes)));
    };
    let footer = digest_range(&mut file, end, length).map_err(|error| damaged(error.to_string()))?;
    if footer != entry.footer_digest {
        return Err(damaged("the digest of the footer differs from the manifest".into()));
    }
    let digest = digest_range(&mut file, group.offset, group.length).map_err(|error| damaged(error.to_string()))?;
    if digest != group.digest {
        return Err(damaged("the digest of its bytes differs from the manifest".into()));
    }
    let metadata =
        ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(|error| damaged(error.to_string()))?;
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
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

fn check_size(file: &File, entry: &ShardEntry) -> Result<(), String> {
    let bytes = file.metadata().map_err(|error| error.to_string())?.len();
    if bytes == entry.bytes { Ok(()) } else { Err(format!("{bytes} bytes where the manifest says {}", entry.bytes)) }
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
        let path = dataset.path.join(&entry.path);
        let detail = match mtids_core::digest::Digest::of_file(&path) {
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
    let path = dataset.path.join(&shard.path);
    let whole = |detail: String| vec![Damage { path: shard.path.clone(), row_group: None, detail }];
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => return whole(error.to_string()),
    };
    if let Err(detail) = check_size(&file, shard) {
        return whole(detail);
    }
    let mut found = Vec::new();
    for (row_group, entry) in shard.row_groups.iter().enumerate() {
        let detail = match digest_range(&mut file, entry.offset, entry.length) {
            Ok(digest) if digest == entry.digest => continue,
            Ok(_) => "the digest of its bytes differs from the manifest".to_owned(),
            Err(error) => error.to_string(),
        };
        found.push(Damage { path: shard.path.clone(), row_group: Some(row_group), detail });
    }
    if found.is_empty() {
        // The rest of the file: its head and its footer.
        match digest_range(&mut file, 0, shard.bytes) {
            Ok(digest) if digest == shard.digest => {}
            Ok(_) => return whole("the digest of the file differs from the manifest, outside its row groups".into()),
            Err(error) => return whole(error.to_string()),
        }
    }
    found
}
