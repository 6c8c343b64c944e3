//! WADO-RS: an instance as the server stores it.
//!
//! Invariants: the bytes are not converted on the way (`transfer-syntax=*`) and not parsed here; a file holds one whole answer or its beginning, never
//! parts of two; a cut answer, and one whose end cannot be known, is asked for again.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::client::Client;
use crate::error::{DicomWebError, Failure};
use crate::multipart::{Multipart, MultipartError, boundary_of, media_type};
use crate::retry::Fault;
use crate::uid::Uid;
use crate::watched::Watched;

/// What is asked for: the object in the transfer syntax in which it is stored. One media type, because some servers read no list of them.
const AS_STORED: &str = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
/// What is read behind the last part, in bytes, so that the connection can be used again.
const REST: u64 = 64 << 10;
/// Media type of an object.
const DICOM: &str = "application/dicom";

/// Where an instance lies on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceAddress {
    /// StudyInstanceUID.
    pub study: Uid,
    /// SeriesInstanceUID.
    pub series: Uid,
    /// SOPInstanceUID.
    pub instance: Uid,
}

/// What an instance is received into.
pub trait Receiver: Write {
    /// Forgets what was written, so that writing begins anew.
    ///
    /// # Errors
    /// Those of the file.
    fn rewind(&mut self) -> io::Result<()>;
}

impl Receiver for File {
    fn rewind(&mut self) -> io::Result<()> {
        self.set_len(0)?;
        self.seek(SeekFrom::Start(0)).map(|_| ())
    }
}

/// Memory, for what must not reach a disk.
impl Receiver for Vec<u8> {
    fn rewind(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

impl Client {
    /// Writes an instance of at most `most` bytes into `file`, from its beginning; returns its length. A file is not synced.
    ///
    /// # Errors
    /// [`DicomWebError`]; what stands in the file then is of no use.
    pub fn retrieve(&self, at: &InstanceAddress, file: &mut dyn Receiver, most: u64) -> Result<u64, DicomWebError> {
        let InstanceAddress { study, series, instance } = at;
        let path = format!("/studies/{study}/series/{series}/instances/{instance}");
        let what = format!("instance {instance}");
        self.persist(&what, || {
            file.rewind().map_err(|source| Fault::Final(self.not_written(source)))?;
            let mut response = self.get(&path, AS_STORED, &what)?;
            let header = response.headers().get("Content-Type").and_then(|value| value.to_str().ok());
            let content_type = header.unwrap_or_default().to_owned();
            let announced = response.body().content_length();
            let coding = response.headers().get("Transfer-Encoding").and_then(|value| value.to_str().ok());
            let is_chunked = coding.is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"));
            let mut body = Watched::new(response.body_mut().as_reader(), self.interrupt());
            let copied = if media_type(&content_type) == DICOM {
                if announced.is_none() && !is_chunked {
                    // The end of the connection would be the end of the object, wherever it is cut.
                    return Err(Fault::passing(Failure::Cut, "it is sent without length, so its end cannot be known"));
                }
                copy(&mut body, announced, file, most)
            } else if let Some(boundary) = boundary_of(&content_type) {
                single_part(&mut body, &boundary, file, most)
            } else {
                return Err(Fault::Final(self.strange(&what, "it is neither application/dicom nor multipart/related")));
            };
            let length = copied.map_err(|error| self.fault(error, &what))?;
            // The object is whole: what follows, or fails to, changes nothing. It is read where its end is near.
            if is_chunked || announced.is_some_and(|announced| announced.saturating_sub(body.received()) <= REST) {
                let _ = io::copy(&mut body.take(REST), &mut io::sink());
            }
            Ok(length)
        })
    }

    fn fault(&self, error: MultipartError, what: &str) -> Fault {
        match error {
            MultipartError::Cut(_) => Fault::passing(Failure::Cut, error.to_string()),
            MultipartError::Damaged(reason) => Fault::Final(self.strange(what, reason)),
            MultipartError::TooLarge(limit) => Fault::Final(self.too_large(what, limit)),
            MultipartError::Write(source) => Fault::Final(self.not_written(source)),
        }
    }

    fn not_written(&self, source: io::Error) -> DicomWebError {
        DicomWebError::Write { server: self.server().to_owned(), source }
    }
}

/// Copies the content of the one part that an answer should have.
fn single_part(body: impl Read, boundary: &str, out: &mut dyn Write, most: u64) -> Result<u64, MultipartError> {
    let mut parts = Multipart::new(body, boundary)?;
    let Some(header) = parts.next_part()? else { return Err(MultipartError::Damaged("it has no part")) };
    if header.content_type.is_some_and(|content_type| content_type != DICOM) {
        return Err(MultipartError::Damaged("its part is not application/dicom"));
    }
    let length = parts.copy_part(out, most)?;
    match parts.next_part()? {
        None => Ok(length),
        Some(_) => Err(MultipartError::Damaged("it has several parts, and one instance was asked for")),
    }
}

/// Copies an answer that is the object itself, of the length that was announced.
fn copy(mut body: impl Read, announced: Option<u64>, out: &mut dyn Write, most: u64) -> Result<u64, MultipartError> {
    let mut buffer = vec![0; 64 << 10];
    let mut length = 0;
    loop {
        let read = match body.read(&mut buffer) {
            Ok(0) if announced.is_some_and(|announced| announced != length) => {
                return Err(MultipartError::Cut("it is shorter than announced".into()));
            }
            Ok(0) => return Ok(length),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(MultipartError::Cut(error.to_string())),
        };
        length += read as u64;
        if length > most {
            return Err(MultipartError::TooLarge(most));
        }
        out.write_all(&buffer[..read]).map_err(MultipartError::Write)?;
    }
}
