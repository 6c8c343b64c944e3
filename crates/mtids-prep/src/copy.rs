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
use crate::lock::{lock_alone, refuse_no_place};
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
/// [`PrepError::Config`] where `to` is no bucket; [`ShardError::Raced`] where another writer was quicker; else [`PrepError`] naming the file.
pub fn push(dataset: &Path, to: &Path, options: &CopyOptions) -> Result<Copied, PrepError> {
    if !mtids_store::is_bucket(to) {
        // A URL that is none is told as such.
        mtids_store::open(to)?;
        let reason = format!("{} is no bucket; push takes a URL such as s3://bucket/dataset", to.display());
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
/// [`PrepError::Config`] for a folder in which a dataset would replace what is not its own; [`PrepError::Lock`] while another process writes there;
/// else [`PrepError`] naming the file.
pub fn pull(from: &Path, out: &Path, options: &CopyOptions) -> Result<Copied, PrepError> {
    if mtids_store::is_remote(out) {
        let reason = "pull writes into a folder; a folder goes to a bucket with push".to_owned();
        return Err(PrepError::Config { key: "OUT".into(), reason });
    }
    refuse_no_place(out, "OUT")?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use mtids_domain::taxonomy::{RegionScheme, Zone};
    use mtids_patch::PatchGeometry;
    use mtids_runtime::exit::{Exit, ExitStatus};
    use mtids_runtime::provenance::Program;
    use mtids_runtime::storage::Memory;
    use mtids_shards::{
        Channel, DatasetDescription, FileEntry, LAYOUT_VERSION, SCHEMA_VERSION, ShardEntry, Split, Totals, View,
        ViewName, write_file,
    };

    const OPTIONS: CopyOptions = CopyOptions { parallel: 2, reverify: false, show_progress: false };

    /// A dataset of a shard without rows and a card; `text` tells two apart.
    fn published(text: &str) -> (Arc<Memory>, Dataset) {
        let storage = Arc::new(Memory::default());
        let bytes = format!("shard {text}").into_bytes();
        let path = format!("shards/train/0-{}.parquet", Digest::of_bytes(&bytes).short());
        storage.put(&path, &bytes).unwrap();
        let shard = ShardEntry {
            path,
            split: Split::Train,
            rows: 0,
            bytes: bytes.len() as u64,
            digest: Digest::of_bytes(&bytes),
            footer_digest: Digest::of_bytes(&bytes),
            row_groups: Vec::new(),
        };
        let card = write_file(storage.as_ref(), "README.md", text.as_bytes()).unwrap();
        manifest(vec![shard], vec![card]).commit(storage.as_ref()).unwrap();
        let dataset = Dataset::open_in(Arc::clone(&storage) as Arc<dyn Storage>).unwrap();
        (storage, dataset)
    }

    fn manifest(shards: Vec<ShardEntry>, files: Vec<FileEntry>) -> Manifest {
        let name = ViewName::try_from("near".to_owned()).unwrap();
        let description = DatasetDescription {
            schema_version: SCHEMA_VERSION.into(),
            taxonomy_version: String::new(),
            regions: RegionScheme::of_zones(&[Zone::Upper]).unwrap(),
            views: vec![View { name, geometry: PatchGeometry::default(), channels: vec![Channel::Ct] }],
            config_digest: Digest::of_bytes(b""),
            program: Program::new("test", "1"),
        };
        let (pseudonym_fingerprint, totals) = (String::new(), Totals::default());
        Manifest { layout: LAYOUT_VERSION, description, pseudonym_fingerprint, totals, shards, files }
    }

    #[test]
    fn a_copy_is_the_same_dataset_and_writes_only_what_is_missing() {
        let (_, from) = published("one");
        let goal = Memory::default();
        let copied = copy(&from, &goal, None, &OPTIONS).unwrap();
        assert_eq!((copied.files, copied.written_files, copied.replaced), (2, 2, None));
        assert_eq!(goal.get("README.md").unwrap(), b"one");
        let was = goal.get(MANIFEST).unwrap();
        assert_eq!(was, from.storage().get(MANIFEST).unwrap());
        let again = copy(&from, &goal, Some(&was), &OPTIONS).unwrap();
        assert_eq!((again.written_files, again.written_bytes), (0, 0));
        // Of another size, and with other bytes of the same size.
        let shard = &from.manifest().shards[0].path;
        goal.put(shard, b"short").unwrap();
        assert_eq!(copy(&from, &goal, Some(&was), &OPTIONS).unwrap().written_files, 1);
        goal.put(shard, b"shard two").unwrap();
        assert_eq!(copy(&from, &goal, Some(&was), &OPTIONS).unwrap().written_files, 0);
        let reverify = CopyOptions { reverify: true, ..OPTIONS };
        assert_eq!(copy(&from, &goal, Some(&was), &reverify).unwrap().written_files, 1);
        assert_eq!(goal.get(shard).unwrap(), b"shard one");
        let (_, other) = published("two");
        let replaced = copy(&other, &goal, Some(&was), &OPTIONS).unwrap().replaced;
        assert_eq!(replaced, Some(from.manifest().digest()));
    }

    #[test]
    fn a_writer_who_comes_second_is_told_and_changes_nothing() {
        let goal = Memory::default();
        let ((_, one), (_, two)) = (published("one"), published("two"));
        copy(&one, &goal, None, &OPTIONS).unwrap();
        let error = copy(&two, &goal, None, &OPTIONS).unwrap_err();
        assert!(matches!(error, PrepError::Shards(ShardError::Raced { .. })), "{error:?}");
        assert_eq!(Manifest::load(&goal).unwrap().digest(), one.manifest().digest());
        assert_eq!(goal.get("README.md").unwrap(), b"one");
    }

    #[test]
    fn copies_for_people_that_cannot_be_renewed_are_told_after_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let goal = Folder::new(folder.path());
        let (_, from) = published("one");
        // A folder in the way of the copy.
        goal.put("README.md/in-the-way", b"x").unwrap();
        let error = copy(&from, &goal, None, &OPTIONS).unwrap_err();
        assert!(matches!(error, PrepError::Shards(ShardError::StaleCopies { .. })), "{error:?}");
        let said = error.to_string();
        assert!(said.contains("published; the copies for people") && said.contains("same command again"), "{said}");
        assert_eq!(error.exit(), Exit::Findings);
        let was = goal.get(MANIFEST).unwrap();
        assert_eq!(was, from.storage().get(MANIFEST).unwrap(), "published");
        std::fs::remove_dir_all(folder.path().join("README.md")).unwrap();
        copy(&from, &goal, Some(&was), &OPTIONS).unwrap();
        assert_eq!(goal.get("README.md").unwrap(), b"one");
    }

    #[test]
    fn a_pull_replaces_nothing_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let web = Path::new("https://host.invalid/dataset");
        let refused = || pull(web, folder.path(), &OPTIONS).unwrap_err().to_string();
        std::fs::write(folder.path().join("README.md"), "my thesis").unwrap();
        assert!(refused().contains("holds a file README.md and no dataset"));
        std::fs::write(folder.path().join("run.json"), "{}").unwrap();
        assert!(refused().contains("holds a run"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "not even a lock");
    }

    #[test]
    fn a_damaged_file_is_not_copied_and_nothing_is_published() {
        let (storage, from) = published("one");
        storage.put(&from.manifest().shards[0].path, b"shard two").unwrap();
        let goal = Memory::default();
        let error = copy(&from, &goal, None, &OPTIONS).unwrap_err();
        assert!(matches!(error, PrepError::Shards(ShardError::DamagedFile { .. })), "{error:?}");
        assert_eq!(present(&goal).unwrap(), None);
    }

    #[test]
    fn names_that_lead_out_of_a_dataset_are_refused() {
        let (_, from) = published("one");
        let card = &from.manifest().files[0];
        let named = |name: &str, path: &str| FileEntry { name: name.into(), path: path.into(), ..card.clone() };
        for (name, path) in [
            ("README.md", "meta/../../x"),
            ("README.md", "/etc/passwd"),
            ("README.md", "meta//x"),
            ("README.md", "meta/.x"),
            ("README.md", "meta/a\\b"),
            ("README.md", "other/x"),
            ("../x", "meta/x"),
            ("a/b", "meta/x"),
            ("manifest.json", "meta/x"),
            (".lock", "meta/x"),
        ] {
            let storage = Arc::new(Memory::default());
            storage.put(path, b"one").unwrap();
            // Written by hand: publishing such a manifest would already write under that name.
            let json = serde_json::to_vec(&manifest(Vec::new(), vec![named(name, path)])).unwrap();
            storage.put(MANIFEST, &json).unwrap();
            let strange = Dataset::open_in(storage as Arc<dyn Storage>).unwrap();
            let error = copy(&strange, &Memory::default(), None, &OPTIONS).unwrap_err();
            assert!(error.to_string().contains("no dataset has it"), "{name} {path}: {error}");
        }
    }

    #[test]
    fn places_of_the_wrong_kind_are_refused() {
        let refused = |result: Result<Copied, PrepError>| result.unwrap_err().to_string();
        let (here, web) = (Path::new("dataset"), Path::new("https://host/dataset"));
        assert!(refused(push(here, Path::new("folder"), &OPTIONS)).contains("is no bucket"));
        assert!(refused(push(here, web, &OPTIONS)).contains("is no bucket"));
        assert!(refused(push(here, Path::new("gs://bucket/x"), &OPTIONS)).contains("not supported"));
        assert!(refused(pull(web, Path::new("s3://bucket/x"), &OPTIONS)).contains("into a folder"));
    }
}
