//! Launches of the kernels, on the host and on the card.
//!
//! Invariant: both call the same source with the same arguments in the same order (`ARGUMENTS` in `kernels/update.cu`).
#![allow(unsafe_code)]

#[cfg(feature = "cuda")]
use candle_core::CudaDevice;
#[cfg(feature = "cuda")]
use cudarc::driver::{CudaSlice, LaunchConfig, PushKernelArg};

#[cfg(feature = "cuda")]
use super::table::THREADS;
use super::table::{Kernel, Rule, Table};
use crate::log::launched;

/// A type of entries that the kernels are compiled for.
pub(super) trait Real: Copy + Default {
    /// Place of its name in [`Kernel::names`].
    const NAME: usize;
    /// The kernel compiled for the host.
    fn host(kernel: Kernel) -> Host;
}

/// A kernel compiled for the host: width and height of the grid, then the arguments of the kernel.
type Host = unsafe extern "C" fn(u32, u32, *const u64, u32, u32, *const f64, *mut f64, f64, f64, f64, f64, f64, u32);

macro_rules! host {
    ($type:ident, $name:literal, $parts:ident, $join:ident, $gather:ident, $clip:ident, $adamw:ident, $sgd:ident, $fold:ident, $average:ident) => {
        host!(extern $parts, $join, $gather, $clip, $adamw, $sgd, $fold, $average);

        impl Real for $type {
            const NAME: usize = $name;

            fn host(kernel: Kernel) -> Host {
                match kernel {
                    Kernel::SquareParts => $parts,
                    Kernel::SquareJoin => $join,
                    Kernel::Gather => $gather,
                    Kernel::Clip { .. } => $clip,
                    Kernel::Update(Rule::AdamW { .. }) => $adamw,
                    Kernel::Update(Rule::Sgd { .. }) => $sgd,
                    Kernel::Update(Rule::Fold) => $fold,
                    Kernel::Update(Rule::Average { .. }) => $average,
                }
            }
        }
    };
    (extern $($symbol:ident),*) => {
        unsafe extern "C" {
            $(fn $symbol(
                width: u32, height: u32, table: *const u64, tensors: u32, blocks: u32, total: *const f64, parts: *mut f64,
                a: f64, b: f64, c: f64, d: f64, e: f64, flags: u32,
            );)*
        }
    };
}

host!(
    f32,
    0,
    mtids_square_parts_f32,
    mtids_square_join_f32,
    mtids_gather_f32,
    mtids_clip_f32,
    mtids_adamw_f32,
    mtids_sgd_f32,
    mtids_fold_f32,
    mtids_average_f32
);
host!(
    f64,
    1,
    mtids_square_parts_f64,
    mtids_square_join_f64,
    mtids_gather_f64,
    mtids_clip_f64,
    mtids_adamw_f64,
    mtids_sgd_f64,
    mtids_fold_f64,
    mtids_average_f64
);

/// Whether the numbers beside the table hold what the kernel touches: `total` is read and `parts` written.
fn holds(kernel: Kernel, table: &Table, total: usize, parts: usize) -> bool {
    match kernel {
        Kernel::SquareParts => parts >= table.blocks(),
        Kernel::SquareJoin => total >= table.blocks() && parts >= 1,
        Kernel::Clip { .. } => total >= 1,
        Kernel::Gather | Kernel::Update(_) => true,
    }
}

/// Blocks of a launch.
fn grid(kernel: Kernel, table: &Table) -> u32 {
    if kernel == Kernel::SquareJoin { 1 } else { table.blocks() as u32 }
}

/// Runs a kernel on the host.
///
/// # Safety
/// For each tensor of the table, each address that is not 0 is that of memory of the host for as many entries of `T` as the table says; that of what is
/// read may be read, the others may be written, and no two of one table overlap, but for what is read. The states of the rule are there.
pub(super) unsafe fn on_host<T: Real>(
    kernel: Kernel,
    table: &Table,
    total: &[f64],
    parts: &mut [f64],
) -> candle_core::Result<()> {
    if !holds(kernel, table, total.len(), parts.len()) {
        candle_core::bail!("{kernel:?}: memory is too short");
    }
    let ([a, b, c, d, e], flags) = kernel.numbers();
    let (words, blocks) = (table.words().as_ptr(), table.blocks() as u32);
    launched(kernel.names()[T::NAME]);
    // SAFETY: what lies beside the table is long enough, since `holds`; the rest is what the caller promises.
    unsafe {
        let (total, parts) = (total.as_ptr(), parts.as_mut_ptr());
        T::host(kernel)(grid(kernel, table), 1, words, table.tensors(), blocks, total, parts, a, b, c, d, e, flags);
    }
    Ok(())
}

/// Launches a kernel on the card; `words` are the table's, there.
///
/// # Safety
/// As [`on_host`], with memory of the card in this thread's context, which stays allocated until the stream has done the work.
#[cfg(feature = "cuda")]
pub(super) unsafe fn on_card<T: Real>(
    device: &CudaDevice,
    kernel: Kernel,
    table: &Table,
    words: &CudaSlice<u64>,
    total: &CudaSlice<f64>,
    parts: &mut CudaSlice<f64>,
) -> candle_core::Result<()> {
    const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/update.ptx"));
    if !holds(kernel, table, total.len(), parts.len()) || words.len() < table.words().len() {
        candle_core::bail!("{kernel:?}: memory is too short");
    }
    let name = kernel.names()[T::NAME];
    let function = device.get_or_load_custom_func(name, "mtids-update", PTX)?;
    let config =
        LaunchConfig { grid_dim: (grid(kernel, table), 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
    let ([a, b, c, d, e], flags) = kernel.numbers();
    let (tensors, blocks) = (table.tensors(), table.blocks() as u32);
    let mut launch = function.builder();
    launch.arg(words).arg(&tensors).arg(&blocks).arg(total).arg(parts);
    for number in [&a, &b, &c, &d, &e] {
        launch.arg(number);
    }
    launch.arg(&flags);
    launched(name);
    // SAFETY: the arguments are those of `ARGUMENTS` in number, order and type; what lies beside the table is long enough, since `holds`; the rest is what
    // the caller promises. The block has as many threads as the kernel was compiled for.
    unsafe { launch.launch(config) }.map_err(candle_core::Error::wrap)?;
    Ok(())
}
