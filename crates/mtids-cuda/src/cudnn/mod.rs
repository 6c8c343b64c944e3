//! Calls of cuDNN: one function, [`run`], which checks sizes and is safe.
//!
//! Purpose: handle, plans by shape and a work space are made once and kept. Invariants: they belong to the thread that made them, because a handle
//! serves one thread, and candle's stream is another one in each thread; so calls that share a work space follow each other on one
//! stream, and the work space is never used by two at once. A work space only grows.
#![allow(unsafe_code)]

mod algorithm;
mod descriptors;
mod plan;

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use candle_core::CudaDevice;
use candle_core::cuda_backend::DeviceId;
use cudarc::cudnn::{CudnnDataType, result};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DevicePtrMut, DeviceRepr, DriverError};

use self::descriptors::Handle;
use self::plan::{Plan, WorkSpace};
use crate::conv::choice::{Algorithms, Computation};
use crate::conv::descriptor::{ConvNumbers, Pass};
use crate::error::{CudaError, Result};
use crate::memory::give_back;

/// The first version whose interface this crate was written for.
const VERSION: usize = 90_000;

/// Addresses of operands are multiples of this many bytes, as those of whole allocations are; cuDNN reads vectors of this width.
const ALIGNMENT: usize = 16;

/// What a plan is kept under.
type Key = (Pass, ConvNumbers, Computation, u32);

/// What a thread keeps for one card. Fields are dropped in this order: the plans before their handle.
struct Card {
    plans: HashMap<Key, Plan>,
    work: Option<CudaSlice<u8>>,
    handle: Handle,
    stream: Arc<CudaStream>,
}

thread_local! {
    static CARDS: RefCell<HashMap<DeviceId, Card>> = RefCell::new(HashMap::new());
}

impl Card {
    fn new(device: &CudaDevice) -> Result<Self> {
        let version = result::get_version();
        if version < VERSION {
            let status = format!("version {version} is too old; install cuDNN 9");
            return Err(CudaError::Cudnn { what: "to be used", status });
        }
        let stream = device.cuda_stream();
        Ok(Self { plans: HashMap::new(), work: None, handle: Handle::new(&stream)?, stream })
    }

    /// The plan, made at the first call, and a work space that is large enough for it.
    fn plan<T: CudnnDataType>(
        &mut self,
        pass: Pass,
        numbers: &ConvNumbers,
        computation: Computation,
    ) -> Result<(&Plan, &Handle, &mut Option<CudaSlice<u8>>)> {
        let plan = match self.plans.entry((pass, numbers.clone(), computation, T::DATA_TYPE as u32)) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => {
                if computation.algorithms == Algorithms::QuickestNotReproducible {
                    // A trial takes memory from the driver itself. Freed tensors go back to it when the stream is done and the pool is emptied.
                    let freed = self.stream.synchronize().and_then(|()| give_back(self.stream.context()));
                    freed
                        .map_err(|error| CudaError::Cudnn { what: "memory for a trial", status: error.to_string() })?;
                }
                place.insert(Plan::new::<T>(&self.handle, pass, numbers, computation)?)
            }
        };
        if plan.memory > self.work.as_ref().map_or(0, CudaSlice::len) {
            // The smaller one goes first: both may not fit. It is freed behind the work that uses it, in the order of the stream.
            self.work = None;
            let bytes = plan.memory;
            // SAFETY: cuDNN writes a work space before it reads it, and nothing else reads it.
            let work = unsafe { self.stream.alloc::<u8>(bytes) };
            let refuse =
                |error: DriverError| CudaError::Memory { bytes, shape: numbers.describe(), reason: error.to_string() };
            self.work = Some(work.map_err(refuse)?);
        }
        Ok((plan, &self.handle, &mut self.work))
    }
}

/// One pass of a convolution: the result, which is new.
///
/// # Errors
/// When an operand, from its first entry on, is shorter than the numbers say, cuDNN refuses, or the card has no memory.
pub(crate) fn run<T: CudnnDataType + DeviceRepr>(
    device: &CudaDevice,
    pass: Pass,
    numbers: &ConvNumbers,
    computation: Computation,
    operands: [(&CudaSlice<T>, usize); 2],
) -> candle_core::Result<CudaSlice<T>> {
    let (input, filter, output) = (numbers.input.entries(), numbers.filter_entries(), numbers.output.entries());
    let ([first, second], entries) = match pass {
        Pass::Forward => ([input, filter], output),
        Pass::DataGradient => ([filter, output], input),
        Pass::FilterGradient => ([input, output], filter),
    };
    let driver = |error: DriverError| candle_core::Error::wrap(error);
    let stream = device.cuda_stream();
    // The calls of cuDNN take the context of the thread, which may be that of another card.
    stream.context().bind_to_thread().map_err(driver)?;
    // Views whose end lies in the operand, aligned as whole tensors are.
    let mut copies = [None, None];
    for ((copy, (slice, start)), length) in copies.iter_mut().zip(operands).zip([first, second]) {
        let Some(view) = slice.try_slice(start..start + length) else {
            candle_core::bail!(
                "{} entries from {start} of {} are no operand of {}",
                length,
                slice.len(),
                numbers.describe()
            );
        };
        if !(start * size_of::<T>()).is_multiple_of(ALIGNMENT) {
            *copy = Some(stream.clone_dtod(&view).map_err(driver)?);
        }
    }
    let view = |which: usize, length: usize| match &copies[which] {
        Some(copy) => copy.as_view(),
        // It was cut above.
        None => operands[which].0.slice(operands[which].1..operands[which].1 + length),
    };
    let (first, second) = (view(0, first), view(1, second));
    // SAFETY: cuDNN writes every entry of a result without reading it, since its factor is 0; after an error the result is dropped unread.
    let mut into = unsafe { device.alloc::<T>(entries)? };
    CARDS.with(|cards| -> candle_core::Result<()> {
        let mut cards = cards.borrow_mut();
        let card = match cards.entry(device.id()) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => place.insert(Card::new(device)?),
        };
        let (plan, handle, work) = card.plan::<T>(pass, numbers, computation)?;
        let (first, _first) = first.device_ptr(&stream);
        let (second, _second) = second.device_ptr(&stream);
        let (into, _into) = into.device_ptr_mut(&stream);
        let bytes = plan.memory;
        let (start, _work) = work.as_mut().filter(|_| bytes > 0).map(|work| work.device_ptr_mut(&stream)).unzip();
        // SAFETY: the views have the lengths that the numbers say for this pass, and the result was allocated with its own; the work space
        // has at least the plan's bytes. cudarc frees memory in the order of the stream, so behind this call. The result and the work space are
        // allocations of their own. The context was bound above.
        unsafe { plan.call(handle, [first, second, into], WorkSpace { start: start.unwrap_or(0), bytes }) }?;
        Ok(())
    })?;
    Ok(into)
}
