//! One pass of one convolution, ready to be called: descriptors, algorithm, size of the work space.
//!
//! Invariants: a plan is used by the thread that made it; the algorithm is one that cuDNN offered for these descriptors and that the settings
//! allow ([`crate::conv::choice`]). Each plan is logged when it is made.

use cudarc::cudnn::{CudnnDataType, result, sys};
use cudarc::driver::sys::CUdeviceptr;

use super::algorithm::{Algorithm, Math, math_numbered};
use super::descriptors::{ConvDescriptor, FilterDescriptor, Handle, TensorDescriptor, asked};
use crate::conv::answer::Answer;
use crate::conv::choice::{Algorithms, Arithmetic, Computation, Offer, choose};
use crate::conv::descriptor::{ConvNumbers, Pass};
use crate::error::{CudaError, Result};
use crate::log::planned;

/// Work space that an algorithm should not exceed where another serves: that of a large layer by the slower ones, in bytes.
const MODEST: usize = 1 << 30;

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

/// Answers that are asked for: an algorithm is offered once for each arithmetic that it can take.
const MOST: usize = 32;

impl Descriptors {
    /// What cuDNN offers, best first: by its heuristics, or by a trial that allocates operands of its own.
    fn offers(&self, handle: &Handle, pass: Pass, trial: bool) -> Result<Vec<Offer<(u32, u32)>>> {
        let (handle, x, w) = (handle.raw(), self.input.raw(), self.filter.raw());
        let (conv, y) = (self.conv.raw(), self.output.raw());
        let (mut answers, mut found) = ([Answer::default(); MOST], 0);
        let (most, into) = (MOST as i32, answers.as_mut_ptr());
        // SAFETY: handle and descriptors are alive; there is room for `most` answers, which have the form of the library's (`algorithm`).
        let status = unsafe {
            match (pass, trial) {
                (Pass::Forward, true) => {
                    sys::cudnnFindConvolutionForwardAlgorithm(handle, x, w, conv, y, most, &mut found, into.cast())
                }
                (Pass::Forward, false) => {
                    sys::cudnnGetConvolutionForwardAlgorithm_v7(handle, x, w, conv, y, most, &mut found, into.cast())
                }
                (Pass::DataGradient, true) => {
                    sys::cudnnFindConvolutionBackwardDataAlgorithm(handle, w, y, conv, x, most, &mut found, into.cast())
                }
                (Pass::DataGradient, false) => sys::cudnnGetConvolutionBackwardDataAlgorithm_v7(
                    handle,
                    w,
                    y,
                    conv,
                    x,
                    most,
                    &mut found,
                    into.cast(),
                ),
                (Pass::FilterGradient, true) => sys::cudnnFindConvolutionBackwardFilterAlgorithm(
                    handle,
                    x,
                    y,
                    conv,
                    w,
                    most,
                    &mut found,
                    into.cast(),
                ),
                (Pass::FilterGradient, false) => sys::cudnnGetConvolutionBackwardFilterAlgorithm_v7(
                    handle,
                    x,
                    y,
                    conv,
                    w,
                    most,
                    &mut found,
                    into.cast(),
                ),
            }
        };
        asked("its algorithms", status.result())?;
        Ok(answers.iter().take(usize::try_from(found).unwrap_or(0)).map(|answer| answer.offer(pass)).collect())
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
            CUDNN_DATA_FLOAT if exact => Math::CUDNN_FMA_MATH,
            CUDNN_DATA_FLOAT | CUDNN_DATA_DOUBLE => Math::CUDNN_DEFAULT_MATH,
            _ => Math::CUDNN_TENSOR_OP_MATH,
        };
        descriptors.conv.set_math(math)?;
        let trial = algorithms == Algorithms::QuickestNotReproducible;
        let choice = |trial: bool| -> Result<_> {
            Ok(choose(&descriptors.offers(handle, pass, trial)?, algorithms, exact, MODEST))
        };
        // The operands of a trial may find no room beside a training; the heuristics need none.
        let tried = if trial { choice(true).unwrap_or(None) } else { None };
        let chosen = if tried.is_some() { tried } else { choice(false)? };
        let named = chosen.and_then(|offer| {
            let (algorithm, math) = offer.algorithm;
            Some((Algorithm::numbered(pass, algorithm)?, math_numbered(math)?))
        });
        let Some((algorithm, offered)) = named else {
            let (kind, advice) = match algorithms {
                Algorithms::Reproducible => {
                    ("deterministic ", "; where results need not be reproducible, ask for the quickest algorithms")
                }
                Algorithms::QuickestNotReproducible => ("", ""),
            };
            let what = format!("{kind}algorithm for the pass {pass:?}");
            return Err(CudaError::NoAlgorithm { what, shape: numbers.describe(), advice });
        };
        let math = if exact { math } else { offered };
        descriptors.conv.set_math(math)?;
        let memory = descriptors.memory(handle, algorithm)?;
        planned(format!("{pass:?} of {}: {algorithm:?}, {math:?}, {memory} bytes", numbers.describe()));
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
