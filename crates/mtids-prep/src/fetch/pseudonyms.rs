//! Pseudonymisation on the way: the key, and the operator's map back.
//!
//! Invariants: the original of an object is only ever in memory; the map lies outside the folder, is readable by its owner alone, and is only appended
//! to; one process writes it at a time. A line that a kill has cut is dropped at the next start.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mtids_dicom::Limits;
use mtids_dicom::deidentify::{Deidentifier, DeidentifyError};
use mtids_dicomweb::{InstanceAddress, Uid};
use mtids_domain::pseudonym::PseudonymSecret;
use serde::{Deserialize, Serialize};

use super::reason::FetchReason;
use crate::error::PrepError;

/// A line of the map.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    pseudonym: String,
    original: String,
}

/// What a [`Line`] begins with.
const LINE: &[u8] = b"{\"pseudonym\":\"";

/// The map back, open for appending.
#[derive(Debug)]
struct UidMap {
    path: PathBuf,
    file: File,
    /// Originals by pseudonym.
    known: BTreeMap<String, String>,
}

/// Pseudonymises what a fetch receives.
#[derive(Debug)]
pub struct Pseudonyms {
    deidentifier: Deidentifier,
    map: Option<Mutex<UidMap>>,
}

impl Pseudonyms {
    /// With the project's key, and a file for the map back where one is wanted.
    ///
    /// # Errors
    /// [`PrepError::Config`] for a map that others can read, that another process writes, that is damaged, or of another key;
    /// [`PrepError::Write`] where it cannot be written.
    pub fn new(secret: PseudonymSecret, map: Option<&Path>) -> Result<Self, PrepError> {
        let deidentifier = Deidentifier::new(secret);
        let map = map.map(|path| UidMap::open(path, &deidentifier)).transpose()?.map(Mutex::new);
        Ok(Self { deidentifier, map })
    }

    /// Refuses a map inside `out`, and pruning without a map.
    pub(super) fn check(&self, out: &Path, prune: bool) -> Result<(), PrepError> {
        let Some(map) = &self.map else {
            let reason = "to remove an instance the server is asked for it by its own UID, which only the map knows; give --map FILE, the one of the \
                          first fetch into this folder, or fetch into a new folder";
            return if prune { Err(refused("--prune", reason.into())) } else { Ok(()) };
        };
        let path = map.lock().unwrap_or_else(PoisonError::into_inner).path.clone();
        let absolute = |path: &Path| fs::canonicalize(path).or_else(|_| std::path::absolute(path));
        let written = |source| PrepError::Write { path: path.clone(), source };
        if absolute(&path).map_err(written)?.starts_with(absolute(out).map_err(written)?) {
            return Err(refused("--map", "it leads back to the patients; put it outside of --out".into()));
        }
        Ok(())
    }

    pub(super) fn fingerprint(&self) -> String {
        self.deidentifier.fingerprint()
    }

    /// What a folder calls a server.
    pub(super) fn server(&self, address: &str) -> String {
        self.deidentifier.other("server", address)
    }

    /// The UID in place of one of the server.
    pub(super) fn stored(&self, uid: &Uid) -> Uid {
        // `2.25.` and a number of 128 bits is always a UID.
        Uid::parse(&self.deidentifier.uid(uid.as_str())).unwrap_or_else(|| uid.clone())
    }

    /// The server's UID for one of the folder, where the map knows it.
    pub(super) fn original(&self, uid: &Uid) -> Option<Uid> {
        let map = self.map.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Uid::parse(map.known.get(uid.as_str())?)
    }

    /// Writes UIDs down in the map, if there is one.
    pub(super) fn note<'a>(&self, originals: impl Iterator<Item = &'a str>) -> Result<(), PrepError> {
        let Some(map) = &self.map else { return Ok(()) };
        let pairs = originals.map(|uid| (self.deidentifier.uid(uid), uid.to_owned()));
        map.lock().unwrap_or_else(PoisonError::into_inner).add(pairs)
    }

    /// Writes an object that was received into memory into `file`, pseudonymised; or a code and a sentence for why not. `not_written` says where the
    /// file lies.
    pub(super) fn rewrite(
        &self,
        at: &InstanceAddress,
        bytes: &[u8],
        limits: &Limits,
        file: &mut File,
        not_written: impl FnOnce(std::io::Error) -> PrepError,
    ) -> Result<Option<(&'static str, String)>, PrepError> {
        let name = format!("instance {}", at.instance);
        let object = match self.deidentifier.rewrite(Path::new(&name), bytes, limits) {
            Ok(object) => object,
            Err(error) => {
                let code = match &error {
                    DeidentifyError::Unusable(error) => error.reason().as_str(),
                    DeidentifyError::BurnedIn(_) => FetchReason::BurnedInAnnotation.as_str(),
                    DeidentifyError::Screen(_) => FetchReason::ScreenImage.as_str(),
                    DeidentifyError::Class(_) => FetchReason::ClassNotPseudonymised.as_str(),
                };
                return Ok(Some((code, error.to_string())));
            }
        };
        self.note(object.uids.keys().map(String::as_str))?;
        object.write(file).map_err(not_written)?;
        Ok(None)
    }
}

