//! A folder is written by one process at a time.
//!
//! Purpose: [`FolderLock`] guards a dataset or a run folder through an advisory lock of the operating system on the file
//! `.lock` in it. A second writer is refused at once and told who holds the folder. Invariants: the lock ends with its
//! process, however that ends, so a dead process leaves none; the file itself is no lock and may stay. A file system without
//! locks is reported by [`FolderLock::unsupported`], and the work goes on unguarded.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Name of the file that carries the lock.
pub const LOCK_FILE: &str = ".lock";

/// Why a folder could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process works in the folder.
    #[error("{folder} is in use by {holder}; wait until it ends, or use another folder")]
    Held {
        /// The folder.
        folder: PathBuf,
        /// What its holder says of itself.
        holder: String,
    },
    /// The lock file cannot be made or read.
    #[error("cannot lock {folder}: {source}; choose a folder that can be written")]
    Io {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Who shares a folder with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Exclusive,
    Shared,
}

/// A lock on a folder, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
    folder: PathBuf,
    mode: Mode,
    created_folder: bool,
    unsupported: Option<String>,
}

impl FolderLock {
    /// Locks `folder` for this process alone, creating the folder if it is missing. `purpose` names the work for the
    /// message that others get, such as `mtids-prep build`.
    ///
    /// # Errors
    /// [`LockError::Held`] at once where another process holds it in either mode.
    pub fn exclusive(folder: &Path, purpose: &str) -> Result<Self, LockError> {
        Self::acquire(folder, purpose, Mode::Exclusive)
    }

    /// Locks `folder` together with other processes that also ask for a shared lock: the tasks of a job array.
    ///
    /// # Errors
    /// [`LockError::Held`] at once where another process holds it exclusively.
    pub fn shared(folder: &Path, purpose: &str) -> Result<Self, LockError> {
        Self::acquire(folder, purpose, Mode::Shared)
    }

    /// Why the file system gave no lock, for the log; `None` where the folder is guarded.
    pub fn unsupported(&self) -> Option<&str> {
        self.unsupported.as_deref()
    }

    fn acquire(folder: &Path, purpose: &str, mode: Mode) -> Result<Self, LockError> {
        let io_error = |source| LockError::Io { folder: folder.to_owned(), source };
        let path = folder.join(LOCK_FILE);
        let mut created_folder = false;
        loop {
            created_folder |= !folder.exists();
            fs::create_dir_all(folder).map_err(io_error)?;
            let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let file = match opened {
                // The holder before us has removed the folder it had made.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(io_error)?,
            };
            let asked = match mode {
                Mode::Exclusive => file.try_lock(),
                Mode::Shared => file.try_lock_shared(),
            };
            let unsupported = match asked {
                Ok(()) => None,
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::Held { folder: folder.to_owned(), holder: holder(&path) });
                }
                Err(TryLockError::Error(error)) if is_unsupported(&error) => Some(error.to_string()),
                Err(TryLockError::Error(error)) => return Err(io_error(error)),
            };
            // Between opening and locking, the holder before us may have removed the file: then ours has no name.
            if !is_still_named(&file, &path) {
                continue;
            }
            let mut lock = Self { file, folder: folder.to_owned(), mode, created_folder, unsupported };
            lock.sign(purpose).map_err(io_error)?;
            return Ok(lock);
        }
    }

    /// Writes who holds the folder. Holders of a shared lock add a line each; an exclusive one writes the first.
    fn sign(&mut self, purpose: &str) -> io::Result<()> {
        match self.mode {
            Mode::Exclusive => self.file.set_len(0)?,
            Mode::Shared => _ = self.file.seek(io::SeekFrom::End(0))?,
        }
        self.file.write_all(format!("{purpose} (process {} on {})\n", std::process::id(), host()).as_bytes())
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        if self.mode == Mode::Shared || self.unsupported.is_some() {
            return;
        }
        // What the last holder says of itself is of no use once it has ended, and would differ from run to run.
        // Best effort: the lock ends with the file handle in any case.
        let _ = self.file.set_len(0);
        if self.created_folder {
            let only_lock = fs::read_dir(&self.folder)
                .is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == LOCK_FILE)));
            if only_lock {
                let _ = fs::remove_file(self.folder.join(LOCK_FILE));
                let _ = fs::remove_dir(&self.folder);
            }
        }
    }
}

/// What the last holder to sign says of itself.
fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    match (read, text.lines().last()) {
        (Ok(_), Some(line)) => line.to_owned(),
        _ => "another process".to_owned(),
    }
}

fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "this host".to_owned(),
        name => name.to_owned(),
    }
}

/// Errors by which file systems say that they have no locks: `ENOSYS`, `ENOLCK`, `EOPNOTSUPP`.
fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || matches!(error.raw_os_error(), Some(37 | 38 | 95))
}

#[cfg(unix)]
fn is_still_named(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Elsewhere an open file cannot be removed.
#[cfg(not(unix))]
fn is_still_named(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_is_refused_and_told_who_holds_the_folder() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("dataset");
        fs::create_dir(&folder).unwrap();
        let first = FolderLock::exclusive(&folder, "mtids-prep build").unwrap();
        for second in [FolderLock::exclusive(&folder, "other"), FolderLock::shared(&folder, "other")] {
            let message = second.unwrap_err().to_string();
            assert!(message.contains(&format!("mtids-prep build (process {}", std::process::id())), "{message}");
        }
        drop(first);
        assert_eq!(fs::read(folder.join(LOCK_FILE)).unwrap(), b"", "nothing of the holder stays");
        FolderLock::exclusive(&folder, "mtids-prep build").unwrap();
    }

    #[test]
    fn shared_holders_keep_a_whole_writer_out() {
        let folder = tempfile::tempdir().unwrap();
        let shares = [1, 2].map(|task| FolderLock::shared(folder.path(), &format!("task {task}")).unwrap());
        let message = FolderLock::exclusive(folder.path(), "commit").unwrap_err().to_string();
        assert!(message.contains("task 2"), "{message}");
        drop(shares);
        FolderLock::exclusive(folder.path(), "commit").unwrap();
    }

    #[test]
    fn a_folder_that_stayed_empty_goes_with_its_lock() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        drop(FolderLock::exclusive(&folder, "build").unwrap());
        assert!(!folder.exists());
        let lock = FolderLock::exclusive(&folder, "build").unwrap();
        fs::write(folder.join("shard"), b"x").unwrap();
        drop(lock);
        assert!(folder.join("shard").exists());
    }
}
