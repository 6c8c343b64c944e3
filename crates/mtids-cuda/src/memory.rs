//! A card's memory: freed memory stays with the program, allocations make no events, and how much was taken at most.
//!
//! Purpose: candle allocates each result in the order of its stream, from the driver's pool of the card. By default that pool gives all free memory back to
//! the driver whenever a stream is waited for, which a training does for each batch. cudarc makes two events for each allocation, which order the
//! streams of a context that made some; candle's makes none. [`prepare`] ends both. Invariant: results do not depend on it.
#![allow(unsafe_code)]

use candle_core::Device;
#[cfg(feature = "cuda")]
use cudarc::driver::{CudaContext, DriverError, sys};

/// Bytes of a card's pool at their highest since the program started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// Of tensors and work spaces that were there at once.
    pub used: u64,
    /// Taken from the card, with free memory between them.
    pub reserved: u64,
}

/// Prepares a card before its first tensor: freed memory stays in the pool, and allocations make no events. Does nothing for a CPU.
///
/// # Errors
/// When the driver refuses it.
pub fn prepare(device: &Device) -> candle_core::Result<()> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        let stream = device.cuda_stream();
        let context = stream.context();
        if let Some(pool) = pool(context).map_err(candle_core::Error::wrap)? {
            pool.set(Attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX).map_err(candle_core::Error::wrap)?;
        }
        if !context.is_in_multi_stream_mode() {
            // SAFETY: cudarc records and waits for events only in a context that has made streams of its own. This one has made none (asked above), and
            // nothing in the workspace makes one: candle's device is one stream, CUDA's own of each thread. So the events order nothing today,
            // and without them the order is what it was. That order is sound: work of one thread follows itself, memory is freed in the order of the
            // stream of the thread that drops it, and a tensor that passes to another thread is waited for first (`mtids-train/src/staging.rs`).
            unsafe { device.disable_event_tracking() };
        }
    }
    let _ = device;
    Ok(())
}

/// The peak of a card's memory; none for a CPU, for a card without a pool, and without the feature `cuda`. What libraries allocate by themselves is not in it.
///
/// # Errors
/// When the driver refuses to say.
pub fn peak(device: &Device) -> candle_core::Result<Option<Peak>> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        let peak = || -> Result<_, DriverError> {
            let Some(pool) = pool(device.cuda_stream().context())? else { return Ok(None) };
            let used = pool.get(Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)?;
            Ok(Some(Peak { used, reserved: pool.get(Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH)? }))
        };
        return peak().map_err(candle_core::Error::wrap);
    }
    let _ = device;
    Ok(None)
}

/// Gives the free memory of the pool back to the driver, for a library that allocates from it. What freed it must have been waited for.
#[cfg(feature = "cuda")]
pub(crate) fn give_back(context: &CudaContext) -> Result<(), DriverError> {
    let Some(pool) = pool(context)? else { return Ok(()) };
    // SAFETY: the pool is alive, see `Pool`; memory in use stays in it.
    unsafe { sys::cuMemPoolTrimTo(pool.0, 0) }.result()
}

#[cfg(feature = "cuda")]
type Attribute = sys::CUmemPool_attribute;

/// The default pool of a card, which lives as long as the driver.
#[cfg(feature = "cuda")]
struct Pool(sys::CUmemoryPool);

/// The pool that candle's allocations of a context come from; none where a card or driver has no pools.
#[cfg(feature = "cuda")]
fn pool(context: &CudaContext) -> Result<Option<Pool>, DriverError> {
    if !context.has_async_alloc() {
        return Ok(None);
    }
    context.bind_to_thread()?;
    let mut pool = std::ptr::null_mut();
    // SAFETY: the card is that of a living context; the address is written before the call returns.
    unsafe { sys::cuDeviceGetDefaultMemPool(&raw mut pool, context.cu_device()) }.result()?;
    Ok((!pool.is_null()).then_some(Pool(pool)))
}

#[cfg(feature = "cuda")]
impl Pool {
    /// Sets an attribute that is a number of 64 bits, as those of sizes are.
    fn set(&self, attribute: Attribute, mut value: u64) -> Result<(), DriverError> {
        // SAFETY: the pool is alive; the attributes that this module names are read as 64 bits, before the call returns.
        unsafe { sys::cuMemPoolSetAttribute(self.0, attribute, (&raw mut value).cast()) }.result()
    }

    /// Such an attribute.
    fn get(&self, attribute: Attribute) -> Result<u64, DriverError> {
        let mut value = 0_u64;
        // SAFETY: as above, written.
        unsafe { sys::cuMemPoolGetAttribute(self.0, attribute, (&raw mut value).cast()) }.result()?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_needs_nothing_and_has_no_pool() {
        prepare(&Device::Cpu).unwrap();
        assert_eq!(peak(&Device::Cpu).unwrap(), None);
    }
}
