//! STOW-RS: an object for a server to keep.
//!
//! Invariants: one object per request, in a study that is named, so the server refuses it where the object says another; the boundary is a digest of
//! the object and does not stand in it. An object counts as stored only if the answer names it or the server lists it. To repeat a request does no
//! harm: the second time the server has the object already.

use std::path::Path;

use mtids_runtime::digest::Digest;
use serde_json::Value;

use crate::client::Client;
use crate::error::{DicomWebError, Failure};
use crate::retry::Fault;
use crate::uid::Uid;

/// FailedSOPSequence.
const FAILED: &str = "00081198";
/// OtherFailuresSequence: what belongs to no object.
const OTHER_FAILED: &str = "0008119A";
/// ReferencedSOPSequence: what was stored.
const REFERENCED: &str = "00081199";
/// ReferencedSOPInstanceUID.
const REFERENCED_UID: &str = "00081155";
/// FailureReason.
const REASON: &str = "00081197";
/// FailureReason of an instance that the server has already (PS3.4, table B.2-1, and PS3.7, C.4.2).
const DUPLICATE: u64 = 0x0111;
/// HTTP status of a request of which nothing was stored; its answer says why.
const CONFLICT: u16 = 409;

/// Why an object that was sent is asked for again.
const NOT_LISTED: &str = "not listed yet";

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The server keeps it.
    Now,
    /// The server had it before.
    Before,
}

impl Client {
    /// Sends the object of a file, whose SOPInstanceUID is `instance`, to its study.
    ///
    /// # Errors
    /// [`DicomWebError::Read`] for the file, [`DicomWebError::Refused`] with the server's failure reason, or another [`DicomWebError`].
    pub fn store(&self, study: &Uid, instance: &Uid, file: &Path) -> Result<Stored, DicomWebError> {
        let object = std::fs::read(file).map_err(|source| DicomWebError::Read { path: file.to_owned(), source })?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let what = format!("the storage of {name}");
        let (boundary, body) = body_of(&object);
        let content_type = format!("multipart/related; type=\"application/dicom\"; boundary={boundary}");
        let path = format!("/studies/{study}");
        let (status, answer) = self.persist(&what, || {
            let mut response = self.post(&path, &content_type, &body, &[CONFLICT], &what)?;
            Ok((response.status().as_u16(), self.json(&mut response, &what)?.unwrap_or_default()))
        })?;
        if names(&answer, instance) {
            return Ok(Stored::Now);
        }
        let reason = failure(&answer);
        if reason == Some(DUPLICATE) {
            return Ok(Stored::Before);
        }
        if let Some(known) = reason.and_then(meaning) {
            return Err(self.not_stored(&what, status, known));
        }
        if reason.is_some() || status == CONFLICT {
            // Servers have reasons of their own, or none, for what they have already.
            return if self.keeps(study, instance)? {
                Ok(Stored::Before)
            } else {
                let hint =
                    "it gives no reason that is known here, and does not list the object; look at the server's log";
                Err(self.not_stored(&what, status, hint))
            };
        }
        // A success without a word on the object: some servers list it only after a while.
        let is_listed = self.persist(&format!("the entry of {name}, which it says to have taken"), || {
            let keeps = self.keeps(study, instance).map_err(Fault::Final)?;
            if keeps { Ok(()) } else { Err(Fault::passing(Failure::Status(status), NOT_LISTED)) }
        });
        match is_listed {
            Ok(()) => Ok(Stored::Now),
            Err(DicomWebError::Unreachable { failure: Failure::Status(_), reason, .. }) if reason == NOT_LISTED => {
                let hint = "it says that it took the object, but neither names nor lists it; look at the server's log";
                Err(self.not_stored(&what, status, hint))
            }
            Err(error) => Err(error),
        }
    }

    fn not_stored(&self, what: &str, status: u16, hint: &str) -> DicomWebError {
        DicomWebError::Refused {
            server: self.server().to_owned(),
            what: what.to_owned(),
            status,
            hint: hint.to_owned(),
        }
    }
}

/// A boundary, and an object between two of them.
fn body_of(object: &[u8]) -> (String, Vec<u8>) {
    let mut number = 0u64;
    let boundary = loop {
        let boundary = format!("mtids-{}", Digest::of_parts([&number.to_le_bytes(), object]).short());
        if !object.windows(boundary.len()).any(|window| window == boundary.as_bytes()) {
            break boundary;
        }
        number += 1;
    };
    let mut body = format!("--{boundary}\r\nContent-Type: application/dicom\r\n\r\n").into_bytes();
    body.extend_from_slice(object);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    (boundary, body)
}

