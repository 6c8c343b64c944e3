//! The folder of a fetch: instances, and what the server had listed.
//!
//! Layout: `dicom/<study>/<series>/<instance>.dcm`, what `build` reads; `listed/<study>.json`, the UIDs that these names stand for; `fetch.json`, the
//! server; `incoming/`, files that are being received. Invariants: names are digests of UIDs; a file under `dicom/` is whole and was judged; every
//! instance under `dicom/` stands in `listed/`; one process works here at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use mtids_dicomweb::{InstanceAddress, Uid};
use mtids_runtime::atomic;
use mtids_runtime::digest::Digest;
use mtids_runtime::lock::{FolderLock, LOCK_FILE};
use serde::{Deserialize, Serialize};

use super::pseudonyms::Pseudonyms;
use crate::error::PrepError;
use crate::lock::{lock_alone, refuse_product};

/// Form of the files beside the instances.
const FORMAT: u32 = 1;

/// `fetch.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    format: u32,
    /// Its address; a keyed pseudonym of it where the content is pseudonymised.
    server: String,
    /// Fingerprint of the key, where the content is pseudonymised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pseudonymised: Option<String>,
}

/// `listed/<study>.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredStudy {
    study: String,
    series: BTreeMap<String, Vec<String>>,
}

/// Instances of a study that the server had listed and that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListedStudy(BTreeMap<Uid, BTreeSet<Uid>>);

impl ListedStudy {
    pub(super) fn has_series(&self, series: &Uid) -> bool {
        self.0.contains_key(series)
    }

    pub(super) fn add(&mut self, series: &Uid, instance: &Uid) {
        self.0.entry(series.clone()).or_default().insert(instance.clone());
    }

    /// Series and UID of each instance.
    pub(super) fn instances(&self) -> impl Iterator<Item = (&Uid, &Uid)> {
        self.0.iter().flat_map(|(series, instances)| instances.iter().map(move |instance| (series, instance)))
    }
}

/// A folder of fetched studies, locked.
#[derive(Debug)]
pub(super) struct FetchFolder {
    root: PathBuf,
    /// What `fetch.json` is to say, where it is not there yet.
    new: Option<Origin>,
    _lock: FolderLock,
}

impl FetchFolder {
    /// Opens a folder for what `server` has. Nothing is written before [`FetchFolder::begin`].
    ///
    /// # Errors
    /// [`PrepError::Lock`] while another process works there, [`PrepError::Config`] for a folder of another server or one with other things in it.
    pub(super) fn open(root: &Path, server: &str, pseudonyms: Option<&Pseudonyms>) -> Result<Self, PrepError> {
        let refuse = |reason: String| Err(PrepError::Config { key: "--out".into(), reason });
        refuse_product(root)?;
        let has_origin = root.join("fetch.json").exists();
        let is_empty = fs::read_dir(root).map_or(true, |entries| {
            let ours = |name: &str| name == LOCK_FILE || name.starts_with(atomic::PREFIX);
            entries.filter_map(Result::ok).all(|entry| entry.file_name().to_str().is_some_and(ours))
        });
        if !has_origin && !is_empty {
            return refuse(format!(
                "{} holds other files; name an empty folder, or one of an earlier fetch",
                root.display()
            ));
        }
        let lock = lock_alone(root, "mtids-prep fetch")?;
        let mut folder = Self { root: root.to_owned(), new: None, _lock: lock };
        for place in [root.to_owned(), folder.root.join("listed")] {
            atomic::remove_leftovers(&place).map_err(|error| folder.not_written(error))?;
        }
        let path = folder.root.join("fetch.json");
        let wanted = Origin {
            format: FORMAT,
            server: pseudonyms.map_or_else(|| server.to_owned(), |pseudonyms| pseudonyms.server(server)),
            pseudonymised: pseudonyms.map(Pseudonyms::fingerprint),
        };
        if has_origin {
            let origin: Origin = folder.read_json(&path)?;
            if origin.format != FORMAT {
                return refuse(format!("{} was written by another version; name another folder", path.display()));
            }
            let place = folder.root.display();
            match (&origin.pseudonymised, &wanted.pseudonymised) {
                (None, Some(_)) => {
                    return refuse(format!(
                        "{place} holds objects with their identifiers; name another folder for pseudonymised ones"
                    ));
                }
                (Some(_), None) => {
                    return refuse(format!(
                        "{place} holds pseudonymised objects; say --pseudonymise, or name another folder"
                    ));
                }
                (Some(before), Some(now)) if before != now => {
                    return refuse(format!(
                        "{place} was pseudonymised with another key; give that key, or name another folder"
                    ));
                }
                _ => {}
            }
            if origin.server != wanted.server {
                // A pseudonym tells people nothing.
                let from = if pseudonyms.is_some() { "another server" } else { origin.server.as_str() };
                return refuse(format!("{place} holds what was fetched from {from}; name another folder for {server}"));
            }
        } else {
            folder.new = Some(wanted);
        }
        Ok(folder)
    }

