//! Parts of datasets on a local disk, each under its digest.
//!
//! Invariants: a part is returned only if its bytes have the digest that was asked for; a file appears whole or not at all, so a kill at any
//! moment leaves a cache that works; one process keeps the files within the limit, and each further process that shares the folder may add
//! an eighth of it. A cache that fails is no error: the part is read from its server.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use mtids_runtime::atomic;
use mtids_runtime::digest::Digest;

use crate::error::StoreError;

/// The folder.
const FOLDER: &str = "MTIDS_CACHE_DIR";
/// Its size in MiB.
const SIZE: &str = "MTIDS_CACHE_MIB";
/// A temporary file of this age belongs to nobody who is still writing it.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// A folder with parts of datasets.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    limit: u64,
    /// Bytes that this process may write before it looks at the folder again.
    room: Mutex<u64>,
    warned: AtomicBool,
}

/// A file of the cache.
struct Kept {
    used: SystemTime,
    path: PathBuf,
    bytes: u64,
}

impl Cache {
    /// A cache of `limit` bytes in `folder`, which appears with the first part.
    pub fn new(folder: impl Into<PathBuf>, limit: u64) -> Self {
        Self { folder: folder.into(), limit, room: Mutex::new(0), warned: AtomicBool::new(false) }
    }

    /// The cache that `MTIDS_CACHE_DIR` and `MTIDS_CACHE_MIB` ask for. It is a property of the machine, not of a run: no result depends on it.
    ///
    /// # Errors
    /// [`StoreError::Setting`] where only one is set, or the size is no number of MiB.
    pub fn from_environment() -> Result<Option<Arc<Self>>, StoreError> {
        Self::of_settings(std::env::var_os(FOLDER).map(PathBuf::from), std::env::var(SIZE).ok())
    }

