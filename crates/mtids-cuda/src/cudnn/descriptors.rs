//! Handle and descriptors of cuDNN, which are freed when they are dropped.
//!
//! Purpose: cudarc's own owners end the process when freeing fails, which happens where a thread ends behind the driver, and they hide what
//! asking for determinism needs. Invariant: a value holds a live object of cuDNN, that nobody else frees.

use cudarc::cudnn::{CudnnError, result, sys};
use cudarc::driver::CudaStream;

use crate::conv::descriptor::TensorNumbers;
use crate::error::{CudaError, Result};

/// Turns a status into an error that says what was asked for.
pub(super) fn asked<T>(what: &'static str, answer: std::result::Result<T, CudnnError>) -> Result<T> {
    answer.map_err(|CudnnError(status)| CudaError::Cudnn { what, status: format!("{status:?}") })
}

macro_rules! owner {
    ($(#[$doc:meta])* $name:ident, $raw:ident, $create:ident, $destroy:ident, $what:literal) => {
        $(#[$doc])*
        pub(super) struct $name(sys::$raw);

        impl $name {
            fn create() -> Result<Self> {
                asked($what, result::$create()).map(Self)
            }

            /// The object, to be named in a call.
            pub(super) fn raw(&self) -> sys::$raw {
                self.0
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: `create` made the object and nobody else frees it. A failure at the end of a thread has nobody to be told.
                let _ = unsafe { result::$destroy(self.0) };
            }
        }
    };
}

owner!(
    /// A connection to cuDNN.
    Handle, cudnnHandle_t, create_handle, destroy_handle, "a handle"
);
owner!(
    /// A tensor.
    TensorDescriptor, cudnnTensorDescriptor_t, create_tensor_descriptor, destroy_tensor_descriptor, "a tensor descriptor"
);
owner!(
    /// A filter.
    FilterDescriptor, cudnnFilterDescriptor_t, create_filter_descriptor, destroy_filter_descriptor, "a filter descriptor"
);
owner!(
    /// The settings of a convolution.
    ConvDescriptor,
    cudnnConvolutionDescriptor_t,
    create_convolution_descriptor,
    destroy_convolution_descriptor,
    "a convolution descriptor"
);

/// The number of axes as cuDNN counts it; at most five.
fn count(axes: &[i32]) -> i32 {
    axes.len() as i32
}

impl Handle {
    /// For work on this stream. The stream must outlive the handle's use, and its context be that of the calling thread.
    pub(super) fn new(stream: &CudaStream) -> Result<Self> {
        let handle = Self::create()?;
        // SAFETY: the handle was made above; the stream is alive, since it is borrowed, and the caller keeps it.
        asked("a stream", unsafe { result::set_stream(handle.0, stream.cu_stream().cast()) })?;
        Ok(handle)
    }
}

impl TensorDescriptor {
    /// For a tensor with these numbers.
    pub(super) fn new(numbers: &TensorNumbers, of: sys::cudnnDataType_t) -> Result<Self> {
        let descriptor = Self::create()?;
        let TensorNumbers { dims, strides } = numbers;
        // SAFETY: the descriptor was made above; both lists have as many entries as is said, since `TensorNumbers` makes them so.
        let set =
            unsafe { result::set_tensornd_descriptor(descriptor.0, of, count(dims), dims.as_ptr(), strides.as_ptr()) };
        asked("the sizes of a tensor", set)?;
        Ok(descriptor)
    }
}

impl FilterDescriptor {
    /// For a contiguous filter with these sizes.
    pub(super) fn new(dims: &[i32], of: sys::cudnnDataType_t) -> Result<Self> {
        let descriptor = Self::create()?;
        let format = sys::cudnnTensorFormat_t::CUDNN_TENSOR_NCHW;
        // SAFETY: the descriptor was made above; the list has as many entries as is said.
        let set = unsafe { result::set_filternd_descriptor(descriptor.0, of, format, count(dims), dims.as_ptr()) };
        asked("the sizes of a filter", set)?;
        Ok(descriptor)
    }
}

impl ConvDescriptor {
    /// For a convolution (cross-correlation) with these lists of one length, in groups, that adds up in the type `sums`.
    pub(super) fn new(
        [padding, stride, dilation]: [&[i32]; 3],
        groups: i32,
        sums: sys::cudnnDataType_t,
    ) -> Result<Self> {
        let descriptor = Self::create()?;
        let axes = count(padding).min(count(stride)).min(count(dilation));
        let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        let (padding, stride, dilation) = (padding.as_ptr(), stride.as_ptr(), dilation.as_ptr());
        // SAFETY: the descriptor was made above; no list is shorter than `axes`.
        let set =
            unsafe { result::set_convolutionnd_descriptor(descriptor.0, axes, padding, stride, dilation, mode, sums) };
        asked("the settings of a convolution", set)?;
        // SAFETY: the descriptor was made above.
        asked("the groups of a convolution", unsafe { result::set_convolution_group_count(descriptor.0, groups) })?;
        Ok(descriptor)
    }

    /// Which arithmetic may be used.
    pub(super) fn set_math(&self, math: sys::cudnnMathType_t) -> Result<()> {
        // SAFETY: the descriptor is alive, and belongs to this thread like everything here.
        asked("a kind of arithmetic", unsafe { result::set_convolution_math_type(self.0, math) })
    }
}
