//! Replacing an object on the condition that it is the one that was read.
//!
//! Purpose: two writers that publish into one bucket have no lock between them; the server's conditions (`If-None-Match`, `If-Match`) decide.
//! Invariants: an answer that was lost is not taken for a refusal: the object is read again, and if it is ours, we have won; a server that
//! ignores conditions is refused before anything is replaced.

use std::io;

use mtids_runtime::storage::{Storage, replaced_meanwhile};
use object_store::path::Path as Key;
use object_store::{PutMode, PutOptions, PutPayload, UpdateVersion};

use crate::fault::Fault;
use crate::remote::{Remote, Tagged};

/// Tag that no object has: S3 makes tags of MD5.
const NOBODY: &str = "\"00000000000000000000000000000000\"";

impl Remote {
    /// Puts `bytes` if `name` holds `was`.
    pub(crate) fn replace(&self, name: &str, was: Option<&[u8]>, bytes: &[u8]) -> io::Result<()> {
        let key = self.named(name, self.key(name))?;
        let present = self.named(name, self.tagged(&key))?;
        let content = present.as_ref().map(|(content, _)| content.as_slice());
        if content == Some(bytes) {
            return Ok(());
        }
        if content != was {
            return Err(replaced_meanwhile(&self.place(name)));
        }
        let tag = present.map(|(_, tag)| tag);
        match self.put_if(&key, tag, bytes) {
            // What was read may also have been removed since.
            Err(fault) if matches!(fault.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
                match self.named(name, self.tagged(&key))? {
                    Some((content, _)) if content == bytes => Ok(()),
                    _ => Err(replaced_meanwhile(&self.place(name))),
                }
            }
            put => self.named(name, put),
        }
    }

    /// Shows with a small object of its own that the server honours both conditions.
    pub(crate) fn probe(&self) -> Result<(), Fault> {
        self.writable()?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let name = format!(".probe-{}-{}", std::process::id(), now.as_nanos());
        let key = self.key(&name)?;
        let verdict = self.judge(&key);
        // Best effort: an object that stays behind has no meaning, and an error here would hide the verdict.
        let _ = self.remove(&name);
        verdict
    }

    fn judge(&self, key: &Key) -> Result<(), Fault> {
        let ignores = |condition: &str| {
            let reason = format!(
                "the server does not honour {condition}: of two who publish at once both would win; publish on a server with conditional puts, \
                 or into a folder"
            );
            Err(Fault::last(io::ErrorKind::Unsupported, reason))
        };
        match self.put_if(key, None, b"first") {
            Ok(()) => {}
            // Ours, whose answer was lost.
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {}
            Err(fault) => return Err(fault),
        }
        let is_refused = |put: Result<(), Fault>| match put {
            Ok(()) => Ok(false),
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => Ok(true),
            Err(fault) => Err(fault),
        };
        if !is_refused(self.put_if(key, None, b"second"))? {
            return ignores("If-None-Match");
        }
        if !is_refused(self.put_if(key, Some(Some(NOBODY.into())), b"third"))? {
            return ignores("If-Match");
        }
        match self.tagged(key)? {
            Some((content, tag)) if content == b"first" => match self.put_if(key, Some(tag), b"fourth") {
                Ok(()) => Ok(()),
                // Ours, whose answer was lost.
                Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => match self.tagged(key)? {
                    Some((content, _)) if content == b"fourth" => Ok(()),
                    _ => ignores("If-Match"),
                },
                Err(fault) => Err(fault),
            },
            _ => ignores("If-None-Match"),
        }
    }

    /// The object with its tag, if there is one.
    fn tagged(&self, key: &Key) -> Result<Option<Tagged>, Fault> {
        match self.whole(key) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// Puts if there is nothing (`None`), or if the object has this tag.
    fn put_if(&self, key: &Key, tag: Option<Option<String>>, bytes: &[u8]) -> Result<(), Fault> {
        self.writable()?;
        let mode = match tag {
            None => PutMode::Create,
            Some(None) => {
                let reason = "the server gives objects no ETag, so a condition cannot be stated";
                return Err(Fault::last(io::ErrorKind::Unsupported, reason));
            }
            Some(e_tag) => PutMode::Update(UpdateVersion { e_tag, version: None }),
        };
        let payload = PutPayload::from(bytes.to_vec());
        self.ask(bytes.len() as u64, || async {
            let options = PutOptions { mode: mode.clone(), ..PutOptions::default() };
            self.store.put_opts(key, payload.clone(), options).await.map(|_| ())
        })
    }
}
