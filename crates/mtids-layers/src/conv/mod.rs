//! Convolutions in two and three dimensions with exact and quick gradients on the CPU.
//!
//! Purpose: candle's own convolution differentiates through direct loops, which makes training slow, and there is none in
//! three dimensions. On the CPU one of three algorithms runs (Winograd tiles for 3 × 3 kernels of stride 1, `depthwise`,
//! unfolding for everything else); elsewhere the same function is composed of candle's operations. Invariants: results
//! do not depend on the number of threads; the gradient of an input that needs none is not computed. Trunks run the same
//! algorithms on interleaved maps (`interleaved`); the layers here serve everything else.

mod columns;
mod composed;
mod depthwise;
mod geometry;
mod op;
mod tiles;
pub(crate) mod winograd;

use candle_core::Tensor;

pub use geometry::ConvOptions;
pub(crate) use geometry::{Geometry, deep, output_size};

use crate::error::Result;
use crate::kernels::keep_freed_memory;
use crate::parameters::{Init, Parameters};
use crate::precision::Precision;

/// Convolves `x` `[B, C, H, W]` with `weight` `[O, C / groups, kh, kw]` to `[B, O, H', W']`, zeros around the input.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv2d(x: &Tensor, weight: &Tensor, options: &ConvOptions<2>) -> Result<Tensor> {
    convolve(x, weight, options)
}

/// Convolves `x` `[B, C, D, H, W]` with `weight` `[O, C / groups, kd, kh, kw]` to `[B, O, D', H', W']`, zeros around the input.
///
/// # Errors
/// When the shapes do not fit.
pub fn conv3d(x: &Tensor, weight: &Tensor, options: &ConvOptions<3>) -> Result<Tensor> {
    convolve(x, weight, options)
}

fn convolve<const N: usize>(x: &Tensor, weight: &Tensor, options: &ConvOptions<N>) -> Result<Tensor> {
    if x.dims().len() != N + 2 {
        let expected = format!("two axes and {N} more");
        return Err(crate::LayerError::Shape { what: "feature map", found: x.dims().to_vec(), expected });
    }
    let options = options.deep();
    if x.device().is_cpu() {
        keep_freed_memory();
        Ok(x.contiguous()?.apply_op2(&weight.contiguous()?, op::ConvOp { options })?)
    } else if N == 2 {
        composed::conv2d(x, weight, &options)
    } else {
        composed::conv3d(x, weight, &options)
    }
}

/// A convolution layer along `N` axes without bias (a norm with its own shift follows).
#[derive(Clone, Debug)]
pub struct Conv<const N: usize> {
    weight: Tensor,
    options: ConvOptions<N>,
    precision: Precision,
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
        Ok(Self { weight, options, precision: parameters.precision() })
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
        self.precision.product([x, &self.weight], |x, weight| convolve(x, weight, &self.options))
    }
}

#[cfg(test)]
mod tests;
