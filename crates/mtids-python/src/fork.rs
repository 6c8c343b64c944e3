//! Values with threads or locks, in a process that may fork.
//!
//! Purpose: a forked child has the memory of its parent and none of its threads. A lock that another thread held is held for ever there, and a
//! thread that is joined never ends. Invariant: in a child, what its parent made is neither used nor dropped; its memory stays.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// A value that is used and dropped only in the process that made it.
pub(crate) struct Owned<T> {
    value: Option<T>,
    process: u32,
}

impl<T> Owned<T> {
    /// A value of this process.
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value), process: std::process::id() }
    }

    /// The value, unless a parent made it.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.value.as_mut().filter(|_| self.process == std::process::id())
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.value.take());
        }
    }
}

/// The process that opened a dataset.
#[derive(Clone, Copy)]
pub(crate) struct Opened {
    process: u32,
    is_remote: bool,
}

impl Opened {
    /// By this process; a remote dataset is read by threads of a client.
    pub(crate) fn here(is_remote: bool) -> Self {
        Self { process: std::process::id(), is_remote }
    }

    /// Refuses to read in a child what needs threads of its parent, which would wait for ever.
    ///
    /// # Errors
    /// `RuntimeError`.
    pub(crate) fn check(self) -> PyResult<()> {
        if self.is_remote && self.process != std::process::id() {
            return Err(PyRuntimeError::new_err(
                "this dataset on a server was opened before the process was forked; open it again in the child",
            ));
        }
        Ok(())
    }
}
