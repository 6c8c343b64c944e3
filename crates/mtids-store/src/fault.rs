//! Why a request gave nothing, in words that hold no secret.
//!
//! Invariant: of an answer only its status and its error code are kept. S3 repeats key ids and what was signed in the bodies of its errors.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use object_store::Error as Library;

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Status of HTTP.
    pub(crate) status: u16,
    /// The server's word for it, such as `NoSuchBucket`.
    pub(crate) code: Option<String>,
}

impl Refused {
    /// Reads the code out of the body of an error of S3.
    pub(crate) fn new(status: u16, body: &str) -> Self {
        let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
        // Codes are words; anything else may be anything.
        let is_word = |code: &&str| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Self { status, code: code.filter(is_word).map(str::to_owned) }
    }

    /// It may be another answer the next time.
    fn passes(&self) -> bool {
        let busy = ["SlowDown", "RequestTimeout", "InternalError", "OperationAborted", "ConditionalRequestConflict"];
        matches!(self.status, 408 | 425 | 429 | 500..)
            || self.code.as_deref().is_some_and(|code| busy.contains(&code))
            // S3 answers 409 to a put that meets another one; whoever comes later gets 412.
            || (self.status == 409 && self.code.is_none())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        let advice = match (self.status, self.code.as_deref()) {
            (_, Some("NoSuchBucket")) => "there is no such bucket",
            (_, Some("RequestTimeTooSkewed")) => "look at the clock of this machine",
            (301 | 307 | 308, _) => "the bucket is in another region: set AWS_REGION",
            (401 | 403, _) => {
                "no permission: look at the rights there, and for a bucket at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
            }
            _ => return Ok(()),
        };
        write!(f, " ({advice})")
    }
}

impl Error for Refused {}

/// An answer with all of a file to a question for a part of it.
#[derive(Debug, thiserror::Error)]
#[error("the server does not answer range requests (status 200 instead of 206); put the dataset on one that does")]
pub(crate) struct RangeIgnored;

/// Why a request gave nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    kind: io::ErrorKind,
    reason: String,
    passes: bool,
}

impl Fault {
    /// One that will be the same the next time.
    pub(crate) fn last(kind: io::ErrorKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), passes: false }
    }

    /// An answer that ended early.
    pub(crate) fn short(got: u64, asked: u64) -> Self {
        let reason = format!("the answer ended after {got} of {asked} bytes");
        Self { kind: io::ErrorKind::ConnectionAborted, reason, passes: true }
    }

    /// A request that took too long.
    pub(crate) fn late(deadline: Duration) -> Self {
        let reason = format!("no answer within {} seconds", deadline.as_secs_f32());
        Self { kind: io::ErrorKind::TimedOut, reason, passes: true }
    }

    /// What the library says.
    pub(crate) fn of(error: &Library) -> Self {
        if let Some(refused) = cause::<Refused>(error) {
            let kind = match (refused.status, refused.code.as_deref()) {
                (404, None | Some("NoSuchKey")) => io::ErrorKind::NotFound,
                (412, _) => io::ErrorKind::AlreadyExists,
                (416, _) => io::ErrorKind::UnexpectedEof,
                (401 | 403, _) => io::ErrorKind::PermissionDenied,
                _ => io::ErrorKind::Other,
            };
            return Self { kind, reason: refused.to_string(), passes: refused.passes() };
        }
        if let Some(ignored) = cause::<RangeIgnored>(error) {
            return Self::last(io::ErrorKind::Unsupported, ignored.to_string());
        }
        let root = root(error).to_string();
        match error {
            Library::InvalidPath { .. } => Self::last(io::ErrorKind::InvalidInput, root),
            Library::NotSupported { .. } | Library::NotImplemented { .. } => {
                Self::last(io::ErrorKind::Unsupported, root)
            }
            // Whether a certificate is accepted does not change within a minute.
            _ => Self { kind: io::ErrorKind::Other, passes: !root.contains("certificate"), reason: root },
        }
    }

    /// After so many requests.
    pub(crate) fn after(self, attempts: u32) -> Self {
        let times = if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
        Self { reason: format!("{}; asked {times}", self.reason), ..self }
    }

    /// It may be gone the next time.
    pub(crate) fn passes(&self) -> bool {
        self.passes
    }

    /// What kind of error it is.
    pub(crate) fn kind(&self) -> io::ErrorKind {
        self.kind
    }

    /// As an error that names the place.
    pub(crate) fn at(self, place: &std::path::Path) -> io::Error {
        io::Error::new(self.kind, format!("{}: {}", place.display(), self.reason))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The first error of the chain that is an `E`.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// The end of the chain, which says what happened.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_code_of_an_answer_is_kept() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIASECRET</AWSAccessKeyId>\
                    <StringToSign>x</StringToSign></Error>";
        let refused = Refused::new(403, body);
        assert_eq!(refused.code.as_deref(), Some("SignatureDoesNotMatch"));
        let text = refused.to_string();
        assert!(text.contains("AWS_SECRET_ACCESS_KEY") && !text.contains("AKIASECRET"), "{text}");
        for body in ["", "<Code>", "<Code></Co", "<Code>two words</Code>", "<Code>é</Code>"] {
            assert_eq!(Refused::new(400, body).code, None, "{body}");
        }
    }

    #[test]
    fn what_may_pass_is_asked_again() {
        let passes = |status, body: &str| Refused::new(status, body).passes();
        for status in [408, 429, 500, 502, 503, 504, 409] {
            assert!(passes(status, ""), "{status}");
        }
        assert!(passes(409, "<Code>ConditionalRequestConflict</Code>") && passes(200, "<Code>SlowDown</Code>"));
        for (status, body) in
            [(400, ""), (403, ""), (404, ""), (412, ""), (416, ""), (409, "<Code>BucketAlreadyExists</Code>")]
        {
            assert!(!passes(status, body), "{status}");
        }
    }
}
