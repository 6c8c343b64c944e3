//! Launches of the kernels, on the host and on the card: safe functions that check lengths.
//!
//! Invariant: both call the same source with the same arguments in the same order (`ARGUMENTS` in `kernels/norm.cu`).
#![allow(unsafe_code)]

#[cfg(feature = "cuda")]
use candle_core::CudaDevice;
#[cfg(feature = "cuda")]
use cudarc::driver::{CudaSlice, CudaView, DeviceRepr, LaunchConfig, PushKernelArg};

#[cfg(feature = "cuda")]
use super::kernel::THREADS;
use super::kernel::{Kernel, Sizes, input};
use crate::log::launched;

/// A type of entries that the kernels are compiled for.
pub(super) trait Real: Copy + Default {
    /// Place of its name in [`Kernel::names`].
    const NAME: usize;
    /// The kernel compiled for the host.
    fn host(kernel: Kernel) -> Host<Self>;
}

/// A kernel compiled for the host: width and height of the grid, then the arguments of the kernel.
type Host<T> = unsafe extern "C" fn(
    u32,
    u32,
    *const T,
    *const T,
    *const T,
    *const T,
    *const T,
    *const T,
    *const T,
    *const T,
    *mut T,
    *mut f64,
    u32,
    u32,
    u32,
    u32,
    u32,
);

macro_rules! host {
    ($type:ident, $name:literal, $($kernel:ident: $symbol:ident),*) => {
        unsafe extern "C" {
            $(fn $symbol(
                width: u32, height: u32, first: *const $type, second: *const $type, third: *const $type, weight: *const $type,
                bias: *const $type, mean: *const $type, variance: *const $type, sums: *const $type, result: *mut $type, parts: *mut f64,
                batch: u32, channels: u32, cells: u32, splits: u32, flags: u32,
            );)*
        }

        impl Real for $type {
            const NAME: usize = $name;

            fn host(kernel: Kernel) -> Host<Self> {
                match kernel {
                    $(Kernel::$kernel => $symbol,)*
                }
            }
        }
    };
}

host!(
    f32, 0,
    MomentsParts: mtids_moments_parts_f32, MomentsJoin: mtids_moments_join_f32, Normalise: mtids_normalise_f32,
    GradientParts: mtids_gradient_parts_f32, GradientJoin: mtids_gradient_join_f32,
    InputGradient: mtids_input_gradient_f32, OpenGradient: mtids_open_gradient_f32
);
host!(
    f64, 1,
    MomentsParts: mtids_moments_parts_f64, MomentsJoin: mtids_moments_join_f64, Normalise: mtids_normalise_f64,
    GradientParts: mtids_gradient_parts_f64, GradientJoin: mtids_gradient_join_f64,
    InputGradient: mtids_input_gradient_f64, OpenGradient: mtids_open_gradient_f64
);

/// Runs a kernel on the host.
pub(super) fn on_host<T: Real>(
    kernel: Kernel,
    (sizes, flags): (Sizes, u32),
    inputs: [&[T]; input::COUNT],
    result: &mut [T],
    parts: &mut [f64],
) -> candle_core::Result<()> {
    if !kernel.check(sizes, flags, inputs.map(<[T]>::len), result.len(), parts.len()) {
        candle_core::bail!("{kernel:?} of {sizes:?}: memory is too short");
    }
    let [width, height] = kernel.grid(sizes);
    let [first, second, third, weight, bias, mean, variance, sums] = inputs.map(<[T]>::as_ptr);
    let (result, parts) = (result.as_mut_ptr(), parts.as_mut_ptr());
    let Sizes { batch, channels, cells, splits } = sizes;
    launched(kernel.names()[T::NAME]);
    // SAFETY: `check` holds, so the kernel stays within the slices; what it writes is borrowed mutably, so nothing else is.
    unsafe {
        T::host(kernel)(
            width, height, first, second, third, weight, bias, mean, variance, sums, result, parts, batch, channels,
            cells, splits, flags,
        );
    }
    Ok(())
}

/// Numbers on the card with unspecified values, for a kernel to write.
#[cfg(feature = "cuda")]
pub(super) fn alloc<T: DeviceRepr>(device: &CudaDevice, length: usize) -> candle_core::Result<CudaSlice<T>> {
    // SAFETY: every pattern of bits is a number, and the kernels write what is read from this memory.
    unsafe { device.alloc(length) }
}

/// Launches a kernel on the card.
#[cfg(feature = "cuda")]
pub(super) fn on_card<T: Real + DeviceRepr>(
    device: &CudaDevice,
    kernel: Kernel,
    (sizes, flags): (Sizes, u32),
    inputs: &[CudaView<'_, T>; input::COUNT],
    result: &mut CudaSlice<T>,
    parts: &mut CudaSlice<f64>,
) -> candle_core::Result<()> {
    const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/norm.ptx"));
    let lengths: [usize; input::COUNT] = std::array::from_fn(|which| inputs[which].len());
    if !kernel.check(sizes, flags, lengths, result.len(), parts.len()) {
        candle_core::bail!("{kernel:?} of {sizes:?}: memory is too short");
    }
    let name = kernel.names()[T::NAME];
    let function = device.get_or_load_custom_func(name, "mtids-norm", PTX)?;
    let [width, height] = kernel.grid(sizes);
    let grid = LaunchConfig { grid_dim: (width, height, 1), block_dim: (THREADS as u32, 1, 1), shared_mem_bytes: 0 };
    let Sizes { batch, channels, cells, splits } = sizes;
    let mut launch = function.builder();
    for input in inputs {
        launch.arg(input);
    }
    launch.arg(result).arg(parts);
    for number in [&batch, &channels, &cells, &splits, &flags] {
        launch.arg(number);
    }
    launched(name);
    // SAFETY: the arguments are those of `ARGUMENTS` in number, order and type; `check` holds, so the kernel stays within them, and what it
    // writes is borrowed mutably. cudarc frees memory in the order of the stream. The block has as many threads as the kernel was compiled for.
    unsafe { launch.launch(grid) }.map_err(candle_core::Error::wrap)?;
    Ok(())
}
