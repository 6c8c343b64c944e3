//! One pass of one convolution, ready to be called: descriptors, algorithm, size of the work space.
//!
//! Invariants: a plan is used by the thread that made it; the algorithm is one that cuDNN offered for these descriptors and that the settings
//! allow ([`crate::conv::choice`]).

use cudarc::cudnn::{CudnnDataType, result, sys};
use cudarc::driver::sys::CUdeviceptr;

use super::descriptors::{ConvDescriptor, FilterDescriptor, Handle, TensorDescriptor, asked};
use crate::conv::choice::{Algorithms, Arithmetic, Computation, Offer, choose};
use crate::conv::descriptor::{ConvNumbers, Pass};
use crate::error::{CudaError, Result};

/// Work space that an algorithm should not exceed where another serves: that of a large layer by the slower ones, in bytes.
const MODEST: usize = 1 << 30;

/// An algorithm of one of the passes.
#[derive(Clone, Copy)]
enum Algorithm {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    Data(sys::cudnnConvolutionBwdDataAlgo_t),
    Filter(sys::cudnnConvolutionBwdFilterAlgo_t),
}

/// The descriptors of a convolution.
struct Descriptors {
    input: TensorDescriptor,
    filter: FilterDescriptor,
    output: TensorDescriptor,
    conv: ConvDescriptor,
}

/// A pass that can be called.
pub(super) struct Plan {
    descriptors: Descriptors,
    algorithm: Algorithm,
    doubles: bool,
    /// Bytes of work space.
    pub(super) memory: usize,
}

/// The work space of a call.
pub(super) struct WorkSpace {
    /// Where it starts; null where there is none.
    pub(super) start: CUdeviceptr,
    /// Its bytes.
    pub(super) bytes: usize,
}

type MathType = sys::cudnnMathType_t;

/// Asks cuDNN for its algorithms by one of its functions. The answer of `ask` is a list of `most` entries, of which it fills some.
macro_rules! offers {
    ($most:expr, $answer:ty, $variant:ident, $ask:expr) => {{
        // An algorithm is offered once for each arithmetic that it can take.
        const MOST: usize = 2 * $most as usize;
        let mut found = 0;
        // SAFETY: the entries are numbers, and enumerations that have a member 0.
        let mut answers: [$answer; MOST] = [unsafe { std::mem::zeroed() }; MOST];
        let status: sys::cudnnStatus_t = $ask(MOST as i32, &mut found, answers.as_mut_ptr());
        asked("its algorithms", status.result())?;
        // The answers of the three passes have the same fields.
        let offer = |answer: &$answer| Offer {
            algorithm: (Algorithm::$variant(answer.algo), answer.mathType),
            serves: answer.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS,
            deterministic: answer.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC,
            rounds: matches!(
                answer.mathType,
                MathType::CUDNN_TENSOR_OP_MATH | MathType::CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION
            ),
            memory: answer.memory,
        };
        answers.iter().take(usize::try_from(found).unwrap_or(0)).map(offer).collect::<Vec<_>>()
    }};
}

impl Descriptors {
    /// What cuDNN offers, best first: by its heuristics, or by a trial that allocates operands of its own.
    fn offers(&self, handle: &Handle, pass: Pass, trial: bool) -> Result<Vec<Offer<(Algorithm, MathType)>>> {
        let (handle, x, w) = (handle.raw(), self.input.raw(), self.filter.raw());
        let (conv, y) = (self.conv.raw(), self.output.raw());
        Ok(match pass {
            Pass::Forward => {
                offers!(
                    sys::cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_COUNT,
                    sys::cudnnConvolutionFwdAlgoPerf_t,
                    Forward,
                    |most, found: &mut i32, answers: *mut sys::cudnnConvolutionFwdAlgoPerf_t| {
                        // SAFETY: handle and descriptors are alive; `answers` has room for `most` entries.
                        unsafe {
                            if trial {
                                sys::cudnnFindConvolutionForwardAlgorithm(handle, x, w, conv, y, most, found, answers)
                            } else {
                                sys::cudnnGetConvolutionForwardAlgorithm_v7(handle, x, w, conv, y, most, found, answers)
                            }
                        }
                    }
                )
            }
            Pass::DataGradient => offers!(
                sys::cudnnConvolutionBwdDataAlgo_t::CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT,
                sys::cudnnConvolutionBwdDataAlgoPerf_t,
                Data,
                |most, found: &mut i32, answers: *mut sys::cudnnConvolutionBwdDataAlgoPerf_t| {
                    // SAFETY: as above.
                    unsafe {
                        if trial {
                            sys::cudnnFindConvolutionBackwardDataAlgorithm(handle, w, y, conv, x, most, found, answers)
                        } else {
                            sys::cudnnGetConvolutionBackwardDataAlgorithm_v7(
                                handle, w, y, conv, x, most, found, answers,
                            )
                        }
                    }
                }
            ),
            Pass::FilterGradient => offers!(
                sys::cudnnConvolutionBwdFilterAlgo_t::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT,
                sys::cudnnConvolutionBwdFilterAlgoPerf_t,
                Filter,
                |most, found: &mut i32, answers: *mut sys::cudnnConvolutionBwdFilterAlgoPerf_t| {
                    // SAFETY: as above.
                    unsafe {
                        if trial {
                            sys::cudnnFindConvolutionBackwardFilterAlgorithm(
                                handle, x, y, conv, w, most, found, answers,
                            )
                        } else {
                            sys::cudnnGetConvolutionBackwardFilterAlgorithm_v7(
                                handle, x, y, conv, w, most, found, answers,
                            )
                        }
                    }
                }
            ),
        })
    }

