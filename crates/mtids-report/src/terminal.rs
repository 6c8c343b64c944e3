//! What every program does at its two ends: it reads its arguments and opens the log, and it says why it failed.
//!
//! Invariants: both go to standard error, without colours where nobody looks; no setting of the log shows what is sent to a server.

use std::error::Error;
use std::io::{ErrorKind, IsTerminal, Write};

use mtids_runtime::exit::{CodeOf, Exit, describe, exit_of};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// A program: understood arguments go to `run`, and its error to standard error. Answers the exit code: 0 for help and version, 2 for arguments
/// that were not understood, that of `run`, or that of the first error in the chain that one of `known` reads.
pub fn program<A, E: AsRef<dyn Error + 'static>>(
    arguments: Result<A, clap::Error>,
    known: &[CodeOf],
    run: impl FnOnce(A) -> Result<Exit, E>,
) -> Exit {
    let arguments = match parsed(arguments) {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    start_log();
    run(arguments).unwrap_or_else(|error| end_with(error.as_ref(), exit_of(error.as_ref(), known)))
}

/// What the log shows where `RUST_LOG` does not say it. The DICOM parser warns once a file, as of a character set that it does not know, and names no
/// file; our readers tell what matters of it.
const SHOWN: &str = "warn,dicom_parser=error";

/// Starts the log; `RUST_LOG` chooses what is shown, warnings otherwise. The lines of the HTTP library are never shown, whatever it says: they
/// hold queries with PatientIDs, and credentials.
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| SHOWN.into());
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .with_env_filter(filter)
        .finish()
        .with(filter_fn(|metadata| !tells_requests(metadata.target())))
        .try_init()
        // A process that runs several programs has a log already.
        .unwrap_or_default();
}

/// Arguments that were understood. Help and errors of usage are printed, and what is left is to end with their exit code.
///
/// # Errors
/// The exit code: 0 for help and version, 2 for arguments that were not understood.
fn parsed<T>(arguments: Result<T, clap::Error>) -> Result<T, Exit> {
    arguments.map_err(|error| {
        // Nothing is left to tell where nobody listens.
        let _ = error.print();
        if error.use_stderr() { Exit::Usage } else { Exit::Done }
    })
}

/// Whether lines of this target hold parts of requests to servers.
fn tells_requests(target: &str) -> bool {
    ["ureq", "ureq_proto", "object_store", "reqwest", "hyper", "hyper_util", "h2"]
        .contains(&target.split("::").next().unwrap_or_default())
}

/// Tells what begins now, beside the progress of its parts.
pub fn tell(line: &str) {
    // Nobody listens where standard error is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says an error with its causes and ends with `exit`; somebody who closed our output (`| head`) has seen enough, and that is no error.
fn end_with(error: &(dyn Error + 'static), exit: Exit) -> Exit {
    let closed = |error: &std::io::Error| error.kind() == ErrorKind::BrokenPipe;
    if error.downcast_ref().is_some_and(closed) {
        return Exit::Done;
    }
    // Nothing is left to tell when standard error is closed too.
    let _ = writeln!(std::io::stderr(), "error: {}", describe(error));
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_http_library_is_hidden_with_all_its_parts() {
        for target in [
            "object_store::client::retry",
            "reqwest",
            "hyper::proto",
            "hyper_util::client",
            "ureq",
            "ureq::run",
            "ureq::util",
            "ureq_proto",
            "ureq_proto::client::recvresp",
        ] {
            assert!(tells_requests(target), "{target}");
        }
        for target in ["mtids_dicomweb::retry", "ureqs", "rustls::client", ""] {
            assert!(!tells_requests(target), "{target}");
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        assert_eq!(end_with(&std::io::Error::from(ErrorKind::BrokenPipe), Exit::Data), Exit::Done);
        assert_eq!(end_with(&std::io::Error::from(ErrorKind::NotFound), Exit::Data), Exit::Data);
    }
}
