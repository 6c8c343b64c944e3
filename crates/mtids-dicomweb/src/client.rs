//! A server: its address, who asks, and one request at a time with its verdict.
//!
//! Invariants: every request has limits in time; a redirect is not followed, because it would take credentials or studies elsewhere; an answer with a
//! status that is no success is never read. Units: seconds.

use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::time::Duration;

use mtids_runtime::interrupt::Interrupt;
use serde_json::Value;
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Timeout};

use crate::address::{checked, is_local, is_open};
use crate::credentials::Credentials;
use crate::error::{DicomWebError, Failure};
use crate::retry::{Fault, Retry};
use crate::tls::reason_of;
use crate::watched::Watched;

/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(30);
/// Longest time until an answer begins or goes on: a server may have to fetch a study from tape.
const ANSWER: Duration = Duration::from_secs(300);
/// Longest time until a server takes more of what is sent.
const SENDING: Duration = Duration::from_secs(60);
/// Largest answer in JSON, in bytes: some 10 000 entries, where a server ignores the size of a page. Read, it takes several times as much.
const LARGEST_JSON: u64 = 16 << 20;

/// How to reach a server.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Who asks.
    pub credentials: Credentials,
    /// Certificates (PEM) that are trusted instead of those of public authorities.
    pub trusted: Option<PathBuf>,
    /// When to ask again.
    pub retry: Retry,
    /// Ends waits.
    pub interrupt: Interrupt,
}

/// A DICOMweb server.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    server: String,
    connection: Connection,
}