    /// Makes the folder ready to receive, and writes down whose it is: called once the server has answered, so that an address with a mistake
    /// in it is no obstacle for the right one.
    pub(super) fn begin(&mut self) -> Result<(), PrepError> {
        if let Some(origin) = self.new.take() {
            self.write_json(&self.root.join("fetch.json"), &origin)?;
        }
        // What a killed process was receiving.
        match fs::remove_dir_all(self.root.join("incoming")) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(self.not_written(error)),
            _ => {}
        }
        fs::create_dir_all(self.root.join("incoming")).map_err(|error| self.not_written(error))?;
        fs::create_dir_all(self.dicom()).map_err(|error| self.not_written(error))
    }

    /// Where the instances lie.
    pub(super) fn dicom(&self) -> PathBuf {
        self.root.join("dicom")
    }

    /// Where an instance lies, or will.
    pub(super) fn place(&self, at: &InstanceAddress) -> PathBuf {
        let [study, series, instance] = [("study", &at.study), ("series", &at.series), ("instance", &at.instance)]
            .map(|(kind, uid)| name(kind, uid));
        self.dicom().join(study).join(series).join(format!("{instance}.dcm"))
    }

    pub(super) fn has(&self, at: &InstanceAddress) -> bool {
        self.place(at).is_file()
    }

    /// An empty file to receive an instance in, and its path.
    pub(super) fn receive(&self, at: &InstanceAddress) -> Result<(File, PathBuf), PrepError> {
        // A series may hold an instance that another one holds as well.
        let parts = [at.study.as_str(), at.series.as_str(), at.instance.as_str()];
        let path = self.root.join("incoming").join(format!("{}.dcm", shortened(Digest::of_parts(parts))));
        let options = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        Ok((options.map_err(|error| self.not_written(error))?, path))
    }

    /// Gives a received file its name.
    pub(super) fn keep(&self, received: &Path, at: &InstanceAddress) -> Result<(), PrepError> {
        atomic::adopt(received, &self.place(at)).map_err(|error| self.not_written(error))
    }

    /// Removes an instance, and the folders that are empty then.
    pub(super) fn remove(&self, at: &InstanceAddress) -> Result<(), PrepError> {
        let path = self.place(at);
        fs::remove_file(&path).map_err(|error| self.not_written(error))?;
        // Folders that still hold something stay.
        path.ancestors().skip(1).take(2).for_each(|folder| drop(fs::remove_dir(folder)));
        Ok(())
    }

    /// What the server had listed, by study.
    pub(super) fn listed(&self) -> Result<BTreeMap<Uid, ListedStudy>, PrepError> {
        let mut found = BTreeMap::new();
        let entries = match fs::read_dir(self.root.join("listed")) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
            entries => entries.map_err(|error| self.not_written(error))?,
        };
        for entry in entries {
            let path = entry.map_err(|error| self.not_written(error))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let stored: StoredStudy = self.read_json(&path)?;
                let uid = |text: &str| Uid::parse(text).ok_or_else(|| damaged(&path));
                let mut listed = ListedStudy::default();
                for (series, instances) in &stored.series {
                    let series = uid(series)?;
                    for instance in instances {
                        listed.add(&series, &uid(instance)?);
                    }
                }
                found.insert(uid(&stored.study)?, listed);
            }
        }
        Ok(found)
    }

    /// Writes down what a study should have; a study without anything is forgotten.
    pub(super) fn write_listed(&self, study: &Uid, listed: &ListedStudy) -> Result<(), PrepError> {
        let path = self.root.join("listed").join(format!("{}.json", name("study", study)));
        if listed.0.is_empty() {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(self.not_written(error)),
                _ => Ok(()),
            };
        }
        let series = listed
            .0
            .iter()
            .map(|(series, instances)| (series.to_string(), instances.iter().map(Uid::to_string).collect()));
        self.write_json(&path, &StoredStudy { study: study.to_string(), series: series.collect() })
    }

    fn read_json<T: for<'de> Deserialize<'de>>(&self, path: &Path) -> Result<T, PrepError> {
        let bytes = fs::read(path).map_err(|error| self.not_written(error))?;
        serde_json::from_slice(&bytes).map_err(|_| damaged(path))
    }

    fn write_json<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), PrepError> {
        let bytes = serde_json::to_vec(value)?;
        atomic::write(path, &bytes).map_err(|error| self.not_written(error))
    }

    pub(super) fn not_written(&self, source: io::Error) -> PrepError {
        PrepError::Write { path: self.root.clone(), source }
    }
}

