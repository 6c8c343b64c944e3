//! Values with threads or locks, in a process that may fork.
//!
//! Purpose: a forked child has the memory of its parent and none of its threads. A lock that another thread held is held for ever there, and a
//! thread that is joined never ends. Invariant: in a child, what its parent made is neither used nor dropped; its memory stays.

use std::sync::Arc;

use mtids_shards::Dataset as Shards;
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

/// A dataset and the process that opened it. In a child a remote one is never dropped: its client would wait for threads of the parent.
#[derive(Clone)]
pub(crate) struct Opened {
    process: u32,
    is_remote: bool,
    shards: Arc<Shards>,
}

impl Opened {
    /// By this process; a remote dataset is read by threads of a client.
    pub(crate) fn here(shards: Arc<Shards>, is_remote: bool) -> Self {
        Self { process: std::process::id(), is_remote, shards }
    }

    /// Whether a parent opened it, by threads that are not here.
    fn is_foreign(&self) -> bool {
        self.is_remote && self.process != std::process::id()
    }

    /// Refuses to read in a child what needs threads of its parent, which would wait for ever.
    ///
    /// # Errors
    /// `RuntimeError`.
    pub(crate) fn check(&self) -> PyResult<()> {
        if self.is_foreign() {
            return Err(PyRuntimeError::new_err(
                "this dataset on a server was opened before the process was forked; open it again in the child",
            ));
        }
        Ok(())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.is_foreign() {
            // One share that nobody gives back.
            std::mem::forget(Arc::clone(&self.shards));
        }
    }
}
