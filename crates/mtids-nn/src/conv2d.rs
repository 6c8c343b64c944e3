//! Two-dimensional convolution with an exact and quick gradient on the CPU.
//!
//! Purpose: candle's own convolution differentiates through direct loops, which makes training slow; here both directions are
//! im2col and matrix products. Method: groups of samples are unfolded to a matrix `[C k k, g L]` (L output cells) that stays
//! in cache; the forward pass multiplies by the weights, the backward pass by their transpose (folded back: the gradient of
//! the input) and the unfolded input by the gradient of the output (the gradient of the weights). Invariants: groups depend
//! on shapes only and their weight gradients are added in order, so results do not depend on the number of threads; the
//! gradient of an input that needs none is not computed. On a GPU candle's own convolution is used.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Storage, Tensor, WithDType};
use rayon::prelude::*;

use crate::error::Result;
use crate::parameters::{Init, Parameters};

/// Columns of the unfolded matrix that one group aims at.
const GROUP_COLUMNS: usize = 512;

/// Convolves `x` `[B, C, H, W]` with `weight` `[O, C, k, k]`, zero padding, to `[B, O, H', W']`.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv2d(x: &Tensor, weight: &Tensor, stride: usize, padding: usize) -> Result<Tensor> {
    if x.device().is_cpu() {
        Ok(x.contiguous()?.apply_op2(&weight.contiguous()?, Conv2dOp { stride, padding })?)
    } else {
        Ok(x.conv2d(weight, padding, stride, 1, 1)?)
    }
}

/// A convolution layer without bias (a norm with its own shift follows).
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Tensor,
    stride: usize,
    padding: usize,
}

impl Conv2d {
    /// Creates `<name>.weight` `[outputs, inputs, kernel, kernel]`, normal with variance 2 / fan-in (He et al. 2015);
    /// padding is `kernel / 2`.
    ///
    /// # Errors
    /// When the parameter exists with another shape.
    pub fn new(
        name: &str,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        parameters: &Parameters,
    ) -> Result<Self> {
        let deviation = (2.0 / (inputs * kernel * kernel) as f64).sqrt();
        let shape = [outputs, inputs, kernel, kernel];
        let weight = parameters.get_or_init(&format!("{name}.weight"), &shape, Init::Normal(deviation))?;
        Ok(Self { weight, stride, padding: kernel / 2 })
    }

    /// Applies the layer to `[B, inputs, H, W]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        conv2d(x, &self.weight, self.stride, self.padding)
    }
}

/// Output size along one axis.
pub(crate) fn output_size(size: usize, kernel: usize, stride: usize, padding: usize) -> usize {
    (size + 2 * padding).saturating_sub(kernel) / stride + 1
}

struct Conv2dOp {
    stride: usize,
    padding: usize,
}

/// All sizes of one convolution.
#[derive(Clone, Copy)]
struct Geometry {
    batch: usize,
    channels: usize,
    height: usize,
    width: usize,
    outputs: usize,
    kernel_height: usize,
    kernel_width: usize,
    out_height: usize,
    out_width: usize,
    stride: usize,
    padding: usize,
}

impl Geometry {
    fn new(op: &Conv2dOp, x: &Layout, weight: &Layout) -> candle_core::Result<Self> {
        let (batch, channels, height, width) = x.shape().dims4()?;
        let (outputs, weight_channels, kernel_height, kernel_width) = weight.shape().dims4()?;
        let too_small = height + 2 * op.padding < kernel_height || width + 2 * op.padding < kernel_width;
        if channels != weight_channels || op.stride == 0 || too_small || batch == 0 {
            candle_core::bail!(
                "convolution of {:?} with {:?}, stride {}, padding {}",
                x.shape(),
                weight.shape(),
                op.stride,
                op.padding
            );
        }
        Ok(Self {
            batch,
            channels,
            height,
            width,
            outputs,
            kernel_height,
            kernel_width,
            out_height: output_size(height, kernel_height, op.stride, op.padding),
            out_width: output_size(width, kernel_width, op.stride, op.padding),
            stride: op.stride,
            padding: op.padding,
        })
    }

