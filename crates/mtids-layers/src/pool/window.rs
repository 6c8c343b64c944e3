//! Pooling over windows, or over the cells of a coarse grid, as an operation of candle with its own gradient.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::geometry::output_size;
use crate::kernels::Real;
use crate::storage::{entries, with_entries};

/// Windows along `N` axes (depth, height, width; the last two in two dimensions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows<const N: usize> {
    /// Cells of a window.
    pub kernel: [usize; N],
    /// Distance of neighbouring windows.
    pub stride: [usize; N],
    /// Cells by which the first and last windows may reach over the border; less than the kernel.
    pub padding: [usize; N],
}

impl<const N: usize> Windows<N> {
    /// The same sizes along all axes.
    pub fn new(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel: [kernel; N], stride: [stride; N], padding: [padding; N] }
    }
}

/// The places along an axis of `length` that cell `at` of `cells` covers; neighbouring cells may share some.
pub fn grid_cell(at: usize, length: usize, cells: usize) -> Range<usize> {
    at * length / cells..((at + 1) * length).div_ceil(cells)
}

/// What a window gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Maximum,
    Average,
}

/// The regions that are pooled, along depth, height and width.
#[derive(Clone, Copy, Debug)]
pub(super) enum Regions {
    /// Windows.
    Windows(Windows<3>),
    /// This many cells along each axis: [`grid_cell`].
    Grid([usize; 3]),
}

impl Regions {
    /// Number of regions along an axis of `length`.
    fn count(&self, axis: usize, length: usize) -> usize {
        match self {
            Self::Windows(Windows { kernel, stride, padding }) => {
                output_size(length, kernel[axis], stride[axis], padding[axis], 1)
            }
            Self::Grid(cells) => cells[axis],
        }
    }

    /// The cells of one region along an axis of `length`.
    pub(super) fn span(&self, axis: usize, length: usize, at: usize) -> Range<usize> {
        match self {
            Self::Windows(Windows { kernel, stride, padding }) => {
                let (start, padding) = (at * stride[axis], padding[axis]);
                start.saturating_sub(padding)..(start + kernel[axis] - padding).min(length)
            }
            Self::Grid(cells) => grid_cell(at, length, cells[axis]),
        }
    }

