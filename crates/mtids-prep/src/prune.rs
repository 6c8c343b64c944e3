//! Removing what no longer belongs to a dataset.
//!
//! A rebuild leaves the files of the older dataset, because a training that began before it still reads them. Invariants: nothing that the
//! manifest names is removed; files that no program of ours writes stay.

use std::collections::BTreeSet;
use std::path::Path;

use mtids_runtime::atomic;
use mtids_runtime::storage::{Folder, Storage};
use mtids_shards::{META, Manifest, Split};
use serde::Serialize;

use crate::error::PrepError;
use crate::lock::{PLAIN_NAMES, lock_alone};
use crate::record::{PARTITIONS, PartitionRecord, SHARDS, WORK};

/// A file that no longer belongs to the dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Superseded {
    /// Path relative to the dataset.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// Removes superseded files and returns them; with `dry_run`, only returns them. The copies for people are renewed before: a killed build may have
/// left those that speak of the files which go.
///
/// # Errors
/// [`PrepError::Shards`] without a manifest or where the copies cannot be renewed, [`PrepError::Lock`] while another process writes,
/// [`PrepError::Write`] naming a file that cannot be removed.
pub fn prune(dataset: &Path, dry_run: bool) -> Result<Vec<Superseded>, PrepError> {
    let folder = Folder::new(dataset);
    // Before the lock, which would make a folder.
    Manifest::load(&folder)?;
    let _lock = if dry_run { None } else { Some(lock_alone(dataset, "mtids-prep prune")?) };
    let manifest = Manifest::load(&folder)?;
    let found =
        superseded(&folder, &manifest).map_err(|source| PrepError::Data { path: dataset.to_owned(), source })?;
    if !dry_run {
        manifest.renew_copies(&folder)?;
        for file in &found {
            folder.remove(&file.path).map_err(|source| PrepError::Write { path: folder.place(&file.path), source })?;
        }
    }
    Ok(found)
}

/// Files of older datasets, of killed builds and of shares that were never published.
pub(crate) fn superseded(dataset: &dyn Storage, manifest: &Manifest) -> std::io::Result<Vec<Superseded>> {
    let named: BTreeSet<&str> = manifest.paths().collect();
    let mut found = leftovers(dataset)?;
    for prefix in [SHARDS, META, WORK] {
        found.extend(dataset.list(prefix)?.into_iter().filter(|name| {
            (is_shard(name) || is_file(name) || name.starts_with(WORK) && !is_leftover(name))
                && !named.contains(name.as_str())
                && !is_current_record(dataset, name, &named)
        }));
    }
    found.sort();
    found.into_iter().map(|path| Ok(Superseded { bytes: dataset.size(&path)?, path })).collect()
}

/// Temporary files of killed writers, in the places where a build writes and nowhere else: what others write into folders of their own is theirs.
pub(crate) fn leftovers(dataset: &dyn Storage) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for prefix in [atomic::PREFIX, SHARDS, META, WORK] {
        found.extend(dataset.list(prefix)?.into_iter().filter(|name| is_leftover(name)));
    }
    Ok(found)
}

/// Whether a name is that of a file which a writer of ours had not finished, in a folder where one writes.
fn is_leftover(name: &str) -> bool {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let is_ours = match folder.split_once('/') {
        None => ["", "shards", "meta", ".work"].contains(&folder),
        Some(("shards", split)) => Split::ALL.iter().any(|known| known.name() == split),
        Some((".work", records)) => records == PARTITIONS,
        Some(_) => false,
    };
    is_ours && file.starts_with(atomic::PREFIX)
}

/// Whether a name is one that a build gives a shard: `shards/train/part-0007-0123456789abcdef.parquet`.
fn is_shard(name: &str) -> bool {
    let Some((split, file)) = name.strip_prefix(SHARDS).and_then(|rest| rest.split_once('/')) else { return false };
    let number = file.strip_suffix(".parquet").and_then(without_digest).and_then(|stem| stem.strip_prefix("part-"));
    Split::ALL.iter().any(|known| known.name() == split)
        && number.is_some_and(|number| number.len() >= 4 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a name is one that a build gives a file beside the shards: `meta/README-0123456789abcdef.md`.
fn is_file(name: &str) -> bool {
    let plain = |file: &str| {
        let (stem, ending) = file.rsplit_once('.')?;
        Some(format!("{}.{ending}", without_digest(stem)?))
    };
    name.strip_prefix(META).and_then(plain).is_some_and(|plain| PLAIN_NAMES.contains(&plain.as_str()))
}

/// What a name is without the dash and the 16 digits of a digest at its end.
fn without_digest(name: &str) -> Option<&str> {
    let (stem, digits) = name.rsplit_once('-')?;
    let is_digest = digits.len() == 16 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    is_digest.then_some(stem)
}

/// A record of a partition whose shard is published: the next build takes the shard over.
fn is_current_record(dataset: &dyn Storage, name: &str, named: &BTreeSet<&str>) -> bool {
    name.starts_with(WORK)
        && PartitionRecord::load(dataset, name)
            .and_then(|record| record.shard)
            .is_some_and(|shard| named.contains(shard.path.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_build_gives_are_known() {
        for shard in
            ["shards/train/part-0007-0123456789abcdef.parquet", "shards/test/part-12345-0123456789abcdef.parquet"]
        {
            assert!(is_shard(shard), "{shard}");
        }
        for file in [
            "meta/README-0123456789abcdef.md",
            "meta/config.resolved-0123456789abcdef.toml",
            "meta/index-0123456789abcdef.parquet",
        ] {
            assert!(is_file(file), "{file}");
        }
        for other in [
            "shards/mine/report-0123456789abcdef.txt",
            "shards/mine/part-0007-0123456789abcdef.parquet",
            "shards/train/deeper/part-0007-0123456789abcdef.parquet",
            "shards/train/part-0007-0123456789abcdef.csv",
            "shards/train/part-mine-0123456789abcdef.parquet",
            "shards/train/part-0007-0123456789abcdeg.parquet",
            "meta/notes-0123456789abcdef.md",
            "meta/README-0123456789abcdef.txt",
            "meta/mine/README-0123456789abcdef.md",
            "README.md",
        ] {
            assert!(!is_shard(other) && !is_file(other) && !is_leftover(other), "{other}");
        }
    }

    #[test]
    fn temporary_files_of_others_are_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Folder::new(folder.path());
        let ours = [".work/partitions/.writing-a", ".writing-b", "meta/.writing-c", "shards/test/.writing-d"];
        let others = [
            "notebooks/.writing-e",
            "shards/mine/.writing-f",
            "meta/mine/.writing-g",
            ".writing-h/i",
            "run/.writing-j",
        ];
        for name in ours.iter().chain(&others) {
            dataset.put(name, b"half").unwrap();
        }
        crate::publish::remove_leftovers(&dataset);
        let mut left = others.map(str::to_owned);
        left.sort();
        assert_eq!(dataset.list("").unwrap(), left);
    }
}