/// Items of a sequence; none where there is none.
fn items<'a>(answer: &'a Value, tag: &str) -> &'a [Value] {
    // Some servers answer a list of one.
    let answer = answer.get(0).unwrap_or(answer);
    let items = answer.get(tag).and_then(|sequence| sequence.get("Value")?.as_array());
    items.map(Vec::as_slice).unwrap_or_default()
}

/// Whether an answer names an instance as stored.
fn names(answer: &Value, instance: &Uid) -> bool {
    let uid = |item: &Value| Uid::parse(item.get(REFERENCED_UID)?.get("Value")?.get(0)?.as_str()?);
    items(answer, REFERENCED).iter().any(|item| uid(item).as_ref() == Some(instance))
}

/// The first failure reason of an answer; 0 for a failure without reason.
fn failure(answer: &Value) -> Option<u64> {
    let failed = items(answer, FAILED).iter().chain(items(answer, OTHER_FAILED)).next()?;
    let reason = || failed.get(REASON)?.get("Value")?.get(0)?.as_u64();
    Some(reason().unwrap_or(0))
}

/// What a failure reason means (PS3.18, table I.2-2), where the standard says it.
fn meaning(code: u64) -> Option<&'static str> {
    Some(match code {
        0xA700..=0xA7FF => "it has no room (failure reason A7xx); make room on the server",
        0xA900..=0xA9FF => {
            "it says that the object does not fit its class or study (failure reason A9xx); look at the server's log"
        }
        0xC122 => {
            "it does not take the transfer syntax of the object (failure reason C122); allow Explicit VR Little Endian on the server"
        }
        0xC000..=0xCFFF => "it cannot understand the object (failure reason Cxxx); look at the server's log",
        0x0122 => {
            "it does not take objects of this class (failure reason 0122); allow Segmentation Storage and Comprehensive 3D SR"
        }
        0x0124 => "this account may not store (failure reason 0124); ask the operator of the server",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_body_is_one_part_with_the_object_as_it_is() {
        let object = b"\r\n--mtids-\r\nx".to_vec();
        let (boundary, body) = body_of(&object);
        let mut parts = crate::Multipart::new(&body[..], &boundary).unwrap();
        assert_eq!(parts.next_part().unwrap().unwrap().content_type.as_deref(), Some("application/dicom"));
        let mut found = Vec::new();
        parts.copy_part(&mut found, 1000).unwrap();
        assert_eq!(found, object);
        assert!(parts.next_part().unwrap().is_none());
    }

    #[test]
    fn failures_are_found_in_any_form_of_answer() {
        let failed = |code: u64| json!({ FAILED: { "Value": [{ REASON: { "Value": [code] } }] } });
        assert_eq!(failure(&failed(0xA900)), Some(0xA900));
        assert_eq!(failure(&json!([failed(0x0111)])), Some(DUPLICATE));
        assert_eq!(failure(&json!({ FAILED: { "Value": [{}] } })), Some(0));
        assert_eq!(failure(&json!({ OTHER_FAILED: { "Value": [{ REASON: { "Value": [0x0110] } }] } })), Some(0x0110));
        for answer in [json!(null), json!({}), json!({ FAILED: { "vr": "SQ", "Value": [] } }), json!("text"), json!([])]
        {
            assert_eq!(failure(&answer), None, "{answer}");
        }
    }

    #[test]
    fn only_the_object_itself_is_evidence() {
        let instance = Uid::parse("1.2.3").unwrap();
        let stored = |uid: &str| json!({ REFERENCED: { "Value": [{ REFERENCED_UID: { "Value": [uid] } }] } });
        assert!(names(&stored("1.2.3"), &instance) && names(&json!([stored("1.2.3")]), &instance));
        for answer in [stored("1.2.4"), stored(""), json!({ REFERENCED: { "Value": [{}] } }), json!({}), json!(null)] {
            assert!(!names(&answer, &instance), "{answer}");
        }
    }

    #[test]
    fn reasons_of_the_standard_are_told_apart() {
        assert!(meaning(0xC122).is_some_and(|text| text.contains("transfer syntax")));
        assert!(meaning(0xC000).is_some_and(|text| text.contains("cannot understand")));
        assert_eq!((meaning(0x0110), meaning(0)), (None, None));
    }
}
