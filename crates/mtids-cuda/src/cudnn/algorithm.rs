//! Algorithms and arithmetics of cuDNN by their numbers, and the form of its answers.
//!
//! Invariant: [`Answer`] has the size of the library's answers about each pass, and the same fields in the same places.

use std::mem::offset_of;

use cudarc::cudnn::sys;

use crate::conv::answer::Answer;
use crate::conv::descriptor::Pass;

/// An arithmetic.
pub(super) type Math = sys::cudnnMathType_t;

/// An algorithm of one of the passes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Algorithm {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    Data(sys::cudnnConvolutionBwdDataAlgo_t),
    Filter(sys::cudnnConvolutionBwdFilterAlgo_t),
}

impl Algorithm {
    /// The algorithm of a pass with this number, if it is known.
    pub(super) fn numbered(pass: Pass, number: u32) -> Option<Self> {
        use sys::{
            cudnnConvolutionBwdDataAlgo_t as Data, cudnnConvolutionBwdFilterAlgo_t as Filter,
            cudnnConvolutionFwdAlgo_t as Forward,
        };
        Some(match (pass, number) {
            (Pass::Forward, 0) => Self::Forward(Forward::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM),
            (Pass::Forward, 1) => Self::Forward(Forward::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM),
            (Pass::Forward, 2) => Self::Forward(Forward::CUDNN_CONVOLUTION_FWD_ALGO_GEMM),
            (Pass::Forward, 3) => Self::Forward(Forward::CUDNN_CONVOLUTION_FWD_ALGO_DIRECT),
            (Pass::Forward, 4) => Self::Forward(Forward::CUDNN_CONVOLUTION_FWD_ALGO_FFT),
            (Pass::Forward, 5) => Self::Forward(Forward::CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING),
            (Pass::Forward, 6) => Self::Forward(Forward::CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD),
            (Pass::Forward, 7) => Self::Forward(Forward::CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED),
            (Pass::DataGradient, 0) => Self::Data(Data::CUDNN_CONVOLUTION_BWD_DATA_ALGO_0),
            (Pass::DataGradient, 1) => Self::Data(Data::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1),
            (Pass::DataGradient, 2) => Self::Data(Data::CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT),
            (Pass::DataGradient, 3) => Self::Data(Data::CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT_TILING),
            (Pass::DataGradient, 4) => Self::Data(Data::CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD),
            (Pass::DataGradient, 5) => Self::Data(Data::CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD_NONFUSED),
            (Pass::FilterGradient, 0) => Self::Filter(Filter::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0),
            (Pass::FilterGradient, 1) => Self::Filter(Filter::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1),
            (Pass::FilterGradient, 2) => Self::Filter(Filter::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT),
            (Pass::FilterGradient, 3) => Self::Filter(Filter::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3),
            (Pass::FilterGradient, 4) => Self::Filter(Filter::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD),
            (Pass::FilterGradient, 5) => Self::Filter(Filter::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED),
            (Pass::FilterGradient, 6) => Self::Filter(Filter::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT_TILING),
            _ => return None,
        })
    }
}

/// The arithmetic with this number, if it is known.
pub(super) fn math_numbered(number: u32) -> Option<Math> {
    [
        Math::CUDNN_DEFAULT_MATH,
        Math::CUDNN_TENSOR_OP_MATH,
        Math::CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION,
        Math::CUDNN_FMA_MATH,
    ]
    .into_iter()
    .find(|&math| math as u32 == number)
}

macro_rules! same_form {
    ($($theirs:ty),*) => {$(
        const _: () = assert!(
            size_of::<Answer>() == size_of::<$theirs>()
                && align_of::<Answer>() == align_of::<$theirs>()
                && offset_of!(Answer, algorithm) == offset_of!($theirs, algo)
                && offset_of!(Answer, status) == offset_of!($theirs, status)
                && offset_of!(Answer, time) == offset_of!($theirs, time)
                && offset_of!(Answer, memory) == offset_of!($theirs, memory)
                && offset_of!(Answer, determinism) == offset_of!($theirs, determinism)
                && offset_of!(Answer, math) == offset_of!($theirs, mathType)
        );
    )*};
}

same_form!(
    sys::cudnnConvolutionFwdAlgoPerf_t,
    sys::cudnnConvolutionBwdDataAlgoPerf_t,
    sys::cudnnConvolutionBwdFilterAlgoPerf_t
);