    /// Entries of one input sample.
    fn sample(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Output cells L of one sample and channel.
    fn cells(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Rows C k k of the unfolded matrix.
    fn rows(&self) -> usize {
        self.channels * self.kernel_height * self.kernel_width
    }

    /// Samples per group.
    fn group(&self) -> usize {
        (GROUP_COLUMNS / self.cells()).clamp(1, self.batch)
    }

    /// The output columns whose input column `column * stride + offset - padding` lies inside `[0, size)`.
    fn valid(&self, offset: usize, size: usize, out_size: usize) -> (usize, usize) {
        let first = self.padding.saturating_sub(offset).div_ceil(self.stride);
        let end = (size + self.padding).saturating_sub(offset).div_ceil(self.stride).min(out_size);
        (first.min(end), end)
    }

    /// Calls `visit(matrix_start, input_start, length)` for each run of cells inside the input: entry `i` of the run
    /// joins `matrix_start + i` of the unfolded matrix and `input_start + i * stride` of the input group.
    fn runs(&self, samples: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let columns = samples * self.cells();
        for row in 0..self.rows() {
            let kernel_column = row % self.kernel_width;
            let kernel_row = (row / self.kernel_width) % self.kernel_height;
            let channel = row / (self.kernel_width * self.kernel_height);
            let (first_y, end_y) = self.valid(kernel_row, self.height, self.out_height);
            let (first_x, end_x) = self.valid(kernel_column, self.width, self.out_width);
            if first_x == end_x {
                continue;
            }
            let input_x = first_x * self.stride + kernel_column - self.padding;
            for sample in 0..samples {
                let matrix = row * columns + sample * self.cells();
                let input = sample * self.sample() + channel * self.height * self.width;
                for y in first_y..end_y {
                    let input_y = y * self.stride + kernel_row - self.padding;
                    visit(
                        matrix + y * self.out_width + first_x,
                        input + input_y * self.width + input_x,
                        end_x - first_x,
                    );
                }
            }
        }
    }

    /// im2col: a group of samples to `[rows, samples * cells]`.
    fn unfold<T: WithDType>(&self, input: &[T], samples: usize) -> Vec<T> {
        let mut matrix = vec![T::zero(); self.rows() * samples * self.cells()];
        let stride = self.stride;
        self.runs(samples, |to, from, length| {
            let target = &mut matrix[to..to + length];
            if stride == 1 {
                target.copy_from_slice(&input[from..from + length]);
            } else {
                for (value, source) in target.iter_mut().zip(input[from..].iter().step_by(stride)) {
                    *value = *source;
                }
            }
        });
        matrix
    }

    /// col2im: the transpose of [`Geometry::unfold`], adding into `input`.
    fn fold<T: WithDType>(&self, matrix: &[T], input: &mut [T], samples: usize) {
        let stride = self.stride;
        self.runs(samples, |from, to, length| {
            let source = &matrix[from..from + length];
            if stride == 1 {
                for (value, add) in input[to..to + length].iter_mut().zip(source) {
                    *value += *add;
                }
            } else {
                for (value, add) in input[to..].iter_mut().step_by(stride).zip(source) {
                    *value += *add;
                }
            }
        });
    }

    /// `[O, samples * cells]` from or to `[samples, O, cells]`: calls `visit(grouped_start, sample_start)` per run of cells.
    fn exchange(&self, samples: usize, mut visit: impl FnMut(usize, usize)) {
        for sample in 0..samples {
            for output in 0..self.outputs {
                visit((output * samples + sample) * self.cells(), (sample * self.outputs + output) * self.cells());
            }
        }
    }

    fn forward<T: WithDType>(&self, x: &[T], weight: &CpuStorage, at: usize) -> candle_core::Result<Vec<T>> {
        let cells = self.cells();
        let mut result = vec![T::zero(); self.batch * self.outputs * cells];
        let group = self.group();
        let weight_layout = matrix_layout(self.outputs, self.rows(), at);
        result.par_chunks_mut(group * self.outputs * cells).zip(x.par_chunks(group * self.sample())).try_for_each(
            |(result, x)| {
                let samples = x.len() / self.sample();
                let matrix = T::to_cpu_storage_owned(self.unfold(x, samples));
                let columns = samples * cells;
                let product = T::cpu_storage_data(weight.matmul(
                    &matrix,
                    (1, self.outputs, columns, self.rows()),
                    &weight_layout,
                    &matrix_layout(self.rows(), columns, 0),
                )?)?;
                self.exchange(samples, |grouped, sample| {
                    result[sample..sample + cells].copy_from_slice(&product[grouped..grouped + cells]);
                });
                Ok::<_, candle_core::Error>(())
            },
        )?;
        Ok(result)
    }

    /// Gradients of the input (if `want_input`) and of the weight.
    fn backward<T: WithDType>(
        &self,
        x: &[T],
        weight: &CpuStorage,
        at: usize,
        gradient: &[T],
        want_input: bool,
    ) -> candle_core::Result<(Vec<T>, Vec<T>)> {
        let (cells, rows, outputs) = (self.cells(), self.rows(), self.outputs);
        let group = self.group();
        let mut input = vec![T::zero(); if want_input { x.len() } else { self.batch.div_ceil(group) }];
        let input_chunk = if want_input { group * self.sample() } else { 1 };
        let transposed = Layout::new((rows, outputs).into(), vec![1, rows], at);
        let parts: candle_core::Result<Vec<Vec<T>>> = input
            .par_chunks_mut(input_chunk)
            .zip(x.par_chunks(group * self.sample()))
            .zip(gradient.par_chunks(group * outputs * cells))
            .map(|((input, x), gradient)| {
                let samples = x.len() / self.sample();
                let columns = samples * cells;
                let mut grouped_gradient = vec![T::zero(); outputs * columns];
                self.exchange(samples, |grouped, sample| {
                    grouped_gradient[grouped..grouped + cells].copy_from_slice(&gradient[sample..sample + cells]);
                });
                let grouped_gradient = T::to_cpu_storage_owned(grouped_gradient);
                let gradient_layout = matrix_layout(outputs, columns, 0);
                if want_input {
                    let folded = T::cpu_storage_data(weight.matmul(
                        &grouped_gradient,
                        (1, rows, columns, outputs),
                        &transposed,
                        &gradient_layout,
                    )?)?;
                    self.fold(&folded, input, samples);
                }
                let matrix = T::to_cpu_storage_owned(self.unfold(x, samples));
                let matrix_transposed = Layout::new((columns, rows).into(), vec![1, columns], 0);
                T::cpu_storage_data(grouped_gradient.matmul(
                    &matrix,
                    (1, outputs, rows, columns),
                    &gradient_layout,
                    &matrix_transposed,
                )?)
            })
            .collect();
        let mut sum = vec![T::zero(); outputs * rows];
        for part in parts? {
            for (total, value) in sum.iter_mut().zip(part) {
                *total += value;
            }
        }
        Ok((input, sum))
    }
}

fn matrix_layout(rows: usize, columns: usize, at: usize) -> Layout {
    Layout::new((rows, columns).into(), vec![columns, 1], at)
}

/// The entries of a contiguous tensor.
pub(crate) fn entries<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&T::cpu_storage_as_slice(storage)?[start..end]),
        None => candle_core::bail!("expected a contiguous tensor"),
    }
}

