//! Convolutions in two and three dimensions with exact and quick gradients.
//!
//! Purpose: candle's own convolution differentiates through direct loops, which makes training slow, and there is none in
//! three dimensions. Here there is one engine for the CPU, on interleaved maps, cuDNN for NVIDIA GPUs (crate `mtids-cuda`), and one
//! composition of candle's operations for everything else. Invariants: results do not depend on the number of threads; on the CPU the result for a sample does
//! not depend on the other samples of its batch, nor on their number; the gradient of an input that needs none is not
//! computed.
//!
//! # Which path runs when
//!
//! The path depends on device, precision and groups; never on the size of the batch, and not on whether a gradient follows.
//!
//! ```text
//!                        ┌ GPU, feature cuda ────────────────────────▶ cuDNN, in f32, f64 or bf16
//! conv2d, conv3d, Conv ──┤ GPU, feature cuda-basic alone ────────────▶ composed: candle's conv2d, in f32 or bf16
//!                        └ CPU ─┬ several groups ────────────────────▶ composed: candle's conv2d
//!                               └ one group ─▶ interleave ─▶ engine ─▶ de-interleave
//!
//!                        ┌ GPU ──────────────────────────────────────▶ Conv, Norm, … one by one
//! residual stages ───────┼ CPU, bf16 ────────────────────────────────▶ Conv, Norm, … one by one (rounded operands)
//!                        └ CPU, f32 or f64 ─▶ interleave ─▶ engine, norm, shortcut, … as one operation ─▶ de-interleave
//!
//! engine ─┬ kernel 3 × 3 in the plane, stride 1, no dilation, at least 8 inputs and outputs, map not tiny ─▶ minimal filtering
//!         └ everything else ─▶ definition
//! ```
//!
//! * **dtype**: the engine computes in f32 or f64, the type of its tensors; other types are an error on the CPU. With
//!   [`Precision::Bf16`] the operands are rounded first, and on the CPU the product then runs in f32.
//! * **cuDNN**: [`Precision::Tf32`] lets it round operands to TF32; [`Algorithms`] says which of its algorithms may be taken.
//! * **batch**: samples lie in bundles of 16 lanes; a bundle that is not full costs what a full one does.
//! * **training or evaluation**: the same path, so both give the same numbers, but for the statistics of batch norm. Without a
//!   gradient to come, residual stages keep none of their maps.

mod composed;
mod op;

use candle_core::Tensor;
pub use mtids_cuda::conv::Algorithms;
use mtids_cuda::conv::{Arithmetic, Computation, ConvSettings};
use mtids_runtime::memory::keep_freed;

use crate::error::Result;
pub use crate::geometry::ConvOptions;
use crate::geometry::Geometry;
use crate::parameters::{Init, Parameters};
use crate::precision::Precision;

/// Convolves `x` `[B, C, H, W]` with `weight` `[O, C / groups, kh, kw]` to `[B, O, H', W']`, zeros around the input.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv2d(x: &Tensor, weight: &Tensor, options: &ConvOptions<2>) -> Result<Tensor> {
    convolve(x, weight, options, Computation::default())
}

/// Convolves `x` `[B, C, D, H, W]` with `weight` `[O, C / groups, kd, kh, kw]` to `[B, O, D', H', W']`, zeros around the input.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv3d(x: &Tensor, weight: &Tensor, options: &ConvOptions<3>) -> Result<Tensor> {
    convolve(x, weight, options, Computation::default())
}

fn convolve<const N: usize>(
    x: &Tensor,
    weight: &Tensor,
    options: &ConvOptions<N>,
    computation: Computation,
) -> Result<Tensor> {
    if x.dims().len() != N + 2 {
        let expected = format!("two axes and {N} more");
        return Err(crate::LayerError::Shape { what: "feature map", found: x.dims().to_vec(), expected });
    }
    if cfg!(feature = "cuda") && x.device().is_cuda() {
        return by_library(x, weight, options, computation);
    }
    let options = options.deep();
    // Every path refuses the same shapes: candle's own convolution would panic where the kernel does not fit.
    Geometry::new(&options, x.layout(), weight.layout())?;
    if x.device().is_cpu() && options.groups == 1 {
        keep_freed();
        Ok(x.contiguous()?.apply_op2(&weight.contiguous()?, op::ConvOp { options })?)
    } else if N == 2 {
        composed::conv2d(x, weight, &options)
    } else {
        composed::conv3d(x, weight, &options)
    }
}

/// By cuDNN where the tensors lie on a card.
fn by_library<const N: usize>(
    x: &Tensor,
    weight: &Tensor,
    options: &ConvOptions<N>,
    computation: Computation,
) -> Result<Tensor> {
    let ConvOptions { stride, padding, dilation, groups } = *options;
    let settings = ConvSettings { stride, padding, dilation, groups };
    Ok(mtids_cuda::conv::convolve(x, weight, &settings, computation)?)
}

/// A convolution layer along `N` axes without bias (a norm with its own shift follows).
#[derive(Clone, Debug)]
pub struct Conv<const N: usize> {
    weight: Tensor,
    options: ConvOptions<N>,
    precision: Precision,
    computation: Computation,
}

/// A layer on maps `[B, C, H, W]`.
pub type Conv2d = Conv<2>;
/// A layer on volumes `[B, C, D, H, W]`.
pub type Conv3d = Conv<3>;

impl<const N: usize> Conv<N> {
    /// Creates `<name>.weight` `[outputs, inputs / groups, kernel..]`, normal with variance 2 / fan-in (He et al. 2015).
    ///
    /// # Errors
    /// When the parameter exists with another shape, or the groups do not divide the channels.
    pub fn new(
        name: &str,
        inputs: usize,
        outputs: usize,
        kernel: [usize; N],
        options: ConvOptions<N>,
        parameters: &Parameters,
    ) -> Result<Self> {
        let groups = options.groups;
        if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            let reason = format!("{groups} groups do not divide {inputs} inputs and {outputs} outputs");
            return Err(crate::LayerError::Parameter { name: format!("{name}.weight"), reason });
        }
        let taps: usize = kernel.iter().product();
        let mut shape = vec![outputs, inputs / groups];
        shape.extend(kernel);
        let deviation = (2.0 / (inputs / groups * taps) as f64).sqrt();
        let weight = parameters.get_or_init(&format!("{name}.weight"), &shape, Init::Normal(deviation))?;
        let precision = parameters.precision();
        let arithmetic = if precision == Precision::Tf32 { Arithmetic::Tf32 } else { Arithmetic::Exact };
        let computation = Computation { algorithms: parameters.algorithms(), arithmetic };
        Ok(Self { weight, options, precision, computation })
    }

    /// Precision of the operands.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// The weight.
    pub(crate) fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Settings along three axes.
    pub(crate) fn options(&self) -> ConvOptions<3> {
        self.options.deep()
    }

    /// Applies the layer to `[B, inputs, ..]` with `N` spatial axes.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.precision.product([x, &self.weight], |x, weight| convolve(x, weight, &self.options, self.computation))
    }
}

#[cfg(test)]
mod tests;