    /// Whether every region has a cell.
    fn fits(&self, size: [usize; 3]) -> bool {
        match self {
            Self::Windows(windows) => (0..3).all(|axis| windows.padding[axis] < windows.kernel[axis]),
            Self::Grid(cells) => (0..3).all(|axis| cells[axis] <= size[axis]),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct WindowOp {
    pub(super) regions: Regions,
    pub(super) kind: Kind,
}

/// Sizes of one channel.
pub(super) struct Sizes {
    pub(super) size: [usize; 3],
    pub(super) out: [usize; 3],
}

impl WindowOp {
    /// The sizes of a map `[B, C, (D,) H, W]`.
    pub(super) fn check(&self, dims: &[usize]) -> candle_core::Result<Sizes> {
        let size = match *dims {
            [_, _, h, w] => [1, h, w],
            [_, _, d, h, w] => [d, h, w],
            _ => candle_core::bail!("pooling of {dims:?}"),
        };
        let out = [0, 1, 2].map(|axis| self.regions.count(axis, size[axis]));
        if out.contains(&0) || size.contains(&0) || !self.regions.fits(size) {
            candle_core::bail!("pooling of {dims:?} by {:?}", self.regions);
        }
        Ok(Sizes { size, out })
    }

    /// Calls `visit(output, first, extent)` for each region: its cells are `first + [0, extent)` along each axis.
    fn each(&self, sizes: &Sizes, mut visit: impl FnMut(usize, [usize; 3], [usize; 3])) {
        let [depth, height, width] = sizes.out;
        for output in 0..depth * height * width {
            let at = [output / (height * width), output / width % height, output % width];
            let spans = [0, 1, 2].map(|axis| self.regions.span(axis, sizes.size[axis], at[axis]));
            visit(output, spans.each_ref().map(|span| span.start), spans.each_ref().map(Range::len));
        }
    }

    /// Positions of a window's cells in their channel, in order.
    fn cells(sizes: &Sizes, first: [usize; 3], extent: [usize; 3]) -> impl Iterator<Item = usize> {
        let [_, height, width] = sizes.size;
        (0..extent[0]).flat_map(move |z| {
            (0..extent[1]).flat_map(move |y| {
                let row = ((first[0] + z) * height + first[1] + y) * width + first[2];
                row..row + extent[2]
            })
        })
    }

    fn forward<T: Real>(&self, sizes: &Sizes, x: &[T]) -> Vec<T> {
        let (plane, cells): (usize, usize) = (sizes.size.iter().product(), sizes.out.iter().product());
        let mut result = vec![T::zero(); x.len() / plane * cells];
        result.par_chunks_mut(cells).zip(x.par_chunks(plane)).for_each(|(result, x)| {
            self.each(sizes, |output, first, extent| {
                let window = Self::cells(sizes, first, extent);
                result[output] = match self.kind {
                    Kind::Maximum => x[largest(x, window)],
                    Kind::Average => {
                        let sum = window.fold(T::zero(), |sum, at| sum + x[at]);
                        sum / T::from_f64(extent.iter().product::<usize>() as f64)
                    }
                };
            });
        });
        result
    }

    fn backward<T: Real>(&self, x: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let sizes = self.check(x.dims())?;
        let (plane, cells): (usize, usize) = (sizes.size.iter().product(), sizes.out.iter().product());
        let result = with_entries::<T, 2, _>([x, gradient], |[x, gradient]| {
            let mut result = vec![T::zero(); x.len()];
            let channels = result.par_chunks_mut(plane).zip(x.par_chunks(plane)).zip(gradient.par_chunks(cells));
            channels.for_each(|((result, x), gradient)| {
                self.each(&sizes, |output, first, extent| {
                    let mut window = Self::cells(&sizes, first, extent);
                    match self.kind {
                        Kind::Maximum => result[largest(x, window)] += gradient[output],
                        Kind::Average => {
                            let share = gradient[output] / T::from_f64(extent.iter().product::<usize>() as f64);
                            window.by_ref().for_each(|at| result[at] += share);
                        }
                    }
                });
            });
            result
        })?;
        Ok(Some(Tensor::from_vec(result, x.shape(), x.device())?))
    }
}

/// The first position of the largest value; a NaN counts as largest, so that it is not lost.
fn largest<T: Real>(x: &[T], mut window: impl Iterator<Item = usize>) -> usize {
    // Windows are never empty: the padding is smaller than the kernel.
    let mut best = window.next().unwrap_or(0);
    for at in window {
        let best_is_number = x[best].partial_cmp(&x[best]).is_some();
        if best_is_number && (x[at] > x[best] || x[at].partial_cmp(&x[at]).is_none()) {
            best = at;
        }
    }
    best
}

impl CustomOp1 for WindowOp {
    fn name(&self) -> &'static str {
        "mtids-pooling"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let sizes = self.check(layout.dims())?;
        let result = match x {
            CpuStorage::F32(_) => CpuStorage::F32(self.forward(&sizes, entries::<f32>(x, layout)?)),
            CpuStorage::F64(_) => CpuStorage::F64(self.forward(&sizes, entries::<f64>(x, layout)?)),
            _ => candle_core::bail!("pooling needs f32 or f64"),
        };
        let mut dims = layout.dims()[..2].to_vec();
        dims.extend(&sizes.out[5 - layout.dims().len()..]);
        Ok((result, dims.into()))
    }

    fn bwd(&self, x: &Tensor, _result: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        match x.dtype() {
            DType::F64 => self.backward::<f64>(x, &gradient),
            _ => self.backward::<f32>(x, &gradient),
        }
    }
}
