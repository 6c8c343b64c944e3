//! Voxels as NumPy arrays without a copy.
//!
//! Purpose: a batch of 64 rows of two views has some 30 MB. Invariants: an array keeps its voxels alive; the voxels of a stream's batch go back
//! to the stream when the last array over them dies, in the process that made them.
#![allow(unsafe_code)]

use mtids_stream::Voxels;
use numpy::PyArrayDyn;
use numpy::ndarray::{ArrayViewMut, IxDyn};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::fork::Owned;

/// What an array lies on: the base object of NumPy's array.
#[pyclass(frozen)]
struct Buffer {
    _voxels: Owned<Voxels>,
}

/// An array of this shape over the voxels, w fastest; Python may write to it.
///
/// # Errors
/// `ValueError` where the shape has another number of voxels.
pub(crate) fn lend<'py>(py: Python<'py>, mut voxels: Voxels, shape: &[usize]) -> PyResult<Bound<'py, PyArrayDyn<i16>>> {
    let length = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
    if length != Some(voxels.len()) {
        return Err(PyValueError::new_err(format!("{} voxels do not have the shape {shape:?}", voxels.len())));
    }
    if voxels.is_empty() {
        return Ok(PyArrayDyn::zeros(py, IxDyn(shape), false));
    }
    let pointer = voxels.as_mut_ptr();
    let buffer = Bound::new(py, Buffer { _voxels: Owned::new(voxels) })?.into_any();
    // SAFETY: `pointer` comes from a unique borrow of the vector inside `voxels`, whose values lie on the heap and do not move with it, and is
    // valid for the product of `shape`, which was compared with its length. `Buffer` is frozen, gives its voxels to nobody, and drops them
    // only when NumPy lets go of it: they are neither moved nor freed nor aliased by Rust while the array lives.
    Ok(unsafe {
        let view = ArrayViewMut::from_shape_ptr(IxDyn(shape), pointer);
        PyArrayDyn::borrow_from_array(&view, buffer)
    })
}
