//! Every entry below a folder, in path order: a file to read, or what became of an entry that is none.
//!
//! Invariants: links are not followed; nothing but a regular file is opened, because a pipe would wait for ever; an entry that cannot be
//! read never ends the walk. What our programs write is no input: the folder of the dataset and every other dataset below the folder are left
//! out, also where a link leads to them, and so are the lock and what a killed writer left, so that the same command gives the same bytes.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use mtids_dicom::{FileOutcome, ReasonCode, Refused, SkipReason};
use mtids_report::format::counted;
use mtids_runtime::atomic;
use mtids_runtime::lock::LOCK_FILE;
use mtids_runtime::storage::Folder;
use mtids_shards::is_published;
use walkdir::{DirEntry, WalkDir};

use crate::error::PrepError;
use crate::record::{PARTITIONS, WORK};

/// An entry that is no folder.
pub(crate) enum Entry {
    /// A regular file.
    File(PathBuf),
    /// Anything else, and a folder that cannot be read.
    Outcome(FileOutcome),
}

/// Lists the entries below `folder` without those of `out`, the dataset that is being built, and of other datasets.
///
/// # Errors
/// [`PrepError::Data`] when `folder` itself cannot be read.
pub(crate) fn walk(folder: &Path, out: Option<&Path>) -> Result<Vec<Entry>, PrepError> {
    let data_error = |source: std::io::Error| PrepError::Data { path: folder.to_owned(), source };
    std::fs::read_dir(folder).map_err(data_error)?;
    let root = folder.canonicalize().map_err(data_error)?;
    let out = out.and_then(|out| out.canonicalize().ok());
    // Below the folder no link is followed, so the place of the dataset in the walk is known without resolving every path.
    let out_here = out.as_ref().and_then(|out| out.strip_prefix(&root).ok()).map(|below| folder.join(below));
    let is_input = |entry: &DirEntry| {
        let is_output = entry.depth() > 0
            && entry.file_type().is_dir()
            && (out_here.as_deref() == Some(entry.path()) || is_dataset(entry.path()));
        if is_output {
            tell_of_dataset(entry.path());
        }
        !is_output
    };
    let mut entries = Vec::new();
    let mut notes = Notes::default();
    for entry in WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(is_input) {
        match entry {
            Err(error) if error.depth() == 0 => return Err(data_error(error.into())),
            Err(error) => entries.push(Entry::Outcome(unreadable(&error, folder))),
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) if entry.file_type().is_file() && is_trace(entry.file_name()) => {}
            Ok(entry) if entry.file_type().is_file() => entries.push(Entry::File(entry.into_path())),
            Ok(entry) if entry.file_type().is_symlink() => {
                let path = entry.into_path();
                match Link::of(&path, &root, out.as_deref()) {
                    Link::Dataset => tell_of_dataset(&path),
                    link => entries.push(Entry::Outcome(notes.link(path, &link))),
                }
            }
            Ok(entry) => entries.push(Entry::Outcome(notes.special(entry.into_path()))),
        }
    }
    notes.tell();
    Ok(entries)
}

fn tell_of_dataset(folder: &Path) {
    tracing::warn!(folder = %folder.display(), "a dataset inside the data folder is not input; skipped");
}

/// A folder, or rarely a file, that the operating system does not let us read.
fn unreadable(error: &walkdir::Error, folder: &Path) -> FileOutcome {
    let path = error.path().unwrap_or(folder).to_owned();
    let detail = match error.io_error() {
        Some(source) if source.kind() == ErrorKind::NotFound => "it vanished while the folder was read".to_owned(),
        source => format!(
            "cannot read this folder ({}); nothing in it was looked at. Give this user the right to read it, or move it out of the data folder",
            source.map_or_else(|| error.to_string(), ToString::to_string)
        ),
    };
    FileOutcome::Refused(Refused { path, series_uid: None, patient_id: None, reason: ReasonCode::Unreadable, detail })
}

/// Where a symbolic link leads.
enum Link {
    /// To the dataset that is being built, or to another one.
    Dataset,
    /// To what is found where it lies.
    Inside(PathBuf),
    /// To a folder that holds the link.
    Loop(PathBuf),
    /// Out of the folder that is scanned.
    Outside(PathBuf),
    /// To nothing that can be reached.
    Nowhere,
}

impl Link {
    fn of(path: &Path, root: &Path, out: Option<&Path>) -> Self {
        let Ok(target) = path.canonicalize() else { return Self::Nowhere };
        let holder = path.parent().and_then(|parent| parent.canonicalize().ok());
        if out == Some(&*target) || (target.is_dir() && is_dataset(&target)) {
            Self::Dataset
        } else if holder.is_some_and(|holder| holder.starts_with(&target)) {
            Self::Loop(target)
        } else if target.starts_with(root) {
            Self::Inside(target)
        } else {
            Self::Outside(target)
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Dataset => "leads to a dataset".to_owned(),
            Self::Inside(target) => format!("leads to {}, which is read where it lies", target.display()),
            Self::Loop(target) => format!("leads to {}, a folder that holds it: a loop", target.display()),
            Self::Outside(target) => format!("leads out of the data folder, to {}", target.display()),
            Self::Nowhere => "leads to nothing that can be reached".to_owned(),
        }
    }
}

/// Entries that an operator may miss, counted, each kind with its first.
#[derive(Default)]
struct Notes {
    outside: Note,
    nowhere: Note,
    special: Note,
}

