//! Addresses of tensors that are read, taken while they are locked.
//!
//! Invariant: an address is that of as many entries as its tensor has, one behind the other.

use candle_core::{CpuStorage, DType, Layout, Tensor};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, cuda_backend::CudaStorageSlice};
#[cfg(feature = "cuda")]
use cudarc::driver::DevicePtr;

pub(super) fn same(one: &Tensor, other: &Tensor) -> candle_core::Result<()> {
    if one.dtype() != other.dtype() || !one.device().same_device(other.device()) {
        candle_core::bail!("tensors of several types or devices");
    }
    Ok(())
}

/// Bytes of an entry.
pub(super) fn width(dtype: DType) -> candle_core::Result<usize> {
    match dtype {
        DType::F32 | DType::F64 => Ok(dtype.size_in_bytes()),
        other => candle_core::bail!("an update needs f32 or f64, not {other:?}"),
    }
}

/// Where the entries of a contiguous tensor start and end in its storage.
pub(super) fn range(layout: &Layout) -> candle_core::Result<(usize, usize)> {
    match layout.contiguous_offsets() {
        Some(range) => Ok(range),
        None => candle_core::bail!("an update needs contiguous tensors"),
    }
}

/// Locks of tensors that are read, and their addresses.
macro_rules! read {
    ($tensors:expr, $guards:ident, $addresses:ident, $variant:ident, $address:expr) => {
        let $guards: Vec<_> = $tensors.map(Tensor::storage_and_layout).collect();
        let mut $addresses = Vec::with_capacity($guards.len());
        for (storage, layout) in &$guards {
            let Storage::$variant(storage) = &**storage else { candle_core::bail!("tensors of several devices") };
            $addresses.push($address(storage, range(layout)?)?);
        }
    };
}

pub(super) use read;

/// Address of entries of the host that are read.
pub(super) fn host_address(storage: &CpuStorage, (start, end): (usize, usize)) -> candle_core::Result<u64> {
    Ok(match storage {
        CpuStorage::F32(entries) => entries[start..end].as_ptr() as u64,
        CpuStorage::F64(entries) => entries[start..end].as_ptr() as u64,
        _ => candle_core::bail!("an update needs f32 or f64"),
    })
}

/// Address of entries of the card, and what tells cudarc when they are no longer used.
#[cfg(feature = "cuda")]
pub(super) fn card_address<'s>(
    storage: &'s CudaStorage,
    (start, end): (usize, usize),
    stream: &'s cudarc::driver::CudaStream,
) -> candle_core::Result<(u64, cudarc::driver::SyncOnDrop<'s>)> {
    macro_rules! of {
        ($slice:ident, $type:ty) => {{
            if end > $slice.len() {
                candle_core::bail!("entries {start} to {end} of {}", $slice.len());
            }
            let (address, used) = $slice.device_ptr(stream);
            Ok((address + (start * size_of::<$type>()) as u64, used))
        }};
    }
    match &storage.slice {
        CudaStorageSlice::F32(slice) => of!(slice, f32),
        CudaStorageSlice::F64(slice) => of!(slice, f64),
        _ => candle_core::bail!("an update needs f32 or f64"),
    }
}
