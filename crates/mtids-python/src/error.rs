//! Errors of the libraries as exceptions.
//!
//! Invariant: the message is the one that the programs print, with its causes.

use std::error::Error;

use mtids_runtime::exit::{Exit, ExitStatus, code_of, describe, exit_of};
use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PyValueError};
use pyo3::{PyErr, create_exception};

create_exception!(mtids, MtidsError, PyException, "Data that cannot be used, with the reason and what to do.");

/// The exception of an error: `ValueError` for what the programs end with 2, `KeyboardInterrupt` for 4, else `MtidsError`.
pub(crate) fn exception<E: ExitStatus>(error: &E) -> PyErr {
    let error: &(dyn Error + 'static) = error;
    let message = describe(error);
    match exit_of(error, &[code_of::<E>]) {
        Exit::Usage => PyValueError::new_err(message),
        Exit::Interrupted => PyKeyboardInterrupt::new_err(message),
        Exit::Done | Exit::Findings | Exit::Data => MtidsError::new_err(message),
    }
}

/// The exception for unusable data.
pub(crate) fn data(error: &(dyn Error + 'static)) -> PyErr {
    MtidsError::new_err(describe(error))
}