#[derive(Default)]
struct Note {
    count: u64,
    first: Option<PathBuf>,
}

impl Note {
    fn add(&mut self, path: &Path) {
        self.count += 1;
        self.first.get_or_insert_with(|| path.to_owned());
    }

    fn tell(&self, one: &str, many: &str, meaning: &str) {
        if let Some(first) = &self.first {
            tracing::warn!("{}, for example {}: {meaning}", counted(self.count, one, many), first.display());
        }
    }
}

impl Notes {
    fn link(&mut self, path: PathBuf, link: &Link) -> FileOutcome {
        match link {
            Link::Outside(_) => self.outside.add(&path),
            Link::Nowhere => self.nowhere.add(&path),
            Link::Dataset | Link::Inside(_) | Link::Loop(_) => {}
        }
        FileOutcome::Skipped { path, reason: SkipReason::SymbolicLink, detail: link.words() }
    }

    fn special(&mut self, path: PathBuf) -> FileOutcome {
        self.special.add(&path);
        FileOutcome::skipped(path, SkipReason::SpecialFile)
    }

    fn tell(&self) {
        self.outside.tell(
            "symbolic link leads out of the data folder",
            "symbolic links lead out of the data folder",
            "links are not followed, so their files are no input. Put the files themselves below --data",
        );
        self.nowhere.tell(
            "symbolic link leads to nothing",
            "symbolic links lead to nothing",
            "what they stood for is no input. Mount or copy it, or delete them",
        );
        self.special.tell("socket, pipe or device", "sockets, pipes or devices", "not opened, and no input");
    }
}

/// Whether a file has a name that a program of ours gives beside its results: the lock, and what it had not finished.
fn is_trace(name: &OsStr) -> bool {
    name == LOCK_FILE || name.as_encoded_bytes().starts_with(atomic::PREFIX.as_bytes())
}

/// Whether a build has written here: a dataset that is published, or one that is not yet.
fn is_dataset(folder: &Path) -> bool {
    folder.join(WORK).join(PARTITIONS).is_dir() || is_published(&Folder::new(folder))
}

/// First bytes of AppleSingle and AppleDouble files (RFC 1740).
const APPLE: [[u8; 4]; 2] = [[0x00, 0x05, 0x16, 0x00], [0x00, 0x05, 0x16, 0x07]];

/// Whether a file without DICOM content is one that an operating system leaves beside others: by its name, or by the content of AppleDouble
/// files, which bear the name of another file in `.AppleDouble` folders.
pub(crate) fn is_system_file(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let is_known = ["Thumbs.db", "ehthumbs.db", "desktop.ini", ".DS_Store", ".directory"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known));
    let is_apple = || {
        let mut start = [0; 4];
        std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && APPLE.contains(&start)
    };
    name.starts_with("._") || is_known || is_apple()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn links_are_told_by_where_they_lead() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let (root, other) = (folder.path().join("root"), folder.path().join("other"));
        std::fs::create_dir_all(root.join("a")).unwrap();
        std::fs::create_dir_all(other.join(WORK).join(PARTITIONS)).unwrap();
        std::fs::write(root.join("a/file"), b"x").unwrap();
        std::fs::write(folder.path().join("far"), b"x").unwrap();
        let link = |name: &str, target: &Path| symlink(target, root.join("a").join(name)).unwrap();
        link("inside", &root.join("a/file"));
        link("loop", Path::new(".."));
        link("outside", &folder.path().join("far"));
        link("self", Path::new("self"));
        link("dataset", &other);
        let named: Vec<(String, String)> = walk(&root, None)
            .unwrap()
            .into_iter()
            .filter_map(|entry| match entry {
                Entry::Outcome(FileOutcome::Skipped { path, reason: SkipReason::SymbolicLink, detail }) => {
                    Some((path.file_name()?.to_str()?.to_owned(), detail))
                }
                _ => None,
            })
            .collect();
        for (name, words) in [
            ("inside", "which is read where it lies"),
            ("loop", "a loop"),
            ("outside", "leads out of the data folder"),
            ("self", "leads to nothing"),
        ] {
            assert!(named.iter().any(|(known, detail)| known == name && detail.contains(words)), "{name}: {named:?}");
        }
        assert_eq!(named.len(), 4, "the link to a dataset is no input: {named:?}");
    }

    #[test]
    fn the_lock_and_unfinished_files_of_ours_are_no_input() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        for name in [".lock", ".writing-x1", "a/.lock", "a/.writing-y", "a/1.dcm", "a/.locked", "a/x.writing-z"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let found = walk(folder.path(), None).unwrap().into_iter().map(|entry| match entry {
            Entry::File(path) => path.strip_prefix(folder.path()).unwrap().display().to_string(),
            Entry::Outcome(_) => "an outcome".to_owned(),
        });
        assert_eq!(found.collect::<Vec<_>>(), ["a/.locked", "a/1.dcm", "a/x.writing-z"]);
    }

    #[test]
    fn files_of_operating_systems_are_known_by_name_or_content() {
        let folder = tempfile::tempdir().unwrap();
        let is = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            is_system_file(&path)
        };
        assert!(is("._1.dcm", b"") && is("THUMBS.DB", b"x") && is(".DS_Store", b"x"));
        assert!(is("1.dcm", &[0, 5, 0x16, 7, 0, 2]) && !is("2.dcm", &[0, 5, 0x16]) && !is("3.dcm", b"text"));
    }
}
