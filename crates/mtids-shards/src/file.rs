//! Files of a dataset beside its shards: index, quarantine, card, configuration.
//!
//! Programs read a file by the path that the manifest names, `meta/<name>-<digest>.<ending>`, so a rebuild never changes a file that a
//! reader of the older manifest may still open. The copy under the plain name (`index.parquet`, `README.md`) is for people.
//! Invariants: a file's bytes reach a reader only after their digest was checked; no copy stays of a file that the manifest does not name.

use mtids_runtime::digest::Digest;
use mtids_runtime::storage::Storage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ShardError;

/// Where the files lie that programs read.
pub const META: &str = "meta/";
/// Plain name of the corrections, the only file that not every dataset has.
pub(crate) const CORRECTIONS: &str = "corrections.jsonl";

/// A file of a dataset that is no shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Plain name, under which people find a copy.
    pub name: String,
    /// Path of the file that programs read, relative to the dataset; it carries the digest.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Digest.
    pub digest: Digest,
}

/// Puts `bytes` under a path that carries their digest. `name` is the plain name, such as `README.md`.
///
/// # Errors
/// [`ShardError::Io`] naming the file.
pub fn write_file(dataset: &dyn Storage, name: &str, bytes: &[u8]) -> Result<FileEntry, ShardError> {
    let digest = Digest::of_bytes(bytes);
    let path = match name.rsplit_once('.') {
        Some((stem, ending)) => format!("{META}{stem}-{}.{ending}", digest.short()),
        None => format!("{META}{name}-{}", digest.short()),
    };
    dataset.put(&path, bytes).map_err(ShardError::io(&dataset.place(&path)))?;
    Ok(FileEntry { name: name.to_owned(), path, bytes: bytes.len() as u64, digest })
}

/// The bytes of a file, checked.
///
/// # Errors
/// [`ShardError::DamagedFile`] when they are not those of the manifest, or when they cannot be read.
pub(crate) fn read_verified(dataset: &dyn Storage, entry: &FileEntry) -> Result<Vec<u8>, ShardError> {
    let damaged = |detail: String| ShardError::DamagedFile { path: dataset.place(&entry.path), detail };
    let bytes = dataset.get(&entry.path).map_err(|error| damaged(error.to_string()))?;
    if Digest::of_bytes(&bytes) != entry.digest {
        return Err(damaged("its digest differs from the manifest".into()));
    }
    Ok(bytes)
}

/// Renews the copies under plain names, where they differ, and removes that of a file which this dataset does not have any more.
pub(crate) fn renew_copies(dataset: &dyn Storage, files: &[FileEntry]) -> Result<(), ShardError> {
    for entry in files.iter().filter(|entry| !is_renewed(dataset, entry)) {
        let bytes = read_verified(dataset, entry)?;
        dataset.put(&entry.name, &bytes).map_err(ShardError::io(&dataset.place(&entry.name)))?;
    }
    if let Some(name) = left_copy(dataset, files) {
        dataset.remove(name).map_err(ShardError::io(&dataset.place(name)))?;
    }
    Ok(())
}

/// The copy of a file that an older dataset had and this one has not.
pub(crate) fn left_copy(dataset: &dyn Storage, files: &[FileEntry]) -> Option<&'static str> {
    let is_left = files.iter().all(|entry| entry.name != CORRECTIONS) && dataset.size(CORRECTIONS).is_ok();
    is_left.then_some(CORRECTIONS)
}

/// Whether the copy under the plain name is that of the manifest.
pub(crate) fn is_renewed(dataset: &dyn Storage, entry: &FileEntry) -> bool {
    dataset.digest(&entry.name).is_ok_and(|digest| digest == entry.digest)
}
