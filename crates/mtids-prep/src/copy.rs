//! A dataset to a bucket, and from a server into a folder.
//!
//! Invariants: files first, the manifest last, so that a copy that is killed at any moment leaves the dataset that was there; what is written
//! had the digest of the manifest when it was read; in a bucket, the manifest is replaced only if it is still the one that was there when
//! the copy began; no name of a manifest leads out of the dataset.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use mtids_report::format::counted;
use mtids_report::progress::Progress;
use mtids_runtime::digest::Digest;
use mtids_runtime::storage::{Folder, Storage};
use mtids_shards::{Dataset, MANIFEST, META, Manifest, ShardError};
use serde::Serialize;

use crate::error::PrepError;
use crate::lock::lock_alone;
use crate::publish::remove_leftovers;
use crate::record::SHARDS;
use crate::workers::run_all;

/// How a copy is made. Nothing of it has an influence on the dataset.
#[derive(Clone, Copy, Debug)]
pub struct CopyOptions {
    /// Files at once.
    pub parallel: usize,
    /// What lies at the goal is read, not only measured.
    pub reverify: bool,
    /// Show progress on the terminal.
    pub show_progress: bool,
}

/// What a copy did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Digest of the dataset.
    pub dataset_digest: Digest,
    /// Files of the dataset, without the manifest and the copies for people.
    pub files: usize,
    /// Files that were written; the others lay there.
    pub written_files: u64,
    /// Bytes of these.
    pub written_bytes: u64,
    /// Digest of the dataset that lay there before, if it was another one that this program reads.
    pub replaced: Option<Digest>,
}

impl Copied {
    /// For people.
    pub fn text(&self) -> String {
        let files = counted(self.files as u64, "file", "files");
        let mebibytes = self.written_bytes as f64 / f64::from(1 << 20);
        let mut text = format!("  {files}, {} written ({mebibytes:.1} MiB)\n", self.written_files);
        if let Some(replaced) = &self.replaced {
            text.push_str(&format!("  replaces the dataset with digest {replaced}\n"));
        }
        text + &format!("  dataset digest {}\n", self.dataset_digest)
    }
}

/// A file of a dataset.
struct Part<'a> {
    path: &'a str,
    bytes: u64,
    digest: &'a Digest,
}

/// Publishes the dataset of a folder at the URL `to`.
///
/// # Errors
/// [`PrepError::Config`] where `to` is a folder; [`ShardError::Raced`] where another writer was quicker; else [`PrepError`] naming the file.
pub fn push(dataset: &Path, to: &Path, options: &CopyOptions) -> Result<Copied, PrepError> {
    if !mtids_store::is_remote(to) {
        // A URL that is none is told as such.
        mtids_store::open(to)?;
        let reason = format!("{} is a folder; push takes a URL such as s3://bucket/dataset", to.display());
        return Err(PrepError::Config { key: "URL".into(), reason });
    }
    let from = Dataset::open(dataset)?;
    let goal = mtids_store::open(to)?;
    let was = present(goal.as_ref())?;
    copy(&from, goal.as_ref(), was.as_deref(), options)
}

/// Copies the dataset at the URL `from` into the folder `out`.
///
/// # Errors
/// [`PrepError::Lock`] while another process writes there; else [`PrepError`] naming the file.
pub fn pull(from: &Path, out: &Path, options: &CopyOptions) -> Result<Copied, PrepError> {
    if mtids_store::is_remote(out) {
        let reason = "pull writes into a folder; a folder goes to a bucket with push".to_owned();
        return Err(PrepError::Config { key: "OUT".into(), reason });
    }
    let from = Dataset::open_in(mtids_store::open(from)?)?;
    let lock = lock_alone(out, "mtids-prep pull")?;
    let folder = Folder::new(out);
    let was = present(&folder)?;
    let copied = copy(&from, &folder, was.as_deref(), options)?;
    // Without a lock, what looks left behind may belong to another writer.
    if lock.unsupported().is_none() {
        remove_leftovers(&folder);
    }
    Ok(copied)
}

/// The manifest that lies at the goal.
fn present(goal: &dyn Storage) -> Result<Option<Vec<u8>>, PrepError> {
    match goal.get(MANIFEST) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ShardError::Io { path: goal.place(MANIFEST), source }.into()),
    }
}

/// Copies what is missing, then the manifest, if the goal still holds the manifest `was`.
fn copy(from: &Dataset, goal: &dyn Storage, was: Option<&[u8]>, options: &CopyOptions) -> Result<Copied, PrepError> {
    let manifest = from.manifest();
    refuse_strange_names(from)?;
    let shards = manifest.shards.iter().map(|one| Part { path: &one.path, bytes: one.bytes, digest: &one.digest });
    let files = manifest.files.iter().map(|one| Part { path: &one.path, bytes: one.bytes, digest: &one.digest });
    let parts: Vec<Part<'_>> = shards.chain(files).collect();
    let progress = Progress::new("copying files", Some(parts.len() as u64), options.show_progress);
    let (written_files, written_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    run_all(&parts, options.parallel, |part| {
        if !lies_there(goal, part, options.reverify)? {
            let path = from.storage().place(part.path);
            let bytes =
                from.storage().get(part.path).map_err(|source| ShardError::Io { path: path.clone(), source })?;
            if Digest::of_bytes(&bytes) != *part.digest {
                let detail = "its digest differs from the manifest".to_owned();
                return Err(ShardError::DamagedFile { path, detail }.into());
            }
            let failed = |source| ShardError::Io { path: goal.place(part.path), source };
            goal.put(part.path, &bytes).map_err(failed)?;
            written_files.fetch_add(1, Ordering::Relaxed);
            written_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        progress.inc(1);
        Ok(())
    })?;
    progress.finish();
    let before = was.and_then(|_| Manifest::load(goal).ok()).map(|manifest| manifest.digest());
    manifest.commit_over(goal, was)?;
    let dataset_digest = manifest.digest();
    Ok(Copied {
        dataset_digest,
        files: parts.len(),
        written_files: written_files.into_inner(),
        written_bytes: written_bytes.into_inner(),
        replaced: before.filter(|before| *before != dataset_digest),
    })
}

/// Whether the goal has a part. Names carry digests and a file appears whole, so its size tells, unless somebody else has written there.
fn lies_there(goal: &dyn Storage, part: &Part<'_>, reverify: bool) -> Result<bool, PrepError> {
    let failed = |source| ShardError::Io { path: goal.place(part.path), source };
    match goal.size(part.path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(error).into()),
        Ok(bytes) if bytes != part.bytes => Ok(false),
        Ok(_) if reverify => Ok(goal.digest(part.path).map_err(failed)? == *part.digest),
        Ok(_) => Ok(true),
    }
}

/// Refuses a manifest that names files outside its dataset, or under names of which no build makes one: it may come from anywhere.
fn refuse_strange_names(from: &Dataset) -> Result<(), PrepError> {
    let manifest = from.manifest();
    let is_part = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['\\', ':', '\0']);
    let is_path = |path: &str| (path.starts_with(SHARDS) || path.starts_with(META)) && path.split('/').all(is_part);
    let is_name = |name: &str| is_part(name) && !name.contains('/') && name != MANIFEST;
    let strange = manifest
        .paths()
        .find(|path| !is_path(path))
        .or_else(|| manifest.files.iter().map(|file| file.name.as_str()).find(|name| !is_name(name)));
    match strange {
        None => Ok(()),
        Some(name) => Err(PrepError::Shards(ShardError::Manifest {
            path: from.storage().place(MANIFEST),
            detail: format!("it names a file as no dataset has it: {name:?}"),
        })),
    }
}
