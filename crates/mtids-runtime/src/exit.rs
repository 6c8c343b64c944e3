//! Exit codes, the same for every program.
//!
//! Purpose: a batch job must tell "done" from "done, but look" from "wrong call" from "bad data" from "run me again".
//! Invariant: these five numbers are part of the public surface and never change their meaning.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use crate::config::ConfigError;

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

    /// What a command says cannot be written (exit code 1): its work is done, and only the report of it is missing.
    pub fn output(error: &io::Error) -> Self {
        let message = format!("cannot write to standard output: {error}; what this command writes into files is done");
        Self { exit: Exit::Findings, message }
    }

    /// Interrupted by a signal (exit code 4).
    pub fn interrupted() -> Self {
        Self { exit: Exit::Interrupted, message: "interrupted; run the same command again to resume".into() }
    }
}

/// Writes what a command says, to standard output. A reader who closed the pipe (`| head`)
/// gets the plain error, which programs forgive.
///
/// # Errors
/// [`ExitError::output`], or [`io::Error`] of the kind [`ErrorKind::BrokenPipe`].
pub fn print<E: From<io::Error> + From<ExitError>>(text: &str) -> Result<(), E> {
    print_to(&mut io::stdout().lock(), text)
}

fn print_to<E: From<io::Error> + From<ExitError>>(mut out: impl Write, text: &str) -> Result<(), E> {
    // Flushed here, where a full disk is still an error.
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(error.into()),
        Err(error) => Err(ExitError::output(&error).into()),
    }
}

/// An error that knows the exit code it deserves.
pub trait ExitStatus: Error + 'static {
    /// The code to end with.
    fn exit(&self) -> Exit;
}

impl ExitStatus for ExitError {
    fn exit(&self) -> Exit {
        self.exit
    }
}

impl ExitStatus for ConfigError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

/// The code of `error` if it is an `E`; an entry of the list for [`exit_of`].
pub fn code_of<E: ExitStatus>(error: &(dyn Error + 'static)) -> Option<Exit> {
    error.downcast_ref::<E>().map(E::exit)
}

/// Reads the exit code from an error of one kind: [`code_of`] for that kind.
pub type CodeOf = fn(&(dyn Error + 'static)) -> Option<Exit>;

/// The exit code of a program that ends with `error`: that of the first error of the chain that is one of `known`, an
/// [`ExitError`] or a [`ConfigError`]; else [`Exit::Data`].
pub fn exit_of(error: &(dyn Error + 'static), known: &[CodeOf]) -> Exit {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let code = known.iter().find_map(|code| code(error));
        if let Some(exit) = code.or_else(|| code_of::<ExitError>(error)).or_else(|| code_of::<ConfigError>(error)) {
            return exit;
        }
        cause = error.source();
    }
    Exit::Data
}

/// An error with its causes, for a user. Causes that the text before them already contains are not said again.
pub fn describe(error: &(dyn Error + 'static)) -> String {
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
        Said { source: io::Error },
        #[error("cannot read a")]
        Unsaid { source: io::Error },
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the library failed")]
    struct Library(#[from] ConfigError);

    impl ExitStatus for Nested {
        fn exit(&self) -> Exit {
            Exit::Interrupted
        }
    }

    #[test]
    fn the_first_error_that_knows_its_code_decides() {
        let wrong_key = ConfigError::Key { key: "epochs".into(), reason: "at least 1".into() };
        assert_eq!(exit_of(&Library(wrong_key), &[]), Exit::Usage);
        let nested = Nested::Unsaid { source: io::Error::other("gone") };
        assert_eq!(exit_of(&nested, &[]), Exit::Data);
        assert_eq!(exit_of(&nested, &[code_of::<Nested>]), Exit::Interrupted);
        assert_eq!(exit_of(&ExitError::interrupted(), &[]), Exit::Interrupted);
    }

    #[test]
    fn a_full_output_is_no_fault_of_the_data() {
        struct Full(ErrorKind);
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let printed = |kind| print_to::<Box<dyn Error>>(Full(kind), "report").unwrap_err();
        let full = printed(ErrorKind::StorageFull);
        assert_eq!(exit_of(full.as_ref(), &[]), Exit::Findings);
        assert!(full.to_string().contains("standard output"), "{full}");
        let closed = printed(ErrorKind::BrokenPipe);
        assert!(closed.downcast_ref::<io::Error>().is_some(), "programs forgive it by its kind");
    }

    #[test]
    fn causes_are_said_once() {
        let cause = || io::Error::other("the disk is gone");
        assert_eq!(describe(&Nested::Said { source: cause() }), "cannot read a: the disk is gone");
        assert_eq!(describe(&Nested::Unsaid { source: cause() }), "cannot read a: the disk is gone");
    }
}