    /// Bytes of work space that an algorithm asks for.
    fn memory(&self, handle: &Handle, algorithm: Algorithm) -> Result<usize> {
        let (handle, x, w) = (handle.raw(), self.input.raw(), self.filter.raw());
        let (conv, y) = (self.conv.raw(), self.output.raw());
        // SAFETY: handle and descriptors are alive.
        let bytes = unsafe {
            match algorithm {
                Algorithm::Forward(by) => result::get_convolution_forward_workspace_size(handle, x, w, conv, y, by),
                Algorithm::Data(by) => result::get_convolution_backward_data_workspace_size(handle, w, y, conv, x, by),
                Algorithm::Filter(by) => {
                    result::get_convolution_backward_filter_workspace_size(handle, x, y, conv, w, by)
                }
            }
        };
        asked("the size of a work space", bytes)
    }
}

impl Plan {
    /// For tensors of type `T` with these numbers.
    pub(super) fn new<T: CudnnDataType>(
        handle: &Handle,
        pass: Pass,
        numbers: &ConvNumbers,
        Computation { algorithms, arithmetic }: Computation,
    ) -> Result<Self> {
        use sys::cudnnDataType_t::{CUDNN_DATA_DOUBLE, CUDNN_DATA_FLOAT};
        let of = T::DATA_TYPE;
        let doubles = of == CUDNN_DATA_DOUBLE;
        let sums = if doubles { CUDNN_DATA_DOUBLE } else { CUDNN_DATA_FLOAT };
        let settings = [&numbers.padding[..], &numbers.stride, &numbers.dilation];
        let descriptors = Descriptors {
            input: TensorDescriptor::new(&numbers.input, of)?,
            filter: FilterDescriptor::new(&numbers.filter, of)?,
            output: TensorDescriptor::new(&numbers.output, of)?,
            conv: ConvDescriptor::new(settings, numbers.groups, sums)?,
        };
        // Single precision is computed exactly only where that is said: the default allows TF32.
        let exact = of == CUDNN_DATA_FLOAT && arithmetic == Arithmetic::Exact;
        let math = match of {
            CUDNN_DATA_FLOAT if exact => MathType::CUDNN_FMA_MATH,
            CUDNN_DATA_FLOAT | CUDNN_DATA_DOUBLE => MathType::CUDNN_DEFAULT_MATH,
            _ => MathType::CUDNN_TENSOR_OP_MATH,
        };
        descriptors.conv.set_math(math)?;
        let trial = algorithms == Algorithms::QuickestNotReproducible;
        let choice = |trial: bool| -> Result<_> {
            Ok(choose(&descriptors.offers(handle, pass, trial)?, algorithms, !exact, MODEST))
        };
        // The operands of a trial may find no room beside a training; the heuristics need none.
        let tried = if trial { choice(true).unwrap_or(None) } else { None };
        let chosen = if tried.is_some() { tried } else { choice(false)? };
        let Some(Offer { algorithm: (algorithm, offered), .. }) = chosen else {
            let (kind, advice) = match algorithms {
                Algorithms::Reproducible => {
                    ("deterministic ", "; where results need not be reproducible, ask for the quickest algorithms")
                }
                Algorithms::QuickestNotReproducible => ("", ""),
            };
            let what = format!("{kind}algorithm for the pass {pass:?}");
            return Err(CudaError::NoAlgorithm { what, shape: numbers.describe(), advice });
        };
        descriptors.conv.set_math(if exact { math } else { offered })?;
        let memory = descriptors.memory(handle, algorithm)?;
        Ok(Self { descriptors, algorithm, doubles, memory })
    }

    /// Computes the pass on the handle's stream, in the order of operands of [`Pass`].
    ///
    /// # Safety
    /// The three addresses are memory of the card, in the context of this thread, that holds as many entries of the plan's type as the numbers
    /// that the plan was made of say for operands and result of the pass; the work space has at least [`Plan::memory`] bytes. All of it
    /// stays allocated until the stream has done the work, and the result overlaps neither operand nor work space.
    pub(super) unsafe fn call(
        &self,
        handle: &Handle,
        [first, second, into]: [CUdeviceptr; 3],
        work: WorkSpace,
    ) -> Result<()> {
        let Descriptors { input, filter, output, conv } = &self.descriptors;
        let (handle, x, w, conv, y) = (handle.raw(), input.raw(), filter.raw(), conv.raw(), output.raw());
        let (single, double) = ([1.0_f32, 0.0], [1.0_f64, 0.0]);
        let scalar = |which: usize| -> *const std::ffi::c_void {
            if self.doubles { (&raw const double[which]).cast() } else { (&raw const single[which]).cast() }
        };
        let (one, zero) = (scalar(0), scalar(1));
        let (first, second, into) = (first as *const std::ffi::c_void, second as *const _, into as *mut _);
        let (work, bytes) = (work.start as *mut std::ffi::c_void, work.bytes);
        // SAFETY: descriptors and handle are alive; the scalars have the type of the sums and are read before the call returns; the rest is
        // what the caller promises. The first operand of the data gradient is the filter, that of the others the input.
        let done = unsafe {
            match self.algorithm {
                Algorithm::Forward(by) => {
                    result::convolution_forward(handle, one, x, first, w, second, conv, by, work, bytes, zero, y, into)
                }
                Algorithm::Data(by) => result::convolution_backward_data(
                    handle, one, w, first, y, second, conv, by, work, bytes, zero, x, into,
                ),
                Algorithm::Filter(by) => result::convolution_backward_filter(
                    handle, one, x, first, y, second, conv, by, work, bytes, zero, w, into,
                ),
            }
        };
        asked("a convolution", done)
    }
}
