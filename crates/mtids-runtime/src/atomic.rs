//! Files appear whole or not at all.
//!
//! Purpose: write to a temporary name in the same folder, sync, rename, sync the folder. Invariant: after a crash at any
//! point the target holds either its old or its new content, and a folder that was created for it is durable. Files get the mode that
//! the process's umask leaves of 0666, as any other program's files do.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::failpoint;

/// How the names of files begin that are being written.
pub const PREFIX: &str = ".writing-";

/// Writes `bytes` to `path`, replacing what was there; creates missing folders.
///
/// # Errors
/// Any error of the file system, with the path named in its message.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// As [`write()`], with the content produced by `fill`.
///
/// # Errors
/// Any error of `fill` or of the file system, with the path named in its message.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let name_path = |error: io::Error| io::Error::new(error.kind(), format!("writing {}: {error}", path.display()));
    let mut temporary = begin(path)?;
    fill(temporary.as_file_mut()).map_err(name_path)?;
    persist(temporary, path)
}

/// As [`write()`], but nothing is synced: no reader ever sees half of it, yet after a power cut the content may be missing or damaged. For
/// what can be checked and made again.
///
/// # Errors
/// Any error of the file system, with the path named in its message.
pub fn write_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name_path = |error: io::Error| io::Error::new(error.kind(), format!("writing {}: {error}", path.display()));
    let mut temporary = begin(path)?;
    temporary.write_all(bytes).map_err(name_path)?;
    failpoint::reach().map_err(name_path)?;
    // Nothing that could fail comes after this.
    temporary.persist(path).map_err(|error| name_path(error.error))?;
    Ok(())
}

/// An empty file beside `path`, with the mode that the umask allows.
fn begin(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let name_path = |error: io::Error| io::Error::new(error.kind(), format!("writing {}: {error}", path.display()));
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_folders(folder).map_err(name_path)?;
    failpoint::reach().map_err(name_path)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    // Temporary files are private by default; these are renamed to what other users of the machine may be meant to read.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(folder).map_err(name_path)?;
    failpoint::reach().map_err(name_path)?;
    Ok(temporary)
}

/// Creates missing folders and makes each of them durable in its parent.
pub fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_folders(parent)?;
    match fs::create_dir(folder) {
        // Another worker of this program may have been quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        created => created.and_then(|()| sync_folder(parent)),
    }
}

/// Syncs a finished temporary file, renames it to `path` and syncs the folder.
///
/// # Errors
/// Any error of the file system, with the path named in its message.
fn persist(temporary: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
    let name_path = |error: io::Error| io::Error::new(error.kind(), format!("writing {}: {error}", path.display()));
    failpoint::reach().map_err(name_path)?;
    temporary.as_file().sync_all().map_err(name_path)?;
    failpoint::reach().map_err(name_path)?;
    temporary.persist(path).map_err(|error| name_path(error.error))?;
    failpoint::reach().map_err(name_path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

/// Moves the finished file `from` to `path` on the same file system, replacing what was there; creates missing folders. Before the move it is
/// synced, so that who reads and judges a file first may give it its name afterwards.
///
/// # Errors
/// Any error of the file system, with the path named in its message.
pub fn adopt(from: &Path, path: &Path) -> io::Result<()> {
    let name_path = |error: io::Error| io::Error::new(error.kind(), format!("writing {}: {error}", path.display()));
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let move_it = || {
        create_folders(folder)?;
        failpoint::reach()?;
        File::open(from)?.sync_all()?;
        failpoint::reach()?;
        fs::rename(from, path)?;
        failpoint::reach()?;
        sync_folder(folder)
    };
    move_it().map_err(name_path)
}

/// Removes the temporary files that a killed program left in `folder` itself; a folder that does not exist has none.
///
/// # Errors
/// Any error of listing the folder or removing a file.
pub fn remove_leftovers(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name().to_string_lossy().starts_with(PREFIX) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes renames inside `folder` durable.
///
/// # Errors
/// Any error of opening or syncing the folder.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fill_leaves_the_old_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        write(&path, b"old").unwrap();
        let failed = write_with(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("disk on fire"))
        });
        assert!(failed.unwrap_err().to_string().contains("disk on fire"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left behind");
    }

    #[test]
    fn a_finished_file_gets_its_name_and_replaces_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("part"), folder.path().join("a/b/file"));
        for content in [b"first".as_slice(), b"second"] {
            fs::write(&from, content).unwrap();
            adopt(&from, &to).unwrap();
            assert!(!from.exists());
            assert_eq!(fs::read(&to).unwrap(), content);
        }
        assert!(adopt(&from, &to).unwrap_err().to_string().contains("file"));
        assert_eq!(fs::read(&to).unwrap(), b"second");
    }
}
