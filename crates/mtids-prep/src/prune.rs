//! Removing what no longer belongs to a dataset.
//!
//! A rebuild leaves the files of the older dataset, because a training that began before it still reads them. Invariants: nothing that the
//! manifest names is removed; files that no program of ours writes stay.

use std::collections::BTreeSet;
use std::path::Path;

use mtids_runtime::atomic;
use mtids_runtime::storage::{Folder, Storage};
use mtids_shards::{META, Manifest};
use serde::Serialize;

use crate::error::PrepError;
use crate::lock::lock_alone;
use crate::record::{PartitionRecord, SHARDS, WORK};

/// A file that no longer belongs to the dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Superseded {
    /// Path relative to the dataset.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// Removes superseded files and returns them; with `dry_run`, only returns them.
///
/// # Errors
/// [`PrepError::Shards`] without a manifest, [`PrepError::Lock`] while another process writes, [`PrepError::Write`] naming a file that
/// cannot be removed.
pub fn prune(dataset: &Path, dry_run: bool) -> Result<Vec<Superseded>, PrepError> {
    let folder = Folder::new(dataset);
    // Before the lock, which would make a folder.
    Manifest::load(&folder)?;
    let _lock = if dry_run { None } else { Some(lock_alone(dataset, "mtids-prep prune")?) };
    let manifest = Manifest::load(&folder)?;
    let found =
        superseded(&folder, &manifest).map_err(|source| PrepError::Data { path: dataset.to_owned(), source })?;
    if !dry_run {
        for file in &found {
            folder.remove(&file.path).map_err(|source| PrepError::Write { path: folder.place(&file.path), source })?;
        }
    }
    Ok(found)
}

/// Files of older datasets, of killed builds and of shares that were never published.
pub(crate) fn superseded(dataset: &dyn Storage, manifest: &Manifest) -> std::io::Result<Vec<Superseded>> {
    let named: BTreeSet<&str> = manifest.paths().collect();
    let mut found = Vec::new();
    for name in dataset.list("")? {
        let file = name.rsplit('/').next().unwrap_or_default();
        let ours = name.starts_with(WORK)
            || [SHARDS, META].iter().any(|prefix| name.starts_with(prefix)) && bears_digest(file);
        if (ours && !named.contains(name.as_str()) && !is_current_record(dataset, &name, &named))
            || file.starts_with(atomic::PREFIX)
        {
            let bytes = dataset.size(&name)?;
            found.push(Superseded { path: name, bytes });
        }
    }
    Ok(found)
}

/// Whether a file has a name as shards and files of a dataset have: what it is, a dash, 16 digits of its digest, an ending.
fn bears_digest(file: &str) -> bool {
    let stem = file.split_once('.').map_or(file, |(stem, _)| stem);
    let digits = stem.rsplit_once('-').map_or("", |(_, digits)| digits);
    digits.len() == 16 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// A record of a partition whose shard is published: the next build takes the shard over.
fn is_current_record(dataset: &dyn Storage, name: &str, named: &BTreeSet<&str>) -> bool {
    name.starts_with(WORK)
        && PartitionRecord::load(dataset, name)
            .and_then(|record| record.shard)
            .is_some_and(|shard| named.contains(shard.path.as_str()))
}
