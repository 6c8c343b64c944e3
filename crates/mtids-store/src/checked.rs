//! A published dataset on a server, whose parts are known by their digest before they are read.
//!
//! Purpose: a part that the manifest names is taken from the cache where it lies there, and asked for again where it comes damaged.
//! Invariant: what has another digest than the manifest's is never kept. It is handed on as it came after some tries: the reader of the
//! dataset judges it and names the damage.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use mtids_runtime::digest::Digest;
use mtids_runtime::storage::Storage;
use mtids_shards::Manifest;

use crate::cache::Cache;

/// How often a part is read that comes damaged.
const READS: u32 = 3;

/// A storage whose parts have digests.
#[derive(Debug)]
pub(crate) struct Checked {
    inner: Arc<dyn Storage>,
    /// By the name of the file: where a part begins, its length, and its digest.
    parts: HashMap<String, HashMap<(u64, u64), Digest>>,
    cache: Option<Arc<Cache>>,
}

impl Checked {
    /// Row groups, footers and files of `manifest`, which lie in `inner`.
    pub(crate) fn new(inner: Arc<dyn Storage>, manifest: &Manifest, cache: Option<Arc<Cache>>) -> Self {
        let mut parts: HashMap<String, HashMap<(u64, u64), Digest>> = HashMap::new();
        for shard in &manifest.shards {
            let of_shard = parts.entry(shard.path.clone()).or_default();
            let mut end = 0;
            for group in &shard.row_groups {
                of_shard.insert((group.offset, group.length), group.digest);
                end = end.max(group.offset.saturating_add(group.length));
            }
            of_shard.insert((end, shard.bytes.saturating_sub(end)), shard.footer_digest);
        }
        for file in &manifest.files {
            parts.entry(file.path.clone()).or_default().insert((0, file.bytes), file.digest);
        }
        Self { inner, parts, cache }
    }
}

impl Storage for Checked {
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.inner.put(name, bytes)
    }

    fn put_over(&self, name: &str, was: Option<&[u8]>, bytes: &[u8]) -> io::Result<()> {
        self.inner.put_over(name, was, bytes)
    }

    fn get_range(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let Some(digest) = self.parts.get(name).and_then(|parts| parts.get(&(offset, length))) else {
            return self.inner.get_range(name, offset, length);
        };
        if let Some(bytes) = self.cache.as_ref().and_then(|cache| cache.get(digest, length)) {
            return Ok(bytes);
        }
        let mut reads = 1;
        loop {
            let bytes = self.inner.get_range(name, offset, length)?;
            if Digest::of_bytes(&bytes) == *digest {
                if let Some(cache) = &self.cache {
                    cache.put(digest, &bytes);
                }
                return Ok(bytes);
            }
            if reads >= READS {
                return Ok(bytes);
            }
            tracing::debug!("{}: other bytes than were published; reading again", self.place(name).display());
            reads += 1;
        }
    }

    fn get(&self, name: &str) -> io::Result<Vec<u8>> {
        let whole = self.parts.get(name).and_then(|parts| parts.keys().find(|(offset, _)| *offset == 0));
        match whole {
            Some((offset, length)) => self.get_range(name, *offset, *length),
            None => self.inner.get(name),
        }
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        self.inner.size(name)
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.inner.list(prefix)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn place(&self, name: &str) -> PathBuf {
        self.inner.place(name)
    }

    fn digest(&self, name: &str) -> io::Result<Digest> {
        self.inner.digest(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::atomic::Ordering;

    use mtids_runtime::storage::Folder;
    use mtids_shards::{Dataset, RowGroup, RowLabels, read_row_group};

    use crate::remote_tests::{PATIENT, web};
    use crate::stub::{Behaviour, Stub};

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../mtids-shards/tests/data/layout-5")
    }

    /// A small dataset of two shards, on a server.
    fn served() -> Stub {
        let stub = Stub::start(Behaviour::default());
        let local = Folder::new(folder());
        for name in local.list("").unwrap() {
            stub.objects().blobs.insert(format!("bucket/some/data/{name}"), local.get(&name).unwrap());
        }
        stub
    }

    fn everything(dataset: &Dataset) -> (Vec<RowLabels>, Vec<RowGroup>) {
        let shards = dataset.manifest().shards.iter().enumerate();
        let groups = shards.flat_map(|(shard, entry)| (0..entry.row_groups.len()).map(move |group| (shard, group)));
        let read = groups.map(|(shard, group)| read_row_group(dataset, shard, group).unwrap());
        (dataset.index().unwrap(), read.collect())
    }

    fn open(stub: &Stub, cache: Option<Arc<Cache>>) -> Dataset {
        let dataset = Dataset::open_in(Arc::new(web(stub, PATIENT))).unwrap();
        dataset.through(|storage, manifest| Arc::new(Checked::new(storage, manifest, cache)))
    }

    #[test]
    fn a_dataset_is_read_through_faults_and_flipped_bits_as_it_was_published() {
        let expected = everything(&Dataset::open(&folder()).unwrap());
        let stub = served();
        let dataset = open(&stub, None);
        stub.objects().behaviour = Behaviour { faults: 400, flips: true, ..Behaviour::default() };
        // Requests come one after another, so the faults are the same each time: none of them flips three readings of one part.
        for round in 0..40 {
            assert_eq!(everything(&dataset), expected, "round {round}");
        }
        assert!(stub.faults.load(Ordering::Relaxed) > 150, "{}", stub.faults.load(Ordering::Relaxed));
    }

    #[test]
    fn what_was_read_once_comes_from_the_cache_and_damage_does_not() {
        let (stub, place) = (served(), tempfile::tempdir().unwrap());
        let cache = || Some(Arc::new(Cache::new(place.path(), 1 << 20)));
        let expected = everything(&open(&stub, cache()));
        let bodies = |stub: &Stub| stub.objects().heads.iter().filter(|head| head.contains("\r\nrange")).count();
        let dataset = open(&stub, cache());
        let before = bodies(&stub);
        assert_eq!(everything(&dataset), expected);
        assert_eq!(bodies(&stub), before, "nothing but sizes was asked for");
        // Damage on the server is named, not kept.
        let shard = dataset.manifest().shards[0].path.clone();
        let at = dataset.manifest().shards[0].row_groups[0].offset as usize;
        stub.objects().blobs.get_mut(&format!("bucket/some/data/{shard}")).unwrap()[at] ^= 1;
        assert_eq!(everything(&open(&stub, cache())), expected);
        let elsewhere = tempfile::tempdir().unwrap();
        let damaged = open(&stub, Some(Arc::new(Cache::new(elsewhere.path(), 1 << 20))));
        for _ in 0..2 {
            let error = read_row_group(&damaged, 0, 0).unwrap_err();
            assert!(error.to_string().contains("row group 0"), "{error}");
        }
    }
}
