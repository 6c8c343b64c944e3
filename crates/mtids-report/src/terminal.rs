//! What every program does at its two ends: it opens the log, and it says why it failed.
//!
//! Invariant: both go to standard error, without colours where nobody looks.

use std::error::Error;
use std::io::{ErrorKind, IsTerminal, Write};

use mtids_runtime::exit::{Exit, describe};
use tracing_subscriber::EnvFilter;

/// Starts the log; `RUST_LOG` chooses what is shown, warnings otherwise. The bytes of requests to servers, which hold credentials, are never shown.
pub fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    let hidden = ["ureq_proto=off", "ureq_proto::util=off"].into_iter().filter_map(|target| target.parse().ok());
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .with_env_filter(hidden.fold(filter, EnvFilter::add_directive))
        .init();
}

/// Tells what begins now, beside the progress of its parts.
pub fn tell(line: &str) {
    // Nobody listens where standard error is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says an error with its causes and ends with `exit`; somebody who closed our output (`| head`) has seen enough, and that is no error.
pub fn end_with(error: &(dyn Error + 'static), exit: Exit) -> Exit {
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
    fn a_closed_pipe_is_no_error() {
        assert_eq!(end_with(&std::io::Error::from(ErrorKind::BrokenPipe), Exit::Data), Exit::Done);
        assert_eq!(end_with(&std::io::Error::from(ErrorKind::NotFound), Exit::Data), Exit::Data);
    }
}