    fn of_settings(folder: Option<PathBuf>, size: Option<String>) -> Result<Option<Arc<Self>>, StoreError> {
        let wrong = |name, reason: &str| Err(StoreError::Setting { name, reason: reason.to_owned() });
        match (folder, size) {
            (None, None) => Ok(None),
            (None, Some(_)) => wrong(FOLDER, "a cache has a size but no folder; set both or none"),
            (Some(_), None) => wrong(SIZE, "a cache has a folder but no size; set it to the MiB that it may take"),
            (Some(folder), Some(size)) => {
                match size.trim().parse::<u64>().ok().and_then(|mib| mib.checked_mul(1 << 20)) {
                    Some(limit) if limit > 0 && !folder.as_os_str().is_empty() => {
                        Ok(Some(Arc::new(Self::new(folder, limit))))
                    }
                    _ => wrong(SIZE, "a folder and a whole number of MiB, at least 1, are needed"),
                }
            }
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.folder.join(&name[..2]).join(name)
    }

    /// The part with this digest and length, if it is here and whole.
    pub fn get(&self, digest: &Digest, length: u64) -> Option<Vec<u8>> {
        let path = self.path(digest);
        let mut file = File::open(&path).ok()?;
        let mut bytes = Vec::new();
        // One byte more than it may have: whatever lies there is not read as a whole.
        let read = file.by_ref().take(length.saturating_add(1)).read_to_end(&mut bytes);
        if read.is_err() || Digest::of_bytes(&bytes) != *digest {
            // After a power cut, or by somebody's hand.
            self.forgive(fs::remove_file(&path));
            return None;
        }
        // Best effort: without it, the part goes sooner.
        let _ = file.set_modified(SystemTime::now());
        Some(bytes)
    }

    /// Keeps a part, whose digest the caller has checked; parts that were not used for the longest time make room.
    pub fn put(&self, digest: &Digest, bytes: &[u8]) {
        let length = bytes.len() as u64;
        let path = self.path(digest);
        if length > self.limit || path.exists() {
            return;
        }
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if *room < length {
            match self.make_room(length) {
                Ok(made) => *room = made,
                Err(error) => return self.forgive(Err(error)),
            }
        }
        let written = atomic::write_unsynced(&path, bytes);
        if written.is_ok() {
            *room = room.saturating_sub(length);
        }
        self.forgive(written);
    }

    /// Removes the parts that were not used for the longest time, until `length` and an eighth of the limit are free; returns how much may be
    /// written before the next look.
    fn make_room(&self, length: u64) -> std::io::Result<u64> {
        let wanted = length.max(self.limit / 8);
        let mut kept = self.kept()?;
        kept.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
        let mut total: u64 = kept.iter().map(|one| one.bytes).sum();
        for one in &kept {
            if total.saturating_add(wanted) <= self.limit {
                break;
            }
            match fs::remove_file(&one.path) {
                // Another process has removed it.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => total -= one.bytes,
            }
        }
        Ok(wanted.min(self.limit.saturating_sub(total)))
    }

    /// All parts. Temporary files of killed processes are removed on the way.
    fn kept(&self) -> std::io::Result<Vec<Kept>> {
        let mut kept = Vec::new();
        for folder in entries(&self.folder)? {
            if !folder.is_dir() {
                continue;
            }
            for path in entries(&folder)? {
                // Another process may have removed it.
                let Ok(metadata) = fs::metadata(&path) else { continue };
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                if name.starts_with(atomic::PREFIX) {
                    if used.elapsed().is_ok_and(|age| age > LEFT_BEHIND) {
                        self.forgive(fs::remove_file(&path));
                        continue;
                    }
                } else if name.parse::<Digest>().is_err() {
                    // Somebody else's.
                    continue;
                }
                kept.push(Kept { used, path, bytes: metadata.len() });
            }
        }
        Ok(kept)
    }

    /// Says the first failure, and goes on.
    fn forgive(&self, result: std::io::Result<()>) {
        match result {
            Err(error)
                if error.kind() != std::io::ErrorKind::NotFound && !self.warned.swap(true, Ordering::Relaxed) =>
            {
                tracing::warn!(
                    "the cache {} does not work ({error}); parts are read from the server",
                    self.folder.display()
                );
            }
            _ => {}
        }
    }
}

/// What lies in a folder; nothing if there is none.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| entry.map(|entry| entry.path())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(n: u64, length: usize) -> (Digest, Vec<u8>) {
        let bytes: Vec<u8> = n.to_le_bytes().into_iter().cycle().take(length).collect();
        (Digest::of_bytes(&bytes), bytes)
    }

    fn bytes_in(cache: &Cache) -> u64 {
        cache.kept().unwrap().iter().map(|one| one.bytes).sum()
    }

    #[test]
    fn parts_come_back_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("not/yet"), 1 << 20);
        let (digest, bytes) = part(1, 1000);
        assert_eq!(cache.get(&digest, 1000), None);
        cache.put(&digest, &bytes);
        assert_eq!(cache.get(&digest, 1000), Some(bytes.clone()));
        let path = cache.path(&digest);
        let mut flipped = bytes.clone();
        flipped[500] ^= 1;
        for damaged in [b"".as_slice(), &bytes[..999], &[bytes.clone(), vec![0]].concat(), &flipped] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(cache.get(&digest, 1000), None);
            assert!(!path.exists(), "a damaged part is removed");
            cache.put(&digest, &bytes);
            assert_eq!(cache.get(&digest, 1000), Some(bytes.clone()));
        }
    }

    #[test]
    fn the_parts_not_used_for_the_longest_time_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), 8000);
        let parts: Vec<_> = (0..20).map(|n| part(n, 1000)).collect();
        for (n, (digest, bytes)) in parts.iter().enumerate() {
            cache.put(digest, bytes);
            assert!(bytes_in(&cache) <= 8000, "after part {n}");
            // A clock of its own: files that are written within one tick have one age.
            let used = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + n as u64);
            File::open(cache.path(digest)).unwrap().set_modified(used).unwrap();
            // The first part is used all the time.
            assert!(cache.get(&parts[0].0, 1000).is_some(), "after part {n}");
        }
        assert_eq!(cache.get(&parts[1].0, 1000), None);
        assert!(cache.get(&parts[19].0, 1000).is_some());
        let (digest, bytes) = part(99, 9000);
        cache.put(&digest, &bytes);
        assert_eq!(cache.get(&digest, 9000), None, "larger than the cache");
        assert!(cache.get(&parts[19].0, 1000).is_some(), "and nothing went for it");
    }

    #[test]
    fn what_killed_writers_left_is_counted_and_then_removed_and_strangers_stay() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path(), 4000);
        let (digest, bytes) = part(1, 1000);
        cache.put(&digest, &bytes);
        let beside = |name: &str| cache.path(&digest).with_file_name(name);
        let (old, young, stranger) = (beside(".writing-old"), beside(".writing-young"), beside("notes.txt"));
        for path in [&old, &young, &stranger] {
            fs::write(path, [0; 500]).unwrap();
        }
        File::options().write(true).open(&old).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(bytes_in(&cache), 1500);
        assert!(!old.exists() && young.exists() && stranger.exists());
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        let cache = Cache::new(&file, 1 << 20);
        let (digest, bytes) = part(1, 1000);
        cache.put(&digest, &bytes);
        assert_eq!(cache.get(&digest, 1000), None);
        assert!(cache.warned.load(Ordering::Relaxed));
    }

    #[test]
    fn many_threads_and_processes_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let caches: Vec<Cache> = (0..3).map(|_| Cache::new(folder.path(), 16_000)).collect();
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let cache = &caches[thread % 3];
                scope.spawn(move || {
                    for n in 0..300u64 {
                        let (digest, bytes) = part(n * 7 % 40, 700);
                        match cache.get(&digest, 700) {
                            Some(read) => assert_eq!(read, bytes),
                            None => cache.put(&digest, &bytes),
                        }
                    }
                });
            }
        });
        assert!(bytes_in(&caches[0]) <= 16_000 + 2 * 2_000, "{}", bytes_in(&caches[0]));
    }

    #[test]
    fn both_settings_or_none() {
        let of = |folder: Option<&str>, size: Option<&str>| {
            Cache::of_settings(folder.map(Into::into), size.map(str::to_owned))
                .map(|cache| cache.map(|cache| cache.limit))
        };
        assert_eq!(of(None, None).unwrap(), None);
        assert_eq!(of(Some("cache"), Some("10")).unwrap(), Some(10 << 20));
        for (folder, size) in
            [(Some("cache"), None), (None, Some("1")), (Some("cache"), Some("0")), (Some("cache"), Some("1 GB"))]
        {
            assert!(of(folder, size).unwrap_err().to_string().starts_with("MTIDS_CACHE_"), "{folder:?} {size:?}");
        }
    }
}
