//! Where a dataset lies: named blobs that appear whole or not at all.
//!
//! Purpose: everything that is written into or read out of a dataset goes through [`Storage`], so that an object store can stand behind it:
//! its calls are those that every such store has (put, get, ranged get, head, list, delete, conditional put), and no caller appends or renames.
//! Invariants: a name is relative, parts joined by `/`, without `.` or `..`; after a crash a name holds its old or its new content;
//! [`Storage::put`] returns when the content would survive a power cut.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::atomic;
use crate::digest::Digest;

/// A place for named blobs.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Puts `bytes` under `name`, replacing what was there.
    ///
    /// # Errors
    /// Any error of the place, with the name in its message.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// As [`Storage::put`], but it may return before the content would survive a power cut, after which it may be missing or damaged. For what
    /// its readers check and can make again.
    ///
    /// # Errors
    /// As [`Storage::put`].
    fn put_unsynced(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(name, bytes)
    }

    /// As [`Storage::put`], but only if `name` still holds `was`; `None` means that it holds nothing. So of two writers that have read the same
    /// content, one replaces it and the other is told. Where `bytes` themselves lie there already, nothing is left to do.
    ///
    /// As written here it compares and then puts, which is right only where writers hold a lock, as those of a folder do. A place without locks
    /// has to do it in one step.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when the content is another one, or any error of the place.
    fn put_over(&self, name: &str, was: Option<&[u8]>, bytes: &[u8]) -> io::Result<()> {
        let is = match self.get(name) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match is.as_deref() {
            is if is == was => self.put(name, bytes),
            Some(is) if is == bytes => Ok(()),
            _ => Err(replaced_meanwhile(&self.place(name))),
        }
    }

    /// `length` bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], [`io::ErrorKind::UnexpectedEof`] where the blob is shorter, or any error of the place.
    fn get_range(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>>;

    /// Size in bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or any error of the place.
    fn size(&self, name: &str) -> io::Result<u64>;

    /// Names that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// Any error of the place; a prefix that nothing has is an empty list.
    fn list(&self, prefix: &str) -> io::Result<Vec<String>>;

    /// Removes a blob; one that is not there is no error.
    ///
    /// # Errors
    /// Any error of the place.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// How messages call a blob: a path, a URL.
    fn place(&self, name: &str) -> PathBuf;

    /// Removes what killed writers left behind, where the place has such things. Best effort: what stays behind has no name.
    ///
    /// # Errors
    /// Any error of the place.
    fn remove_leftovers(&self) -> io::Result<()> {
        Ok(())
    }

    /// The whole blob.
    ///
    /// # Errors
    /// As [`Storage::get_range`].
    fn get(&self, name: &str) -> io::Result<Vec<u8>> {
        self.get_range(name, 0, self.size(name)?)
    }

    /// Digest of a blob, read in pieces.
    ///
    /// # Errors
    /// As [`Storage::get_range`].
    fn digest(&self, name: &str) -> io::Result<Digest> {
        const PIECE: u64 = 1 << 20;
        let size = self.size(name)?;
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        while at < size {
            let length = PIECE.min(size - at);
            hasher.update(&self.get_range(name, at, length)?);
            at += length;
        }
        Ok(hasher.into())
    }
}

/// What [`Storage::put_over`] says when somebody else was quicker.
pub fn replaced_meanwhile(place: &Path) -> io::Error {
    let text = format!("{} was replaced by another writer meanwhile; nothing of it was overwritten", place.display());
    io::Error::new(io::ErrorKind::AlreadyExists, text)
}

/// A folder of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`; it is created with the first blob.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn named<T>(&self, name: &str, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.place(name).display())))
    }
}

impl Storage for Folder {
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        atomic::write(&self.place(name), bytes)
    }

    fn put_unsynced(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        atomic::write_unsynced(&self.place(name), bytes)
    }

    fn get_range(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let read = || {
            let mut file = File::open(self.place(name))?;
            file.seek(SeekFrom::Start(offset))?;
            // The length may come from a damaged manifest: room is made for what is there, not for what is claimed.
            let mut bytes = Vec::with_capacity(length.min(file.metadata()?.len()) as usize);
            file.take(length).read_to_end(&mut bytes)?;
            if (bytes.len() as u64) < length {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("it ends before byte {}", offset.saturating_add(length)),
                ));
            }
            Ok(bytes)
        };
        self.named(name, read())
    }

    /// By one look-up, so that a file which is replaced meanwhile is the old one or the new one.
    fn get(&self, name: &str) -> io::Result<Vec<u8>> {
        self.named(name, std::fs::read(self.place(name)))
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        self.named(name, std::fs::metadata(self.place(name)).map(|metadata| metadata.len()))
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        // Of a prefix `a/b/c`, only the folder `a/b` is walked.
        let start = prefix.rfind('/').map_or("", |at| &prefix[..at]);
        let mut names = Vec::new();
        let mut folders = vec![start.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match std::fs::read_dir(self.0.join(&folder)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => self.named(&folder, entries)?,
            };
            for entry in entries {
                let entry = entry?;
                // A name that is not Unicode is none of ours.
                let Some(file) = entry.file_name().to_str().map(str::to_owned) else { continue };
                let name = if folder.is_empty() { file } else { format!("{folder}/{file}") };
                if entry.file_type()?.is_dir() {
                    folders.push(name);
                } else if name.starts_with(prefix) {
                    names.push(name);
                }
            }
        }
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.place(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => self.named(name, done),
        }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn remove_leftovers(&self) -> io::Result<()> {
        atomic::remove_leftovers(&self.0)
    }

    fn digest(&self, name: &str) -> io::Result<Digest> {
        self.named(name, Digest::of_file(&self.place(name)))
    }
}