/// The CPU storage behind a guard.
pub(crate) fn cpu(storage: &Storage) -> candle_core::Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => candle_core::bail!("expected a tensor on the CPU"),
    }
}

impl CustomOp2 for Conv2dOp {
    fn name(&self) -> &'static str {
        "mtids-conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let geometry = Geometry::new(self, x_layout, weight_layout)?;
        let at = weight_layout.start_offset();
        let result = match x {
            CpuStorage::F32(_) => CpuStorage::F32(geometry.forward(entries(x, x_layout)?, weight, at)?),
            CpuStorage::F64(_) => CpuStorage::F64(geometry.forward(entries(x, x_layout)?, weight, at)?),
            _ => candle_core::bail!("convolution needs f32 or f64"),
        };
        Ok((result, (geometry.batch, geometry.outputs, geometry.out_height, geometry.out_width).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        fn typed<T: WithDType>(
            geometry: &Geometry,
            (x, weight, gradient): (&Tensor, &Tensor, &Tensor),
        ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
            let ((x_storage, x_layout), (w_storage, w_layout)) = (x.storage_and_layout(), weight.storage_and_layout());
            let (g_storage, g_layout) = gradient.storage_and_layout();
            let (input, weights) = geometry.backward::<T>(
                entries(cpu(&x_storage)?, x_layout)?,
                cpu(&w_storage)?,
                w_layout.start_offset(),
                entries(cpu(&g_storage)?, g_layout)?,
                x.track_op(),
            )?;
            let input = if x.track_op() { Some(Tensor::from_vec(input, x.shape(), x.device())?) } else { None };
            Ok((input, Some(Tensor::from_vec(weights, weight.shape(), weight.device())?)))
        }
        let geometry = Geometry::new(self, x.layout(), weight.layout())?;
        let gradient = gradient.contiguous()?;
        match x.dtype() {
            candle_core::DType::F64 => typed::<f64>(&geometry, (x, weight, &gradient)),
            _ => typed::<f32>(&geometry, (x, weight, &gradient)),
        }
    }
}
