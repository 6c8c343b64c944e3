//! What a DICOMweb server can do wrong, in words for an operator.
//!
//! Invariants: every text names the server and says what to do; no text holds a credential or words of the server.

use std::path::PathBuf;

use mtids_runtime::exit::{Exit, ExitStatus};

/// How a request failed that may work the next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There was no connection to the server.
    Connection,
    /// The connection was cut, or silent for too long, before the whole answer had come.
    Cut,
    /// The server answered with this status of HTTP.
    Status(u16),
}

/// Errors of a request.
#[derive(Debug, thiserror::Error)]
pub enum DicomWebError {
    /// The address of the server, which is not repeated: it may hold a password.
    #[error("the address of the DICOMweb server cannot be used: {reason}; give it as https://host:port/dicom-web")]
    Address {
        /// What is wrong.
        reason: &'static str,
    },
    /// Credentials or certificates of this side.
    #[error("{what}: {reason}")]
    Setting {
        /// The variable or file.
        what: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The server did not answer, or only with faults that may pass.
    #[error(
        "{server}: no answer to the request for {what} ({reason}; asked {attempts} times); look whether the server runs and can be reached, then \
         run the same command again"
    )]
    Unreachable {
        /// The server.
        server: String,
        /// What was asked for.
        what: String,
        /// What happened the last time.
        reason: String,
        /// How.
        failure: Failure,
        /// How often it was asked.
        attempts: u32,
    },
    /// 401 or 403.
    #[error(
        "{server}: it refuses {what} with HTTP status {status}; set MTIDS_DICOMWEB_TOKEN, or MTIDS_DICOMWEB_USER and MTIDS_DICOMWEB_PASSWORD, to an \
         account that may do this"
    )]
    Credentials {
        /// The server.
        server: String,
        /// What was asked for.
        what: String,
        /// The status.
        status: u16,
    },
    /// 404 or 410.
    #[error(
        "{server}: it does not have {what} (HTTP status {status}); look at the address, which usually ends with /dicom-web"
    )]
    NotFound {
        /// The server.
        server: String,
        /// What was asked for.
        what: String,
        /// The status.
        status: u16,
    },
    /// Any other status.
    #[error("{server}: it refuses {what} with HTTP status {status}; {hint}")]
    Refused {
        /// The server.
        server: String,
        /// What was asked for.
        what: String,
        /// The status.
        status: u16,
        /// What to do.
        hint: String,
    },
    /// An answer that is not one of DICOMweb.
    #[error(
        "{server}: its answer to the request for {what} is not that of a DICOMweb server ({reason}); look at the address and the server's log"
    )]
    Strange {
        /// The server.
        server: String,
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An answer beyond a limit.
    #[error(
        "{server}: its answer to the request for {what} is larger than {limit} bytes; narrow the query, or copy this object by other means"
    )]
    TooLarge {
        /// The server.
        server: String,
        /// What was asked for.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// A list beyond a limit.
    #[error("{server}: {what} has more than {limit} entries; narrow the query")]
    TooMany {
        /// The server.
        server: String,
        /// What was asked for.
        what: String,
        /// The limit.
        limit: usize,
    },
    /// A file of this machine.
    #[error("cannot read {path}: {source}; look whether it is there and may be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What was received cannot be kept.
    #[error("cannot write what {server} sent: {source}; make room, or name a folder that can be written")]
    Write {
        /// The server.
        server: String,
        /// Why.
        source: std::io::Error,
    },
    /// A signal came.
    #[error("interrupted; run the same command again to go on")]
    Interrupted,
}

impl ExitStatus for DicomWebError {
    fn exit(&self) -> Exit {
        match self {
            Self::Address { .. } | Self::Setting { .. } | Self::Credentials { .. } => Exit::Usage,
            Self::Interrupted => Exit::Interrupted,
            _ => Exit::Data,
        }
    }
}
