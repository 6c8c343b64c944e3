//! The three programs, as the wheel's console scripts call them.

use std::ffi::OsString;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Runs a program with its arguments, the name it was called by first, and returns its exit code.
#[pyfunction]
pub(crate) fn run(py: Python<'_>, program: &str, arguments: Vec<OsString>) -> PyResult<u8> {
    let exit = match program {
        "mtids-prep" => py.detach(|| mtids_prep::command::main(arguments)),
        "mtids-train" => py.detach(|| mtids_train::command::main(arguments)),
        "mtids-audit" => py.detach(|| mtids_audit::command::main(arguments)),
        _ => return Err(PyValueError::new_err(format!("there is no program `{program}`"))),
    };
    Ok(exit as u8)
}