impl Client {
    /// A client of the server at `address`, such as `https://pacs.example/dicom-web`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`DicomWebError::Address`], or [`DicomWebError::Setting`] for certificates that cannot be read.
    pub fn new(address: &str, connection: Connection) -> Result<Self, DicomWebError> {
        let server = checked(address)?;
        if is_open(&server) {
            tracing::warn!("{server}: without https, all images, and a password or token, can be read on the way");
        }
        let mut tls = TlsConfig::builder();
        if let Some(path) = &connection.trusted {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(path)?));
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(ANSWER))
            .timeout_per_write(Some(SENDING))
            .tls_config(tls.build());
        if is_local(&server) {
            // What is meant for this machine does not leave it, whatever proxy the environment names.
            config = config.proxy(None);
        }
        Ok(Self { agent: Agent::new_with_config(config.build()), server, connection })
    }

    /// The address, without a slash at its end and without credentials.
    pub fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.connection.interrupt
    }

    /// The same server, asked only once for everything: for requests that are expected to fail.
    pub fn asking_once(&self) -> Self {
        let retry = Retry { attempts: 1, ..self.connection.retry };
        let connection = Connection { retry, ..self.connection.clone() };
        Self { agent: self.agent.clone(), server: self.server.clone(), connection }
    }

    /// Asks until there is an answer, or none is to be expected.
    pub(crate) fn persist<T>(&self, what: &str, ask: impl FnMut() -> Result<T, Fault>) -> Result<T, DicomWebError> {
        let gave_up = |reason, failure, attempts| DicomWebError::Unreachable {
            server: self.server.clone(),
            what: what.to_owned(),
            reason,
            failure,
            attempts,
        };
        self.connection.retry.run(&self.connection.interrupt, gave_up, ask)
    }

    /// Gets a part of the server; `path` begins with a slash.
    pub(crate) fn get(&self, path: &str, accept: &str, what: &str) -> Result<Response<Body>, Fault> {
        let mut request = self.agent.get(format!("{}{path}", self.server)).header("Accept", accept);
        if let Some(value) = self.connection.credentials.header() {
            request = request.header("Authorization", value);
        }
        let response = request.call().map_err(|error| self.connection_fault(&error, what))?;
        match self.verdict(&response, what) {
            Some(fault) => Err(fault),
            None => Ok(response),
        }
    }

    /// Posts `body`. The statuses of `also` are answers as well.
    pub(crate) fn post(
        &self,
        path: &str,
        content_type: &str,
        body: &[u8],
        also: &[u16],
        what: &str,
    ) -> Result<Response<Body>, Fault> {
        let request = self.agent.post(format!("{}{path}", self.server));
        let mut request = request.header("Accept", "application/dicom+json").header("Content-Type", content_type);
        if let Some(value) = self.connection.credentials.header() {
            request = request.header("Authorization", value);
        }
        let response = request.send(body).map_err(|error| self.connection_fault(&error, what))?;
        match self.verdict(&response, what).filter(|_| !also.contains(&response.status().as_u16())) {
            Some(fault) => Err(fault),
            None => Ok(response),
        }
    }

    /// The JSON of an answer; none where its body is empty.
    pub(crate) fn json(&self, response: &mut Response<Body>, what: &str) -> Result<Option<Value>, Fault> {
        let mut bytes = Vec::new();
        let body = response.body_mut().with_config().limit(LARGEST_JSON).reader();
        let read = Watched::new(body, self.interrupt()).read_to_end(&mut bytes);
        read.map_err(|error| match ureq::Error::from(error) {
            ureq::Error::BodyExceedsLimit(_) => Fault::Final(self.too_large(what, LARGEST_JSON)),
            error => self.connection_fault(&error, what),
        })?;
        if bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        let strange = |_| Fault::Final(self.strange(what, "it is not JSON"));
        serde_json::from_slice(&bytes).map(Some).map_err(strange)
    }

    /// What a status means, where it is no success.
    fn verdict(&self, response: &Response<Body>, what: &str) -> Option<Fault> {
        let (server, what) = (self.server.clone(), what.to_owned());
        let status = response.status().as_u16();
        let refused = |hint: &str| DicomWebError::Refused {
            server: server.clone(),
            what: what.clone(),
            status,
            hint: hint.into(),
        };
        let error = match status {
            200..=299 => return None,
            408 | 429 | 500 | 502 | 503 | 504 => {
                let wait = response.headers().get("Retry-After").and_then(|value| value.to_str().ok());
                // The other form is a date, which would need a clock that both sides agree on.
                let wait = wait.and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
                let reason = format!("HTTP status {status}");
                return Some(Fault::Passing { reason, failure: Failure::Status(status), wait });
            }
            300..=399 => refused("it sends to another address; give that one, if you trust it"),
            401 | 403 => DicomWebError::Credentials { server, what, status },
            404 | 410 => DicomWebError::NotFound { server, what, status },
            406 | 415 => {
                refused("it cannot send or take the objects as they are; look at its settings of transfer syntaxes")
            }
            413 => refused("the object is too large for it; raise the limit of the server or of a proxy before it"),
            _ => refused("look at the server's log"),
        };
        Some(Fault::Final(error))
    }

    /// A request without an answer.
    fn connection_fault(&self, error: &ureq::Error, what: &str) -> Fault {
        match error {
            // TLS says so of what it does not accept: asked again, it would say the same.
            ureq::Error::Io(source) if source.kind() == ErrorKind::InvalidData => Fault::Final(self.not_secure(source)),
            ureq::Error::Rustls(source) => Fault::Final(self.not_secure(source)),
            ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                Fault::passing(Failure::Connection, error.to_string())
            }
            ureq::Error::Io(source) if is_of_connecting(source.kind()) => {
                Fault::passing(Failure::Connection, error.to_string())
            }
            ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::Protocol(_) => {
                Fault::passing(Failure::Cut, error.to_string())
            }
            _ => Fault::Final(DicomWebError::Unreachable {
                server: self.server.clone(),
                what: what.to_owned(),
                reason: error.to_string(),
                failure: Failure::Connection,
                attempts: 1,
            }),
        }
    }

    fn not_secure(&self, source: &(dyn std::error::Error + 'static)) -> DicomWebError {
        DicomWebError::Setting { what: self.server.clone(), reason: reason_of(source) }
    }

    pub(crate) fn strange(&self, what: &str, reason: impl Into<String>) -> DicomWebError {
        DicomWebError::Strange { server: self.server.clone(), what: what.to_owned(), reason: reason.into() }
    }

    pub(crate) fn too_large(&self, what: &str, limit: u64) -> DicomWebError {
        DicomWebError::TooLarge { server: self.server.clone(), what: what.to_owned(), limit }
    }
}

/// Whether an error of the system is one of making a connection.
fn is_of_connecting(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::AddrNotAvailable
            | ErrorKind::TimedOut
    )
}

/// The certificates of a file.
fn certificates(path: &std::path::Path) -> Result<Vec<Certificate<'static>>, DicomWebError> {
    let bytes = std::fs::read(path).map_err(|source| DicomWebError::Read { path: path.to_owned(), source })?;
    let setting = |reason: &str| DicomWebError::Setting { what: path.display().to_string(), reason: reason.into() };
    let mut found = Vec::new();
    for item in parse_pem(&bytes) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(setting("it is not PEM; export the certificates as PEM (Base64) again")),
        }
    }
    if found.is_empty() {
        return Err(setting("it holds no certificate; give the one of the authority that signed the server's"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_read_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let connect =
            || Client::new("https://pacs", Connection { trusted: Some(path.clone()), ..Connection::default() });
        assert!(connect().unwrap_err().to_string().contains("ca.pem"));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(connect().unwrap_err().to_string().contains("holds no certificate"));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
        assert!(connect().is_err());
    }
}
