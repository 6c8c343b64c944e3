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
/// [`TrainError::Server`] for a server that does not have a study, [`TrainError::DicomWeb`] for one that does not answer or refuses,
/// [`TrainError::Studies`] for an object that cannot be read.
pub fn send(answer: &StudyAnswer, folder: &Path, client: &Client) -> Result<Sent, TrainError> {
    let names = answer.patients.iter().flat_map(|patient| &patient.objects);
    send_files(names.map(|name| folder.join(name)), client)
}

fn send_files(files: impl Iterator<Item = PathBuf>, client: &Client) -> Result<Sent, TrainError> {
    let refuse = |reason: String| TrainError::Server { server: client.server().to_owned(), reason };
    let mut studies: BTreeMap<Uid, Vec<PathBuf>> = BTreeMap::new();
    for path in files {
        let identity = read_identity(&path, &Limits::default());
        let identity = identity.map_err(|error| TrainError::Studies(PrepError::from(error)))?;
        let study = identity.study_uid.as_deref().and_then(Uid::parse).ok_or_else(|| {
            refuse(format!("{} has no StudyInstanceUID that a server could use; nothing was sent", path.display()))
        })?;
        studies.entry(study).or_default().push(path);
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
    for (study, files) in &studies {
        for file in files {
            match client.store(study, file)? {
                Stored::Now => sent.stored += 1,
                Stored::Before => sent.before += 1,
            }
        }
    }
    Ok(sent)
}
