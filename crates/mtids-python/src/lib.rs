#![doc = include_str!("../README.md")]
//!
//! # Invariants
//! * No logic of its own: every function calls a library of the workspace and translates its types.
//! * Work of any length lets go of the interpreter lock. No call leaves a thread behind when its object is gone.
//! * Wrong arguments raise `ValueError`, unusable data `MtidsError`; nothing panics.
//!
//! # Units
//! As in the libraries: voxels as stored (`i16`: HU, hundredths of an SUV), LPS mm, axes d, h, w.

mod array;
mod balance;
mod dataset;
mod error;
mod fork;
mod predict;
mod program;
mod stream;
mod table;

use pyo3::prelude::*;

/// The compiled part of the package `mtids`.
#[pymodule]
#[pyo3(name = "_mtids")]
fn mtids(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("MtidsError", module.py().get_type::<error::MtidsError>())?;
    module.add_class::<table::ArrowTable>()?;
    module.add_class::<dataset::Dataset>()?;
    module.add_class::<dataset::View>()?;
    module.add_class::<dataset::Patch>()?;
    module.add_class::<stream::Stream>()?;
    module.add_class::<stream::Batch>()?;
    module.add_class::<balance::Balancer>()?;
    module.add_function(wrap_pyfunction!(balance::methods, module)?)?;
    module.add_function(wrap_pyfunction!(predict::predict, module)?)?;
    module.add_function(wrap_pyfunction!(program::run, module)?)
}