/// Blobs in memory, for tests and for trying a dataset out.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl Memory {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> T {
        // Every change is one insertion or removal, so a poisoned map is whole.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {name}"))
}

impl Storage for Memory {
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with(|blobs| blobs.insert(name.to_owned(), bytes.to_vec()));
        Ok(())
    }

    fn put_over(&self, name: &str, was: Option<&[u8]>, bytes: &[u8]) -> io::Result<()> {
        self.with(|blobs| {
            let is = blobs.get(name).map(Vec::as_slice);
            if is != was && is != Some(bytes) {
                return Err(replaced_meanwhile(&self.place(name)));
            }
            blobs.insert(name.to_owned(), bytes.to_vec());
            Ok(())
        })
    }

    fn get_range(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        self.with(|blobs| {
            let blob = blobs.get(name).ok_or_else(|| missing(name))?;
            let end = offset.saturating_add(length);
            let range = usize::try_from(offset).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX);
            let ends = || io::Error::new(io::ErrorKind::UnexpectedEof, format!("{name} ends before byte {end}"));
            blob.get(range).map(<[u8]>::to_vec).ok_or_else(ends)
        })
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        self.with(|blobs| blobs.get(name).map(|blob| blob.len() as u64).ok_or_else(|| missing(name)))
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        Ok(self.with(|blobs| blobs.keys().filter(|name| name.starts_with(prefix)).cloned().collect()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.with(|blobs| blobs.remove(name));
        Ok(())
    }

    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("memory:{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every storage must do.
    fn keeps_its_promises(storage: &dyn Storage) {
        assert_eq!(storage.list("").unwrap(), Vec::<String>::new());
        assert_eq!(storage.get("a").unwrap_err().kind(), io::ErrorKind::NotFound);
        storage.put("shards/train/b", b"second").unwrap();
        storage.put("shards/train/a", b"first").unwrap();
        storage.put("shards/test/a", b"third").unwrap();
        storage.put("top", b"").unwrap();
        assert_eq!(storage.list("shards/train/").unwrap(), ["shards/train/a", "shards/train/b"]);
        assert_eq!(storage.list("shards/t").unwrap().len(), 3);
        assert_eq!(storage.list("").unwrap().len(), 4);
        assert_eq!(storage.list("nothing/").unwrap(), Vec::<String>::new());
        assert_eq!(storage.get("shards/train/b").unwrap(), b"second");
        assert_eq!(storage.get_range("shards/train/b", 1, 3).unwrap(), b"eco");
        assert_eq!(storage.get_range("shards/train/b", 6, 0).unwrap(), b"");
        for (offset, length) in [(4, 3), (7, 1), (0, u64::MAX), (u64::MAX, 1)] {
            let error = storage.get_range("shards/train/b", offset, length).unwrap_err();
            assert!(error.to_string().contains("shards/train/b"), "{error}");
        }
        storage.put_unsynced("shards/train/b", b"new").unwrap();
        assert_eq!((storage.size("shards/train/b").unwrap(), storage.get("top").unwrap().len()), (3, 0));
        assert_eq!(storage.digest("shards/train/b").unwrap(), Digest::of_bytes(b"new"));
        storage.put("long", &vec![7; (5 << 20) + 3]).unwrap();
        assert_eq!(storage.digest("long").unwrap(), Digest::of_bytes(&vec![7; (5 << 20) + 3]));
        for (was, now) in [(None, b"first".as_slice()), (Some(b"first".as_slice()), b"second"), (None, b"second")] {
            storage.put_over("manifest", was, now).unwrap();
            assert_eq!(storage.get("manifest").unwrap(), now);
        }
        for was in [None, Some(b"first".as_slice())] {
            let error = storage.put_over("manifest", was, b"third").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert!(error.to_string().contains("manifest was replaced"), "{error}");
        }
        assert_eq!(storage.put_over("none", Some(b"x"), b"y").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(storage.get("manifest").unwrap(), b"second");
        storage.remove("shards/train/b").unwrap();
        storage.remove("shards/train/b").unwrap();
        assert_eq!(storage.list("shards/train/").unwrap(), ["shards/train/a"]);
        storage.remove_leftovers().unwrap();
    }

    #[test]
    fn folders_and_memory_keep_the_promises() {
        let folder = tempfile::tempdir().unwrap();
        keeps_its_promises(&Folder::new(folder.path().join("not/yet/there")));
        keeps_its_promises(&Memory::default());
    }
}
