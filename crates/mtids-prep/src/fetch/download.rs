//! One instance: received beside, judged, and only then named.
//!
//! Invariant: what is refused leaves no file, and nothing that was there before is replaced by it.

use std::fs;
use std::path::Path;

use mtids_dicom::{DicomError, Limits, ReasonCode, read_header, read_identity};
use mtids_dicomweb::{Client, DicomWebError, Failure, InstanceAddress, Uid};
use mtids_runtime::digest::Digest;

use super::folder::FetchFolder;
use super::reason::{FetchReason, is_no_object};
use super::request::FetchOptions;
use crate::error::PrepError;

/// Largest object that is received into memory: 1 GiB.
const MOST_IN_MEMORY: u64 = 1 << 30;

/// What became of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Downloaded {
    /// It came; bytes.
    New(u64),
    /// The folder has it, and it was not asked for.
    Kept,
    /// It came again, with the same bytes.
    Same,
    /// It came again with other bytes, which took its place.
    Replaced,
    /// It was not kept: code and a sentence for the operator.
    Refused(&'static str, String),
}

/// Downloads an instance, unless the folder has it.
pub(super) fn download(
    client: &Client,
    folder: &FetchFolder,
    at: &InstanceAddress,
    options: &FetchOptions<'_>,
) -> Result<Downloaded, PrepError> {
    let stored = &options.stored(at);
    let here = folder.has(stored);
    if here && !options.reverify {
        return Ok(Downloaded::Kept);
    }
    let (mut file, received) = folder.receive(stored)?;
    let came = match options.pseudonyms {
        None => client.retrieve(at, &mut file, options.limits.max_file_bytes).map(|_| None),
        Some(pseudonyms) => {
            // Not a byte of the original reaches a disk: it is received into memory.
            let mut bytes = Vec::new();
            let most = options.limits.max_file_bytes.min(MOST_IN_MEMORY);
            match client.retrieve(at, &mut bytes, most) {
                Ok(_) => {
                    Ok(pseudonyms.rewrite(at, &bytes, options.limits, &mut file, |error| folder.not_written(error))?)
                }
                Err(error) => Err(error),
            }
        }
    };
    let refusal = match came {
        Ok(None) => fault(&received, stored, options.limits),
        Ok(refused) => refused,
        Err(error) => Some(refusal_of(error)?),
    };
    if let Some((code, detail)) = refusal {
        fs::remove_file(&received).map_err(|error| folder.not_written(error))?;
        tracing::warn!("instance {}: not kept, {code}: {detail}", at.instance);
        return Ok(Downloaded::Refused(code, detail));
    }
    if here {
        let digest = |path: &Path| Digest::of_file(path).map_err(|error| folder.not_written(error));
        if digest(&received)? == digest(&folder.place(stored))? {
            fs::remove_file(&received).map_err(|error| folder.not_written(error))?;
            return Ok(Downloaded::Same);
        }
        folder.keep(&received, stored)?;
        return Ok(Downloaded::Replaced);
    }
    let bytes = file.metadata().map_err(|error| folder.not_written(error))?.len();
    folder.keep(&received, stored)?;
    Ok(Downloaded::New(bytes))
}

/// A code and a sentence, where an error is one of this instance alone.
///
/// # Errors
/// The error, where the next instance would meet it too.
fn refusal_of(error: DicomWebError) -> Result<(&'static str, String), PrepError> {
    let code = match &error {
        DicomWebError::NotFound { .. } => FetchReason::NotOnServer.as_str(),
        // It may be this instance alone: a file that the server cannot read, or that this account may not see.
        DicomWebError::Refused { .. }
        | DicomWebError::Credentials { status: 403, .. }
        | DicomWebError::Unreachable { failure: Failure::Status(_) | Failure::Cut, .. } => {
            FetchReason::NotDelivered.as_str()
        }
        DicomWebError::Strange { .. } => FetchReason::InvalidAnswer.as_str(),
        DicomWebError::TooLarge { .. } => ReasonCode::TooLarge.as_str(),
        _ => return Err(error.into()),
    };
    Ok((code, error.to_string()))
}

/// What is wrong with a received file: it is no object, or another one.
fn fault(received: &Path, at: &InstanceAddress, limits: &Limits) -> Option<(&'static str, String)> {
    let refused = |error: &DicomError| (error.reason().as_str(), error.detail().to_owned());
    if let Err(error) = read_header(received, limits)
        && is_no_object(error.reason())
    {
        return Some(refused(&error));
    }
    let identity = match read_identity(received, limits) {
        Ok(identity) => identity,
        Err(error) => return Some(refused(&error)),
    };
    let is = |said: &Option<String>, asked: &Uid| said.as_deref().and_then(Uid::parse).as_ref() == Some(asked);
    if is(&identity.study_uid, &at.study) && is(&identity.sop_instance_uid, &at.instance) {
        return None;
    }
    Some((FetchReason::OtherInstance.as_str(), "the object that came bears other UIDs".to_owned()))
}
