//! A convolution as an operation of candle, with its own gradients.
//!
//! Purpose: on a card cuDNN computes the three passes; on the CPU, where nothing but tests comes here, the reference does, from the same
//! numbers. Invariants: the gradient of an input that tracks none is not computed; operands are made contiguous first; results have the
//! type of the operands.

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, backend::BackendStorage};

use super::choice::Computation;
use super::descriptor::{ConvNumbers, ConvSettings, Pass};
use super::reference;
use crate::log::launched;

/// Convolves `x` `[B, C, ..]` with `weight` `[O, C / groups, ..]`, both with `N` more axes, to `[B, O, ..]`. In `f32`, `f64` and, on a card,
/// `bf16` with sums in single precision.
///
/// # Errors
/// When the shapes do not fit, cuDNN refuses, or the card has no memory.
pub fn convolve<const N: usize>(
    x: &Tensor,
    weight: &Tensor,
    settings: &ConvSettings<N>,
    computation: Computation,
) -> candle_core::Result<Tensor> {
    let numbers = ConvNumbers::new(x.dims(), weight.dims(), settings)?;
    x.contiguous()?.apply_op2(&weight.contiguous()?, ConvOp { pass: Pass::Forward, numbers, computation })
}

/// One pass of a convolution.
struct ConvOp {
    pass: Pass,
    numbers: ConvNumbers,
    computation: Computation,
}

impl ConvOp {
    /// The same convolution in another direction.
    fn towards(&self, pass: Pass) -> Self {
        Self { pass, numbers: self.numbers.clone(), computation: self.computation }
    }

    /// Where the operands start in their storage, if they have the shapes that the numbers say; then the shape of the result.
    fn check(&self, layouts: [&Layout; 2]) -> candle_core::Result<([usize; 2], Shape)> {
        let [first, second, result] = self.pass.shapes(&self.numbers);
        let mut starts = [0; 2];
        for ((start, layout), shape) in starts.iter_mut().zip(layouts).zip([first, second]) {
            match layout.contiguous_offsets() {
                Some((first, _)) if layout.dims() == shape => *start = first,
                _ => candle_core::bail!("a convolution needs a contiguous tensor {shape:?}, not {layout:?}"),
            }
        }
        Ok((starts, result.into()))
    }

    fn on_host<T: reference::Entry>(&self, operands: [&[T]; 2], starts: [usize; 2]) -> Vec<T> {
        let ([first, second], numbers) = (operands, &self.numbers);
        let (first, second) = (&first[starts[0]..], &second[starts[1]..]);
        match self.pass {
            Pass::Forward => reference::forward(numbers, first, second),
            Pass::DataGradient => reference::data_gradient(numbers, first, second),
            Pass::FilterGradient => reference::filter_gradient(numbers, first, second),
        }
    }
}

impl CustomOp2 for ConvOp {
    fn name(&self) -> &'static str {
        match self.pass {
            Pass::Forward => "convolution",
            Pass::DataGradient => "convolution-data-gradient",
            Pass::FilterGradient => "convolution-filter-gradient",
        }
    }

    fn cpu_fwd(
        &self,
        first: &CpuStorage,
        first_layout: &Layout,
        second: &CpuStorage,
        second_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (starts, shape) = self.check([first_layout, second_layout])?;
        launched(self.name());
        let result = match (first, second) {
            (CpuStorage::F32(a), CpuStorage::F32(b)) => CpuStorage::F32(self.on_host([a, b], starts)),
            (CpuStorage::F64(a), CpuStorage::F64(b)) => CpuStorage::F64(self.on_host([a, b], starts)),
            _ => candle_core::bail!("the reference of a convolution needs two tensors of f32 or two of f64"),
        };
        Ok((result, shape))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        first: &CudaStorage,
        first_layout: &Layout,
        second: &CudaStorage,
        second_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        use candle_core::cuda_backend::CudaStorageSlice;
        let (starts, shape) = self.check([first_layout, second_layout])?;
        launched(self.name());
        let device = first.device();
        macro_rules! run {
            ($($variant:ident),*) => {
                match (&first.slice, &second.slice) {
                    $((CudaStorageSlice::$variant(a), CudaStorageSlice::$variant(b)) => {
                        let operands = [(a, starts[0]), (b, starts[1])];
                        let result = crate::cudnn::run(device, self.pass, &self.numbers, self.computation, operands)?;
                        CudaStorageSlice::$variant(result)
                    })*
                    _ => candle_core::bail!("a convolution on a card needs two tensors of f32, of f64 or of bf16"),
                }
            };
        }
        let slice = run!(F32, F64, BF16);
        Ok((CudaStorage { slice, device: device.clone() }, shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        if self.pass != Pass::Forward {
            return Err(candle_core::Error::BackwardNotSupported { op: self.name() });
        }
        let gradient = gradient.contiguous()?;
        // Neither the first layer's images nor frozen weights need a gradient.
        let by_x = x.track_op().then(|| weight.apply_op2_no_bwd(&gradient, &self.towards(Pass::DataGradient)));
        let by_weight = weight.track_op().then(|| x.apply_op2_no_bwd(&gradient, &self.towards(Pass::FilterGradient)));
        Ok((by_x.transpose()?, by_weight.transpose()?))
    }
}
