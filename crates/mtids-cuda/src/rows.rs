//! Soft-max over the last axis, its logarithm, and the logarithm of the sum, each one launch forward and one backward.
//!
//! Purpose: composed of candle's operations each is some forty launches with its gradient, and a gate has three of them. The kernels are
//! `kernels/rows.cu`, for the card and for the host, where tests compare them with the composed form. Invariant: the largest entry is taken out first,
//! so that no finite entry gives an infinite one; sums are in double precision.
#![allow(unsafe_code)]

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Shape, Tensor};
#[cfg(feature = "cuda")]
use candle_core::{CudaDevice, CudaStorage, backend::BackendStorage, cuda_backend::CudaStorageSlice};
#[cfg(feature = "cuda")]
use cudarc::driver::{CudaSlice, CudaView, DeviceRepr, LaunchConfig, PushKernelArg};

use crate::log::launched;

/// Threads of a block; `kernels/kernel.h` has the same number.
const THREADS: u32 = 256;

/// What is computed; `kernels/rows.cu` has the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Softmax = 0,
    Logarithm = 1,
    Sum = 2,
}

/// `exp x / Σ exp x` over the last axis, in `f32` or `f64`.
///
/// # Errors
/// For a tensor without entries or axes, and for other types.
pub fn softmax(x: &Tensor) -> candle_core::Result<Tensor> {
    x.contiguous()?.apply_op1(Rows(Kind::Softmax))
}

/// The logarithm of [`softmax`].
///
/// # Errors
/// As [`softmax`].
pub fn log_softmax(x: &Tensor) -> candle_core::Result<Tensor> {
    x.contiguous()?.apply_op1(Rows(Kind::Logarithm))
}

/// `log Σ exp x` over the last axis, whose size becomes 1.
///
/// # Errors
/// As [`softmax`].
pub fn log_sum_exp(x: &Tensor) -> candle_core::Result<Tensor> {
    x.contiguous()?.apply_op1(Rows(Kind::Sum))
}

/// Sizes of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    rows: u32,
    width: u32,
}

impl Sizes {
    fn new(layout: &Layout) -> candle_core::Result<Self> {
        let width = layout.dims().last().copied().unwrap_or(0);
        let entries = layout.shape().elem_count();
        if entries == 0 || i32::try_from(entries).is_err() {
            candle_core::bail!("rows of {:?}: none, or too many", layout.shape());
        }
        Ok(Self { rows: (entries / width) as u32, width: width as u32 })
    }

    /// Entries of the map, and of a result of this kind.
    fn lengths(self, kind: Kind) -> [usize; 2] {
        let entries = self.rows as usize * self.width as usize;
        [entries, if kind == Kind::Sum { self.rows as usize } else { entries }]
    }