impl UidMap {
    fn open(path: &Path, deidentifier: &Deidentifier) -> Result<Self, PrepError> {
        let written = |source| PrepError::Write { path: path.to_owned(), source };
        let refuse = |reason: String| refused("--map", reason);
        let options = File::options().read(true).append(true).create(true).mode(0o600).open(path);
        let mut file = options.map_err(written)?;
        if file.metadata().map_err(written)?.permissions().mode() & 0o077 != 0 {
            return Err(refuse(format!("others can read {}; chmod 600 it", path.display())));
        }
        if file.try_lock().is_err() {
            return Err(refuse(format!(
                "another process writes {}; wait for it, or name another file",
                path.display()
            )));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(written)?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let begun = &bytes[whole..];
        // A kill may have cut the last line. What does not begin like one is another file, which loses nothing.
        if !begun.starts_with(&LINE[..begun.len().min(LINE.len())]) {
            return Err(refuse(format!("{} is no map of an earlier fetch, or damaged", path.display())));
        }
        let mut known = BTreeMap::new();
        for line in bytes[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(line) = serde_json::from_slice::<Line>(line) else {
                return Err(refuse(format!("{} is no map of an earlier fetch, or damaged", path.display())));
            };
            if deidentifier.uid(&line.original) != line.pseudonym {
                return Err(refuse(format!("{} was written with another key; name another file", path.display())));
            }
            known.insert(line.pseudonym, line.original);
        }
        file.set_len(whole as u64).map_err(written)?;
        file.seek(SeekFrom::End(0)).map_err(written)?;
        Ok(Self { path: path.to_owned(), file, known })
    }

    fn add(&mut self, pairs: impl Iterator<Item = (String, String)>) -> Result<(), PrepError> {
        let mut lines = Vec::new();
        for (pseudonym, original) in pairs {
            if let Entry::Vacant(place) = self.known.entry(pseudonym) {
                let line = Line { pseudonym: place.key().clone(), original };
                serde_json::to_writer(&mut lines, &line)?;
                lines.push(b'\n');
                place.insert(line.original);
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&lines).and_then(|()| self.file.sync_data());
        written.map_err(|source| PrepError::Write { path: self.path.clone(), source })
    }
}

fn refused(key: &str, reason: String) -> PrepError {
    PrepError::Config { key: key.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::folder::FetchFolder;

    fn pseudonyms(map: Option<&Path>) -> Result<Pseudonyms, PrepError> {
        Pseudonyms::new(PseudonymSecret::from_bytes(b"a key of tests, sixteen bytes").unwrap(), map)
    }

    #[test]
    fn the_map_goes_on_is_private_and_lies_outside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.jsonl");
        let uid = Uid::parse("1.2.3").unwrap();
        let first = pseudonyms(Some(&path)).unwrap();
        first.note(["1.2.3", "1.2.4", "1.2.3"].into_iter()).unwrap();
        assert!(pseudonyms(Some(&path)).unwrap_err().to_string().contains("another process"));
        let stored = first.stored(&uid);
        drop(first);
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.iter().filter(|&&byte| byte == b'\n').count(), 2);
        fs::write(&path, [&whole[..], b"{\"pseud"].concat()).unwrap();
        let again = pseudonyms(Some(&path)).unwrap();
        assert_eq!(again.original(&stored), Some(uid));
        again.note(["1.2.5", "1.2.4"].into_iter()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(again.check(folder.path(), false).unwrap_err().to_string().contains("outside"));
        again.check(&folder.path().join("studies"), true).unwrap();
        drop(again);
        let other = PseudonymSecret::from_bytes(b"another key of tests").unwrap();
        assert!(Pseudonyms::new(other, Some(&path)).unwrap_err().to_string().contains("another key"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(pseudonyms(Some(&path)).unwrap_err().to_string().contains("chmod 600"));
        assert!(pseudonyms(None).unwrap().check(folder.path(), true).unwrap_err().to_string().contains("--map"));
    }

    #[test]
    fn a_file_that_is_no_map_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("project.key");
        for content in
            [&b"\x01\x02 a key without end of line"[..], b"first line\nsecond", b"{\"pseudonym\":\"1\"}\n{\"x"]
        {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(pseudonyms(Some(&path)).unwrap_err().to_string().contains("no map of an earlier fetch"));
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_folder_holds_one_kind_of_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let [plain, hidden] = ["plain", "hidden"].map(|name| folder.path().join(name));
        let ours = pseudonyms(None).unwrap();
        FetchFolder::open(&plain, "https://a", None).unwrap().begin().unwrap();
        FetchFolder::open(&hidden, "https://a", Some(&ours)).unwrap().begin().unwrap();
        FetchFolder::open(&hidden, "https://a", Some(&ours)).unwrap().begin().unwrap();
        assert!(!fs::read_to_string(hidden.join("fetch.json")).unwrap().contains("https://a"));
        let error = |root: &Path, server: &str, pseudonyms: Option<&Pseudonyms>| {
            FetchFolder::open(root, server, pseudonyms).unwrap_err().to_string()
        };
        assert!(error(&plain, "https://a", Some(&ours)).contains("with their identifiers"));
        assert!(error(&hidden, "https://a", None).contains("say --pseudonymise"));
        assert!(error(&hidden, "https://b", Some(&ours)).contains("another server"));
        let other = Pseudonyms::new(PseudonymSecret::from_bytes(b"another key of tests").unwrap(), None).unwrap();
        assert!(error(&hidden, "https://a", Some(&other)).contains("another key"));
    }
}
