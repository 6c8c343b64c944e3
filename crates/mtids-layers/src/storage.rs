//! The entries of tensors on the CPU, for operations with their own gradients.

use candle_core::{CpuStorage, Layout, Storage, Tensor, WithDType};

/// The entries of a contiguous tensor.
pub(crate) fn entries<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&T::cpu_storage_as_slice(storage)?[start..end]),
        None => candle_core::bail!("expected a contiguous tensor"),
    }
}

/// The entries of several contiguous tensors on the CPU.
pub(crate) fn with_entries<T: WithDType, const N: usize, R>(
    tensors: [&Tensor; N],
    use_them: impl FnOnce([&[T]; N]) -> R,
) -> candle_core::Result<R> {
    let guards = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[T]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        *slice = match &**storage {
            Storage::Cpu(storage) => entries(storage, layout)?,
            _ => candle_core::bail!("expected a tensor on the CPU"),
        };
    }
    Ok(use_them(slices))
}

/// The entries of contiguous tensors on the CPU, an empty row where there is none.
///
/// # Errors
/// When a tensor lies on another device or is not contiguous.
pub fn with_rows<T: WithDType, R>(
    tensors: &[Option<Tensor>],
    use_them: impl FnOnce(&[&[T]]) -> R,
) -> candle_core::Result<R> {
    let guards: Vec<_> = tensors.iter().map(|tensor| tensor.as_ref().map(Tensor::storage_and_layout)).collect();
    let mut rows: Vec<&[T]> = Vec::with_capacity(tensors.len());
    for guard in &guards {
        rows.push(match guard {
            None => &[],
            Some((storage, layout)) => match &**storage {
                Storage::Cpu(storage) => entries(storage, layout)?,
                _ => candle_core::bail!("expected a tensor on the CPU"),
            },
        });
    }
    Ok(use_them(&rows))
}

/// The entries of a contiguous tensor, to be changed.
pub(crate) fn entries_mut<'a, T>(storage: &'a mut [T], layout: &Layout) -> candle_core::Result<&'a mut [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&mut storage[start..end]),
        None => candle_core::bail!("expected a contiguous tensor"),
    }
}
