//! SEG and SR of an answer, sent to the DICOMweb server that has the images.
//!
//! Invariants: nothing is sent unless the server has every study that the objects belong to, since objects of pseudonymised studies would join no images
//! there; to send twice does no harm.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mtids_dicom::{Limits, read_identity};
use mtids_dicomweb::{Client, Stored, Uid};
use mtids_prep::error::PrepError;

use super::answer::StudyAnswer;
use crate::error::TrainError;

/// What the server did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Objects that it keeps from now on.
    pub stored: u64,
    /// Objects that it had before.
    pub before: u64,
}

/// Sends the objects of `answer`, which lie in `folder`, to the studies that they belong to.
///
/// # Errors
/// [`TrainError::Server`] for a server that does not have a study, [`TrainError::DicomWeb`] for one that does not answer, [`TrainError::NotSent`] for
/// one that does not take an object, [`TrainError::Studies`] for an object that cannot be read.
pub fn send(answer: &StudyAnswer, folder: &Path, client: &Client) -> Result<Sent, TrainError> {
    let names = answer.patients.iter().flat_map(|patient| &patient.objects);
    send_files(names.map(|name| folder.join(name)), client)
}

fn send_files(files: impl Iterator<Item = PathBuf>, client: &Client) -> Result<Sent, TrainError> {
    let refuse = |reason: String| TrainError::Server { server: client.server().to_owned(), reason };
    let mut studies: BTreeMap<Uid, Vec<(Uid, PathBuf)>> = BTreeMap::new();
    for path in files {
        let identity = read_identity(&path, &Limits::default());
        let identity = identity.map_err(|error| TrainError::Studies(PrepError::from(error)))?;
        let uid = |text: Option<String>, name: &str| {
            text.as_deref().and_then(Uid::parse).ok_or_else(|| {
                refuse(format!("{} has no {name} that a server could use; nothing was sent", path.display()))
            })
        };
        let study = uid(identity.study_uid, "StudyInstanceUID")?;
        let instance = uid(identity.sop_instance_uid, "SOPInstanceUID")?;
        studies.entry(study).or_default().push((instance, path));
    }
    for study in studies.keys() {
        if !client.has_study(study)? {
            return Err(refuse(format!(
                "it does not have study {study}, so nothing was sent. Pseudonymised studies have other UIDs than those of the server: predict on the \
                 studies as the server has them (`mtids-prep fetch`)"
            )));
        }
    }
    let mut sent = Sent::default();
    let of = studies.values().map(Vec::len).sum::<usize>() as u64;
    for (study, files) in &studies {
        for (instance, file) in files {
            let stored = client.store(study, instance, file);
            let stored =
                stored.map_err(|source| TrainError::NotSent { source, sent: sent.stored + sent.before, of })?;
            match stored {
                Stored::Now => sent.stored += 1,
                Stored::Before => sent.before += 1,
            }
        }
    }
    Ok(sent)
}
