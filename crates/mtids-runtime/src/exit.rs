//! Exit codes, the same for every program.
//!
//! Purpose: a batch job must tell "done" from "done, but look" from "wrong call" from "bad data" from "run me again".
//! Invariant: these five numbers are part of the public surface and never change their meaning.

use std::process::ExitCode;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// 0: done, nothing to look at.
    Done = 0,
    /// 1: done, with findings (audit findings, a damaged shard, quarantine over the configured limit).
    Findings = 1,
    /// 2: wrong use or configuration; nothing was started.
    Usage = 2,
    /// 3: input or data that cannot be used.
    Data = 3,
    /// 4: interrupted; running the same command again resumes.
    Interrupted = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An error that knows which exit code it deserves; binaries attach it to an `anyhow` chain.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ExitError {
    /// The code to end with.
    pub exit: Exit,
    /// What happened and what to do, for the user.
    pub message: String,
}

impl ExitError {
    /// Wrong use or configuration (exit code 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// Input that cannot be used (exit code 3).
    pub fn data(message: impl Into<String>) -> Self {
        Self { exit: Exit::Data, message: message.into() }
    }

    /// Interrupted by a signal (exit code 4).
    pub fn interrupted() -> Self {
        Self { exit: Exit::Interrupted, message: "interrupted; run the same command again to resume".into() }
    }
}

/// An error with its causes, for a user. Causes that the text before them already contains are not said again.
pub fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Nested {
        #[error("cannot read a: {source}")]
        Said { source: std::io::Error },
        #[error("cannot read a")]
        Unsaid { source: std::io::Error },
    }

    #[test]
    fn causes_are_said_once() {
        let cause = || std::io::Error::other("the disk is gone");
        assert_eq!(describe(&Nested::Said { source: cause() }), "cannot read a: the disk is gone");
        assert_eq!(describe(&Nested::Unsaid { source: cause() }), "cannot read a: the disk is gone");
    }
}