fn damaged(path: &Path) -> PrepError {
    let reason = format!(
        "{} is damaged or of another version; fetch into a new folder, because without it removed instances would not be noticed here",
        path.display()
    );
    PrepError::Config { key: "--out".into(), reason }
}

/// The name of what a UID stands for.
fn name(kind: &str, uid: &Uid) -> String {
    shortened(Digest::of_parts([kind, uid.as_str()]))
}

/// 128 bits of a digest.
fn shortened(digest: Digest) -> String {
    digest.to_string()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> Uid {
        Uid::parse(text).unwrap()
    }

    #[test]
    fn a_folder_belongs_to_one_server_and_holds_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("studies");
        // A server that never answered leaves nothing behind.
        drop(FetchFolder::open(&root, "https://mistyped", None).unwrap());
        assert!(!root.exists());
        FetchFolder::open(&root, "https://a", None).unwrap().begin().unwrap();
        fs::write(root.join("incoming/half.dcm"), "half").unwrap();
        let mut again = FetchFolder::open(&root, "https://a", None).unwrap();
        again.begin().unwrap();
        assert_eq!(fs::read_dir(root.join("incoming")).unwrap().count(), 0);
        assert!(FetchFolder::open(&root, "https://a", None).unwrap_err().to_string().contains("in use"));
        drop(again);
        assert!(
            FetchFolder::open(&root, "https://b", None).unwrap_err().to_string().contains("fetched from https://a")
        );
        // A process that was killed before it had written the origin leaves no obstacle.
        let begun = folder.path().join("begun");
        fs::create_dir(&begun).unwrap();
        fs::write(begun.join(".writing-x"), "half").unwrap();
        drop(FetchFolder::open(&begun, "https://a", None).unwrap());
        assert!(!begun.join(".writing-x").exists());
        let other = folder.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("thesis.txt"), "x").unwrap();
        assert!(FetchFolder::open(&other, "https://a", None).unwrap_err().to_string().contains("holds other files"));
        assert_eq!(fs::read_dir(&other).unwrap().count(), 1, "nothing was written there");
        let run = folder.path().join("run");
        fs::create_dir(&run).unwrap();
        for name in ["run.json", "config.resolved.toml"] {
            fs::write(run.join(name), "").unwrap();
        }
        let inside = FetchFolder::open(&run.join("studies"), "https://a", None).unwrap_err().to_string();
        assert!(inside.contains("lies inside a run"), "{inside}");
    }

    #[test]
    fn lists_come_back_and_an_empty_one_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let place = FetchFolder::open(folder.path(), "https://a", None).unwrap();
        let mut listed = ListedStudy::default();
        listed.add(&uid("1.2.3"), &uid("1.2.3.4"));
        listed.add(&uid("1.2.3"), &uid("1.2.3.5"));
        place.write_listed(&uid("1.2"), &listed).unwrap();
        assert_eq!(place.listed().unwrap(), BTreeMap::from([(uid("1.2"), listed)]));
        place.write_listed(&uid("1.2"), &ListedStudy::default()).unwrap();
        assert!(place.listed().unwrap().is_empty());
        fs::write(folder.path().join("listed/x.json"), r#"{"study":"../..","series":{}}"#).unwrap();
        assert!(place.listed().unwrap_err().to_string().contains("x.json is damaged"));
    }

    #[test]
    fn names_are_digests_and_empty_folders_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut place = FetchFolder::open(folder.path(), "https://a", None).unwrap();
        place.begin().unwrap();
        let at = InstanceAddress { study: uid("1.2"), series: uid("1.3"), instance: uid("1.4") };
        let (_, received) = place.receive(&at).unwrap();
        place.keep(&received, &at).unwrap();
        let relative = place.place(&at).strip_prefix(place.dicom()).unwrap().to_str().unwrap().to_owned();
        let parts: Vec<&str> = relative.trim_end_matches(".dcm").split('/').collect();
        assert!(parts.len() == 3 && parts.iter().all(|part| part.len() == 32), "{relative}");
        assert!(place.has(&at));
        place.remove(&at).unwrap();
        assert_eq!(fs::read_dir(place.dicom()).unwrap().count(), 0);
    }
}