    #[cfg(feature = "cuda")]
    fn grid(self) -> LaunchConfig {
        LaunchConfig { grid_dim: (self.rows.div_ceil(THREADS), 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 }
    }
}

/// A type of entries that the kernels are compiled for.
trait Real: Copy + Default {
    /// Names of the kernels, forward and backward.
    const NAMES: [&'static str; 2];
    /// The same compiled for the host.
    const HOST: [Host<Self>; 2];
}

/// A kernel compiled for the host: width and height of the grid, then the arguments of the kernel.
type Host<T> = unsafe extern "C" fn(u32, u32, *const T, *const T, *const T, *mut T, u32, u32, u32);

macro_rules! real {
    ($type:ident, $forward:ident, $backward:ident, $names:expr) => {
        unsafe extern "C" {
            fn $forward(
                w: u32,
                h: u32,
                x: *const $type,
                y: *const $type,
                gradient: *const $type,
                result: *mut $type,
                rows: u32,
                width: u32,
                kind: u32,
            );
            fn $backward(
                w: u32,
                h: u32,
                x: *const $type,
                y: *const $type,
                gradient: *const $type,
                result: *mut $type,
                rows: u32,
                width: u32,
                kind: u32,
            );
        }

        impl Real for $type {
            const NAMES: [&'static str; 2] = $names;
            const HOST: [Host<Self>; 2] = [$forward, $backward];
        }
    };
}

real!(f32, mtids_rows_forward_f32, mtids_rows_backward_f32, ["rows_forward_f32", "rows_backward_f32"]);
real!(f64, mtids_rows_forward_f64, mtids_rows_backward_f64, ["rows_forward_f64", "rows_backward_f64"]);

/// Runs a kernel on the host: forward of `x` alone, backward of `x`, `y` and the gradient.
fn on_host<T: Real>(kind: Kind, sizes: Sizes, x: &[T], behind: Option<[&[T]; 2]>) -> candle_core::Result<Vec<T>> {
    let [entries, results] = sizes.lengths(kind);
    let short = behind.is_some_and(|behind| behind.iter().any(|slice| slice.len() < results));
    if x.len() < entries || short {
        candle_core::bail!("rows of {sizes:?}: memory is too short");
    }
    let which = usize::from(behind.is_some());
    let mut result = vec![T::default(); if behind.is_some() { entries } else { results }];
    let [y, gradient] = behind.unwrap_or([x, x]).map(<[T]>::as_ptr);
    launched(T::NAMES[which]);
    // SAFETY: the slices have the lengths that the kernel reads, as was checked, and the result that which it writes; forward reads `x` alone.
    unsafe {
        let into = result.as_mut_ptr();
        T::HOST[which](
            sizes.rows.div_ceil(THREADS),
            1,
            x.as_ptr(),
            y,
            gradient,
            into,
            sizes.rows,
            sizes.width,
            kind as u32,
        );
    }
    Ok(result)
}

/// Launches a kernel on the card, as [`on_host`].
#[cfg(feature = "cuda")]
fn on_card<T: Real + DeviceRepr>(
    device: &CudaDevice,
    kind: Kind,
    sizes: Sizes,
    x: &CudaView<'_, T>,
    behind: Option<[&CudaView<'_, T>; 2]>,
) -> candle_core::Result<CudaSlice<T>> {
    const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/rows.ptx"));
    let [entries, results] = sizes.lengths(kind);
    let short = behind.is_some_and(|behind| behind.iter().any(|view| view.len() < results));
    if x.len() < entries || short {
        candle_core::bail!("rows of {sizes:?}: memory is too short");
    }
    let name = T::NAMES[usize::from(behind.is_some())];
    let function = device.get_or_load_custom_func(name, "mtids-rows", PTX)?;
    // SAFETY: every pattern of bits is a number, and the kernel writes every entry.
    let mut result = unsafe { device.alloc::<T>(if behind.is_some() { entries } else { results })? };
    let [y, gradient] = behind.unwrap_or([x, x]);
    let kind = kind as u32;
    let mut launch = function.builder();
    launch.arg(x).arg(y).arg(gradient).arg(&mut result).arg(&sizes.rows).arg(&sizes.width).arg(&kind);
    launched(name);
    // SAFETY: the arguments are those of `ARGUMENTS` in `kernels/rows.cu` in number, order and type; lengths were checked; what is written is borrowed
    // mutably. cudarc frees memory in the order of the stream. The block has as many threads as the kernel was compiled for.
    unsafe { launch.launch(sizes.grid()) }.map_err(candle_core::Error::wrap)?;
    Ok(result)
}

/// Entries of a contiguous tensor.
macro_rules! part {
    ($slice:expr, $layout:expr) => {
        match $layout.contiguous_offsets() {
            Some((start, end)) if end <= $slice.len() => $slice.slice_of(start, end),
            _ => candle_core::bail!("rows need contiguous tensors"),
        }
    };
}

/// The same name for a part of the host's and of the card's memory.
trait SliceOf {
    type Part<'a>
    where
        Self: 'a;
    fn slice_of(&self, start: usize, end: usize) -> Self::Part<'_>;
}

impl<T> SliceOf for Vec<T> {
    type Part<'a>
        = &'a [T]
    where
        T: 'a;
    fn slice_of(&self, start: usize, end: usize) -> &[T] {
        &self[start..end]
    }
}

#[cfg(feature = "cuda")]
impl<T> SliceOf for CudaSlice<T> {
    type Part<'a>
        = CudaView<'a, T>
    where
        T: 'a;
    fn slice_of(&self, start: usize, end: usize) -> CudaView<'_, T> {
        self.slice(start..end)
    }
}

/// The operation.
struct Rows(Kind);

impl CustomOp1 for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let sizes = Sizes::new(layout)?;
        let result = match x {
            CpuStorage::F32(x) => CpuStorage::F32(on_host(self.0, sizes, part!(x, layout), None)?),
            CpuStorage::F64(x) => CpuStorage::F64(on_host(self.0, sizes, part!(x, layout), None)?),
            _ => candle_core::bail!("a soft-max needs f32 or f64"),
        };
        Ok((result, self.shape(layout)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        let (sizes, device) = (Sizes::new(layout)?, x.device().clone());
        let slice = match &x.slice {
            CudaStorageSlice::F32(x) => {
                CudaStorageSlice::F32(on_card(&device, self.0, sizes, &part!(x, layout), None)?)
            }
            CudaStorageSlice::F64(x) => {
                CudaStorageSlice::F64(on_card(&device, self.0, sizes, &part!(x, layout), None)?)
            }
            _ => candle_core::bail!("a soft-max needs f32 or f64"),
        };
        Ok((CudaStorage { slice, device }, self.shape(layout)))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(x.apply_op3_no_bwd(y, &gradient.contiguous()?, &Gradient(self.0))?))
    }
}

impl Rows {
    fn shape(&self, layout: &Layout) -> Shape {
        let mut dims = layout.dims().to_vec();
        if let (Kind::Sum, Some(last)) = (self.0, dims.last_mut()) {
            *last = 1;
        }
        dims.into()
    }
}

/// The gradient of the operation, from `x`, `y` and the gradient of `y`.
struct Gradient(Kind);

impl CustomOp3 for Gradient {
    fn name(&self) -> &'static str {
        "rows-gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
        gradient: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let sizes = Sizes::new(x_layout)?;
        macro_rules! of {
            ($x:ident, $y:ident, $gradient:ident) => {
                on_host(self.0, sizes, part!($x, x_layout), Some([part!($y, y_layout), part!($gradient, layout)]))?
            };
        }
        let result = match (x, y, gradient) {
            (CpuStorage::F32(x), CpuStorage::F32(y), CpuStorage::F32(gradient)) => CpuStorage::F32(of!(x, y, gradient)),
            (CpuStorage::F64(x), CpuStorage::F64(y), CpuStorage::F64(gradient)) => CpuStorage::F64(of!(x, y, gradient)),
            _ => candle_core::bail!("a soft-max needs f32 or f64"),
        };
        Ok((result, x_layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        y: &CudaStorage,
        y_layout: &Layout,
        gradient: &CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let (sizes, device) = (Sizes::new(x_layout)?, x.device().clone());
        macro_rules! of {
            ($x:ident, $y:ident, $gradient:ident) => {{
                let behind = [&part!($y, y_layout), &part!($gradient, layout)];
                on_card(&device, self.0, sizes, &part!($x, x_layout), Some(behind))?
            }};
        }
        use CudaStorageSlice::{F32, F64};
        let slice = match (&x.slice, &y.slice, &gradient.slice) {
            (F32(x), F32(y), F32(gradient)) => F32(of!(x, y, gradient)),
            (F64(x), F64(y), F64(gradient)) => F64(of!(x, y, gradient)),
            _ => candle_core::bail!("a soft-max needs f32 or f64"),
        };
        Ok((CudaStorage { slice, device }, x_layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::launches_of;
    use candle_core::{D, DType, Device, Var};

    fn composed(kind: Kind, x: &Tensor) -> Tensor {
        let sum = x.exp().unwrap().sum_keepdim(D::Minus1).unwrap();
        match kind {
            Kind::Softmax => x.exp().unwrap().broadcast_div(&sum).unwrap(),
            Kind::Logarithm => x.broadcast_sub(&sum.log().unwrap()).unwrap(),
            Kind::Sum => sum.log().unwrap(),
        }
    }

    fn flat(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn values_and_slopes_are_those_of_the_composed_form() {
        for (kind, dims) in [Kind::Softmax, Kind::Logarithm, Kind::Sum]
            .into_iter()
            .flat_map(|kind| [&[3, 5][..], &[300, 1], &[2, 130, 7], &[4]].map(|dims| (kind, dims)))
        {
            for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 1e-6)] {
                let count: usize = dims.iter().product();
                let numbers: Vec<f64> = (0..count).map(|n| (n as f64 * 1.7).sin() * 4.0).collect();
                let x = Tensor::from_vec(numbers, dims, &Device::Cpu).unwrap();
                let exact = Var::from_tensor(&x).unwrap();
                let x = Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap();
                let run = |y: &Tensor, of: &Var| {
                    let slope: Vec<f64> = (0..y.elem_count()).map(|n| (n as f64 * 0.9).cos()).collect();
                    let slope = Tensor::from_vec(slope, y.dims(), &Device::Cpu).unwrap().to_dtype(y.dtype()).unwrap();
                    let store = (y * slope).unwrap().sum_all().unwrap().backward().unwrap();
                    [flat(y), flat(store.get(of).unwrap())]
                };
                let (found, launches) = launches_of(|| run(&x.apply_op1(Rows(kind)).unwrap(), &x));
                assert_eq!(launches.len(), 2, "{launches:?}");
                let expected = run(&composed(kind, &exact), &exact);
                for (a, b) in found.iter().flatten().zip(expected.iter().flatten()) {
                    assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{kind:?} {dims:?} {dtype:?}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn far_entries_stay_finite_and_nothing_is_refused() {
        let x = Tensor::new(&[[1e30f32, 0.0, -1e30], [-1e9, -1e9, -1e9]], &Device::Cpu).unwrap();
        assert_eq!(flat(&softmax(&x).unwrap())[..3], [1.0, 0.0, 0.0]);
        assert!(flat(&log_sum_exp(&x).unwrap()).iter().chain(&flat(&log_softmax(&x).unwrap())).all(|y| y.is_finite()));
        assert!(softmax(&Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap()).is_err());
    }
}
